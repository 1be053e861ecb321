"""What was timed, as tables and a figure: results/benchmarks, docs/performance.md."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.clock import Peak, Timed, processors
from benchmarks.frame import OURS
from wedgescape.figures import style
from wedgescape.stores.zarr_stores import write_table

COLUMNS = {"project": "#0173b2", "peer": "#de8f05", "floor": style.NEUTRAL}


def processor_name() -> str:
    """Return what the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def machine() -> str:
    """Return the machine in words: processor, cores, PyTorch, date."""
    capability = torch.backends.cpu.get_cpu_capability()
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return f"{processor_name()}, {processors()} cores, {capability}; PyTorch {torch.__version__}; {today}"


def rows_of(timed: Timed, peaks: dict[int, Peak]) -> pd.DataFrame:
    """Return one row per contestant and repetition, and one without times per contestant that is absent.

    Args:
        timed: of a work.
        peaks: number of threads -> what the machine does at most with them.
    """
    work = timed.work
    best = peaks[max(count for count in peaks if count <= max(work.threads) or count == min(peaks))]
    floor = work.floor.seconds(best.operations, best.bytes)
    against = {contestant.name: contestant.against for contestant in work.contestants}
    shares = {contestant.name: contestant.share for contestant in work.contestants}
    common = {"work": work.name, "title": work.title, "floor_seconds": floor, "machine": machine()}
    common |= {"peak_gigaflops": best.operations / 1e9, "peak_gigabytes": best.bytes / 1e9}
    rows = []
    for timing in timed.timings:
        agreement = timed.agreements[timing.contestant]
        rows.append({**vars(timing), "equal_work": agreement.holds, "shown": agreement.shown})
    rows += [{"contestant": name, "equal_work": False, "shown": why} for name, why in timed.absent.items()]
    for row in rows:
        name = row["contestant"]
        line = against[name]
        row |= {**common, "against": line, "reach": work.reach.get(line, np.nan), "share": shares[name]}
    order = [
        "work",
        "contestant",
        "threads",
        "repetition",
        "seconds",
        "processor_seconds",
        "floor_seconds",
        "equal_work",
    ]
    table = pd.DataFrame(rows)
    return table[[*order, *(name for name in table if name not in order)]]


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the rows of a family of works."""
    write_table(table, path)


def read(folder: Path, families: list[str]) -> pd.DataFrame:
    """Return the rows of all families that were timed, in order; an empty table if none was."""
    tables = [pd.read_csv(path) for name in families if (path := folder / f"{name}.csv").is_file()]
    return pd.concat(tables, ignore_index=True).fillna({"against": ""}) if tables else pd.DataFrame()


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per work and contestant: median seconds and quartiles, and how much slower than the project.

    A ratio is the median, with quartiles, over rounds in which both were timed one after the other.
    """
    found = []
    for work, of_work in rows.groupby("work", sort=False):
        ours = of_work[of_work["contestant"] == OURS].set_index("repetition")["seconds"]
        for name, group in of_work.groupby("contestant", sort=False):
            seconds = group.set_index("repetition")["seconds"]
            ratios = (seconds / ours).dropna()
            first = group.iloc[0]
            row = {"work": work, "contestant": name}
            row |= {column: first[column] for column in ("title", "against", "reach", "threads", "equal_work", "shown")}
            row |= {"floor": first["floor_seconds"], "seconds": seconds.median(), "ratio": ratios.median()}
            row |= {"low": ratios.quantile(0.25), "high": ratios.quantile(0.75)}
            row |= {"own_floor": first["floor_seconds"] / ours.median()}
            found.append(row)
    return pd.DataFrame(found)


def seconds_text(value: float) -> str:
    """Return seconds with three digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def table_of(rows: pd.DataFrame) -> str:
    """Return the Markdown table: one line per work and kind of peer, whose best contestant is named."""
    lines = [
        "| work | against (best of its kind) | its time, s | ours, s | floor, s | ratio | to reach |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    remarks = []
    found = summary(rows)
    for _work, group in found.groupby("work", sort=False):
        ours, peers = group[group["contestant"] == OURS].iloc[0], group[group["contestant"] != OURS]
        remarks += [
            f"- `{row.work}`: {row.contestant} did not do equal work ({row.shown})"
            for row in group.itertuples()
            if not row.equal_work
        ]
        title = ours["title"]
        for against, kind in peers.groupby("against", sort=False):
            sound = kind[kind["equal_work"].astype(bool)]
            if not len(sound):
                continue
            best = sound.loc[sound["seconds"].idxmin()]
            cells = [
                f"{title}",
                f"{against}: {best['contestant']}" if len(kind) > 1 else against,
                seconds_text(best["seconds"]),
                seconds_text(ours["seconds"]),
                seconds_text(best["floor"]),
                f"{best['ratio']:.2f} ({best['low']:.2f} … {best['high']:.2f})",
                f"{best['reach']:g}" if np.isfinite(best["reach"]) else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
            title = ""
    machines = [f"Machine: {one}." for one in rows["machine"].unique()]
    return "\n\n".join(part for part in ("\n".join(machines), "\n".join(lines), "\n".join(remarks)) if part)


def figure_of(rows: pd.DataFrame) -> Figure:
    """Draw for each work the time of each contestant over the project's, and the floor over it."""
    style.apply()
    found = summary(rows)
    found = found[found["equal_work"].astype(bool)]
    peers = found[found["contestant"] != OURS]
    works = list(dict.fromkeys(peers["work"]))
    heights = [int((peers["work"] == work).sum()) for work in works]
    figure = Figure(figsize=(style.TWO_COLUMNS, 0.4 + sum(0.15 * (height + 0.6) for height in heights)))
    axes = figure.subplots()
    row, ticks = 0.0, []
    for number, (work, height) in enumerate(zip(works, heights, strict=True)):
        group = peers[peers["work"] == work]
        axes.axhspan(row - 0.8, row + height - 0.2, color=style.FAINT, alpha=0.2 if number % 2 else 0.0, lw=0)
        floor = group["own_floor"].iloc[0]
        axes.plot([floor, floor], [row - 0.6, row + height - 0.4], color=COLUMNS["floor"], linewidth=1.6)
        for place, one in enumerate(group.itertuples()):
            y = row + place
            axes.plot([one.low, one.high], [y, y], color=COLUMNS["peer"], linewidth=1.2)
            axes.plot(one.ratio, y, "o", color=COLUMNS["peer"], markersize=4)
            if np.isfinite(one.reach):
                axes.plot(one.reach, y, "|", color=COLUMNS["project"], markersize=7, markeredgewidth=1.2)
            ticks.append((y, f"{work}   {one.contestant}" if place == 0 else one.contestant))
        row += height + 0.6
    axes.axvline(1.0, color=COLUMNS["project"], linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yticks([tick for tick, _ in ticks], [text for _, text in ticks])
    axes.set_ylim(row - 0.4, -1.0)
    low, high = axes.get_xlim()
    axes.set_xticks(style.log_ticks(low, high), [style.number(tick) for tick in style.log_ticks(low, high)])
    axes.minorticks_off()
    axes.set_xlabel("time over the project's (dot: peer, median and quartiles; blue: to reach; grey: floor)")
    return figure
