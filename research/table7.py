"""Table 7: the 2D-VQ, and the 3D-VQ from scratch and from two inflations of it."""

import numpy as np

from research.plan import Claim, Column, Row, Table
from research.scores import Judge, reconstructed
from research.workshop import EVALUATION, LARGE, TRANSFORMER, Workshop


def measure(workshop: Workshop, row: Row, seed: int) -> dict[str, float]:
    """Reconstruction of held-out clips after equal training."""
    tokenizer = workshop.tokenizer(row.name, seed)
    clips = workshop.clips("test")["video"]
    judge = Judge(clips)
    made, codes = reconstructed(tokenizer, clips)
    return {
        "fvd": judge.fvd(judge.features(made)),
        "psnr": judge.psnr(made),
        "tokens": float(codes[0].size),
        "codes": 100 * len(np.unique(codes)) / tokenizer.codebook_size,
    }


TABLE = Table(
    name="table7",
    title="Table 7: tokenizers",
    about=(
        "Reconstruction of held-out clips. All tokenizers take equal steps on the same clips in the same order; "
        "the two inflated ones start from the 2D-VQ of the row above, whose own training is not counted. Plain "
        "losses (reconstruction and quantizer), no adversarial training."
    ),
    rows=(
        Row("2d", "2D-VQ"),
        Row("scratch", "3D-VQ, from scratch"),
        Row("average", "3D-VQ, average inflation"),
        Row("central", "3D-VQ, central inflation"),
    ),
    columns=(
        Column("fvd", "shapes-FVD", 2, "low", "fvd", "FVD, UCF-101, B"),
        Column("psnr", "PSNR, dB", 2, "high"),
        Column("tokens", "tokens a clip", 0),
        Column("codes", "codes used, %", 0),
    ),
    claims=(
        Claim("fvd", "scratch", "2d"),
        Claim("fvd", "average", "scratch"),
        Claim("fvd", "central", "average"),
        Claim("psnr", "average", "scratch"),
        Claim("psnr", "central", "average"),
        Claim("psnr", "central", "scratch", checked=True),
    ),
    measure=measure,
    unused=frozenset(TRANSFORMER | LARGE | (EVALUATION - {"test_clips"})),
)
