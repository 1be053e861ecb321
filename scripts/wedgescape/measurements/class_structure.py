"""Class structure: which of the Gauss-Newton matrix's large eigenvalues the classes make (docs/science.md)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import one_hot

from wedgescape.errors import InputError
from wedgescape.landscapes.linearised import LinearisedLandscape
from wedgescape.landscapes.operations import Case, Product, Work, hessian, times
from wedgescape.landscapes.spans import gaussian
from wedgescape.numerics.eigenpairs import hessian_eigenpairs
from wedgescape.numerics.intervals import Intervals, standard_error
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Section, key
from wedgescape.training.optima import Optima


class Settings(Section):
    """How much of the Gauss-Newton matrix is due to classes.

    Products with it cost about as much as Hessian-vector products. Beside the eigenvalues, each optimum costs one
    gradient per class and kind of groups.
    """

    seeds: Count = key(12, "Number of optima to measure (the first N seeds).", smoke=3)
    top: Count = key(20, "Largest eigenvalues; at least one more than there are classes.", smoke=2)
    groupings: Count = key(4, "Random groupings of examples, the control of classes.", smoke=1)
    probes: int = key(16, "Random probes for the traces.", ge=2, smoke=2)


PARTS = {
    "class": "between classes",
    "cross": "between logits within a class",
    "within": "between examples of one class and logit",
    "own": "the logit of an example's own class",
}
SPANS = {
    "class": "means by class",
    "logit": "means by logit",
    "relabelled": "means by shuffled labels",
    "groups": "means by random groups",
    "random": "random directions",
}
DEPENDENT = 1e-4  # singular values of unit vectors below which they count as dependent in float32
MATRICES = ("gauss_newton", "hessian")
VARIABLES = {
    "eigenvalue": Variable(("seed", "rank"), "largest eigenvalues of the Gauss-Newton matrix", "nat/weight^2"),
    "residual": Variable(("seed", "rank"), "|G v - lambda v| of each eigenpair", "nat/weight^2"),
    "share": Variable(("seed", "rank", "part"), "share of an eigenvalue that is due to a part of the matrix", "1"),
    "overlap": Variable(
        ("seed", "matrix", "span"),
        "mean squared length, in a span of as many vectors as classes, of the top eigenvectors, one less than classes",
        "1",
    ),
    "trace": Variable(("seed", "part"), "trace of each part of the Gauss-Newton matrix", "nat/weight^2"),
    "trace_error": Variable(("seed",), "standard error of the whole trace", "nat/weight^2"),
    "hessian_trace": Variable(("seed",), "trace of the Hessian, by the same probes", "nat/weight^2"),
    "hessian_eigenvalue": Variable(("seed", "few"), "largest eigenvalues of the Hessian", "nat/weight^2"),
}


class LogitGradients:
    """The gradients of all logits of all training examples, which make up the Gauss-Newton matrix (Papyan 2020).

    With J_i the derivative of the C logits of example i by the weights and p_i its predicted probabilities,
    G = sum_ik w_ik g_ik g_ik^T, where g_ik = J_i^T (e_k - p_i) and w_ik = p_ik / N.

    Args:
        network: linearised at the point.
    """

    def __init__(self, network: LinearisedLandscape):
        self.network, self.chances = network, network.probabilities.double()
        self.classes = self.chances.shape[1]
        self.own = one_hot(network.labels, self.classes).double()  # (N, C)
        self.weights = self.chances / network.examples
        self.others = self.weights * (1 - self.own)  # of logits of other classes than an example's own

    def along(self, vectors: Tensor) -> Tensor:
        """Return g_ik . v (V, N, C) for vectors (V, P)."""
        changes = self.network.changes(vectors).double()
        return changes - (changes * self.chances).sum(2, keepdim=True)

    def sums(self, shares: Tensor) -> Tensor:
        """Return sum_ik a_ik g_ik (V, P) for shares a (V, N, C)."""
        onto = shares - shares.sum(2, keepdim=True) * self.chances
        return self.network.pulled(onto.to(self.network.dtype)).double()

    def parts(self, vectors: Tensor) -> dict[str, Tensor]:
        """Return v^T G_part v (V,) for vectors (V, P), one entry for each of `PARTS`; they add up to v^T G v.

        A decomposition of second moments, by the class c of an example and the logit k != c. With g_c the weighted
        mean over a class and g_ck that over a class and logit,

            G_class = sum_c w_c g_c g_c^T,    G_cross = sum_ck w_ck (g_ck - g_c) (g_ck - g_c)^T,
            G_within = sum_ik w_ik (g_ik - g_ck) (g_ik - g_ck)^T,    G_own = sum_i w_ic g_ic g_ic^T.
        """
        along = self.along(vectors)
        of_cells = self.own.T @ self.others  # (C, C): weights w_ck
        cells = torch.einsum("nc,nk,vnk->vck", self.own, self.others, along) / of_cells.clamp_min(1e-300)
        of_classes = of_cells.sum(1)
        means = (of_cells * cells).sum(2) / of_classes.clamp_min(1e-300)  # (V, C)
        around = along - torch.einsum("nc,vck->vnk", self.own, cells)
        return {
            "class": (of_classes * means**2).sum(1),
            "cross": (of_cells * (cells - means[:, :, None]) ** 2).sum((1, 2)),
            "within": (self.others * around**2).sum((1, 2)),
            "own": (self.weights * self.own * along**2).sum((1, 2)),
        }

    def class_means(self, groups: Tensor | None = None) -> Tensor:
        """Return a basis (C, P) of the span of the sums of w_ik g_ik over the logits k of other classes.

        Args:
            groups: (N,) which of C groups each example is in; its class by default.
        """
        groups = self.own if groups is None else one_hot(groups, self.classes).double()
        return basis(self.sums(groups.T[:, :, None] * self.others))

    def relabelled_means(self, labels: Tensor) -> Tensor:
        """Return what `class_means` would be if labels (N,) were those of the examples: (C, P)."""
        own = one_hot(labels, self.classes).double()
        return basis(self.sums(own.T[:, :, None] * self.weights * (1 - own)))

    def logit_means(self) -> Tensor:
        """Return a basis (C, P) of the span of the sums of w_ik g_ik over the examples of other classes, by logit k."""
        return basis(self.sums(torch.diag_embed(self.others).permute(1, 0, 2)))


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure how much of the Gauss-Newton matrix of the training loss is due to classes (Papyan 2020).

    Its largest eigenvalues, the share of each that the parts of `LogitGradients.parts` make, v^T G_part v / v^T G v,
    and the overlap of the top C - 1 eigenvectors with spans of C vectors: the mean over eigenvectors of the squared
    length of their projection. Spans are those of class means (Papyan 2020) and of means by logit (Fort & Ganguli
    2019). There are two controls, as the eigenvectors are built of the same gradients, so that any C sums of many of
    them overlap far more than random directions do: means over random groups of examples, as large as the classes, and
    means by shuffled labels, which also keep that each mean is about one logit (for sum_k w_ik g_ik = 0, the mean of a
    class is that of its own logit, turned round).

    Args:
        optima: of one setting, whose landscape is a network's. The toy wedges have no classes.
        settings: of the measurement.

    Returns:
        A dataset over (seed, …). The trace of the Hessian equals that of the Gauss-Newton matrix where logits are
        linear in each single weight, as in ReLU networks without normalisation.

    Raises:
        InputError: if the landscape has no classes.
    """
    optima = optima.first(settings.seeds)
    classes, dim = optima.landscape.classes, optima.landscape.dim
    if not classes:
        raise InputError("class_structure: the landscape has no classes; it must be that of a network's cross-entropy")
    top = min(max(settings.top, classes + 1), dim)
    names = {"rank": range(1, top + 1), "few": range(1, classes), "part": list(PARTS), "span": list(SPANS)}
    coordinates = {"seed": optima.seeds, "matrix": list(MATRICES), **names}
    rows = {name: np.full([len(coordinates[dim]) for dim in one.dims], np.nan) for name, one in VARIABLES.items()}
    for k in np.flatnonzero(~optima.diverged):
        for name, value in _of_one(optima, k, top, settings).items():
            rows[name][k] = value
    attributes = {"classes": classes, "parameters": dim}
    return optima.flagged(labelled(VARIABLES, rows, coordinates, attributes))


