"""Class structure against matrices that are written out, on networks where the answer is known, and without classes."""

import numpy as np
import pytest
import torch
from torch import nn

from wedgescape import NetworkLandscape
from wedgescape.errors import InputError
from wedgescape.landscapes.linearised import LinearisedLandscape
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import class_structure
from wedgescape.measurements.class_structure import PARTS, LogitGradients, Settings, claims, overlap
from wedgescape.numerics.intervals import Intervals
from wedgescape.training.optima import Optima


@pytest.fixture
def linearised(optima):
    return LinearisedLandscape(optima.landscape, optima.points[0])


@pytest.fixture
def jacobian(optima):
    """The derivatives (N, C, P) of all logits by the weights, by autograd, one example at a time."""
    landscape, point = optima.landscape, optima.points[0]
    images = landscape.splits["train"][0]

    def logits(weights, image):
        return landscape._logits(landscape.unpacked(weights), image[None])[0]

    return torch.stack([torch.autograd.functional.jacobian(lambda w, i=i: logits(w, i), point) for i in images])


def written_out(linearised, jacobian):
    """Gradients g_ik (N, C, P) and weights w_ik (N, C), in float64."""
    chances = linearised.probabilities.double()
    jacobian = jacobian.double()
    return jacobian - torch.einsum("nc,ncp->np", chances, jacobian)[:, None], chances / len(chances)


def test_products_are_those_of_the_gauss_newton_matrix(linearised, jacobian, points):
    g, w = written_out(linearised, jacobian)
    matrix = torch.einsum("nk,nkp,nkq->pq", w, g, g)
    vectors = points(3, linearised.dim)
    torch.testing.assert_close(
        linearised.hvp(linearised.point, vectors), (vectors.double() @ matrix).float(), rtol=1e-4, atol=1e-5
    )
    changes = linearised.changes(vectors)
    torch.testing.assert_close(changes, torch.einsum("ncp,vp->vnc", jacobian, vectors), rtol=1e-4, atol=1e-4)
    shares = torch.einsum("ncp,vp->vnc", jacobian, vectors)
    torch.testing.assert_close(
        linearised.pulled(shares), torch.einsum("ncp,vnc->vp", jacobian, shares), rtol=1e-4, atol=1e-3
    )


def test_it_is_the_hessian_of_the_linearised_loss(linearised, points):
    way, step = points(1, linearised.dim, 5) / linearised.dim**0.5, 0.1
    losses = linearised.losses(
        torch.cat([linearised.point + step * way, linearised.point - step * way, linearised.point[None]])
    ).double()
    second = float(losses[0] + losses[1] - 2 * losses[2]) / step**2
    assert second == pytest.approx(float((linearised.hvp(linearised.point, way) * way).sum()), rel=0.03)
    assert float(losses[2]) == pytest.approx(float(linearised.landscape.losses(linearised.point[None])), rel=1e-5)


def test_parts_are_those_of_the_matrices_written_out_and_add_up(linearised, jacobian, points):
    g, w = written_out(linearised, jacobian)
    labels = linearised.labels
    vectors = points(4, linearised.dim).double()
    wanted = dict.fromkeys(PARTS, 0.0)
    for c in range(3):
        members = labels == c
        others = [k for k in range(3) if k != c]
        weight = w[members][:, others]
        mean = torch.einsum("nk,nkp->p", weight, g[members][:, others]) / weight.sum()
        wanted["class"] += weight.sum() * (vectors @ mean) ** 2
        for k in others:
            cell = (w[members, k] @ g[members, k]) / w[members, k].sum()
            wanted["cross"] += w[members, k].sum() * (vectors @ (cell - mean)) ** 2
            wanted["within"] += ((vectors @ (g[members, k] - cell).T) ** 2) @ w[members, k]
        wanted["own"] += ((vectors @ g[members, c].T) ** 2) @ w[members, c]
    found = LogitGradients(linearised).parts(vectors.float())
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-6)
    whole = torch.einsum("nk,nkp,vp->vnk", w.sqrt(), g, vectors).square().sum((1, 2))
    torch.testing.assert_close(sum(found.values()), whole, rtol=1e-4, atol=1e-6)


def test_spans_are_those_of_the_means(linearised, jacobian):
    g, w = written_out(linearised, jacobian)
    own = torch.nn.functional.one_hot(linearised.labels, 3).double()
    others = w * (1 - own)
    gradients = LogitGradients(linearised)
    for basis, sums in (
        (gradients.class_means(), torch.einsum("nc,nk,nkp->cp", own, others, g)),
        (gradients.logit_means(), torch.einsum("nk,nkp->kp", others, g)),
    ):
        assert overlap(torch.nn.functional.normalize(sums), basis) == pytest.approx(1, abs=1e-5)


