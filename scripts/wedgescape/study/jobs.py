"""The jobs of a study by the files that they read and make, in an order in which they can run.

Snakemake knows the same (a test compares both), but it takes seconds to say so, and only its own process can ask
whether a job's figure should come early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from wedgescape.study.catalogue import File
from wedgescape.study.layout import Layout, tables_of


@dataclass(frozen=True)
class StudyJob:
    """A job of a study.

    Args:
        rule: its name.
        wildcards: their values, by name.
        reads: paths of what it needs.
        makes: paths of what it leaves.
        place: what its log and its benchmark are called below the folder of the rule; "" where the rule has one job.
        file: of the measurement or figure, if it makes one.
    """

    rule: str
    wildcards: Mapping[str, str]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    place: str = ""
    file: File | None = None

    def __str__(self) -> str:
        return job_name(self.rule, self.wildcards)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def log(self) -> str:
        """The path of its log, below the study's folder."""
        return f"logs/{self.rule}{self.place and '/'}{self.place}.log"

    @property
    def record(self) -> str:
        """The path of the record that it leaves when it succeeds, below the study's folder."""
        return f"provenance/{self.rule}/{'_'.join(self.wildcards.values()) or self.rule}.json"


def job_name(rule: str, wildcards: Mapping[str, str]) -> str:
    """Return what a job is called wherever it is told of, and under which its estimate is kept."""
    return " ".join([rule, *map(str, wildcards.values())])


def jobs_of(layout: Layout) -> list[StudyJob]:
    """Return all jobs of a study, each after those whose results it reads."""
    found: dict[str, StudyJob] = {}  # by the first path that they make
    for job in _wanted(layout):
        _add(job, layout, found)
    return list(dict.fromkeys(found.values()))


def needed_by(jobs: Iterable[StudyJob]) -> dict[StudyJob, set[StudyJob]]:
    """Return job -> all jobs that must have run before it, itself among them; jobs come in their order (`jobs_of`)."""
    found: dict[StudyJob, set[StudyJob]] = {}
    maker: dict[str, StudyJob] = {}
    for job in jobs:
        found[job] = {job}.union(*(found[maker[path]] for path in job.reads if path in maker))
        maker |= dict.fromkeys(job.makes, job)
    return found


def figures_first(jobs: Sequence[StudyJob]) -> dict[str, int]:
    """Return path -> priority of the job that makes it, so that figures come one after another, the cheapest first.

    A figure that needs fewer jobs comes earlier, and a job is as urgent as the most urgent figure that needs it.

    Args:
        jobs: of a study (`jobs_of`).
    """
    needed = needed_by(jobs)
    figures = sorted((job for job in jobs if job.rule.startswith("plot_")), key=lambda job: len(needed[job]))
    urgent: dict[StudyJob, int] = {}
    for place, figure in enumerate(figures):
        urgent = dict.fromkeys(needed[figure], len(figures) - place) | urgent
    return {path: priority for job, priority in urgent.items() for path in job.makes}


def _wanted(layout: Layout) -> Iterator[StudyJob]:
    """Yield the jobs that nothing has to ask for: figures, verdicts, the check of networks, what nothing reads."""
    yield StudyJob("check_models", {}, (layout.data,), (f"{layout.results}/tables/models.csv",))
    for path in layout.unread():
        yield _maker(path, layout)
    for figure in layout.figures:
        reads = _paths(layout.read(figure, "tabulate", "draw").values())
        makes = [f"{layout.results}/tables/{table}.csv" for table in tables_of(figure)]
        makes += [f"{layout.results}/figures/{figure.name}.{kind}" for kind in ("pdf", "png")]
        yield StudyJob(f"plot_{figure.name}", {}, reads, tuple(makes), file=figure)
    yield _maker(layout.verdicts, layout)
    yield StudyJob("summarise", {}, _paths([layout.verdicts, *layout.pictures().values()]), (layout.first_page,))


def _add(job: StudyJob, layout: Layout, found: dict[str, StudyJob]) -> None:
    for path in job.reads:
        if path not in found:
            _add(_maker(path, layout), layout, found)
    found.update(dict.fromkeys(job.makes, job))


def _maker(path: str, layout: Layout) -> StudyJob:
    """Return the job that makes data, weights, a measurement or the verdicts."""
    if path == layout.data:
        return StudyJob("prepare_data", {}, (), (path,))
    if path in (layout.verdicts, layout.specifications):
        makes = (layout.verdicts, layout.specifications, f"{layout.results}/claims.html")
        return StudyJob("judge_claims", {}, _paths(layout.judged_from().values()), makes)
    name, setting, *seeds = path.removeprefix(f"{layout.results}/").removesuffix(".zarr.zip").split("/")
    if name == "weights":
        wildcards = {"setting": setting, "seeds": seeds[0].removeprefix("seeds~")}
        rule = "read_networks" if layout.study.networks else "train"
        return StudyJob(rule, wildcards, (layout.data,), (path,), f"{setting}/{seeds[0]}")
    file = layout.catalogue.measurements[name]
    reads = _paths(layout.measured_from(file, setting).values())
    return StudyJob(f"measure_{name}", {"setting": setting}, reads, (path,), setting, file)


def _paths(inputs: Iterable[str | Sequence[str]]) -> tuple[str, ...]:
    """Return the paths of inputs, which are one path or several each, once."""
    return tuple(dict.fromkeys(path for one in inputs for path in ([one] if isinstance(one, str) else one)))