def _of_one(optima: Optima, place: int, top: int, settings: Settings) -> dict[str, np.ndarray]:
    landscape, point, seed = optima.landscape, optima.points[place], optima.seeds[place]
    network = LinearisedLandscape(landscape, point)
    gradients, classes = LogitGradients(network), landscape.classes
    pairs = hessian_eigenpairs(network, network.point, top, 0)
    curved = hessian_eigenpairs(landscape, point, classes - 1, 0)
    parts = gradients.parts(pairs.top_vectors.to(point))
    probes = gaussian(settings.probes, len(point), "probes of class structure", seed).to(point)
    traces = gradients.parts(probes)
    labels, draw = network.labels.cpu(), stream("groups in place of classes", seed)
    mixed = [labels[torch.from_numpy(draw.permutation(len(labels)))] for _grouping in range(settings.groupings)]
    drawn = gaussian(classes, len(point), "span in place of class means", seed).to(point).double()
    spans = {
        "class": [gradients.class_means()],
        "logit": [gradients.logit_means()],
        "relabelled": [gradients.relabelled_means(labels.to(point.device)) for labels in mixed],
        "groups": [gradients.class_means(groups.to(point.device)) for groups in mixed],
        "random": [basis(drawn)],
    }
    tops = [pairs.top_vectors[: classes - 1], curved.top_vectors]
    whole = sum(parts.values())
    return {
        "eigenvalue": pairs.top.numpy(),
        "residual": pairs.top_residuals.numpy(),
        "share": torch.stack([parts[name] / whole for name in PARTS], 1).cpu().numpy(),
        "overlap": [[np.mean([overlap(one, basis) for basis in spans[name]]) for name in SPANS] for one in tops],
        "trace": [float(traces[name].mean()) for name in PARTS],
        "trace_error": standard_error(sum(traces.values()).cpu().numpy()),
        "hessian_trace": float((probes * landscape.hvp(point, probes)).sum(1).mean()),
        "hessian_eigenvalue": curved.top.numpy(),
    }


