"""Table 4: models for a single task against one for all ten, each on all ten tasks."""

import dataclasses
import statistics

from magvit_keras.commit.tasks import TASKS, Task
from research import table6
from research.plan import Claim, Column, Row, Table
from research.scores import Judge, generation_scores
from research.workshop import Workshop

#: Short names, as in the paper (App. B.1).
SHORT = dict(zip(TASKS, ("FP", "FI", "OPC", "OPV", "OPH", "OPD", "IPC", "IPD", "CG", "CFP"), strict=True))


def measure(workshop: Workshop, row: Row, seed: int) -> dict[str, float]:
    """shapes-FVD of every task to the reconstructions of the held-out clips, and its mean."""
    b = workshop.budget
    options = dict(row.options)
    only = options.pop("only", None)
    magvit = workshop.magvit(seed=seed, tasks=(only,) if only else tuple(TASKS), **options)
    clips = workshop.clips("test", large=True)
    judge = Judge(clips["video"], magvit.tokenizer)
    scores = {}
    for name, task in TASKS.items():
        asked = as_task_of(task, only) if only else task
        found = generation_scores(magvit, asked, clips, judge, num_steps=b.num_steps, temperature=b.temperature)
        scores[SHORT[name]] = found["fvd_tokens"]
    return {"mean": statistics.mean(scores.values()), **scores}


def as_task_of(task: Task, only: str) -> Task:
    """A task asked of a model for another one: with the prompt that it knows, with a class only if it learned them."""
    return dataclasses.replace(task, name=only, needs_class=task.needs_class and TASKS[only].needs_class)


TABLE = Table(
    name="table4",
    title="Table 4: one model for ten tasks",
    about=(
        "Each model on all ten tasks: shapes-FVD to the tokenizer's reconstructions of the held-out clips. A model "
        "for one task is given the conditions of the others with the prompt of its own. The model for ten tasks "
        "takes as many steps in all as each of the others for its one; in the paper it trains longer."
    ),
    rows=(
        Row(
            "single_class",
            "only class-conditional generation",
            {"only": "class_conditional_generation", "name": "class_conditional", "class_dropout": 0.1},
        ),
        Row("single_frame", "only frame prediction", {"only": "frame_prediction", **table6.COMMIT}),
        Row("ten", "all ten tasks", {"name": "ten"}),
    ),
    columns=(
        Column("mean", "mean shapes-FVD", 2, "low", "mean", "mean FVD, SSv2, B"),
        *(Column(short, short, 2, "low") for short in SHORT.values()),
    ),
    claims=(
        # After the short training the first two are a tie, and the next come out the other way round.
        Claim("mean", "ten", "single_class"),
        Claim("mean", "ten", "single_frame"),
        Claim("FP", "ten", "single_class"),
        Claim("FP", "single_frame", "single_class", checked=True),
    ),
    measure=measure,
)
