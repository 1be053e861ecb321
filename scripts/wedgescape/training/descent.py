"""The one optimiser: it moves K points at once through a landscape.

Each point has its own seed, hyperparameters and random streams; none of them depends on its neighbours, so a seed
gives the same weights alone, among others or in another job. Training, random hyperplanes, connectors, snapshots
and curves are this loop on different landscapes, under different constraints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from wedgescape.landscapes.base import Batch, Landscape
from wedgescape.numerics.counted import counted
from wedgescape.numerics.randomness import stream
from wedgescape.training.checkpoints import Checkpoint

ADAM_DECAYS, ADAM_EPSILON = (0.9, 0.999), 1e-8
SMALLEST = 1e-30  # a gradient of zero has no direction and is left as it is
STEP_DROPS = (0.5, 0.75)  # the parts of a run after which the step schedule divides the rate by ten


@dataclass(frozen=True)
class Recipe:
    """How points descend. Numbers marked * may be given as one for all points or as a sequence, one a point.

    Args:
        optimizer: `sgd`, `adam` (weight decay added to the gradient, as for sgd) or `adamw` (decoupled).
        learning_rate: * of the first step after the warm-up.
        momentum: * of sgd.
        nesterov: look ahead along the momentum.
        weight_decay: * the coefficient of the weights in the update; L2 of half of it times the squared norm.
        dropout: * probability with which a unit is dropped.
        batch_size: examples a step; None for the full training loss.
        schedule: `constant`, `cosine` (to zero), `step` (a tenth at half and at three quarters), `triangular` (down
            and up again, linearly) or `cyclic_cosine` (to zero, then from the start).
        warmup_steps: over which the rate rises linearly from zero.
        cycles: of triangular and cyclic_cosine.
        clip_norm: * gradients longer than this are shortened to it; None for never.
        sharpness_radius: * of sharpness-aware minimisation (Foret et al. 2021): each gradient is taken this far up the
            slope, at theta + radius g / |g| on the same minibatch, which costs a second gradient; 0 for not at all.
        plain_steps: at the beginning that are not sharpness-aware.
        last_steps: at the end, in which the rate no longer follows the schedule, which is over by then: it rises from
            the lowest to the highest rate and falls back, linearly, in each of `last_cycles` cycles.
        last_cycles: of these steps.
        last_rates: the lowest and the highest rate there, as fractions of the learning rate; constant where they are
            equal. Before, the schedule does not fall below the lowest.
    """

    optimizer: str = "sgd"
    learning_rate: float | Sequence[float] = 0.05
    momentum: float | Sequence[float] = 0.9
    nesterov: bool = False
    weight_decay: float | Sequence[float] = 0.0
    dropout: float | Sequence[float] = 0.0
    batch_size: int | None = None
    schedule: str = "constant"
    warmup_steps: int = 0
    cycles: int = 1
    clip_norm: float | Sequence[float] | None = None
    sharpness_radius: float | Sequence[float] = 0.0
    plain_steps: int = 0
    last_steps: int = 0
    last_cycles: int = 1
    last_rates: tuple[float, float] = (1.0, 1.0)

    def rate(self, step: int, steps: int) -> float:
        """Return what the learning rate is multiplied by at a step (0, 1, …) of a run of `steps`."""
        first, (low, high) = steps - self.last_steps, self.last_rates
        if step >= first:
            phase = (step + 1 - first) / self.last_steps * self.last_cycles % 1.0  # 0 at the last step of a cycle
            return low + (high - low) * (1 - abs(1 - 2 * phase))
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        scheduled = self._scheduled((step - self.warmup_steps) / max(1, first - self.warmup_steps))
        return max(scheduled, low) if self.last_steps else scheduled

    def _scheduled(self, part: float) -> float:
        """Return what the schedule says after a part of it, in [0, 1)."""
        phase = (part * self.cycles) % 1.0
        match self.schedule:
            case "constant":
                return 1.0
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * part))
            case "step":
                return 0.1 ** sum(part >= drop for drop in STEP_DROPS)
            case "triangular":
                return abs(1 - 2 * phase)
            case "cyclic_cosine":
                return 0.5 * (1 + math.cos(math.pi * phase))
        allowed = "constant, cosine, step, triangular, cyclic_cosine"
        raise ValueError(f"schedule: found {self.schedule!r}, allowed are {allowed}")

    def low_points(self, steps: int) -> list[int]:
        """Return after how many steps of a run of `steps` each cycle's rate is lowest; none without cycles.

        Of a run with `last_steps`, the cycles are those of its end.
        """
        if self.last_steps:
            length = self.last_steps / self.last_cycles
            return [steps - self.last_steps + round(length * (cycle + 1)) for cycle in range(self.last_cycles)]
        lowest = {"triangular": 0.5, "cyclic_cosine": 1.0}.get(self.schedule)
        if lowest is None:
            return []
        length = (steps - self.warmup_steps) / self.cycles
        return [self.warmup_steps + round(length * (cycle + lowest)) for cycle in range(self.cycles)]

    def steps_per_epoch(self, examples: int) -> int:
        """Return in how many steps every example is seen once; the last batch may be smaller."""
        return math.ceil(examples / self.batch_size) if self.batch_size and examples else 1


@dataclass
class Descent:
    """What a descent leaves behind.

    Args:
        points: (K, P), where the points ended.
        diverged: (K,) bool, points that diverged.
        history: name -> (T, K), what was observed.
        snapshots: (S, K, P), the points at the steps that were to be kept.
        average: (K, P), the mean of the points at the steps that were to be averaged.
        stopped: (K,) int, after how many steps a point arrived; -1 for never, or where nothing was to stop.
    """

    points: Tensor
    diverged: Tensor
    history: dict[str, Tensor] = field(default_factory=dict)
    snapshots: Tensor | None = None
    average: Tensor | None = None
    stopped: Tensor | None = None


class _Batches:
    """Each point's own order of examples, drawn anew every epoch from the stream of its seed."""

    def __init__(self, landscape: Landscape, recipe: Recipe, seeds: Sequence[int], dropout: Tensor):
        self.landscape, self.recipe, self.seeds, self.dropout = landscape, recipe, seeds, dropout
        self.per_epoch = recipe.steps_per_epoch(landscape.examples)
        self._epoch, self._orders = -1, None

    def __getitem__(self, step: int) -> Batch | None:
        """Return what the gradients of a step look at, or None for the full loss without noise."""
        drops = bool(self.dropout.any()) and self.landscape.examples > 0
        noise = self.landscape.noise or ("dropout" if drops else "")
        examples = self._examples(step) if self.landscape.examples and (self.recipe.batch_size or drops) else None
        if examples is None and not noise:
            return None
        streams = [stream(noise, seed, step) for seed in self.seeds] if noise else []
        return Batch(examples, streams, self.dropout)

    def _examples(self, step: int) -> Tensor:
        """Return the examples (K, B) of a step; all of them where there is no batch size."""
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            orders = [
                torch.from_numpy(stream("order", seed, epoch).permutation(self.landscape.examples))
                for seed in self.seeds
            ]
            self._epoch, self._orders = epoch, torch.stack(orders).to(self.landscape.device)
        size = self.recipe.batch_size or self.landscape.examples
        return self._orders[:, position * size : (position + 1) * size]


