"""Input paths: curves of low loss between two inputs of a class, through one network (docs/science.md, Input paths)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from wedgescape.landscapes.curves import CurveLandscape
from wedgescape.landscapes.inputs import InputLandscape, MiddleLandscape, input_landscape
from wedgescape.landscapes.lines import barrier
from wedgescape.landscapes.operations import Case, Step, Work, evaluations
from wedgescape.landscapes.spans import gaussian, random_directions
from wedgescape.numerics.intervals import Intervals
from wedgescape.numerics.judging import Claim, fit, left_out
from wedgescape.numerics.randomness import stream
from wedgescape.stores.zarr_stores import Variable, described, labelled
from wedgescape.study.places import AtBase
from wedgescape.study.sections import Count, Fraction, PositiveNumber, Section, key
from wedgescape.training.descent import Recipe, descend
from wedgescape.training.optima import Optima


class Settings(Section):
    """Paths between two inputs on which one network stays sure of a class: straight lines and Bezier curves."""

    seeds: Count = key(12, "Number of networks to measure (the first N seeds).", smoke=4)
    pairs: Count = key(20, "Pairs of inputs of each kind and network; classes take turns.", smoke=3)
    certainty: float = key(0.9, "Smallest probability of the class at the ends of a path.", ge=0.5, lt=1, smoke=0.5)
    tolerance: Fraction = key(0.05, "A path has no barrier below this share of the loss of chance.")
    search_steps: Count = key(
        500, "Steps, at most, of the searches for synthetic inputs and for separated pairs.", smoke=10
    )
    search_rate: PositiveNumber = key(0.05, "Learning rate of these searches, by Adam, in units of normalised inputs.")
    steps: Count = key(150, "Steps of the descent that bends the curves.", smoke=5)
    learning_rate: PositiveNumber = key(0.03, "Learning rate of that descent, by Adam; it falls along a cosine.")
    samples: Count = key(4, "Positions on each curve at which a step takes gradients.")
    random_bends: Count = key(
        8, "Random bends of each pair, as long as that of its curve; as many are twice as long.", smoke=2
    )
    points: int = key(101, "Positions on each path at which it is evaluated, ends included.", ge=5, smoke=9)


MINUTES = 60
# Of pairs: two test inputs; one of them and an input made from noise; two inputs moved until the middle between them is
# of another class; two test inputs of different classes, between which no path can be low.
KINDS = ("real", "synthetic", "separated", "classes")
RANDOM = {"random": 1, "longer": 2}  # length of random bends, in that of the curve's
PATHS = ("line", "bezier", *RANDOM)
LOOKS = 5  # steps of a search from one look at whether it has arrived to the next
STEPS = 7  # inputs of a path that are kept for the figure
MOST = 0.9  # of the pairs of a network
SMALLEST = 1e-12  # range of a pixel; one that is always the same has none
OF_PAIRS = ("seed", "kind", "path", "pair")
SHOWN = ("seed", "path", "step")
VARIABLES = {
    "loss": Variable(
        (*OF_PAIRS, "t"), "cross-entropy of the class at position t of the path, share of the loss of chance", "1"
    ),
    "barrier": Variable(OF_PAIRS, "largest excess of it over the chord between the ends' losses", "1"),
    "label": Variable(("seed", "kind", "pair", "end"), "class of the end; -1 where there is no pair", "1"),
    "bend": Variable(
        ("seed", "kind", "pair"), "distance of the curve's middle from the line's, share of the line's length", "1"
    ),
    "moved": Variable(
        ("seed", "kind", "pair"), "distance of ends from the test inputs they stand for, share of these' distance", "1"
    ),
    "shown": Variable(("seed",), "the separated pair whose inputs are kept; -1 for none", "1"),
    "predicted": Variable(SHOWN, "class that the network predicts there; -1 for none", "1"),
    "images": Variable((*SHOWN, "channel", "row", "column"), "inputs, share of the range of training inputs", "1"),
    "vectors": Variable((*SHOWN, "feature"), "inputs, share of the range of training inputs", "1"),
}


def synthesise(inputs: InputLandscape, starts: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Move inputs until the network is sure enough of their classes.

    Args:
        inputs: of one class a point.
        starts: (K, D).
        settings: of the search.

    Returns:
        Inputs (K, D), and whether each got there (K,).
    """
    unsure = -math.log(settings.certainty)
    return _search(inputs, inputs.within(starts), lambda points: inputs.losses(points) <= unsure, inputs, settings)


