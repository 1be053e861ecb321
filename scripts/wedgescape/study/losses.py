"""What of a config decides the loss that networks are trained for."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN = {"loss": "cross_entropy", "label_smoothing": 0.0, "class_weights": None}
# What figures and verdicts say of the cross-entropy of classifiers -> what they say of other losses and scores.
OF_R2 = {"accuracy (fraction)": "R²", "Accuracy": "R²", "accuracy": "R²", "score": "R²"}
OF_VARIANCES = {"nats": "variances", "nat ": "variance "}
OF_OWN = {" (nats)": "", ", nats": "", " nats": "", "nats / ": "1 / "}


def loss_of(training: Mapping) -> dict:
    """Return what of a training (`Study.training`) decides the loss."""
    known = training.get("training", {})
    found = {"loss": training.get("loss")} | {name: known.get(name) for name in ("label_smoothing", "class_weights")}
    return PLAIN | {name: value for name, value in found.items() if value is not None}


def has_classes(loss: str | Mapping) -> bool:
    """Return whether a loss is of labels that are classes, of which networks predict probabilities."""
    return loss == "cross_entropy" or (isinstance(loss, Mapping) and loss["score"] == "accuracy")


def words(loss: str | Mapping) -> dict[str, str]:
    """Return how figures and verdicts speak of a loss and its score: words of the cross-entropy -> its own."""
    found = {}
    if loss == "mse" or (isinstance(loss, Mapping) and loss["score"] == "R^2"):
        found |= OF_R2
    if loss == "mse":
        found |= OF_VARIANCES
    elif isinstance(loss, Mapping):
        found |= OF_OWN
    return found


def said(text: str, words: Mapping[str, str]) -> str:
    """Return a text with these words in place of those of the cross-entropy."""
    for old, new in words.items():
        text = text.replace(old, new)
    return text
