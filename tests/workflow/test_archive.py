"""The smoke study's archive: valid, sound, and enough to go on from elsewhere."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import rocrate
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

from projects import Project, copy_to, figures, smoke_layout
from wedgescape.provenance import verify as checks
from wedgescape.provenance.verify import METADATA, problems

ARCHIVE = "results/smoke/archive.zip"
CRATE, TERMS = "https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run"
CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archived(smoke_project, tmp_path_factory) -> Project:
    """The finished study with its report and its archive."""
    made = smoke_project.copied_to(tmp_path_factory.mktemp("archived") / "project")
    made.smoke("--report", "results/smoke/report.html")
    made.smoke("--", "archive")
    return made


@pytest.fixture
def contexts(monkeypatch):
    """What JSON-LD contexts say, without a network."""
    crate = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())
    # That of RO-Crate 1.3; in 1.1, these lay elsewhere.
    crate["@context"] |= {
        name: f"https://bioschemas.org/{name}" for name in ("ComputationalWorkflow", "FormalParameter")
    }
    run = {name: f"{TERMS}#{name}" for name in ("ParameterConnection", "connection", *CHECKSUMS)}
    known = {CRATE: crate, f"{TERMS}/context": {"@context": run}}

    def get(_requester, url, **_options):
        assert url in known, f"{url} is not kept here"
        text = json.dumps(known[url])
        headers = {"Content-Type": "application/ld+json"}
        return SimpleNamespace(status_code=200, headers=headers, text=text, json=lambda: json.loads(text))

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)


def issues(path):
    """What the validator finds missing that the profiles require."""
    settings = services.ValidationSettings(
        rocrate_uri=str(path), profile_identifier="provenance-run-crate",
        requirement_severity=models.Severity.REQUIRED, offline=True,
    )  # fmt: skip
    return [issue.message for issue in services.validate(settings).get_issues()]


def test_it_is_a_provenance_run_crate(archived, contexts):
    assert issues(archived.folder / ARCHIVE) == []


@pytest.mark.parametrize(
    ("kind", "key", "told"),
    [
        ("CreateAction", "instrument", "instrument"),
        ("HowToStep", "workExample", "workExample"),
        ("ControlAction", "object", "object"),
        ("OrganizeAction", "result", "result"),
    ],
)
def test_a_damaged_crate_fails(archived, contexts, tmp_path, kind, key, told):
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archived.folder / ARCHIVE) as whole, zipfile.ZipFile(damaged, "w") as packed:
        for name in whole.namelist():
            content = whole.read(name)
            if name == METADATA:
                tree = json.loads(content)
                next(entity for entity in tree["@graph"] if entity["@type"] == kind).pop(key)
                content = json.dumps(tree)
            packed.writestr(name, content)
    assert any(told in message for message in issues(damaged))


def test_it_holds_all_but_weights(archived):
    with zipfile.ZipFile(archived.folder / ARCHIVE) as packed:
        names = set(packed.namelist())
        graph = packed.read("results/smoke/provenance/rule_graph.mmd").decode()
        record = json.loads(packed.read(f"results/smoke/provenance/measure_planes/{smoke_layout().study.base}.json"))
    results = {path.relative_to(archived.folder).as_posix() for path in archived.folder.rglob("results/smoke/**/*.*")}
    stores = {name for name in results if name.endswith((".zarr.zip", ".csv", ".png", ".pdf", ".html"))}
    assert {name for name in stores if "/weights/" not in name} <= names
    assert not [name for name in names if "/weights/" in name]
    assert {"results/smoke/report.html", "results/smoke/explorer.html", "config/smoke.yaml"} <= names
    assert "results/smoke/provenance/config.yaml" in names
    assert {
        "workflow/Snakefile",
        "envs/requirements.lock",
        "scripts/wedgescape/measurements/planes.py",
        "README.md",
    } <= names
    assert "measure_planes --> plot_planes" in graph
    assert {"rule", "input", "output", "params", "started", "ended", "host", "versions", "source", "seeds"} <= set(
        record
    )
    assert {"cpu", "gpu", "driver"} <= set(record["host"])


def test_it_is_sound_and_tells_where_each_figure_came_from(archived):
    assert problems(archived.folder / ARCHIVE) == []
    told = {figure.name: figure for figure in checks.figures(archived.folder / ARCHIVE)}
    assert sorted(told) == figures()
    assert told["tunnels"].seeds == [0, 1, 2, 3]
    measured = {"measure_tunnels", "measure_balanced", "measure_dimension"}
    assert {job[0] for job in told["tunnels"].jobs} == {"plot_tunnels", *measured, "train", "prepare_data"}
    settings = 4  # in each the networks, their tunnels, and those of balanced layers
    assert len(told["tunnels"].stores) == 3 * settings + 2  # what dimension alone makes, and the data
    assert told["wedges"].stores == {}
    said = verify(archived, check=True)
    assert all(f"\n{name}\n" in f"\n{said}" for name in figures())


def verify(project, check):
    done = project.python("scripts/verify_archive.py", ARCHIVE, check=False)
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


def test_one_byte_is_found_and_named(archived, tmp_path):
    made = archived.copied_to(tmp_path / "project")
    path = made.folder / ARCHIVE
    with zipfile.ZipFile(path) as packed:
        entry = packed.getinfo(smoke_layout().store("tunnels", smoke_layout().study.base))
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 1000] ^= 1
    path.write_bytes(content)
    assert f"{entry.filename}: " in verify(made, check=False)


@pytest.mark.parametrize("weights", [False, True])
def test_unpacked_over_a_clone_elsewhere_nothing_is_to_be_done(archived, tmp_path, weights):
    made = archived.copied_to(tmp_path / "project")
    if weights:
        (made.folder / "with_weights.yaml").write_text("archive: {weights: true}\n")
        made.snakemake("--configfile", "config/smoke.yaml", "with_weights.yaml", "--", "archive")
    clone = copy_to(tmp_path / "clone")
    with zipfile.ZipFile(made.folder / ARCHIVE) as packed:
        packed.extractall(clone.folder)
    assert (clone.folder / "results/smoke/weights").exists() == weights
    assert clone.pending() == set()
    clone.edit_function("figures/tunnels.py", "draw")
    assert clone.pending() == {"plot_tunnels", "summarise"}  # the report's first page shows it
    clone.edit_function("training/descent.py", "descend")
    assert "train" in clone.pending()
