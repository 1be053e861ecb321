"""How time and peak memory grow with the size of a work: `make growth`, docs/performance.md.

Each size runs in a process of its own, so that its peak memory is its own. What a work takes at its smallest size is
paid before: libraries, threads, compiled code.
"""

from __future__ import annotations

import math
import multiprocessing
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure

from benchmarks.problems import Problem, on_digits
from benchmarks.report import machine, seconds_text
from benchmarks.training import Size, train_with_curves
from wedgescape.figures import style
from wedgescape.landscapes.base import Slice
from wedgescape.landscapes.spans import Span, gaussian
from wedgescape.measurements.hyperplanes import descend_in_hyperplanes
from wedgescape.measurements.tunnels import ray_profile, tangents
from wedgescape.training.descent import Recipe, descend

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in which the system counts peak memory
STATUS = Path("/proc/self/status")
ENOUGH = 5.0  # seconds after which a size is not repeated
SMALL = 4e6  # bytes below which memory is not told apart
RAYS_AT = 8  # steps into which the bracket of each ray is divided
ALONE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
RECIPE = Recipe("sgd", learning_rate=0.05, momentum=0.9, batch_size=128)


def own_peak(_outcome: object) -> int:
    """Return the most bytes that this process has held."""
    if STATUS.is_file():  # the other number begins with what the process held that started this one
        return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)[1])
    return PEAK_UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Planned(NamedTuple):
    """A dry run: its number of jobs, and the most bytes that it held."""

    jobs: int
    bytes: int


@dataclass(frozen=True)
class Axis:
    """A work that grows along one quantity, everything else equal.

    Args:
        name: of the quantity.
        title: the work, with what stays equal.
        sizes: rising.
        prepare: size -> the function that is timed.
        peak: what the function returned -> bytes that were held at most so far.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], object]]
    peak: Callable[[object], int] = own_peak


@dataclass(frozen=True)
class Grown:
    """What one size took: seconds, and bytes at the peak beyond what the smallest size had left."""

    seconds: float
    bytes: float


def seeds(count: int) -> Callable[[], object]:
    """Train so many seeds together."""
    problem = on_digits({"name": "mlp", "width": 64, "depth": 2})
    return lambda: train_with_curves(problem, Size(count, 64, None, RECIPE.batch_size, epochs=2))


def width_of(weights: int) -> int:
    """Return the width of a digits mlp of two hidden layers with about so many weights."""
    inputs, classes = 64, 10
    linear = inputs + classes + 2
    return max(1, round((-linear + (linear**2 + 4 * weights) ** 0.5) / 2))


def weights(count: int) -> Callable[[], object]:
    """Train networks of so many weights for 10 steps."""
    problem = on_digits({"name": "mlp", "width": width_of(count), "depth": 2})
    starts = problem.starts(range(4))
    return lambda: descend(problem.landscape, starts, RECIPE, 10)


def _network() -> tuple[Problem, torch.Tensor]:
    problem = on_digits({"name": "mlp", "width": 64, "depth": 2})
    return problem, problem.starts(range(1))


def grid_points(count: int) -> Callable[[], object]:
    """Evaluate so many points of a plane."""
    problem, origin = _network()
    plane = Slice(problem.landscape, origin[0], Span(gaussian(2, origin.shape[1], "plane", 0)))
    side = torch.linspace(-1, 1, round(count**0.5))
    return lambda: plane.evaluate(torch.cartesian_prod(side, side))


def rays(count: int) -> Callable[[], object]:
    """Follow so many random rays."""
    problem, optimum = _network()
    return lambda: ray_profile(problem.landscape, optimum, tangents(optimum, count, [0]), RAYS_AT)


def dimensions(count: int) -> Callable[[], object]:
    """Descend for 20 steps in a random hyperplane of so many dimensions."""
    problem, starts = _network()
    return lambda: descend_in_hyperplanes(problem.landscape, starts, count, RECIPE, 20, [0])


def settings(count: int) -> Callable[[], object]:
    """Plan a study that sweeps the learning rate over so many values: `snakemake --dry-run`, from its start to its end.

    A small process starts the command, since the memory of a command begins with that of the process that starts it.
    """
    kept = tempfile.TemporaryDirectory()  # until nothing plans in it any more
    folder = Path(kept.name)
    for part in ("config", "scripts", "workflow", "envs"):
        shutil.copytree(REPOSITORY / part, folder / part)
    config = yaml.safe_load((REPOSITORY / "config/smoke.yaml").read_text(encoding="utf-8"))
    rates = [round(1e-3 + 1e-6 * place, 6) for place in range(count)]
    config |= {"study": "growth", "sweeps": {"learning_rate": rates}, "grids": []}
    config["training"] = config.get("training", {}) | {"learning_rate": rates[0]}
    file = folder / "config/growth.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [Path(sys.executable).with_name("snakemake"), "--cores", "1", "--dry-run", "--quiet", "rules"]

    def plan() -> Planned:
        alone = [sys.executable, "-c", ALONE, *command, "--configfile", file]
        said = subprocess.run(alone, cwd=kept.name, capture_output=True, text=True)
        if said.returncode:
            raise RuntimeError(f"{said.stdout[-2000:]}{said.stderr[-2000:]}")
        jobs = re.search(r"^total +(\d+)$", said.stdout, re.MULTILINE)[1]
        return Planned(int(jobs), PEAK_UNIT * int(said.stdout.split()[-1]))

    return plan


AXES = {
    axis.name: axis
    for axis in (
        Axis("seeds", "trained together, mlp 64-64 on digits, 2 epochs", (1, 4, 16, 64, 256), seeds),
        Axis("weights", "of 4 networks trained together, 10 steps", (10**3, 10**4, 10**5, 10**6, 10**7), weights),
        Axis("grid points", "of a plane, mlp 64-64 on digits", (10**2, 10**3, 10**4, 10**5), grid_points),
        Axis("rays", f"from an optimum, mlp 64-64 on digits, {RAYS_AT} steps a bracket", (1, 10, 100, 1000), rays),
        Axis("dimensions", "of a hyperplane, 20 steps, mlp 64-64 on digits", (16, 64, 256, 1024, 4096), dimensions),
        Axis("settings", "of a study, planned by a dry run", (10, 100, 1000), settings, attrgetter("bytes")),
    )
}


def take(axis: Axis, size: int, repetitions: int) -> Grown:
    """Run one size in this process; the median of repetitions, fewer where one takes long."""
    torch.set_num_threads(1)
    before, run, taken = axis.peak(axis.prepare(axis.sizes[0])()), axis.prepare(size), []
    while len(taken) < repetitions and sum(taken) < ENOUGH:
        start = time.perf_counter()
        outcome = run()
        taken.append(time.perf_counter() - start)
    return Grown(statistics.median(taken), axis.peak(outcome) - before)


def measure(axis: Axis, repetitions: int, tell: Callable[[str], None]) -> pd.DataFrame:
    """Run all sizes of an axis, each in a process of its own, and return a row for each."""
    rows = []
    for size in axis.sizes:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            grown = alone.submit(take, axis, size, repetitions).result()
        tell(f"{size} {axis.name}: {grown.seconds:.3g} s, {grown.bytes / 1e6:.1f} MB")
        rows.append({"quantity": axis.name, "work": axis.title, "size": size, **vars(grown), "machine": machine()})
    return pd.DataFrame(rows)


def exponents(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Return by which power a column grows between neighbouring sizes: 1 is linear, 0 is flat.

    Memory below `SMALL` bytes counts as that much: allocators round up.
    """
    values = np.maximum(rows[column], SMALL if column == "bytes" else 0)
    return np.diff(np.log(values)) / np.diff(np.log(rows["size"]))