def descend(
    landscape: Landscape,
    starts: Tensor,
    recipe: Recipe,
    steps: int,
    seeds: Sequence[int] | None = None,
    constraint: Callable[[Tensor], Tensor] | None = None,
    bound: Callable[[Tensor], Tensor] | None = None,
    observe: Callable[[int, Tensor], dict[str, Tensor]] | None = None,
    observe_at: Sequence[int] = (),
    keep_at: Sequence[int] = (),
    average_at: Sequence[int] = (),
    checkpoint: Checkpoint | None = None,
    stop: Callable[[dict[str, Tensor]], Tensor] | None = None,
    first_step: int = 0,
) -> Descent:
    """Move K points down a landscape.

    Args:
        landscape: whose training loss falls.
        starts: (K, P).
        recipe: optimiser, rates, schedule.
        steps: how many.
        seeds: K whole numbers, each the seed of a point's random streams; 0 … K-1 by default.
        constraint: a linear map of moves (K, P) that leaves only allowed ones, e.g. `spans.Orthogonal`.
        bound: brings points (K, P) that a step has taken out of bounds back into them, e.g.
            `simplexes.SimplexLandscape.shorten`; may do so in place.
        observe: called with (step, points (K, P)), returns name -> (K,); collected in the history.
        observe_at: after how many steps (0 … steps) to observe.
        keep_at: after how many steps to keep the points.
        average_at: after how many steps the points enter their equal average (Izmailov et al. 2018).
        checkpoint: where to keep the state; an existing one is continued.
        stop: called with what was observed, returns (K,) bool, the points that have arrived. Their positions are
            kept as they are then, and the descent ends when all have arrived. The others go on as if alone.
        first_step: at which to begin, with the schedule and the order of examples of a run that has come so far, and
            without its momentum.

    Returns:
        A `Descent`. A point that leaves the finite numbers is flagged and does not disturb its neighbours.
    """
    points = starts.detach().clone()
    seeds = list(range(len(points))) if seeds is None else list(seeds)

    def column(value) -> Tensor:
        numbers = torch.as_tensor(value, dtype=points.dtype, device=points.device)
        return numbers.expand(len(points)).reshape(-1, 1)

    learning_rate, momentum, decay = map(column, (recipe.learning_rate, recipe.momentum, recipe.weight_decay))
    decay = decay if bool(decay.any()) else None
    radius = column(recipe.sharpness_radius)
    sharpness_aware = bool((radius > 0).any())
    longest = None if recipe.clip_norm is None else column(recipe.clip_norm)
    batches = _Batches(landscape, recipe, seeds, column(recipe.dropout)[:, 0].cpu())
    moments = [torch.zeros_like(points) for _ in range(1 if recipe.optimizer == "sgd" else 2)]
    scaled = torch.empty_like(points)  # the move of a step at its rate
    history: list[dict[str, Tensor]] = []
    kept: list[Tensor] = []
    total = torch.zeros(points.shape, dtype=torch.float64)  # of the points to be averaged; a float sum would drift
    stopped, arrivals = torch.full((len(points),), -1), torch.zeros(points.shape if stop else (0,), dtype=points.dtype)
    first = first_step

    if checkpoint and (state := checkpoint.load()):
        points, moments = state["points"].to(points.device), [moment.to(points.device) for moment in state["moments"]]
        history, kept, total, first = state["history"], state["kept"], state["total"], state["step"]
        stopped, arrivals = state["stopped"], state["arrivals"]

    observe_at, keep_at, average_at = set(observe_at), set(keep_at), set(average_at)

    def look(step: int) -> None:
        if observe and step in observe_at:
            history.append({name: value.detach().cpu() for name, value in observe(step, points).items()})
            if stop:
                arrived = stop(history[-1]) & (stopped < 0)
                stopped[arrived], arrivals[arrived] = step, points.detach().cpu()[arrived]
        if step in keep_at:
            kept.append(points.detach().cpu().clone())
        if step in average_at:
            total.add_(points.detach().cpu())

    if first == first_step:
        look(first)
    with checkpoint or nullcontext():
        # A caller that observes says itself how far it is.
        for step in range(first, steps) if observe else counted(range(first, steps), "step", first):
            if stop and bool((stopped >= 0).all()):
                break
            gradient = landscape.gradients(points, batches[step])
            if sharpness_aware and step >= recipe.plain_steps:
                # The batch is asked for again, so that the second gradient sees the same dropout.
                gradient = landscape.gradients(points + radius * _unit(gradient), batches[step])
            if longest is not None:
                gradient = gradient * (longest / gradient.norm(dim=1, keepdim=True).clamp_min(SMALLEST)).clamp_max(1.0)
            move = _move(recipe, gradient, points, moments, momentum, decay, step)
            rate = learning_rate * recipe.rate(step, steps)
            # In place, since small networks spend as long on the update's memory as on their gradients.
            torch.mul(move, rate, out=scaled)
            points.sub_(constraint(scaled) if constraint else scaled)
            points = bound(points) if bound else points
            look(step + 1)
            if checkpoint:
                checkpoint.save({"points": points.cpu(), "moments": [moment.cpu() for moment in moments],
                                 "history": history, "kept": kept, "total": total, "step": step + 1,
                                 "stopped": stopped, "arrivals": arrivals})  # fmt: skip

    if stop:
        points = torch.where((stopped >= 0)[:, None], arrivals, points.cpu()).to(points)
    names = history[0] if history else {}
    return Descent(
        points=points,
        diverged=~points.isfinite().all(1),
        history={name: torch.stack([seen[name] for seen in history]) for name in names},
        snapshots=torch.stack(kept) if kept else None,
        average=(total / len(average_at)).to(points) if average_at else None,
        stopped=stopped,
    )


def _unit(gradient: Tensor) -> Tensor:
    return gradient / gradient.norm(dim=1, keepdim=True).clamp_min(SMALLEST)


def _move(recipe: Recipe, gradient, points, moments: list[Tensor], momentum, decay, step: int) -> Tensor:
    """Return the move (K, P) of one step at rate 1, and update the moments in place; the formulas are PyTorch's.

    The gradient is left as it is: a landscape may own it.
    """
    if recipe.optimizer != "adamw" and decay is not None:
        gradient = torch.addcmul(gradient, points, decay)
    if recipe.optimizer == "sgd":
        moments[0].mul_(momentum).add_(gradient)
        return torch.addcmul(gradient, moments[0], momentum) if recipe.nesterov else moments[0]
    mean, square = moments
    first, second = ADAM_DECAYS
    mean.mul_(first).add_(gradient, alpha=1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    size = (square / (1 - second ** (step + 1))).sqrt_().add_(ADAM_EPSILON)
    move = (mean / (1 - first ** (step + 1))).div_(size)
    return move.addcmul_(points, decay) if recipe.optimizer == "adamw" and decay is not None else move
