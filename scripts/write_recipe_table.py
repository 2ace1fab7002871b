"""Writes the table of recipes, and what it assumes, into docs/how_to/recipes.md.

    python scripts/write_recipe_table.py

It needs no backend: all numbers follow from sizes, see magvit_keras/presets/estimates.py.
"""

import pathlib
import re

from magvit_keras.cli.recipes import markdown_table
from magvit_keras.presets.estimates import ASSUMPTIONS
from magvit_keras.presets.recipes import RECIPES

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "how_to" / "recipes.md"


def filled(page: str) -> str:
    """The page with the two parts between their marks as they should be."""
    parts = {
        "assumptions": "\n".join(f"- {sentence}" for sentence in ASSUMPTIONS),
        "recipes": markdown_table(RECIPES.values()),
    }
    for name, text in parts.items():
        marks = rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->)"
        page, count = re.subn(marks, lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page, count=1, flags=re.S)
        if count != 1:
            raise ValueError(f"{PAGE} has no part <!-- {name}: ... --> to <!-- end -->")
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
    print(f"wrote {PAGE}")
