"""Archives of a small study that was never run: what belongs to them, and what their verification finds."""

import base64
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from wedgescape.errors import InputError
from wedgescape.provenance import archive as archives
from wedgescape.provenance.archive import members, records_of, rule_graph, write_archive
from wedgescape.provenance.records import described
from wedgescape.provenance.verify import METADATA, as_text, figures, problems, sidecar

CONFIG = {"results": "results/toy", "study": "toy"}
VERSIONS = {"snakemake": "9", "wedgescape": "1"}
SOURCES = ("workflow/Snakefile", "README.md", "config/config.yaml")
TOOLS = {
    "train": "scripts/train.py",
    "measure_planes": "scripts/wedgescape/measurements/planes.py",
    "plot_planes": "scripts/wedgescape/figures/planes.py",
}
WEIGHTS, STORE, PNG = (
    f"results/toy/{name}" for name in ("weights/lr~1/seeds~0-1.zarr.zip", "planes/a.zarr.zip", "figures/planes.png")
)
ALL = (WEIGHTS, STORE, PNG)


def put(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def record(rule, inputs, outputs, name=None, **job):
    wildcards = dict(zip(("setting", "seeds"), name.split("_"), strict=False)) if name else {}
    text = {
        "rule": rule, "wildcards": wildcards, "input": described(inputs, CONFIG), "output": described(outputs, CONFIG),
        "params": {"job": {"code": f"code of {rule}"} | job}, "started": 1e9, "ended": 1e9 + 5,
    }  # fmt: skip
    put(f"results/toy/provenance/{rule}/{name or rule}.json", json.dumps(text))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The folder of a study of three jobs, in a working folder that is the project as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(archives, "SOURCES", tmp_path)
    for source in (*SOURCES, *TOOLS.values(), "scripts/wedgescape/__pycache__/a.pyc"):
        put(source, f"# {source}")
    put(WEIGHTS, "w" * 1000)
    put(STORE, "s" * 1000)
    put(PNG, "a picture")
    for left in ("a.zarr.zip.changed", ".a.zarr.zip.host-1.part"):
        put(f"results/toy/planes/{left}", "left")
    put("results/toy/checkpoints/train.pt", "half")
    put("results/toy/logs/train/lr~1.log", "told")
    record("train", [], [WEIGHTS], "lr~1_0-1", seeds=[0, 1])
    record("measure_planes", [WEIGHTS], [STORE])
    record("plot_planes", [STORE], [PNG])
    for path in (STORE, WEIGHTS, "results/other/claims.csv"):
        put(f".snakemake/metadata/{base64.urlsafe_b64encode(path.encode()).decode()}", '{"rule": "measure_planes"}')
    long = base64.urlsafe_b64encode(f"results/toy/{'x' * 300}".encode()).decode()
    put(f".snakemake/metadata/@{long[:200]}/{long[200:]}", "{}")
    put(".snakemake/metadata/not base 64", "{}")
    return Path("results/toy")


@pytest.fixture
def archive(study):
    path = study / "archive.zip"
    write_archive(study, records_of(study, ALL)[0], members(study), path, VERSIONS)
    return path


# What belongs to it


def test_an_archive_holds_the_project_the_results_and_what_snakemake_knows_of_them(study):
    names = list(members(study))
    assert names == sorted(names)
    plain = [name for name in names if not name.startswith(".snakemake")]
    assert plain == sorted(
        [
            *SOURCES,
            *TOOLS.values(),
            *(STORE, PNG, "results/toy/logs/train/lr~1.log", "results/toy/provenance/train/lr~1_0-1.json"),
            *(f"results/toy/provenance/{rule}/{rule}.json" for rule in ("measure_planes", "plot_planes")),
        ]
    )
    known = [name for name in names if name.startswith(".snakemake")]
    assert len(known) == 3  # also of weights, which are not in it; not of another study
    assert any("/@" in name for name in known)


def test_weights_and_own_files_are_in_it_where_they_are_wanted(study, tmp_path):
    put("models/mine.py", "class Net: ...")
    put(tmp_path / "elsewhere.yaml", "study: toy")
    names = members(study, (), ["models/mine.py", "absent.py", tmp_path / "elsewhere.yaml"], with_weights=True)
    assert {WEIGHTS, "models/mine.py"} <= names.keys()
    assert not any("elsewhere" in name or "absent" in name for name in names)


def test_what_an_earlier_config_left_behind_is_not_in_it(study):
    put("results/toy/planes/trajectory.zarr.zip", "of a config that kept snapshots")
    record("measure_more", [WEIGHTS], ["results/toy/planes/trajectory.zarr.zip"])
    put(WEIGHTS, "trained again since")
    record("train", [], [WEIGHTS], "lr~1_0-1", seeds=[0, 1])
    record("measure_planes", [WEIGHTS], [STORE])
    records, left = records_of(study, ALL)
    assert [one["rule"] for one in left] == ["measure_more"]
    assert len(records) == 3
    files = members(study, left)
    assert not [name for name in files if "trajectory" in name or "measure_more" in name]
    write_archive(study, records, files, study / "archive.zip", VERSIONS)
    assert problems(study / "archive.zip") == []


def test_a_result_that_no_record_tells_of_is_a_problem(study):
    put("results/toy/tables/mine.csv", "from elsewhere")
    write_archive(study, records_of(study, ALL)[0], members(study), study / "archive.zip", VERSIONS)
    assert problems(study / "archive.zip") == ["results/toy/tables/mine.csv: no job's record tells what made it"]


def test_another_study_s_table_may_be_a_user_s_own_file(study):
    put("results/other/export/networks.csv", "file,seed")
    put("results/toy/export/networks.csv", "file,seed")
    put("results/toy/export/lr~1/seed~0.safetensors", "weights once more")
    files = members(study, (), ["results/other/export/networks.csv"], with_weights=True)
    assert "results/other/export/networks.csv" in files
    assert not [name for name in files if name.startswith("results/toy/export")]
    write_archive(study, records_of(study, ALL)[0], files, study / "archive.zip", VERSIONS)
    assert problems(study / "archive.zip") == []


def test_an_archive_does_not_hold_itself(study, archive):
    record("archive", [], [archive])
    put(study / "logs/archive.log", "telling")
    assert not [name for name in members(study) if "archive" in name]


def test_the_graph_of_the_rules_goes_by_what_jobs_read():
    jobs = [
        {"rule": "train", "input": ["data"], "output": ["a"]},
        {"rule": "train", "input": ["a"], "output": ["b"]},
        {"rule": "plot", "input": ["a", "b"], "output": []},
        {"rule": "prepare", "input": [], "output": ["data"]},
    ]
    assert rule_graph(jobs) == "flowchart TD\n    prepare --> train\n    train --> plot\n    train --> train\n"


def test_steps_stand_in_an_order_in_which_they_can_run():
    jobs = [
        {"rule": "a", "input": ["c1"], "output": ["a1"]},
        {"rule": "b", "input": [], "output": ["b1"]},
        {"rule": "c", "input": ["b1", "c0"], "output": ["c1"]},
        {"rule": "c", "input": [], "output": ["c0"]},
    ]
    assert archives._in_order(jobs) == ["b", "c", "a"]


def test_without_records_there_is_nothing_to_prove(study):
    for path in (study / "provenance").rglob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match="found no job's record"):
        write_archive(study, records_of(study, ALL)[0], members(study), study / "archive.zip", VERSIONS)
    assert not (study / "archive.zip").exists()


