"""From cells to a table: mean and standard deviation as JSON, as Markdown beside the paper's numbers, and as a plot."""

import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Sequence
from importlib import resources
from typing import Any

from magvit_keras.files import atomic_path, write_text
from research.orderings import MISSING, describe, judge_claims
from research.plan import Budget, Column, Table

_VERDICTS = {"yes": "appears", "no": "does not appear", "mixed": "seeds disagree", "missing": "not measured yet"}


def paper_numbers() -> dict[str, Any]:
    """The paper's own numbers: table -> row -> column -> number, and "source"."""
    return json.loads((resources.files("research") / "paper.json").read_text())


def summarize(table: Table, budget: Budget, cells: Sequence[dict], command: str = "") -> dict[str, Any]:
    """Mean and standard deviation over the seeds of every score, the paper's numbers, and its orderings.

    Args:
        table: whose cells these are.
        budget: that they were made with.
        cells: as `run_table` returns them; some may be missing.
        command: that made them.

    Returns:
        A dict that JSON can hold.
    """
    paper = paper_numbers()
    rows = []
    for row in table.rows:
        own = [cell["scores"] for cell in cells if cell["row"] == row.name]
        scores = {column.name: _statistics([s.get(column.name) for s in own]) for column in table.columns}
        numbers = paper[table.name].get(row.name, {})
        rows.append({"name": row.name, "label": row.label, "scores": scores, "paper": numbers})
    made = {json.dumps(cell["made"], sort_keys=True) for cell in cells}
    return {
        "table": table.name,
        "title": table.title,
        "about": table.about,
        "rows": rows,
        "claims": judge_claims(table, cells),
        "seeds": sorted({cell["seed"] for cell in cells}),
        "cells": len(cells),
        "made": [json.loads(text) for text in sorted(made)],
        "command": command,
        "budget": dataclasses.asdict(budget),
        "paper": paper["source"],
    }


def _statistics(values: Sequence[float | None]) -> dict[str, Any] | None:
    values = [value for value in values if value is not None]
    if not values:
        return None
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "std": spread, "seeds": len(values)}


def to_markdown(table: Table, summary: dict[str, Any], image: str = "") -> str:
    """The table, which orderings of the paper appear, and how it was made."""
    heads, marks = [""], ["---"]
    for column in table.columns:
        heads.append(column.label)
        if column.paper:
            heads.append(f"paper: {column.paper_label}")
    marks *= len(heads)
    lines = [_line(heads), "|" + "|".join(marks) + "|"]
    for row in summary["rows"]:
        fields = [row["label"]]
        for column in table.columns:
            fields.append(_score(column, row["scores"].get(column.name)))
            if column.paper:
                fields.append(f"{row['paper'][column.paper]:g}" if column.paper in row["paper"] else "not stated here")
        lines.append(_line(fields))
    parts = [summary["about"], "\n".join(lines)]
    if image:
        parts.append(f"![{summary['title']}]({image})")
    parts.append("Orderings of the paper:\n\n" + "\n".join(_claims(table, summary)))
    parts.append(footnote(summary))
    return "\n\n".join(parts) + "\n"


def _claims(table: Table, summary: dict[str, Any]) -> list[str]:
    lines = ["| in the paper | here |", "|---|---|"]
    for claim, judged in zip(table.claims, summary["claims"], strict=True):
        seeds = "" if judged["verdict"] == MISSING else f": {judged['held']} of {judged['seeds']} seeds"
        lines.append(_line([describe(table, claim), _VERDICTS[judged["verdict"]] + seeds]))
    return lines


def footnote(summary: dict[str, Any]) -> str:
    """Seeds, sizes, date, machine and command, and where the paper's numbers are from."""
    b = summary["budget"]
    made = "; ".join(sorted({", ".join((m["date"], m["software"], m["machine"])) for m in summary["made"]}))
    seeds = ", ".join(map(str, summary["seeds"]))
    steps = f"{b['transformer_steps']} steps of {b['transformer_batch']}"
    transformer = f"a transformer of {b['layers']} layers and width {b['hidden']}"
    sizes = {
        "table7": f"{b['frames']}x{b['size']}x{b['size']}; {b['tokenizer_steps']} steps of {b['tokenizer_batch']}",
        "figure5": f"{b['frames']} frames; {transformer}",
    }.get(summary["table"], f"{b['frames']}x{b['large_size']}x{b['large_size']}; {transformer}, {steps}")
    return (
        f"Mean (standard deviation) over the seeds {seeds or 'none'}. {b['train_clips']} clips of Moving Shapes "
        f"to train on, {b['test_clips']} held out, {sizes}. "
        f"{summary['cells']} cells. {made or 'Nothing measured yet'}. "
        f"`{summary['command']}`. The paper's numbers: {summary['paper']}; other data and another network behind FVD: "
        "compare orderings only."
    )


def _score(column: Column, score: dict | None) -> str:
    if score is None:
        return "–"
    spread = "" if not score["std"] else f" ({score['std']:.{column.digits}f})"
    return f"{score['mean']:.{column.digits}f}{spread}"


def _line(fields: Sequence[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def save_plot(table: Table, summary: dict[str, Any], path: str | os.PathLike) -> None:
    """Bars of the first score, or what the table draws itself; needs matplotlib, `pip install magvit-keras[plots]`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    if table.plot is not None:
        table.plot(axes, summary)
    else:
        column = table.column(table.plotted) if table.plotted else table.columns[0]
        found = [(row["label"], row["scores"][column.name]) for row in summary["rows"]]
        found = [(label, score) for label, score in found if score is not None]
        axes.barh(
            [label for label, _ in found],
            [score["mean"] for _, score in found],
            xerr=[score["std"] or 0 for _, score in found],
            color="C0",
            capsize=3,
        )
        axes.invert_yaxis()
        axes.set_xlabel(f"{column.label} ({column.better}er is better)")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as partial:
        # No date and no version inside: the same cells give the same file.
        figure.savefig(partial, dpi=120, metadata={"Software": None})


def write_results(table: Table, summary: dict[str, Any], folder: str | os.PathLike) -> None:
    """`TABLE.json`, `TABLE.md` and `TABLE.png` in the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{table.name}.json", json.dumps(summary, indent=1) + "\n")
    save_plot(table, summary, folder / f"{table.name}.png")
    text = f"# {summary['title']}\n\n{to_markdown(table, summary, f'{table.name}.png')}"
    write_text(folder / f"{table.name}.md", text)


def write_into_page(page: str | os.PathLike, name: str, text: str) -> None:
    """Replaces what a page has between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        ValueError: the page has no such pair of marks.
    """
    page = pathlib.Path(page)
    before, begin, rest = page.read_text().partition(f"<!-- begin {name} -->")
    _, end, after = rest.partition(f"<!-- end {name} -->")
    if not begin or not end:
        raise ValueError(f"{page} has no <!-- begin {name} --> ... <!-- end {name} -->.")
    write_text(page, f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
