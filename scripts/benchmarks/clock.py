"""How a work is timed: contestants take turns, with equal numbers of threads, after warming up."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from benchmarks.frame import Agreement, Work

PRODUCT = 2048  # rows and columns of the product that is timed as the machine's peak
COPIED = 2**28  # bytes of the tensor that is copied, far more than any cache


@dataclass(frozen=True)
class Peak:
    """What the machine does at most, measured.

    Args:
        operations: floating-point operations per second in a float32 product of 2048 x 2048 matrices.
        bytes: read or written per second by copying.
    """

    operations: float
    bytes: float


@dataclass(frozen=True)
class Timing:
    """One run of one contestant; seconds are of the whole work, also where the run did a share of it."""

    contestant: str
    threads: int
    repetition: int
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Timed:
    """A work that was timed.

    Args:
        timings: of all repetitions that count: each contestant with its best number of threads.
        agreements: by contestant.
        absent: contestants that could not be prepared -> why.
    """

    work: Work
    timings: list[Timing]
    agreements: dict[str, Agreement]
    absent: dict[str, str]


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Let PyTorch, BLAS and OpenMP use so many threads."""
    before = torch.get_num_threads()
    with threadpool_limits(threads):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def clocked(run: Callable[[], object]) -> tuple[float, float, object]:
    """Return the seconds on the wall and of the processor that a call takes, and what it returns."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    outcome = run()
    return time.perf_counter() - wall, time.process_time() - processor, outcome


def measure_peak(threads: int, size: int = PRODUCT, copied: int = COPIED) -> Peak:
    """Measure what the machine does at most, best of five."""
    with pinned(threads):
        left, right, product = (torch.ones(size, size) for _ in range(3))
        source = torch.ones(copied // 4)
        target = torch.ones_like(source)
        products = min(clocked(lambda: torch.mm(left, right, out=product))[0] for _ in range(6))
        copies = min(clocked(lambda: target.copy_(source))[0] for _ in range(6))
    return Peak(2 * size**3 / products, 2 * copied / copies)


def measure(work: Work, repetitions: int, threads: tuple[int, ...], tell: Callable[[str], None]) -> Timed:
    """Time a work: contestants take turns.

    Two rounds try each number of threads: the first one warms up and does not count. The faster number of the second
    round is kept, and the second round counts as the first repetition. So each contestant has `repetitions` timings
    with its best number of threads, one per round, beside those of the others in the same round.

    Args:
        work: to time.
        repetitions: that count, per contestant.
        threads: to try, among those of the work.
        tell: receives lines of progress.
    """
    runs, absent = {}, {}
    for contestant in work.contestants:
        try:
            runs[contestant] = contestant.prepare()
        except ImportError as error:
            absent[contestant.name] = f"cannot be imported: {error}"
            tell(f"  NOT MEASURED: {contestant.name} {absent[contestant.name]}")
    tried = [count for count in work.threads if count in threads] or [min(work.threads)]
    kept = dict.fromkeys(runs, tried)
    timings, outcomes = [], {}
    for repetition in range(repetitions + 1):
        for contestant, run in runs.items():
            row = []
            for count in kept[contestant]:
                with pinned(count):
                    wall, processor, outcome = clocked(run)
                row.append(
                    Timing(contestant.name, count, repetition, wall / contestant.share, processor / contestant.share)
                )
            outcomes.setdefault(contestant.name, outcome)
            if repetition:
                timings.append(min(row, key=lambda timing: timing.seconds))
                kept[contestant] = [timings[-1].threads]
                tell(f"  {repetition}/{repetitions} {contestant.name}: {timings[-1].seconds:.3g} s")
    return Timed(work, timings, work.check(outcomes), absent)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
