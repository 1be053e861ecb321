"""How good predicted probabilities are: accuracy, scoring rules and calibration."""

from __future__ import annotations

from torch import Tensor

SCORES = {
    "accuracy": ("fraction of examples whose most probable class is the right one", "1"),
    "nll": ("negative log-likelihood, the mean cross-entropy", "nat"),
    "brier": ("Brier score, the mean squared distance of the probabilities from the label as a unit vector", "1"),
    "calibration_error": ("expected calibration error, the mean gap between confidence and accuracy over bins", "1"),
}


def score(probabilities: Tensor, labels: Tensor, bins: int) -> dict[str, float]:
    """Return the scores of predictions (N, C) for labels (N,), by their names in `SCORES`.

    - `nll` is scikit-learn's `log_loss`; a right class of probability 0 counts with the smallest step above it, 2e-16.
    - `brier` is scikit-learn's `brier_score_loss`: the squares are summed over classes, so that it lies in [0, 2].
    - `calibration_error` is torchmetrics' `multiclass_calibration_error`: confidence is the largest probability, in
      equal bins over [0, 1]; gaps are weighted by the number of examples (Naeini et al. 2015; Guo et al. 2017).

    Args:
        probabilities: (N, C), rows sum to 1 up to rounding, which is taken out.
        labels: (N,), whole numbers below C.
        bins: of confidence.
    """
    # Here, since both take a second to import, also for those who read scores alone.
    from sklearn.metrics import brier_score_loss, log_loss
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities = probabilities.cpu().double()
    probabilities = probabilities / probabilities.sum(1, keepdim=True)
    labels, classes = labels.cpu(), range(probabilities.shape[1])
    error = multiclass_calibration_error(probabilities, labels, len(classes), bins, validate_args=False)
    return {
        "accuracy": float((probabilities.argmax(1) == labels).double().mean()),
        "nll": float(log_loss(labels, probabilities, labels=classes)),
        "brier": float(brier_score_loss(labels, probabilities, labels=classes)),
        "calibration_error": float(error),
    }


def mixture(probabilities: Tensor) -> Tensor:
    """Return what an ensemble predicts, the mean of its members' probabilities: (K, N, C) -> (N, C), float64."""
    return probabilities.cpu().double().mean(0)
