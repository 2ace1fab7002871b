"""Table 6: decoding methods on frame prediction: MaskGIT with a 2D-VQ and a 3D-VQ, autoregressive, COMMIT."""

import math

from research.plan import Claim, Column, Row, Table
from research.scores import Judge, generation_scores, shortest
from research.workshop import Workshop

_TIMED_CLIPS = 8


def measure(workshop: Workshop, row: Row, seed: int) -> dict[str, float]:
    """Quality and cost of frame prediction from one frame."""
    b = workshop.budget
    magvit = workshop.magvit(seed=seed, tasks=("frame_prediction",), **row.options)
    clips = workshop.clips("test", large=True)
    call = {"num_steps": b.num_steps, "temperature": b.temperature}
    scores = generation_scores(magvit, "frame_prediction", clips, Judge(clips["video"], magvit.tokenizer), **call)
    given = clips["video"][:_TIMED_CLIPS]
    clock, processor = shortest(lambda: magvit.generate(video=given, max_batch_size=_TIMED_CLIPS, **call), b.repeats)
    tokens = math.prod(magvit.latent_shape)
    return {
        **scores,
        "tokens": float(tokens),
        "steps": float(tokens if magvit.transformer.causal else b.num_steps),
        "clock": 1000 * clock / _TIMED_CLIPS,
        "processor": 1000 * processor / _TIMED_CLIPS,
    }


#: Models for frame prediction alone, which Tables 4 and 5 use too.
COMMIT = {"name": "commit-frame_prediction"}
LATENT = {"name": "latent-frame_prediction", "condition_mode": "latent"}

TABLE = Table(
    name="table6",
    title="Table 6: decoding methods",
    about=(
        "Frame prediction from one frame, on held-out clips; shapes-FVD to the clips themselves, and to the "
        "tokenizer's reconstructions of them, which is what the transformer alone is to blame for. MaskGIT is "
        "latent masking in training and in decoding. The 3D-VQ comes with the package; the 2D-VQ, of its sizes, is "
        "trained here and for fewer steps. Distances of its row tell of that tokenizer: where all its reconstructions "
        "look alike to the classifier, any clip is near them. So its quality is not compared, only tokens and time. "
        "All transformers have equal sizes and take equal steps on equal batches of clips, so the one of the 2D-VQ "
        "costs more. Times depend on the backend, which stands below: JAX compiles the loop over tokens, and there "
        "autoregressive decoding of so few tokens takes less time than COMMIT."
    ),
    rows=(
        Row(
            "maskgit_2d",
            "MaskGIT, 2D-VQ",
            {"name": "latent2d-frame_prediction", "condition_mode": "latent", "kind": "large_2d"},
        ),
        Row("maskgit_3d", "MaskGIT, 3D-VQ", LATENT),
        Row(
            "autoregressive",
            "autoregressive, 3D-VQ",
            {"name": "autoregressive-frame_prediction", "condition_mode": "autoregressive"},
        ),
        Row("commit", "MAGVIT (COMMIT), 3D-VQ", COMMIT),
    ),
    columns=(
        Column("fvd", "shapes-FVD", 2, "low", "fvd", "FVD, BAIR"),
        Column("fvd_tokens", "shapes-FVD to reconstructions", 2, "low"),
        Column("psnr", "PSNR, dB", 2, "high"),
        Column("accuracy", "tokens right, %", 1, "high"),
        Column("tokens", "tokens", 0, "", "tokens", "tokens"),
        Column("steps", "steps", 0, "low", "steps", "steps"),
        Column("processor", "processor time a clip, ms", 1, "low"),
        Column("clock", "time a clip, ms", 1),
    ),
    claims=(
        Claim("fvd", "autoregressive", "maskgit_3d"),
        Claim("fvd", "commit", "autoregressive"),
        Claim("fvd", "commit", "maskgit_3d"),
        Claim("fvd_tokens", "autoregressive", "maskgit_3d"),
        Claim("fvd_tokens", "commit", "autoregressive"),
        Claim("fvd_tokens", "commit", "maskgit_3d", checked=True),
        Claim("steps", "commit", "autoregressive", checked=True),
        Claim("processor", "commit", "autoregressive", checked=True, timed=True),
        Claim("processor", "commit", "maskgit_2d", checked=True, timed=True),
    ),
    measure=measure,
)
