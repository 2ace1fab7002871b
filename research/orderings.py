"""Which orderings of the paper appear in the cells, and whether a short run agrees with the committed tables."""

from collections.abc import Iterable, Sequence
from typing import Any

from research.plan import Claim, Table

#: What the seeds say of an ordering.
YES, NO, MIXED, MISSING = "yes", "no", "mixed", "missing"


def judge_claim(claim: Claim, better: str, cells: Iterable[dict]) -> dict[str, Any]:
    """What the cells say of one ordering of the paper, seed by seed.

    Args:
        claim: the ordering.
        better: "low" or "high", of its column.
        cells: of the table.

    Returns:
        "column", "better", "worse", "seeds" (in which both rows were measured), "held" (in how many the ordering
        appears) and "verdict": "yes" in all seeds, "no" in none, "mixed", or "missing" where no seed has both rows.
    """
    scores = {(cell["row"], cell["seed"]): cell["scores"].get(claim.column) for cell in cells}
    seeds = sorted({seed for _, seed in scores})
    pairs = [(scores.get((claim.better, seed)), scores.get((claim.worse, seed))) for seed in seeds]
    pairs = [(one, other) for one, other in pairs if one is not None and other is not None]
    held = sum(one < other if better == "low" else one > other for one, other in pairs)
    verdict = MISSING if not pairs else YES if held == len(pairs) else NO if held == 0 else MIXED
    return {
        "column": claim.column,
        "better": claim.better,
        "worse": claim.worse,
        "seeds": len(pairs),
        "held": held,
        "verdict": verdict,
    }


def judge_claims(table: Table, cells: Sequence[dict]) -> list[dict[str, Any]]:
    """`judge_claim` of every ordering of the table."""
    return [judge_claim(claim, table.column(claim.column).better, cells) for claim in table.claims]


def backends_of(cells: Iterable[dict]) -> set[str]:
    """The backends that cells were measured on."""
    return {cell["made"]["software"].rpartition(", ")[2].split()[0] for cell in cells}


def contradictions(
    table: Table, committed: Sequence[dict], fresh: Sequence[dict], same_backend: bool = True
) -> tuple[list[str], list[str]]:
    """Compares the orderings of two runs, not their digits.

    An ordering is compared where the plan says that the short budget shows it, and where all seeds of both runs agree
    among themselves.

    Args:
        table: whose `claims` are compared.
        committed: `judge_claims` of the committed cells.
        fresh: `judge_claims` of the rerun.
        same_backend: whether both were measured on one; else orderings of times are not compared.

    Returns:
        A line for each ordering, and the lines of those that contradict each other.
    """
    lines, wrong = [], []
    for claim, old, new in zip(table.claims, committed, fresh, strict=True):
        line = f"{describe(table, claim)}: committed {_seeds(old)}, now {_seeds(new)}"
        if not claim.checked:
            line += ": not compared, the short budget does not show it"
        elif claim.timed and not same_backend:
            line += ": not compared, times of different backends"
        elif {old["verdict"], new["verdict"]} == {YES, NO}:
            line += ": CONTRADICTS"
            wrong.append(line)
        elif old["verdict"] == new["verdict"]:
            line += ": agrees"
        else:
            line += ": undecided"
        lines.append(line)
    return lines, wrong


def describe(table: Table, claim: Claim) -> str:
    """An ordering in words."""
    column = table.column(claim.column)
    than = "lower" if column.better == "low" else "higher"
    return f"{column.label}: {table.row(claim.better).label} {than} than {table.row(claim.worse).label}"


def _seeds(judged: dict) -> str:
    return (
        MISSING
        if judged["verdict"] == MISSING
        else f"{judged['verdict']} ({judged['held']} of {judged['seeds']} seeds)"
    )
