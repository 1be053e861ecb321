"""Keys that are twice in a config file are refused, with the file and the lines."""

import pytest

from wedgescape.errors import InputError
from wedgescape.study.config_files import check_keys


def said_of(folder, text, name="case.yaml"):
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        check_keys([folder / name])
    return str(caught.value).splitlines()[1:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: c\nseeds: 4\n# über\nseeds: 3\n", ["seeds is in lines 2 and 4"]),
        ("training:\n  epochs: 3\n  epochs: 2\n", ["training.epochs is in lines 2 and 3"]),
        ("a: {b: [{c: 1}, {c: 1, c: 2}]}\n", ["a.b[1].c is in lines 1 and 1"]),
        ('seeds: 1\n"seeds": 2\nseeds: 3\n', ["seeds is in lines 1, 2 and 3"]),
        ("a: {x: 1}\nb: {y: 1, y: 2}\na: {x: 1}\n", ["a is in lines 1 and 3", "b.y is in lines 2 and 2"]),
        ('{"seeds": 1,\n "seeds": 2}', ["seeds is in lines 1 and 2"]),
        ("common: &c {x: 1,\n  x: 2}\na: *c\nb: *c\n", ["common.x is in lines 1 and 2"]),
    ],
)
def test_each_key_that_is_there_twice_is_named_with_its_lines(tmp_path, text, words):
    assert said_of(tmp_path, text) == [f"  {tmp_path}/case.yaml: {one}; give it once" for one in words]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "study: c\ntraining: {epochs: 1}\nsweeps: {width: [1]}\n",
        "grids: [{width: [1]}, {width: [2]}]\n",
        "1: a\n'1': b\n",
        "a: &x {p: 1}\nb: &y {q: 1}\nc:\n  <<: *x\n  <<: *y\n",
        "a: &x [*x]\n",
        "a: [\n",
        "a:\n\t- 1\n",
    ],
)
def test_other_files_pass(tmp_path, text):
    """Also one that is no YAML: Snakemake has said so."""
    (tmp_path / "case.yaml").write_text(text)
    check_keys([tmp_path / "case.yaml"])


def test_all_files_are_looked_at_and_each_once(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("seeds: 1\nseeds: 2\n")
    with pytest.raises(InputError) as caught:
        check_keys([tmp_path / "a.yaml", tmp_path / "b.yaml", str(tmp_path / "a.yaml")])
    assert [line.split(":")[0].strip()[-6:] for line in str(caught.value).splitlines()[1:]] == ["a.yaml", "b.yaml"]
