"""Write the table of all keys into config/README.md, from the schema.

Run it after a change of the schema: ``python scripts/document_config.py``. With ``--check`` nothing is written, and the
exit status is 1 if the table is out of date.
"""

import argparse
import sys
from pathlib import Path

from wedgescape.study.schema import schema_table

REPOSITORY = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- schema -->", "<!-- /schema -->"


def with_table(text: str, table: str) -> str:
    """A README with the part between its two markers replaced by a table.

    Args:
        text: The README.
        table: The table.

    Raises:
        ValueError: If the markers are not there, in their order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"needs the markers {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the table, or check it.

    Args:
        arguments: The command line's arguments; by default those of this process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table is out of date")
    parser.add_argument("--readme", type=Path, default=REPOSITORY / "config/README.md")
    parser.add_argument("--schema", type=Path, default=REPOSITORY / "workflow/schemas/config.schema.yaml")
    options = parser.parse_args(arguments)

    text = options.readme.read_text(encoding="utf-8")
    try:
        updated = with_table(text, schema_table(options.schema))
    except ValueError as problem:
        parser.error(f"{options.readme} {problem}")
    if options.check:
        if updated != text:
            print(f"{options.readme} is out of date: run python scripts/document_config.py", file=sys.stderr)
        return int(updated != text)
    options.readme.write_text(updated, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
