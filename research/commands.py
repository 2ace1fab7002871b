"""What the command does: make tables, or check committed ones."""

import os
import pathlib
from collections.abc import Callable, Sequence

from research import figure5, table4, table5, table6, table7
from research.assemble import summarize, to_markdown, write_into_page, write_results
from research.orderings import backends_of, contradictions, judge_claims
from research.plan import BUDGETS, Budget, Table
from research.runner import read_cells, run_table
from research.workshop import Workshop

#: In the order in which they share their models best: tokenizers first.
TABLES: dict[str, Table] = {module.TABLE.name: module.TABLE for module in (table7, table6, table5, figure5, table4)}


def get_tables(names: Sequence[str]) -> list[Table]:
    """The tables of those names, in the best order; "all", or no name, is all of them.

    Raises:
        ValueError: an unknown name.
    """
    unknown = [name for name in names if name not in (*TABLES, "all")]
    if unknown:
        raise ValueError(f"Unknown table {unknown[0]!r}; expected {', '.join(sorted(TABLES))}, or all.")
    return [table for name, table in TABLES.items() if not names or name in names or "all" in names]


def get_budget(name: str) -> Budget:
    """The budget of that name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in BUDGETS:
        raise ValueError(f"Unknown budget {name!r}; expected {' or '.join(BUDGETS)}.")
    return BUDGETS[name]


def reproduce(
    tables: Sequence[Table],
    budget: Budget,
    seeds: int,
    out: str | os.PathLike,
    page: str | os.PathLike | None = None,
    command: str = "",
    say: Callable[[str], None] = print,
) -> list[dict]:
    """Makes tables in a folder, or goes on with them.

    OUT/cells/TABLE/ROW-seedN.json     the scores of one row and seed
    OUT/models/                        weights and tokens that rows share; may be deleted
    OUT/TABLE.json, .md, .png          the table, updated after each seed

    Args:
        tables: of `TABLES`.
        budget: with what effort.
        seeds: how many, from 0.
        out: the folder.
        page: a Markdown page that has a place for each table, see `write_into_page`.
        command: noted in the tables.
        say: called with lines of progress.

    Returns:
        The summary of each table, see `summarize`.
    """
    out = pathlib.Path(out)
    workshop = Workshop(budget, out / "models", say)
    summaries = []
    for table in tables:
        cells: list[dict] = []
        for seed in range(seeds):
            run_table(table, budget, [seed], out / "cells" / table.name, workshop, say)
            cells = read_cells(table, budget, range(seeds), out / "cells" / table.name)
            summary = summarize(table, budget, cells, command)
            write_results(table, summary, out)
            if page is not None:
                image = os.path.relpath(out / f"{table.name}.png", pathlib.Path(page).parent)
                write_into_page(page, table.name, to_markdown(table, summary, image))
        summaries.append(summary)
    return summaries


def check(
    tables: Sequence[Table],
    seeds: int,
    out: str | os.PathLike,
    against: str | os.PathLike,
    budget: Budget = BUDGETS["check"],
    committed_budget: Budget = BUDGETS["full"],
    say: Callable[[str], None] = print,
) -> list[str]:
    """Reruns tables with little effort and compares their orderings with committed ones.

    Args:
        tables: of `TABLES`.
        seeds: of the rerun.
        out: folder of the rerun.
        against: folder of the committed results.
        budget: of the rerun.
        committed_budget: of the committed cells.
        say: called with lines of progress and of findings.

    Returns:
        The orderings that contradict the committed ones.

    Raises:
        ValueError: nothing is committed there for any of the tables.
    """
    out, against = pathlib.Path(out), pathlib.Path(against)
    committed = {}
    for table in tables:
        folder = against / "cells" / table.name
        found = sorted(folder.glob("*-seed*.json"))
        known = {int(path.stem.rpartition("seed")[2]) for path in found}
        cells = read_cells(table, committed_budget, sorted(known), folder)
        if cells:
            committed[table.name] = cells
        else:
            say(f"{table.name}: nothing is committed in {folder}, not compared.")
    if not committed:
        raise ValueError(f"{against} holds no cells of the budget that is committed for these tables.")
    workshop, wrong = Workshop(budget, out / "models", say), []
    for table in [table for table in tables if table.name in committed]:
        cells = run_table(table, budget, range(seeds), out / "cells" / table.name, workshop, say)
        old = committed[table.name]
        same_backend = backends_of(old) == backends_of(cells)
        lines, bad = contradictions(table, judge_claims(table, old), judge_claims(table, cells), same_backend)
        for line in lines:
            say(f"{table.name}: {line}")
        wrong += [f"{table.name}: {line}" for line in bad]
    return wrong