def separate(inputs: InputLandscape, starts: Tensor, others: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Move pairs of inputs until the network is sure enough of their class at both ends, and of another between them.

    So the straight line has a barrier of -ln(1 - certainty) or more, less the ends' losses. Where the network is linear
    there is no such pair: its cross-entropy is convex in the input, so the middle is as sure as the ends on average.

    Args:
        inputs: of one class a pair.
        starts: pairs (K, 2 D).
        others: (K,), the class of each middle.
        settings: of the search.

    Returns:
        Pairs (K, 2 D), and whether each got there (K,).
    """
    pairs = MiddleLandscape(inputs, inputs.of_labels(others[:, None]))
    unsure = -math.log(settings.certainty)
    return _search(pairs, starts, lambda points: (pairs.of_each(points) <= unsure).all(1), inputs, settings)


def _search(landscape, starts: Tensor, arrived, inputs: InputLandscape, settings: Settings) -> tuple[Tensor, Tensor]:
    """Descend in the range of inputs until `arrived`: ends (K, …), and whether they got there (K,)."""

    @torch.no_grad()
    def observe(_step: int, points: Tensor) -> dict[str, Tensor]:
        return {"arrived": arrived(points)}

    def bound(points: Tensor) -> Tensor:
        return inputs.within(points.unflatten(1, (-1, inputs.dim))).flatten(1)

    found = descend(
        landscape,
        starts,
        Recipe("adam", settings.search_rate),
        settings.search_steps,
        bound=bound,
        observe=observe,
        observe_at=[*range(0, settings.search_steps, LOOKS), settings.search_steps],
        stop=lambda seen: seen["arrived"],
    )
    return found.points, (found.stopped >= 0).to(starts.device)


def bend(inputs: InputLandscape, starts: Tensor, ends: Tensor, seeds: list[int], settings: Settings) -> dict:
    """Bend curves between inputs so that the network stays sure of their classes, beside lines and random bends.

    A quadratic Bezier curve has one control point between its ends. It begins as the straight line, and stays in the
    range of inputs, and with it the curve. Random bends move the control point as far in random directions, and twice
    as far; a number that would leave the range goes the other way.

    Args:
        inputs: of the classes of each pair.
        starts: (K, D).
        ends: (K, D).
        seeds: K, of the curves' random streams.
        settings: of the descent.

    Returns:
        `loss` (path, K, T) and `barrier` (path, K), nats; of the random bends those of the one with the lowest barrier;
        `controls` (path, K, D).
    """
    curve = CurveLandscape(inputs, starts, ends, samples=settings.samples)
    line, t = curve.straight(), torch.linspace(0, 1, settings.points).to(starts)
    recipe = Recipe("adam", settings.learning_rate, schedule="cosine")
    bent = descend(curve, line, recipe, settings.steps, seeds, bound=inputs.within).points

    def along(controls: Tensor) -> np.ndarray:
        return curve.profiles(controls, t)["loss"].cpu().double().numpy()

    chosen, losses, each = [line, bent], [along(line), along(bent)], np.arange(len(starts))
    lengths = (bent - line).norm(dim=1, keepdim=True)
    ways = [random_directions(settings.random_bends, inputs.dim, "bends of input paths", seed) for seed in seeds]
    for factor in RANDOM.values():
        drawn = []
        for directions in torch.stack(ways, 1).to(line):
            moves = factor * lengths * directions
            leaves = inputs.within(line + moves) != line + moves
            drawn.append(line + torch.where(leaves, -moves, moves))
        tried = [along(controls) for controls in drawn]
        best = np.argmin([barrier(one) for one in tried], 0)
        chosen.append(torch.stack(drawn)[best, each])
        losses.append(np.stack(tried)[best, each])
    found = np.stack(losses)
    return {"loss": found, "barrier": barrier(found), "controls": torch.stack(chosen)}


def draw_inputs(labels: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """Draw inputs for pairs: (count, 3), two of a class and one of another; none where fewer than two classes have two.

    Args:
        labels: (N,), the class of each input; -1 for those that are not to be drawn.
        count: of the rows; classes take turns.
        draw: random stream.
    """
    of = {label: np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])}
    usable = [label for label, places in of.items() if len(places) > 1]
    if len(usable) < 2:
        return np.zeros((0, 3), int)
    rows = []
    for number in range(count):
        own, other = (of[usable[(number + shift) % len(usable)]] for shift in (0, 1))
        rows.append([*draw.choice(own, 2, replace=False), draw.choice(other)])
    return np.array(rows)


def measure(optima: Optima, settings: Settings = Settings()) -> xr.Dataset:
    """Measure paths between two inputs of a class, in the input space of one network (Vrabel et al. 2025).

    The network is frozen, and its cross-entropy for one class is a landscape over inputs. The paper joins inputs that
    real data, noise and optimisation give. On small networks the straight line between two such inputs hardly ever has
    a barrier, so that nothing is left for a curve to remove. Therefore we also search for pairs whose straight line has
    one: two test inputs of a class are moved until both are of the class and their middle is of another (`separate`).

    Two controls. The best of some random bends, as long as that of the curve and twice as long: where they do as well,
    the search says nothing. And paths between inputs of different classes, whose loss is -ln of the larger of both
    probabilities: no path can be below ln 2 everywhere, so a curve that seems to be is one whose barrier lies between
    two positions at which it is evaluated. It makes no sense for the toy model, which has no inputs.

    Args:
        optima: of one setting, whose landscape is a network's with classes.
        settings: of the measurement.

    Returns:
        Losses and barriers over (seed, kind, path, pair). Pairs that were not found have none. Where the inputs are
        tokens no pair has any; `no_paths` says why.
    """
    optima = optima.first(settings.seeds)
    examples = optima.landscape.splits["train"][0]
    attributes = {"tolerance": settings.tolerance, "certainty": settings.certainty}
    if not examples.is_floating_point():
        attributes["no_paths"] = "The inputs are tokens, and between two of them there is no third."
    shape = tuple(examples.shape[1:])
    kept = ("images", (*SHOWN, *shape)) if len(shape) == 3 else ("vectors", (*SHOWN, math.prod(shape)))
    sizes = {"seed": len(optima), "kind": len(KINDS), "path": len(PATHS), "pair": settings.pairs}
    sizes |= {"t": settings.points, "end": 2, "step": STEPS}
    rows = {
        name: np.full([sizes.get(dim, dim) for dim in (kept[1] if name == kept[0] else VARIABLES[name].dims)], empty)
        for name, empty in {"loss": np.nan, "barrier": np.nan, "label": -1, "bend": np.nan, "moved": np.nan,
                            "shown": -1, "predicted": -1, kept[0]: np.float32(np.nan)}.items()
    }  # fmt: skip
    for k in np.flatnonzero(~optima.diverged) if "no_paths" not in attributes else ():
        for name, values in _of_network(optima, k, settings, shape).items():
            rows[name][k] = values
    coordinates = {
        "seed": optima.seeds,
        "kind": list(KINDS),
        "path": list(PATHS),
        "t": described(("t",), np.linspace(0, 1, settings.points), "position: 0 at one end, 1 at the other", "1"),
        "end": ["first", "second"],
    }
    return optima.flagged(labelled(VARIABLES, rows, coordinates, attributes))


def _of_network(optima: Optima, k: int, settings: Settings, shape: tuple) -> dict[str, np.ndarray]:
    """Return the variables of one network."""
    landscape, seed, count = optima.landscape, optima.seeds[k], settings.pairs
    tests, classes = landscape.splits["test"]
    known = landscape.on_examples(optima.points[k : k + 1])
    sure = (known["log_probability"][0] >= math.log(settings.certainty)) & known["correct"][0]
    drawn = draw_inputs(np.where(sure.cpu(), classes.cpu(), -1), count, stream("pairs of inputs", seed))
    if not len(drawn):
        return {}
    first, second, third = (tests[torch.from_numpy(column).to(tests.device)].flatten(1) for column in drawn.T)
    own, other = (classes[torch.from_numpy(drawn[:, place]).to(tests.device)] for place in (0, 2))
    inputs = input_landscape(landscape, optima.points[k], own[:, None])
    made, sure_made = synthesise(inputs, gaussian(count, inputs.dim, "noise inputs", seed).to(first), settings)
    pairs, apart = separate(inputs, torch.cat([first, second], 1), _runner_up(inputs, first, second), settings)
    left, right = pairs.chunk(2, 1)
    everywhere = torch.ones_like(apart)
    ends = torch.stack([torch.stack([first, second]), torch.stack([first, made]), torch.stack([left, right]),
                        torch.stack([first, third])])  # fmt: skip
    labels = torch.stack([own, own]).expand(len(KINDS), -1, -1).clone()
    labels[-1, 1] = other
    there = torch.stack([everywhere, sure_made, apart, everywhere])  # (kind, pair)
    kind, pair = there.nonzero(as_tuple=True)
    starts, stops = (ends[kind, end, pair] for end in (0, 1))
    streams = [(seed << 32) + number for number in (kind * count + pair).tolist()]
    found = bend(inputs.of_labels(labels[kind, :, pair]), starts, stops, streams, settings)
    line, bent = found["controls"][:2]
    distance = (first - second).norm(dim=1)
    moved = torch.stack([torch.zeros_like(distance), (made - second).norm(dim=1) / distance,
                         ((left - first).norm(dim=1) + (right - second).norm(dim=1)) / 2 / distance,
                         torch.zeros_like(distance)])  # fmt: skip
    moved[~there] = torch.nan
    kind, pair = kind.cpu().numpy(), pair.cpu().numpy()
    rows = {
        "loss": np.full((len(KINDS), len(PATHS), count, settings.points), np.nan),
        "barrier": np.full((len(KINDS), len(PATHS), count), np.nan),
        "label": np.full((len(KINDS), count, 2), -1),
        "bend": np.full((len(KINDS), count), np.nan),
        "moved": moved.cpu().numpy(),
    }
    chance = math.log(landscape.classes)
    rows["loss"][kind, :, pair] = found["loss"].swapaxes(0, 1) / chance
    rows["barrier"][kind, :, pair] = found["barrier"].T / chance
    rows["label"][kind, pair] = labels.swapaxes(1, 2).cpu().numpy()[kind, pair]
    # At its middle, a quadratic Bezier curve is half as far from the line as its control point.
    rows["bend"][kind, pair] = ((bent - line).norm(dim=1) / 2 / (stops - starts).norm(dim=1)).cpu().numpy()
    if bool(apart.any()):
        rows |= _shown(inputs, rows["moved"][2], kind, pair, starts, stops, found["controls"], shape)
    return rows


def _runner_up(inputs: InputLandscape, first: Tensor, second: Tensor) -> Tensor:
    """Return the class (K,) that is likeliest at the middles of pairs, beside the pair's own."""
    with torch.no_grad():
        logits = inputs.logits((first + second) / 2)
    return logits.scatter(1, inputs.labels, -torch.inf).argmax(1)


def _shown(inputs: InputLandscape, moved: np.ndarray, kind: np.ndarray, pair: np.ndarray, starts: Tensor,
           stops: Tensor, controls: Tensor, shape: tuple) -> dict[str, np.ndarray]:  # fmt: skip
    """Return inputs on the paths of the separated pair that is nearest to test inputs."""
    chosen = int(np.nanargmin(moved))
    place = int(np.flatnonzero((kind == KINDS.index("separated")) & (pair == chosen))[0])
    curve = CurveLandscape(inputs, starts[place : place + 1], stops[place : place + 1])
    t = torch.linspace(0, 1, STEPS).to(starts)
    images = torch.cat([curve.at(one[place : place + 1], t) for one in controls])  # (path, step, D)
    predicted = inputs.predicted(images.flatten(0, 1)).unflatten(0, (-1, STEPS))
    span = (inputs.highest - inputs.lowest).clamp_min(SMALLEST)
    scaled = (images - inputs.lowest) / span
    name, sizes = ("images", shape) if len(shape) == 3 else ("vectors", (-1,))
    return {
        "shown": chosen,
        "predicted": predicted.cpu().numpy(),
        name: scaled.reshape(len(PATHS), STEPS, *sizes).cpu().numpy(),
    }


def work(case: Case, settings: Settings) -> Work:
    """Count the steps of searches and of curves, each a gradient at some inputs, and losses on paths."""
    seeds, examples = min(settings.seeds, case.seeds), case.data.examples["train"]
    curves = len(KINDS) * settings.pairs
    steps = {3 * settings.pairs: 2 * settings.search_steps, settings.samples * curves: settings.steps}
    found = Work({Step(case.model, 1, min(inputs, examples)): seeds * count for inputs, count in steps.items()})
    inputs = seeds * curves * (2 + len(RANDOM) * settings.random_bends) * settings.points
    return found + evaluations(case.model, inputs / examples, ["train"])


OF_CLASSES = True  # it compares the probabilities of classes

CLAIMS = ("input_lines", "input_curves", "input_bends", "input_classes")


def judged(store: xr.Dataset) -> xr.DataArray:
    """Return which pairs of one class have a straight line with a barrier: bool (seed, kind, pair)."""
    return store["barrier"].sel(path="line", kind=list(KINDS[:3])) > store.attrs["tolerance"]


def without_barrier(store: xr.Dataset, path: str, among: xr.DataArray) -> np.ndarray:
    """Return the share of some pairs (seed, kind, pair) in which a path has no barrier (seed,); nan where none are."""
    low = store["barrier"].sel(path=path, kind=among["kind"]) <= store.attrs["tolerance"]
    over = ("kind", "pair")
    with np.errstate(invalid="ignore"):
        return ((low & among).sum(over) / among.sum(over)).values


def claims(input_paths: AtBase, intervals: Intervals) -> Iterator[Claim]:
    """Estimate the share of networks in which paths have no barrier in most pairs, beside what controls do.

    A network counts where at least `MOST` of its pairs have none. Lines: pairs of test inputs. Curves: all pairs of one
    class whose straight line has a barrier; also by half and by twice the tolerance. Bends: by how much lower the
    curve's barrier is than that of the best random bend, mean over the same pairs; also of bends twice as long.
    Classes: the curve's barrier between inputs of different classes, which must exist.
    """
    if "no_paths" in input_paths.attrs:
        return
    store, lost = input_paths.isel(seed=fit(input_paths).values), left_out(input_paths)
    barriers, among = store["barrier"], judged(store)
    real = barriers.sel(kind=["real"]).notnull().any("path")
    lines = without_barrier(store, "line", real)
    quantity = f"share of networks in which {MOST:.0%} of the lines have no barrier"
    between = barriers.sel(kind="classes", path="line")
    apart = int((between > store.attrs["tolerance"]).sum())
    control = f"lines between classes with a barrier: {apart} of {int(between.notnull().sum())}"
    yield Claim("input_lines", quantity, _most(lines, intervals), {}, lost, control=control)

    curves, *bends = (without_barrier(store, path, among) for path in PATHS[1:])
    ways = {}
    for factor in (0.5, 2):
        other = store.assign_attrs(tolerance=factor * store.attrs["tolerance"])
        ways[f"tolerance {other.attrs['tolerance']:g}"] = _most(
            without_barrier(other, "bezier", judged(other)), intervals
        )
    counts = among.sum(("seed", "pair"))
    pairs = ", ".join(f"{int(counts.sel(kind=kind))} {kind}" for kind in KINDS[:3])
    shares = ", ".join(f"{np.mean(one[np.isfinite(one)]):.2g}" for one in bends) if np.isfinite(bends).any() else "none"
    control = f"share of pairs in which the best random bend has none, as long and twice as long: {shares}"
    quantity = f"share of networks in which {MOST:.0%} of the curves have no barrier where the line has ({pairs})"
    yield Claim("input_curves", quantity, _most(curves, intervals), {}, lost, ways, control,
                f"tolerance {store.attrs['tolerance']:g}")  # fmt: skip

    def gain(path: str):
        lower = (barriers.sel(path=path) - barriers.sel(path="bezier")).sel(kind=among["kind"])
        return intervals.mean(lower.where(among).mean(("kind", "pair")).values)

    quantity = "barrier of the best random bend minus that of the curve, share of the loss of chance"
    yield Claim("input_bends", quantity, gain("random"), {}, lost, {"bends twice as long": gain("longer")},
                specification="bends as long")  # fmt: skip

    found = barriers.sel(kind="classes", path="bezier").mean("pair").values
    yield Claim("input_classes", "barrier of the curve, share of the loss of chance", intervals.mean(found), {}, lost)


def _most(shares: np.ndarray, intervals: Intervals):
    """Return the share of networks with shares (seed,) of at least `MOST`; of those that have pairs to judge."""
    known = shares[np.isfinite(shares)]
    return intervals.share(int((known >= MOST).sum()), len(known), "seed")
