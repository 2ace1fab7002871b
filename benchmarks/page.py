"""Parts of docs/performance.md, or of another page, that the benchmarks write."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "performance.md"


def write_part(name: str, text: str, page: pathlib.Path | None = None) -> None:
    """Replaces what stands between `<!-- name: ... -->` and the next `<!-- end -->`.

    Lines that begin with a date, which tell where something was measured, do not run together on the page.
    """
    text = re.sub(r"(?m)^(\d{4}-\d\d-\d\d, .*[^>])\n(?=\S)", r"\1<br>\n", text.strip())
    page = page or PAGE
    before, _, after = _parts(name, page)
    page.write_text(f"{before}{text}\n{after}")


def kept_rows(name: str, backends: list[str], column: int) -> tuple[list[list[str]], set[str]]:
    """The rows of a part's table, and its lines that begin with a date, that are of none of these backends."""
    lines = [line.removesuffix("<br>") for line in _parts(name, PAGE)[1].splitlines()]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("|")][2:]
    about = {line for line in lines if re.match(r"\d{4}-\d\d-\d\d, ", line)}
    others = {line for line in about if not any(f", {backend} " in line for backend in backends)}
    return [row for row in rows if row[column] not in backends], others


def _parts(name: str, page: pathlib.Path) -> tuple[str, str, str]:
    """What stands before a part of the page, the part, and what stands after it."""
    marks = rf"(.*<!-- {re.escape(name)}: .*? -->\n)(.*?)(<!-- end -->.*)"
    found = re.fullmatch(marks, page.read_text(), flags=re.DOTALL)
    if not found:
        raise ValueError(f"{page} has no part <!-- {name}: ... --> to <!-- end -->.")
    return found[1], found[2], found[3]


def table(columns: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    """A Markdown table; the first columns hold text, the others numbers."""
    rule = ["---"] * text_columns + ["---:"] * (len(columns) - text_columns)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))