def test_the_hessian_of_a_relu_network_has_the_same_trace(optima):
    landscape, point = optima.landscape, optima.points[1]
    linearised, eye = LinearisedLandscape(landscape, point), torch.eye(landscape.dim)
    curved, smooth = landscape.hvp(point, eye), linearised.hvp(linearised.point, eye)
    assert float(curved.trace()) == pytest.approx(float(smooth.trace()), rel=1e-4)
    assert (curved - smooth).norm() > 1e-3 * smooth.norm()  # and yet they are two matrices


def linear(classes, noise, mixed=False, steps=200, per_class=30, seed=3):
    """A linear classifier on examples around the corners of a simplex; `mixed` labels have nothing to do with them."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(per_class)
    corners = torch.eye(classes) - 1 / classes
    inputs = torch.cat([corners[labels], torch.zeros(len(labels), 12)], 1)
    inputs = inputs + noise * torch.randn(inputs.shape, generator=draw)
    module = nn.Sequential(nn.Flatten(), nn.Linear(inputs.shape[1], classes))
    if mixed:
        labels = labels[torch.randperm(len(labels), generator=draw)]
    landscape = NetworkLandscape.of(module, (inputs, labels))
    weights = torch.zeros(landscape.dim)
    for _step in range(steps):
        weights = weights - 0.5 * landscape.gradients(weights[None])[0]
    return Optima.of(landscape, weights[None])


def of_first(optima, **settings):
    """Overlaps with each span, of the first network."""
    store = class_structure.measure(optima, Settings(**settings))
    return store["overlap"].sel(seed=0, matrix="gauss_newton").to_series(), store


def test_two_classes_of_equal_examples_have_one_outlier_and_it_is_between_classes():
    overlaps, store = of_first(linear(2, noise=0.0))
    shares = store["share"].sel(rank=1, seed=0)
    np.testing.assert_allclose(shares.sel(part=["within", "cross"]), 0, atol=1e-5)
    assert overlaps["class"] == pytest.approx(1, abs=1e-4)


def test_as_many_eigenvalues_as_class_means_stand_out_where_examples_of_a_class_are_equal():
    overlaps, store = of_first(linear(5, noise=0.0))
    np.testing.assert_allclose(store["share"].sel(part="within", seed=0, rank=slice(1, 5)), 0, atol=1e-5)
    eigenvalues = store["eigenvalue"].sel(seed=0).values
    assert (eigenvalues[:-1] / eigenvalues[1:])[:6].argmax() == 5 - 1 - 1  # the largest drop is after C - 1
    assert overlaps["class"] > 0.9 > overlaps["groups"]


def test_where_labels_mean_nothing_class_means_are_means_by_shuffled_labels():
    # Before training all examples are alike to the network, so that labels and shuffled labels can be exchanged.
    gains = []
    for seed in range(12):
        null, _store = of_first(linear(4, noise=1.0, mixed=True, steps=0, seed=seed), groupings=20)
        gains.append(null["class"] - null["relabelled"])
    real, _store = of_first(linear(4, noise=0.3), groupings=20)
    assert abs(np.mean(gains)) < 0.03 < 0.05 < real["class"] - real["relabelled"]


def test_a_basis_leaves_out_what_is_zero_or_depends_on_the_others():
    vectors = torch.tensor([[1.0, 1, 0], [0, 0, 0], [1e-9, -1e-9, 0], [3, 0, 0]], dtype=torch.float64)
    found = class_structure.basis(vectors)
    torch.testing.assert_close(found @ found.T, torch.eye(2, dtype=torch.float64))
    assert overlap(torch.tensor([[0.0, 1, 0]]), found) == pytest.approx(1)
    assert overlap(torch.tensor([[0.0, 0, 1]]), found) == pytest.approx(0)


def test_random_vectors_overlap_by_the_share_of_dimensions():
    basis = torch.linalg.qr(torch.randn(50, 5, generator=torch.Generator().manual_seed(0)))[0].T
    vectors = torch.nn.functional.normalize(torch.randn(2000, 50, generator=torch.Generator().manual_seed(1)))
    assert overlap(vectors, basis) == pytest.approx(5 / 50, rel=0.05)


def test_claims_compare_class_means_with_random_groups(optima):
    found = {claim.id: claim for claim in claims(class_structure.measure(optima), Intervals())}
    assert set(found) == set(class_structure.CLAIMS)
    store = class_structure.measure(optima)
    by_span = store["overlap"].sel(matrix="gauss_newton").mean("seed")
    wanted = float(by_span.sel(span="class") - by_span.sel(span="relabelled"))
    assert found["class_control"].estimate.estimate == pytest.approx(wanted, rel=1e-6)
    logs = np.log10(store["eigenvalue"].sel(rank=slice(1, 4)).values)  # three classes: drops after 1, 2, 3
    drops = -np.diff(logs)
    assert found["class_outliers"].estimate.estimate == pytest.approx((drops[:, 1] - drops[:, [0, 2]].mean(1)).mean())


def test_a_landscape_without_classes_is_refused():
    landscape = WedgeLandscape(20, 3)
    with pytest.raises(InputError, match="no classes"):
        class_structure.measure(Optima.of(landscape, landscape.optima(2, 1.0)))
