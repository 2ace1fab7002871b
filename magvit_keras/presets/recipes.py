"""Training recipes of the paper's models (Sec. 4, App. B.2 and B.3), as plain data.

A preset is an architecture; a recipe adds data, epochs, optimizer, schedule, decoding and evaluation protocol.
`magvit-keras recipes` prints them, `magvit-keras train --recipe NAME` runs one.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from magvit_keras.commit.tasks import TASKS

KINDS = ("image_tokenizer", "tokenizer", "transformer")


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How clips are decoded (Algorithm 1).

    Args:
        num_steps: K.
        schedule: name of the mask schedule.
        temperature: of the noise on the confidence.
    """

    num_steps: int = 12
    schedule: str = "cosine"
    temperature: float = 4.5


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What trains one model: a row of the authors' tables, or a model beside them.

    Args:
        name: as in `RECIPES`.
        kind: one of `KINDS`: a 2D-VQ, a 3D-VQ, or a masked transformer.
        preset: architecture, a name in the presets of `ImageTokenizer`, `VideoTokenizer` or `Magvit`.
        data: the name of the data set in words.
        data_format: name in `magvit_keras.data.formats.FORMATS`, or "moving_shapes", which needs no files.
        examples: clips of an epoch, the size of the data set in the paper.
        epochs: length of the training.
        batch_size: clips in a step.
        evaluation: name of the evaluation protocol.
        video_shape: (T, H, W) of the clips.
        reader: further arguments of the reader.
        frame_stride: every how many frames of a video one is taken.
        horizontal_flip: whether clips are mirrored at random.
        discriminator: preset of the discriminator; None for transformers.
        tokenizer: the recipe of a transformer's tokenizer, of a 3D-VQ the 2D-VQ recipe that it may be inflated from.
        num_classes: classes that the transformer knows.
        tasks: what the transformer trains.
        num_condition_frames: given frames of the tasks that give frames; None for the tasks' own numbers.
        learning_rate: peak.
        beta_1: of Adam.
        beta_2: of Adam.
        weight_decay: on kernels.
        clip_norm: of the global gradient; None does not clip.
        warmup_steps: linear warm-up; None is one epoch.
        losses: weights of the parts of the loss; of a transformer the label smoothing.
        ema_decay: of the averaged weights; None keeps no average.
        class_dropout: share of examples without their class.
        decoding: how a transformer's tokens are decoded.
        score: metric -> the paper's value.
        score_source: where the paper has it.

    Example:
        >>> recipe = get_recipe("ucf101-3dvq-base")
        >>> recipe.steps_per_epoch, recipe.total_steps
        (74, 37000)

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.2 and B.3.
    """

    name: str
    kind: str
    preset: str
    data: str
    data_format: str
    examples: int
    epochs: int
    batch_size: int
    evaluation: str
    video_shape: tuple[int, int, int] = (16, 128, 128)
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    frame_stride: int = 1
    horizontal_flip: bool = True
    discriminator: str | None = None
    tokenizer: str | None = None
    num_classes: int = 0
    tasks: tuple[str, ...] = ()
    num_condition_frames: int | None = None
    learning_rate: float = 1e-4
    beta_1: float = 0.0
    beta_2: float = 0.99
    weight_decay: float = 0.0
    clip_norm: float | None = None
    warmup_steps: int | None = None
    losses: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ema_decay: float | None = None
    class_dropout: float = 0.0
    decoding: Decoding | None = None
    score: Mapping[str, float] = dataclasses.field(default_factory=dict)
    score_source: str | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return max(1, self.examples // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    @property
    def warmup(self) -> int:
        """Steps of the linear warm-up."""
        return self.steps_per_epoch if self.warmup_steps is None else self.warmup_steps


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """What the recipes of a data set share. Epochs are those of (VQ-B, VQ-L, transformer-B, transformer-L)."""

    title: str
    data_format: str
    examples: int
    epochs: tuple[int, int, int, int]
    num_classes: int = 0
    size: int = 128
    horizontal_flip: bool = True
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# "Something moved from left to right" must not be mirrored. The table of the web videos is the user's own.
_DATA = {
    "ucf101": _DataSet("UCF-101", "ucf101", 9_537, (500, 2000, 2000, 2000), num_classes=101),
    "bair": _DataSet("BAIR Robot Pushing", "bair", 43_264, (400, 800, 400, 800), size=64),
    "k600": _DataSet("Kinetics-600", "kinetics600", 384_000, (45, 180, 180, 360), num_classes=600),
    "ssv2": _DataSet(
        "Something-Something-v2", "ssv2", 169_000, (135, 400, 720, 1440), num_classes=174, horizontal_flip=False
    ),
    "nuscenes": _DataSet("nuScenes, front camera", "nuscenes", 5_400, (1280, 5120, 2560, 10240)),
    "objectron": _DataSet("Objectron", "objectron", 14_400, (1000, 2000, 1000, 2000)),
    "web": _DataSet("Web videos", "web", 12_000_000, (5, 20, 10, 20), reader={"table": "list.csv"}),
}

_EIGHT = tuple(task.name for task in TASKS.values() if not task.needs_class)
_GENERATION, _PREDICTION = ("class_conditional_generation",), ("frame_prediction",)

#: App. B.2; LeCam's weight is published nowhere.
TOKENIZER_LOSSES = {
    "reconstruction_weight": 1.0,
    "adversarial_weight": 0.1,
    "perceptual_weight": 0.1,
    "commitment_cost": 0.25,
    "entropy_loss_weight": 0.1,
    "r1_weight": 10.0,
    "lecam_weight": 0.05,
}
_DEFAULT, _BAIR, _K600 = (
    Decoding(),
    Decoding(schedule="exp", temperature=400.0),
    Decoding(schedule="uniform", temperature=7.5),
)

# Table 7: FVD of the reconstructed training clips of UCF-101, inflated by "central".
_TABLE_7 = {
    "ucf101-2dvq-base": {"fvd": 240.0},
    "ucf101-3dvq-base": {"fvd": 58.0},
    "ucf101-3dvq-large": {"fvd": 25.0},
}


def _tokenizer(key: str, size: str, rank: int) -> Recipe:
    about, number = _DATA[key], ("base", "large").index(size)
    name, pixels = f"{key}-{rank}dvq-{size}", about.size
    return Recipe(
        name=name,
        kind="tokenizer" if rank == 3 else "image_tokenizer",
        preset=f"{rank}dvq_{size}_{key}",
        data=about.title,
        data_format=about.data_format,
        examples=about.examples,
        epochs=about.epochs[number],
        batch_size=(128, 256)[number],
        evaluation=f"{key}_reconstruction",
        video_shape=(16 if rank == 3 else 1, pixels, pixels),
        reader=about.reader,
        horizontal_flip=about.horizontal_flip,
        discriminator=f"discriminator{'' if rank == 3 else '2d'}_{size}_{pixels}",
        tokenizer=f"{key}-2dvq-{size}" if rank == 3 else None,
        losses=TOKENIZER_LOSSES,
        ema_decay=0.999,
        score=_TABLE_7.get(name, {}),
        score_source="Table 7" if name in _TABLE_7 else None,
    )


def _transformer(
    key: str, what: str, size: str, tasks: tuple[str, ...], epochs: int, fvd: float | None = None, **other: Any
) -> Recipe:
    about = _DATA[key]
    return Recipe(
        name=f"{key}-{what}-{size}",
        kind="transformer",
        preset=f"magvit_{size}_{key}_{what}",
        data=about.title,
        data_format=about.data_format,
        examples=about.examples,
        epochs=epochs,
        batch_size=256,
        evaluation=f"{key}_{what}",
        video_shape=(16, about.size, about.size),
        reader=about.reader,
        horizontal_flip=about.horizontal_flip,
        # Appendix A.2: H has the 128 channels of L in its tokenizer.
        tokenizer=f"{key}-3dvq-{'base' if size == 'base' else 'large'}",
        num_classes=about.num_classes,
        tasks=tasks,
        beta_1=0.9,
        beta_2=0.96,
        weight_decay=0.045,
        clip_norm=1.0,
        warmup_steps=5000,
        losses={"label_smoothing": 1e-4},
        decoding=other.pop("decoding", _DEFAULT),
        score={} if fvd is None else {"fvd": fvd, **other.pop("more", {})},
        score_source=None if fvd is None else "authors' model table",
        **other,
    )


# Columns: data set, what, tasks, epochs and the paper's FVD by size; the authors give no epochs for H: L's are taken.
_ROWS = (
    ("ucf101", "cg", _GENERATION, {"base": 2000, "large": 2000, "huge": 2000}, {"base": 159, "large": 76}, {}),
    ("bair", "fp", _PREDICTION, {"base": 400, "large": 800}, {"base": 76, "large": 62}, {"decoding": _BAIR}),
    ("bair", "mt8", _EIGHT, {"base": 1200, "large": 1600}, {"base": 32.8, "large": 22.8}, {}),
    (
        *("k600", "fp", _PREDICTION, {"base": 180, "large": 360, "huge": 360}, {"base": 24.5, "large": 9.9}),
        {"decoding": _K600, "num_condition_frames": 5},
    ),
    ("ssv2", "mt10", tuple(TASKS), {"base": 720, "large": 1440, "huge": 1440}, {"base": 43.4, "large": 27.3}, {}),
    ("nuscenes", "fp", _PREDICTION, {"base": 2560, "large": 10240}, {}, {}),
    ("objectron", "fi", ("frame_interpolation",), {"base": 1000, "large": 2000}, {}, {}),
    ("web", "mt8", _EIGHT, {"base": 10, "large": 20}, {}, {}),
)
_DEBIASED = {"bair-fp-base": {"fvd_debiased": 48.0}, "bair-fp-large": {"fvd_debiased": 31.0}}

# For a laptop: few shapes, faint textures, nothing in front of them; minutes instead of days.
_SHAPES = {"num_clips": 4000, "shapes": ("circle", "square", "star"), "occlusion": 0.0, "texture": 0.15}
_MOVING_SHAPES = {
    "data": "Moving Shapes",
    "data_format": "moving_shapes",
    "examples": 4000,
    "video_shape": (8, 32, 32),
    "reader": _SHAPES,
    "horizontal_flip": False,
}
_TINY = (
    Recipe(
        name="moving-shapes-3dvq-tiny",
        kind="tokenizer",
        preset="3dvq_moving_shapes",
        epochs=20,
        batch_size=8,
        evaluation="moving_shapes_reconstruction",
        discriminator="discriminator_moving_shapes",
        losses={**TOKENIZER_LOSSES, "entropy_loss_weight": 0.02, "perceptual_weight": 0.0},
        ema_decay=0.99,
        **_MOVING_SHAPES,
    ),
    Recipe(
        name="moving-shapes-mt10-tiny",
        kind="transformer",
        preset="magvit_tiny_moving_shapes_mt10",
        epochs=40,
        batch_size=16,
        evaluation="moving_shapes_mt10",
        tokenizer="moving-shapes-3dvq-tiny",
        num_classes=18,
        tasks=tuple(TASKS),
        learning_rate=1e-3,
        beta_1=0.9,
        beta_2=0.96,
        weight_decay=0.045,
        clip_norm=1.0,
        warmup_steps=500,
        losses={"label_smoothing": 1e-4},
        class_dropout=0.1,
        decoding=_DEFAULT,
        **_MOVING_SHAPES,
    ),
)


def _all() -> list[Recipe]:
    made = [_tokenizer(key, size, rank) for rank in (3, 2) for key in _DATA for size in ("base", "large")]
    for key, what, tasks, epochs, scores, other in _ROWS:
        for size, length in epochs.items():
            more = _DEBIASED.get(f"{key}-{what}-{size}", {})
            fvd = scores.get(size)
            made.append(_transformer(key, what, size, tasks, length, fvd, **other, **({"more": more} if more else {})))
    return [*made, *_TINY]


#: name -> recipe
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _all()}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the message lists the known ones.

    Example:
        >>> get_recipe("k600-fp-large").num_condition_frames
        5
    """
    if name not in RECIPES:
        raise ValueError(f"Unknown recipe {name!r}; known recipes: {', '.join(RECIPES)}.")
    return RECIPES[name]
