"""What cannot be used is told in one readable message, before any training starts."""

import gzip

import pytest
import yaml

slow = pytest.mark.slow  # of those that run jobs before they stop


def run(project, config: dict) -> str:
    """Run a study that must fail before training; return what it printed."""
    base = {
        "defaults": "smoke",
        "seeds": 4,
        "seeds_per_job": 4,
        "training": {"epochs": 1},
        "connectors": {"sizes": [2], "steps": 2},
    }
    (project.folder / "bad.yaml").write_text(yaml.safe_dump({"study": "bad", "dataset": "digits", **base, **config}))
    asked = ("--cores", "2", "--configfile", "bad.yaml", "--", "plot_training")  # and no jobs that need no training
    done = project.snakemake(*asked, check=False, WEDGESCAPE_COLD="1")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert not list(project.folder.glob("results/bad/weights/*/*")), "training had started"
    return done.stdout


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"training": {"learning_rat": 0.1}}, ["training.learning_rat", "did you mean learning_rate"]),
        ({"seeds": "many"}, ["seeds", '"many"', "integer >= 1"]),
        ({"training": {"dropout": 1.5}}, ["training.dropout", "1.5", "< 1"]),
        ({"dataset": "imagenet"}, ["dataset", "imagenet", "digits, diabetes, mnist"]),
        pytest.param(
            {"dataset": "mnist", "data": {"folder": "nowhere"}},
            ["data.folder", "nowhere", "train-images-idx3-ubyte.gz"],
            marks=slow,
        ),
        pytest.param({"data": {"train_examples": 5000}}, ["data.train_examples", "5000", "1437"], marks=slow),
        pytest.param({"device": "mps"}, ["device", "mps", "auto, cpu"], marks=slow),
        ({"model": {"file": "absent.py", "name": "Net"}}, ["absent.py", "no such file"]),
        ({"connectors": {"sizes": [9]}}, ["connectors.sizes", "9", "at most base_seeds, 4"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_config(project, config, words):
    output = run(project, config)
    for word in words:
        assert word in output


@slow
def test_corrupt_dataset_file(project):
    folder = project.folder / "files"
    folder.mkdir()
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        (folder / f"{name}.gz").write_bytes(gzip.compress(b"not images"))
    output = run(project, {"dataset": "fashion_mnist", "data": {"folder": "files"}})
    assert "train-images-idx3-ubyte.gz" in output
    assert "allowed" in output


@slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import absent_package\n", ["cannot be imported", "absent_package"]),
        ("class Other: pass\n", ["does not define Net", "Other"]),
        (
            "from torch import nn\n"
            "class Net(nn.Sequential):\n"
            "    def __init__(self, input_shape, classes, **_):\n"
            "        super().__init__(nn.Flatten(), nn.Linear(64, 7))\n",
            ["(2, 7)", "It must be (2, 10)"],
        ),
        (
            "from torch import nn\n"
            "class Net(nn.Sequential):\n"
            "    def __init__(self, input_shape, classes, **_):\n"
            "        super().__init__(nn.Flatten(), nn.Linear(63, classes))\n",
            ["cannot be built and run on inputs of shape (1, 8, 8)"],
        ),
    ],
    ids=["import", "name", "shape", "run"],
)
def test_own_model(project, source, words):
    (project.folder / "own.py").write_text(source)
    output = run(project, {"model": {"file": "own.py", "name": "Net"}})
    assert "own.py" in output
    for word in words:
        assert word in output


def test_results_cannot_be_written(project):
    (project.folder / "results").write_text("a file in the way")
    output = run(project, {})
    assert "results/bad" in output
    assert "is not a folder" in output