def table_of(rows: pd.DataFrame) -> str:
    """Return the Markdown table: one line per quantity."""
    lines = [
        "| quantity | sizes | time, s | grows with the power | memory, MB | grows with the power |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, group in rows.groupby("quantity", sort=False):
        sizes = group["size"].tolist()
        seconds = [seconds_text(value) for value in group["seconds"]]
        memory = [f"{value / 1e6:.0f}" for value in group["bytes"]]
        powers = [" ".join(f"{power:.2f}" for power in exponents(group, of)) for of in ("seconds", "bytes")]
        cells = [f"{name} {group['work'].iloc[0]}", " ".join(f"{size:,}" for size in sizes)]
        lines.append(f"| {' | '.join([*cells, ' '.join(seconds), powers[0], ' '.join(memory), powers[1]])} |")
    machines = [f"Machine: {one}; one thread." for one in rows["machine"].unique()]
    return "\n\n".join(["\n".join(machines), "\n".join(lines)])


def figure_of(rows: pd.DataFrame) -> Figure:
    """Draw time and peak memory against each quantity, with a grey line of linear growth through the last size.

    Memory of 1 MB and less is drawn at 1 MB.
    """
    names = list(dict.fromkeys(rows["quantity"]))
    figure, axes = style.panels(2, len(names), style.TWO_COLUMNS, 2.9)
    of = {
        "seconds": ("time (s)", 1.0, 0.0, "#0173b2"),
        "bytes": ("memory beyond the\nsmallest (MB)", 1e-6, 1.0, "#de8f05"),
    }
    for row, (column, (label, scale, least, colour)) in enumerate(of.items()):
        for place, name in enumerate(names):
            panel, group = axes[row, place], rows[rows["quantity"] == name]
            sizes, values = group["size"].to_numpy(float), np.maximum(least, scale * group[column].to_numpy(float))
            panel.plot(sizes, values, "o-", color=colour, markersize=3)
            panel.set_xscale("log")
            panel.set_yscale("log")
            low, high = panel.get_ylim()
            panel.plot(sizes, values[-1] * sizes / sizes[-1], color=style.NEUTRAL, linewidth=0.8, zorder=1)
            panel.set_ylim(low, max(high, 10 * low))
            for axis, (first, last) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
                ticks = [10.0**power for power in range(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)]
                axis.set_ticks(ticks[:: 1 + (len(ticks) - 1) // 3])
            panel.minorticks_off()
            if not place:
                panel.set_ylabel(label)
            if row:
                panel.set_xlabel(name)
    return figure