def basis(vectors: Tensor) -> Tensor:
    """Return an orthonormal basis (m, P) of the span of vectors (n, P), whatever their lengths; zeros are left out.

    The means of classes depend on each other where the gradient is zero, and one is zero where all are certain.
    """
    sizes = vectors.norm(dim=1, keepdim=True)
    vectors = (vectors / sizes)[sizes[:, 0] > 0]
    _left, spread, rows = torch.linalg.svd(vectors, full_matrices=False)
    return rows[spread > DEPENDENT]


def overlap(vectors: Tensor, basis: Tensor) -> float:
    """Return the mean squared length of the projections of unit vectors (k, P) on an orthonormal basis (m, P).

    1 where the vectors lie in the span, m / P on average for random ones.
    """
    return float((vectors.to(basis) @ basis.T).square().sum(1).mean())


def work(case: Case, settings: Settings) -> Work:
    """Count the eigenpairs, the probes and the sums over classes, logits and groups."""
    classes = case.data.classes
    one = hessian(case, max(settings.top, classes + 1), 0) + hessian(case, classes - 1, 0)
    one += Work({Product(case.model): 2 * settings.probes + classes * (1 + settings.groupings)})
    return times(min(settings.seeds, case.seeds), one)


OF_CROSS_ENTROPY = True  # whose curvature with respect to the logits is written out

CLAIMS = (
    "class_overlap",
    "class_control",
    "class_logits",
    "class_outliers",
)


def claims(class_structure: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate the overlap of the top C - 1 eigenvectors with class means, and how the spectrum falls after them.

    Also of the Hessian's eigenvectors. The drop is log10(lambda_(C-1) / lambda_C), less the mean of the drops before
    and after it: a smooth spectrum has 0.
    """
    kept, lost = class_structure.isel(seed=fit(class_structure).values), left_out(class_structure)
    found, classes = kept["overlap"], kept.attrs["classes"]
    spans = {span: found.sel(span=span) for span in SPANS}
    means = found.sel(matrix=MATRICES[0]).mean("seed").to_series()
    control = ", ".join(f"{SPANS[span]} {means[span]:.2g}" for span in ("relabelled", "groups", "random"))
    label, more = "overlap with class means", spans["class"] - spans["relabelled"]
    others = {"against random groups": spans["class"] - spans["groups"]}
    for rule, quantity, values, ways in (
        ("class_overlap", label, spans["class"], {}),
        ("class_control", f"{label}, minus with means by shuffled labels", more, others),
        ("class_logits", "overlap with means by logit, minus with class means", spans["logit"] - spans["class"], {}),
    ):
        first, second = (intervals.mean(values.sel(matrix=matrix).values) for matrix in MATRICES)
        ways = {name: intervals.mean(one.sel(matrix=MATRICES[0]).values) for name, one in ways.items()}
        ways |= {"of the Hessian": second}
        yield Claim(rule, quantity, first, {}, lost, ways, control, "of the Gauss-Newton matrix")
    if classes > 2:
        logs = np.log10(kept["eigenvalue"].sel(rank=range(classes - 2, classes + 2)).transpose("seed", "rank").values)
        before, at, after = -np.diff(logs).T
        quantity = "drop after C - 1 eigenvalues minus the mean of those beside it, decades"
        yield Claim("class_outliers", quantity, intervals.mean(at - (before + after) / 2), {}, lost)
