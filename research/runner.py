"""Runs the cells of a table, row x seed; each finished cell is a file, so that what was stopped goes on."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable

import keras

from magvit_keras import backend
from magvit_keras.files import version, write_text
from research.plan import Budget, Row, Table
from research.workshop import Workshop


def run_table(
    table: Table,
    budget: Budget,
    seeds: Iterable[int],
    cells: str | os.PathLike,
    workshop: Workshop,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict]:
    """Measures every row with every seed; cells that are there already are read.

    Args:
        table: what to measure.
        budget: with what effort. A cell of another effort, or of another row of that name, is made again.
        seeds: of data, weights and masks; all rows of a seed come before the next seed.
        cells: folder of the cells' files, made if missing.
        workshop: makes the models.
        say: called with a line for each cell, with the time that the rest will take.

    Returns:
        The cells, each a dict with "row", "seed", "scores", "config", "seconds" and "made".
    """
    cells = pathlib.Path(cells)
    plan = [(seed, row) for seed in seeds for row in table.rows]
    done = {(seed, row.name): read_cell(cell_path(cells, row, seed), table, budget, row) for seed, row in plan}
    waiting = [(seed, row) for seed, row in plan if done[seed, row.name] is None]
    say(f"{table.name}: {len(plan)} cells, {len(plan) - len(waiting)} are done.")
    for number, (seed, row) in enumerate(waiting, 1):
        began = time.monotonic()
        keras.utils.set_random_seed(seed)
        scores = table.measure(workshop, row, seed)
        seconds = time.monotonic() - began
        cell = {
            "table": table.name,
            "row": row.name,
            "seed": seed,
            "scores": scores,
            "seconds": round(seconds, 1),
            "made": about_this_run(),
            "config": cell_config(budget, row),
        }
        cells.mkdir(parents=True, exist_ok=True)
        write_text(cell_path(cells, row, seed), json.dumps(cell, indent=1) + "\n")
        done[seed, row.name] = cell
        left = seconds_left(done, [key for key in waiting[number:]])
        say(f"{table.name}: {row.name}, seed {seed}: {seconds:.0f} s; {len(waiting) - number} cells left, {left}.")
    return [done[seed, row.name] for seed, row in plan]


def seconds_left(done: dict[tuple[int, str], dict | None], waiting: list[tuple[int, Row]]) -> str:
    """A guess of the time for the waiting cells: as long as their row took before, or the mean of all rows."""
    known = [cell for cell in done.values() if cell is not None]
    mean = statistics.mean(cell["seconds"] for cell in known)
    total = 0.0
    for _, row in waiting:
        own = [cell["seconds"] for cell in known if cell["row"] == row.name]
        total += statistics.mean(own) if own else mean
    return f"about {total / 60:.0f} min" if total >= 90 else f"about {total:.0f} s"


def cell_path(cells: pathlib.Path, row: Row, seed: int) -> pathlib.Path:
    """The file of a cell."""
    return cells / f"{row.name}-seed{seed}.json"


def cell_config(budget: Budget, row: Row) -> dict:
    """Everything that a cell's scores depend on, besides the seed, as JSON gives it back."""
    return json.loads(json.dumps({"budget": dataclasses.asdict(budget), "row": dict(row.options)}))


def read_cell(path: pathlib.Path, table: Table, budget: Budget, row: Row) -> dict | None:
    """The cell of the file, or None where there is none, or where what the table depends on was other."""
    if not path.is_file():
        return None
    cell = json.loads(path.read_text())
    found, now = dict(cell["config"]), cell_config(budget, row)
    for config in (found, now):
        config["budget"] = {key: value for key, value in config["budget"].items() if key not in table.unused}
    return cell if found == now else None


def read_cells(table: Table, budget: Budget, seeds: Iterable[int], cells: str | os.PathLike) -> list[dict]:
    """The cells of a table that are there."""
    found = [
        read_cell(cell_path(pathlib.Path(cells), row, seed), table, budget, row) for seed in seeds for row in table.rows
    ]
    return [cell for cell in found if cell is not None]


def about_this_run() -> dict[str, str]:
    """Date, versions and machine, for those who read a cell later."""
    name = backend.name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": str(datetime.date.today()),
        "software": f"Keras {keras.__version__}, {name} {version(name) or 'of an unknown version'}",
        "machine": f"{platform.machine()} with {cores} core{'s' * (cores != 1)}",
    }
