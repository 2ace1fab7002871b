"""Table 5: how the condition reaches the transformer, and the parts of COMMIT's loss."""

import statistics

from research import table6
from research.plan import Claim, Column, Row, Table
from research.scores import Judge, generation_scores
from research.workshop import EIGHT_TASKS, Workshop

KEYS = ("fvd_tokens", "fvd", "accuracy")


def measure(workshop: Workshop, row: Row, seed: int) -> dict[str, float | None]:
    """Frame prediction by a model for it alone, and the mean over eight tasks by a model for all of them."""
    b = workshop.budget
    clips = workshop.clips("test", large=True)
    call = {"num_steps": b.num_steps, "temperature": b.temperature}
    options = {key: value for key, value in row.options.items() if key not in ("name", "eight")}
    name = row.options["name"].removesuffix("-frame_prediction")
    single = workshop.magvit(f"{name}-frame_prediction", seed, ("frame_prediction",), **options)
    judge = Judge(clips["video"], single.tokenizer)
    one = generation_scores(single, "frame_prediction", clips, judge, **call)
    scores: dict[str, float | None] = {
        **{key: one[key] for key in KEYS},
        **{f"{key}_eight": None for key in KEYS},
    }
    if row.options.get("eight", True):
        multi = workshop.magvit(f"{name}-eight", seed, EIGHT_TASKS, **options)
        found = [generation_scores(multi, task, clips, judge, **call) for task in EIGHT_TASKS]
        scores |= {f"{key}_eight": statistics.mean(f[key] for f in found) for key in KEYS}
    return scores


TABLE = Table(
    name="table5",
    title="Table 5: conditions and loss parts",
    about=(
        "Frame prediction (FP) by models for it alone, and the mean over the eight tasks without a class (MT8) by "
        "models for all eight. Equal steps for all. shapes-FVD to the held-out clips, and to the tokenizer's "
        "reconstructions of them: all rows share the tokenizer. The prefix model reads the tokens of the condition "
        "clip before those of the clip, twice the sequence; as in the paper it is trained for frame prediction "
        "only."
    ),
    rows=(
        Row("latent", "latent masking", table6.LATENT),
        Row("prefix", "prefix condition", {"name": "prefix", "condition_mode": "prefix", "eight": False}),
        Row("mask", "COMMIT, mask loss", {"name": "mask", "loss_parts": ("mask",)}),
        Row(
            "mask_reconstruct",
            "COMMIT, mask and reconstruct",
            {"name": "mask_reconstruct", "loss_parts": ("mask", "reconstruct")},
        ),
        Row("commit", "COMMIT, mask, reconstruct and refine", table6.COMMIT),
    ),
    columns=(
        Column("fvd_tokens", "FP, shapes-FVD to reconstructions", 2, "low", "fvd", "FP, FVD, BAIR"),
        Column("fvd", "FP, shapes-FVD", 2, "low"),
        Column("accuracy", "FP, tokens right, %", 1, "high"),
        Column("fvd_tokens_eight", "MT8, shapes-FVD to reconstructions", 2, "low", "fvd_eight", "MT8, FVD, BAIR"),
        Column("fvd_eight", "MT8, shapes-FVD", 2, "low"),
        Column("accuracy_eight", "MT8, tokens right, %", 1, "high"),
    ),
    claims=(
        Claim("fvd_tokens", "prefix", "latent"),
        Claim("fvd_tokens", "commit", "prefix"),
        Claim("fvd_tokens", "commit", "latent", checked=True),
        Claim("fvd_tokens", "mask_reconstruct", "mask", checked=True),
        Claim("fvd_tokens", "commit", "mask_reconstruct"),
        Claim("fvd_tokens", "latent", "mask", checked=True),
        Claim("fvd_tokens_eight", "commit", "latent"),
        Claim("fvd_tokens_eight", "mask_reconstruct", "mask", checked=True),
        Claim("fvd_tokens_eight", "commit", "mask_reconstruct"),
    ),
    measure=measure,
)
