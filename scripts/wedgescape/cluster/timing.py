"""How long one operation of a landscape takes.

Times are measured with the study's own networks on random images of its data's shape, so that no data have to be
there; or, for a GPU that is not there either, they follow from floating-point operations.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from wedgescape.cluster import warm_starts
from wedgescape.landscapes import models
from wedgescape.landscapes.base import SPLITS, Batch, Slice
from wedgescape.landscapes.networks import CALIBRATION_EXAMPLES, NetworkLandscape
from wedgescape.landscapes.operations import (
    Comparison,
    Data,
    Evaluation,
    MultiplyAdd,
    Operation,
    PlainPython,
    Product,
    Projection,
    Scoring,
    Start,
    Step,
    Trace,
    WedgeStep,
    parameters,
)
from wedgescape.landscapes.spans import RandomSpan, random_directions
from wedgescape.landscapes.strategies import choose_strategy
from wedgescape.landscapes.tasks import Task, blank
from wedgescape.landscapes.wedges import WedgeLandscape
from wedgescape.measurements import similarity
from wedgescape.measurements.connectors import find_centres
from wedgescape.numerics import scores
from wedgescape.training.descent import Recipe, descend

WARM = 0.13  # of importing a script's libraries: what a forked job takes to begin and end, measured on the smoke study
TRIAL = 0.15  # seconds over which an operation is timed
IMPORTS = 3  # how often the start of a Python is timed
SPAN = 512  # directions of the random span that is timed


@dataclass
class Bench:
    """Times operations with the study's networks on random data.

    Args:
        data: whose shape the random images have.
        device: where networks are computed.
        flops: floating-point operations that a GPU that is not here is assumed to do in a second; None measures all.
        trial: seconds over which an operation is timed.
        imports: seconds in which a Python imports what a job's script does; None times it.
    """

    data: Data
    device: torch.device
    flops: float | None = None
    trial: float = TRIAL
    imports: float | None = None
    _landscapes: dict = field(default_factory=dict)

    def seconds(self, operation: Operation) -> float:
        """Return how long one operation takes, seconds: of a processor, or of the GPU where networks are there."""
        with _one_thread():
            if self.flops and isinstance(operation, Evaluation | Step | Product | Trace | Projection):
                return self._counted(operation) / self.flops
            return MEASURES[type(operation)](self, operation)

    @property
    def task(self) -> Task:
        """The cross-entropy, written out or not: other losses take as long as one that is not."""
        return Task() if self.data.plain else Task(loss=partial(cross_entropy, reduction="none"), plain=False)

    def landscape(self, model: str, atleast: int = 1) -> NetworkLandscape:
        """Return a network on random images, as many as tell how long all of them take, and at least some."""
        count = min(self.data.examples["train"], max(atleast, self._enough(model)))
        if (model, count) not in self._landscapes:
            draw = torch.Generator().manual_seed(0)
            inputs = blank(self.data.shape, count)
            if inputs.is_floating_point():
                inputs = torch.randn(inputs.shape, generator=draw)
            labels = torch.randint(self.data.classes, (count,), generator=draw)
            module = models.build(json.loads(model), self.data.shape, self.data.classes)
            self._landscapes = {key: value for key, value in self._landscapes.items() if key[0] == model}  # memory
            self._landscapes[model, count] = NetworkLandscape(
                module, dict.fromkeys(SPLITS, (inputs, labels)), self.device, task=self.task
            )
        return self._landscapes[model, count]

    def _enough(self, model: str) -> int:
        """Return a chunk of examples; at least those that calibrate batch norms."""
        if self.flops:
            return 8
        module = models.build(json.loads(model), self.data.shape, self.data.classes)
        strategy = choose_strategy(self.device, module, self.task)
        return max(
            strategy.examples, strategy.differentiated, CALIBRATION_EXAMPLES if models.batch_norms(module) else 1
        )

    def points(self, landscape: NetworkLandscape, model: str, count: int) -> torch.Tensor:
        """Return initialisations (count, P), one of them repeated: they take as long as different ones."""
        module = models.build(json.loads(model), self.data.shape, self.data.classes)
        return models.flat(module).repeat(count, 1).to(landscape.device)

    def clocked(self, run: Callable[[], object]) -> float:
        """Return the seconds of a call; on a CPU those of the processor, whatever else runs on the machine."""
        return _clocked(run, time.process_time if self.device.type == "cpu" else self._on_device, self.trial)

    def _on_processor(self, run: Callable[[], object]) -> float:
        return _clocked(run, time.process_time, self.trial)

    def _on_device(self) -> float:
        getattr(torch, self.device.type).synchronize()
        return time.perf_counter()

    # Each kind of operation

    def start(self, _operation: Start) -> float:
        """Time the start of a job: a Python of its own, or a small part of that where jobs are forked."""
        return self._imports * (WARM if warm_starts.possible() else 1)

    def plain_python(self, _operation: PlainPython) -> float:
        """Return how long importing takes, for which other work of Python stands."""
        return self._imports

    @cached_property
    def _imports(self) -> float:
        """The time of a fresh Python that imports what a job's script does, with its files in the cache."""
        if self.imports is not None:
            return self.imports
        code = "import snakemake.script, wedgescape.training.train, wedgescape.stores.zarr_stores"
        times = []
        for _ in range(IMPORTS):
            before = os.times()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
            after = os.times()
            times.append(sum(after[2:4]) - sum(before[2:4]))  # of children
        return min(times)

    def evaluation(self, operation: Evaluation) -> float:
        """Time losses of as many points as go together."""
        landscape = self.landscape(operation.model)
        count = landscape.strategy.points if landscape.strategy.evaluate_together else 1
        points = self.points(landscape, operation.model, count)
        share = self.data.examples[operation.split] / landscape.examples
        return self.clocked(lambda: landscape.evaluate(points)) / count * share

    def step(self, operation: Step) -> float:
        """Time some steps of a descent, of as many points as go together."""
        whole = operation.batch is None or operation.batch >= self.data.examples["train"]
        landscape = self.landscape(operation.model, 1 if whole else operation.batch)
        together = landscape.strategy.points if landscape.strategy.train_together else 1
        count = max(1, min(operation.points, together))
        recipe = Recipe(
            operation.optimizer,
            1e-6,
            dropout=0.1 if operation.dropout else 0.0,
            batch_size=None if whole else operation.batch,
            sharpness_radius=0.01 if operation.sharpness_aware else 0.0,
        )
        points, steps = self.points(landscape, operation.model, count), 3
        spent = self.clocked(lambda: descend(landscape, points, recipe, steps)) / steps
        share = self.data.examples["train"] / landscape.examples if whole else 1
        return spent * share * operation.points / count

    def product(self, operation: Product) -> float:
        """Time products at one point, whose graph is held as it is in a measurement."""
        landscape = copy.copy(self.landscape(operation.model))
        held = sys.maxsize if landscape.holds(self.data.examples["train"]) else 0  # as with all examples
        landscape.strategy = replace(landscape.strategy, held=held)
        point = self.points(landscape, operation.model, 1)[0]
        hessian, vectors = landscape.hessian_at(point), torch.randn(1, len(point)).to(point)
        return self.clocked(lambda: hessian(vectors)) * self.data.examples["train"] / landscape.examples

    def trace(self, operation: Trace) -> float:
        """Time the trace of a network that knows it, or products."""
        landscape = self.landscape(operation.model)
        point = self.points(landscape, operation.model, 1)[0]
        if landscape.hessian_trace(point) is None:
            return operation.probes * self.product(Product(operation.model)) if operation.probes else 0.0
        spent = self.clocked(lambda: landscape.hessian_trace(point))
        return spent * self.data.examples["train"] / landscape.examples

    def projection(self, operation: Projection) -> float:
        """Time a product with a random span of as many directions as are expected."""
        dim = parameters(operation.model, self.data.shape, self.data.classes)
        count = max(1, min(SPAN, dim, 2**24 // dim))
        span, vectors = RandomSpan(count, dim, [0], device=self.device), torch.randn(1, dim).to(self.device)
        return self.clocked(lambda: span.project(vectors)) / (count * dim)

    def multiply_add(self, _operation: MultiplyAdd) -> float:
        """Time a product with a matrix of the size of a Lanczos basis."""
        matrix, vector = torch.ones(160, 5000, dtype=torch.float64), torch.ones(5000, dtype=torch.float64)
        return self._on_processor(lambda: matrix @ vector) / matrix.numel()  # not NumPy's, which takes all cores here

    def scoring(self, _operation: Scoring) -> float:
        """Time the scores of random predictions."""
        draw = torch.Generator().manual_seed(0)
        predictions = torch.rand(self.data.examples["test"], self.data.classes, generator=draw)
        labels = torch.randint(self.data.classes, (len(predictions),), generator=draw)
        return self._on_processor(lambda: scores.score(predictions, labels, 15))

    def comparison(self, operation: Comparison) -> float:
        """Time all comparisons of two random networks."""
        predictions = torch.rand(2, self.data.examples["test"], self.data.classes)
        dim = parameters(operation.model, self.data.shape, self.data.classes)
        weights = torch.randn(2, dim)

        def compare() -> None:
            for name, function in similarity.COMPARISONS.items():
                function(predictions if name in similarity.FUNCTIONS else weights)

        return self._on_processor(compare)

    def wedge_step(self, operation: WedgeStep) -> float:
        """Time some steps of a toy descent; how many directions are short makes no difference."""
        recipe, steps = Recipe("adam", 0.03, schedule="cosine"), 10
        landscape = WedgeLandscape(operation.dimension, 1, operation.wedges, meet=not operation.cut)
        if operation.cut:
            span = RandomSpan(operation.cut, operation.dimension, range(operation.points))
            cut = Slice(landscape, random_directions(operation.points, operation.dimension, "planning"), span)
            starts = torch.zeros(operation.points, operation.cut)
            return self._on_processor(lambda: descend(cut, starts, recipe, steps)) / steps
        optima = landscape.optima(operation.wedges, 1.0)[None]
        return self._on_processor(lambda: find_centres(landscape, optima, recipe, steps, [0])) / steps

    def _counted(self, operation: Operation) -> float:
        """Return the floating-point operations of one operation, from those on a few examples."""
        from torch.utils.flop_counter import FlopCounterMode

        if isinstance(operation, Projection):
            return 2.0
        landscape = self.landscape(operation.model)
        points, shown = self.points(landscape, operation.model, 1), landscape.examples
        batch = Batch(torch.arange(landscape.examples)[None], [], torch.zeros(1))
        run = {
            Evaluation: landscape.evaluate,
            Step: lambda at: landscape.gradients(at, batch),
            Product: lambda at: landscape.hvp(at[0], at),
            Trace: lambda at: landscape.hessian_trace(at[0]),
        }
        if isinstance(operation, Trace) and landscape.hessian_trace(points[0]) is None:
            return operation.probes * self._counted(Product(operation.model))
        with FlopCounterMode(display=False) as counter:
            run[type(operation)](points)
        one = counter.get_total_flops() / shown
        if models.batch_norms(landscape.module) and not isinstance(operation, Step):
            # Here as many examples calibrate the norms as are shown; a GPU shows more of them to each calibration.
            chunk = choose_strategy(torch.device("cuda"), landscape.module).examples
            chunk = min(chunk, self.data.examples["train"])
            one *= (1 + min(CALIBRATION_EXAMPLES, chunk) / chunk) / 2
        if isinstance(operation, Step):
            examples = min(operation.batch or math.inf, self.data.examples["train"])
            return one * examples * operation.points * (2 if operation.sharpness_aware else 1)
        return one * self.data.examples[operation.split if isinstance(operation, Evaluation) else "train"]


MEASURES = {
    Start: Bench.start,
    PlainPython: Bench.plain_python,
    Evaluation: Bench.evaluation,
    Step: Bench.step,
    Product: Bench.product,
    Trace: Bench.trace,
    Projection: Bench.projection,
    MultiplyAdd: Bench.multiply_add,
    Scoring: Bench.scoring,
    Comparison: Bench.comparison,
    WedgeStep: Bench.wedge_step,
}


def _clocked(run: Callable[[], object], clock: Callable[[], float], trial: float) -> float:
    """Return the seconds of a call, the first of which warms up; of the second alone, where that is long."""
    run()
    begun, calls = clock(), 0
    while not calls or clock() - begun < trial:
        run()
        calls += 1
    return (clock() - begun) / calls


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """As in a job, which has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