def test_memory_does_not_grow_with_the_files(study):
    peaks = []
    for size in (1, 30):
        Path(STORE).write_bytes(bytes(range(256)) * 4096 * size)
        record("measure_planes", [WEIGHTS], [STORE])
        tracemalloc.start()
        write_archive(study, records_of(study, ALL)[0], members(study), study / "archive.zip", VERSIONS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6


# Verification


def test_a_sound_archive_has_no_problem_and_tells_where_a_figure_came_from(archive):
    assert problems(archive) == []
    (figure,) = figures(archive)
    assert (figure.name, figure.seeds) == ("planes", [0, 1])
    assert figure.stores == {name: described([name], CONFIG)[name]["sha256"] for name in (STORE, WEIGHTS)}
    assert figure.jobs == [
        ("plot_planes", "", "code of plot_planes"),
        ("measure_planes", "", "code of measure_planes"),
        ("train", "lr~1 0-1", "code of train"),
    ]
    text = as_text(figure)
    assert all(part in text for part in (STORE, WEIGHTS, "lr~1", "code of train", "seeds 0, 1"))


def test_the_checksum_beside_it_is_as_sha256sum_writes_it(archive):
    assert sidecar(archive).read_text() == f"{described([archive], CONFIG)[str(archive)]['sha256']}  archive.zip\n"


def test_every_byte_counts(archive):
    """A byte that differs is found wherever it is; inside of a member, the member is named."""
    content = archive.read_bytes()
    owner = {}
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            start = entry.header_offset + 30 + len(entry.filename.encode())  # and the extra field, which varies
            extra = int.from_bytes(content[entry.header_offset + 28 : entry.header_offset + 30], "little")
            end = start + extra + entry.compress_size - 2  # where the mark of the end may begin, which is no content
            owner |= dict.fromkeys(range(start + extra, end), entry.filename)
    lasts = [max(place for place, name in owner.items() if name == one) for one in set(owner.values())]
    positions = [*range(0, len(content), 7), *lasts]
    assert {owner[place] for place in positions if place in owner} == set(owner.values())
    assert any(place not in owner for place in positions)
    for place in positions:
        archive.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        found = problems(archive)
        assert found, place
        if place in owner:
            assert any(problem.startswith(f"{owner[place]}: ") for problem in found), (place, found)


def repack(archive, change):
    """Write an archive again, with its members changed; its checksums are as they were."""
    with zipfile.ZipFile(archive) as packed:
        content = {name: packed.read(name) for name in packed.namelist()}
    change(content)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    sidecar(archive).unlink()


def forge(content, name, data):
    """Change a member and what the metadata say of it."""
    content[name] = data
    tree = json.loads(content[METADATA])
    facts = next(entity for entity in tree["@graph"] if entity["@id"] == name)
    put("forged", data.decode())
    facts |= {"sha256": described(["forged"], CONFIG)["forged"]["sha256"], "contentSize": str(len(data))}
    content[METADATA] = json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop(STORE), f"{STORE}: missing"),
        (lambda content: content.update(new=b"1"), "new: ro-crate-metadata.json does not know it"),
        (lambda content: content.update({STORE: b"other"}), f"{STORE}: changed"),
        (lambda content: content.pop(METADATA), f"{METADATA}: damaged or not there"),
        (lambda content: content.update({METADATA: b"[]"}), f"{METADATA}: damaged or not there"),
        # with the metadata to match: by what the jobs recorded
        (lambda content: forge(content, PNG, b"painted"), f"{PNG}: not what the job of plot_planes made"),
        (
            lambda content: forge(
                content,
                "results/toy/provenance/plot_planes/plot_planes.json",
                content["results/toy/provenance/plot_planes/plot_planes.json"].replace(
                    described([STORE], CONFIG)[STORE]["sha256"].encode(), b"0" * 64
                ),
            ),
            f"{STORE}: the job of plot_planes read another version of it",
        ),
    ],
)
def test_what_was_changed_is_named(archive, change, told):
    repack(archive, change)
    found = problems(archive)
    assert len(found) == 1
    assert found[0].startswith(told)


def test_a_file_that_is_no_archive_is_told(tmp_path):
    with pytest.raises(InputError, match="there is no such archive"):
        problems(tmp_path / "absent.zip")
    put(tmp_path / "text.zip", "no zip")
    assert "not a readable zip file" in problems(tmp_path / "text.zip")[0]
