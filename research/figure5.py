"""Figure 5: time for a frame by method and resolution."""

import math
from typing import Any

import numpy as np

from magvit_keras.data import MovingShapes
from research.plan import Claim, Column, Row, Table
from research.scores import shortest
from research.workshop import Workshop

#: Heights that a budget may time; a budget that leaves one out leaves its column empty.
SIZES = (16, 32, 64)
_CLIPS = 2


def measure(workshop: Workshop, row: Row, seed: int) -> dict[str, float | None]:
    """Processor time for a frame of clips of each size, in all and of the tokenizer alone. Weights are untrained."""
    b = workshop.budget
    tokenizer = workshop.new_tokenizer(row.options["tokenizer"])
    scores: dict[str, float | None] = {}
    for size in SIZES:
        names = (f"processor{size}", f"tokenizer{size}", f"clock{size}", f"tokens{size}")
        if size not in b.timed_sizes:
            scores |= dict.fromkeys(names)
            continue
        magvit = workshop.new_magvit(
            tokenizer, ("frame_prediction",), condition_mode=row.options["condition_mode"], size=size
        )
        video = MovingShapes(_CLIPS, b.frames, (size, size), seed=seed, texture=b.texture).arrays()["video"]
        tokens = np.zeros((_CLIPS, *magvit.latent_shape), "int32")

        def pixels(tokenizer=tokenizer, video=video, tokens=tokens) -> None:
            tokenizer.encode(video)
            tokenizer.decode(tokens)

        def whole(magvit=magvit, video=video) -> None:
            magvit.generate(video=video, num_steps=b.num_steps, temperature=b.temperature)

        frames = _CLIPS * b.frames / 1000  # ms
        clock, processor = shortest(whole, b.repeats)
        values = (processor / frames, shortest(pixels, b.repeats)[1] / frames, clock / frames)
        scores |= dict(zip(names, (*values, float(math.prod(magvit.latent_shape))), strict=True))
    return scores


def plot(axes: Any, summary: dict) -> None:
    """Lines over the resolution, one a method; the tokenizer's part dashed."""
    for row in summary["rows"]:
        for kind, style, alpha in (("processor", "o-", 1.0), ("tokenizer", "o--", 0.4)):
            found = [(s, row["scores"][f"{kind}{s}"]) for s in SIZES if row["scores"].get(f"{kind}{s}")]
            if not found:
                continue
            sizes = [size for size, _ in found]
            means, spreads = ([score[key] or 0 for _, score in found] for key in ("mean", "std"))
            label = row["label"] if kind == "processor" else None
            colour = f"C{summary['rows'].index(row)}"
            axes.errorbar(sizes, means, spreads, fmt=style, color=colour, alpha=alpha, label=label, capsize=3)
    axes.set(xscale="log", yscale="log", xlabel="height and width, pixels", ylabel="processor time a frame, ms")
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8, title="dashed: the tokenizer alone", title_fontsize=8)


TABLE = Table(
    name="figure5",
    title="Figure 5: time for a frame",
    about=(
        "Frame prediction with untrained weights of the sizes of the other tables, on which the time does not "
        "depend. Processor time of all threads. Of each size: the whole, and the tokenizer alone (encode the "
        "condition, decode the clip). The seeds are repetitions. Times depend on the backend, see Table 6."
    ),
    rows=(
        Row("commit", "MAGVIT (COMMIT), 3D-VQ", {"tokenizer": "scratch", "condition_mode": "commit"}),
        Row("maskgit_2d", "MaskGIT, 2D-VQ", {"tokenizer": "2d", "condition_mode": "latent"}),
        Row("autoregressive", "autoregressive, 3D-VQ", {"tokenizer": "scratch", "condition_mode": "autoregressive"}),
    ),
    columns=tuple(
        column
        for size in SIZES
        for column in (
            Column(f"tokens{size}", f"tokens at {size}", 0),
            Column(f"processor{size}", f"ms a frame at {size}", 2, "low"),
            Column(f"tokenizer{size}", f"tokenizer's part at {size}", 2),
        )
    ),
    claims=tuple(
        Claim(f"processor{size}", "commit", other, checked=size < SIZES[-1], timed=True)
        for size in SIZES
        for other in ("maskgit_2d", "autoregressive")
    ),
    measure=measure,
    plot=plot,
)
