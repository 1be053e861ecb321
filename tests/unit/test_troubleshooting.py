"""The page of messages: each that it quotes is one that the code can give, and each that the code raises is there."""

import ast
import re
from pathlib import Path

import pytest

from projects import REPOSITORY

PAGE = REPOSITORY / "docs/troubleshooting.md"
SCRIPTS = REPOSITORY / "scripts"
CODE = [path for path in sorted(SCRIPTS.rglob("*.py")) if "benchmark" not in path.as_posix()]
OTHER = [*sorted((REPOSITORY / "workflow").rglob("*.smk")), REPOSITORY / "Makefile"]
# Of a measurement or a figure no message need be here, since adding one touches five files alone. Units and controls
# say why something was left out, and end nothing.
NOT_HERE = ("analysis/", "measurements/", "figures/", "landscapes/units.py", "landscapes/controls.py")
FEWEST = 8  # letters by which a message can be told from others


def joined(text: str) -> str:
    """A message in one line, in which one … stands for whatever differs."""
    return re.sub("…+", "…", " ".join(text.split()))


def template(node: ast.expr) -> str | None:
    """A text of the code with … for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return joined(re.sub(r"%[sd]", "…", node.value))  # of logging
    if isinstance(node, ast.JoinedStr):
        return joined("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
    return None


def letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


def texts(node: ast.AST) -> set[str]:
    """The templates in a part of the code; the parts of one are none of their own."""
    if (text := template(node)) is not None:
        inner = [one.value for one in getattr(node, "values", []) if isinstance(one, ast.FormattedValue)]
        return set().union({text} if letters(text) >= FEWEST else set(), *map(texts, inner))
    return set().union(*map(texts, ast.iter_child_nodes(node)))


def texts_of_other(path: Path) -> str:
    """A Snakefile or the Makefile, with … for what is filled in, and literals that follow each other joined."""
    text = re.sub(r"\"\s*\n\s*f?\"", "", path.read_text())
    return joined(re.sub(r"\$\([^()]*\)|\{[^{}]*\}", "…", text))


def quoted(page: str) -> list[str]:
    """The messages in the first column of the page's tables whose head is `message`."""
    tables = re.findall(r"^\| message \|.*\n\| ---.*\n((?:\|.*\n?)+)", page, re.MULTILINE)
    return [joined(row.split("`")[1]) for table in tables for row in table.splitlines()]


@pytest.fixture(scope="module")
def messages():
    return quoted(PAGE.read_text())


@pytest.fixture(scope="module")
def known():
    return set.union(*(texts(ast.parse(path.read_text())) for path in CODE)), [texts_of_other(path) for path in OTHER]


def test_each_message_of_the_page_is_one_of_the_code(messages, known):
    templates, others = known
    assert len(messages) > 100
    assert [one for one in messages if letters(one) < FEWEST] == []
    lost = [one for one in messages if not any(one.strip() in text for text in (*templates, *others))]
    assert lost == [], "the code gives no such messages any more: correct docs/troubleshooting.md"


def raised(path: Path) -> list[tuple[int, set[str]]]:
    """The line and the texts of each `raise InputError(…)` that has a text of its own."""
    calls = [node.exc for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)]
    calls = [one for one in calls if isinstance(one, ast.Call) and getattr(one.func, "id", "") == "InputError"]
    return [(one.lineno, found) for one in calls if (found := set().union(*map(texts, one.args)))]


def test_each_message_that_the_code_raises_is_on_the_page(messages):
    missing = [
        f"{path.relative_to(SCRIPTS)}:{line}: {max(found, key=len)}"
        for path in CODE
        if not path.relative_to(SCRIPTS).as_posix().startswith(tuple(f"wedgescape/{part}" for part in NOT_HERE))
        for line, found in raised(path)
        if not any(one in text for one in messages for text in found)
    ]
    assert missing == [], "put a row for each into a table of docs/troubleshooting.md"


def test_messages_are_read_from_code_as_users_see_them(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(
        'def f(x):\n    if x:\n        raise InputError(f"{x}: found {x!r}{x}; "\n            "it must be whole")\n'
        '    raise ValueError("this one is no message to users")\n'
    )
    assert raised(path) == [(3, {"…: found …; it must be whole"})]
    page = (
        "| message | means |\n| --- | --- |\n| `…: found …` | a |\n\n| what | why |\n| --- | --- |\n| `other` | b |\n"
    )
    assert quoted(page) == ["…: found …"]
