"""Parts of docs/performance.md that the benchmarks write."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "performance.md"


def write_part(name: str, text: str) -> None:
    """Replaces what stands between `<!-- name: ... -->` and the next `<!-- end -->`.

    Lines that begin with a date, which tell where something was measured, do not run together on the page.
    """
    text = re.sub(r"(?m)^(\d{4}-\d\d-\d\d, .*[^>])\n(?=\S)", r"\1<br>\n", text.strip())
    page = PAGE.read_text()
    marks = rf"(<!-- {re.escape(name)}: .*? -->\n).*?(<!-- end -->)"
    if not re.search(marks, page, flags=re.DOTALL):
        raise ValueError(f"{PAGE} has no part <!-- {name}: ... --> to <!-- end -->.")
    PAGE.write_text(re.sub(marks, lambda m: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL))


def table(columns: list[str], rows: list[list[str]], text_columns: int = 1) -> str:
    """A Markdown table; the first columns hold text, the others numbers."""
    rule = ["---"] * text_columns + ["---:"] * (len(columns) - text_columns)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))
