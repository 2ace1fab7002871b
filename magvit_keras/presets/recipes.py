"""Training recipes of the paper's models (Sec. 4, App. B.2 and B.3), as plain data.

A preset is an architecture; a recipe adds data, epochs, optimizer, schedule, decoding and evaluation protocol.
`magvit-keras recipes` prints them, `magvit-keras train --recipe NAME` runs one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magvit_keras.commit.tasks import Task, get_task
from magvit_keras.early_checks import unknown
from magvit_keras.presets.tokenizers import DATA_SETS
from magvit_keras.presets.transformers import MAGVITS, NUM_CLASSES

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
        data_format: name in `magvit_keras.data.readers.formats.FORMATS`, or "moving_shapes", which needs no files.
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
        steps: length of the training in steps, in place of epochs.

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
    steps: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return max(1, self.examples // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.steps or self.epochs * self.steps_per_epoch

    @property
    def warmup(self) -> int:
        """Steps of the linear warm-up."""
        return self.steps_per_epoch if self.warmup_steps is None else self.warmup_steps

    @property
    def trained_tasks(self) -> list[Task]:
        """The tasks, those that give frames with `num_condition_frames`."""
        number, tasks = self.num_condition_frames, [get_task(name) for name in self.tasks]
        return [t.with_frames(number) if number and t.num_condition_frames else t for t in tasks]


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """What the recipes of a data set share; tokenizer epochs are those of B and L."""

    data_format: str
    examples: int
    tokenizer_epochs: tuple[int, int]
    horizontal_flip: bool = True
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_DATA = {
    "ucf101": _DataSet("ucf101", 9_537, (500, 2000)),
    "bair": _DataSet("bair", 43_264, (400, 800)),
    "k600": _DataSet("kinetics600", 384_000, (45, 180)),
    # Mirrored, "from left to right" would be wrong.
    "ssv2": _DataSet("ssv2", 169_000, (135, 400), horizontal_flip=False),
    "nuscenes": _DataSet("nuscenes", 5_400, (1280, 5120)),
    "objectron": _DataSet("objectron", 14_400, (1000, 2000)),
    # The authors' videos are not public; the table is that of one's own.
    "web": _DataSet("web", 12_000_000, (5, 20), reader={"table": "list.csv"}),
}

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
    "ucf101-3dvq-base": {"fvd": 58.0},
    "ucf101-3dvq-large": {"fvd": 25.0},
}


def _of_data(name: str) -> dict[str, Any]:
    about = _DATA[name]
    return {
        "data": DATA_SETS[name][0],
        "data_format": about.data_format,
        "examples": about.examples,
        "reader": about.reader,
        "horizontal_flip": about.horizontal_flip,
    }


def _tokenizer(data: str, size: str, rank: int) -> Recipe:
    name, pixels, number = f"{data}-{rank}dvq-{size}", DATA_SETS[data][1], ("base", "large").index(size)
    return Recipe(
        name=name,
        kind="tokenizer" if rank == 3 else "image_tokenizer",
        preset=f"{rank}dvq_{size}_{data}",
        **_of_data(data),
        epochs=_DATA[data].tokenizer_epochs[number],
        batch_size=(128, 256)[number],
        evaluation=f"{data}_reconstruction",
        video_shape=(16 if rank == 3 else 1, pixels, pixels),
        discriminator=f"discriminator{'' if rank == 3 else '2d'}_{size}_{pixels}",
        tokenizer=f"{data}-2dvq-{size}" if rank == 3 else None,
        losses=TOKENIZER_LOSSES,
        ema_decay=0.999,
        score=_TABLE_7.get(name, {}),
        score_source="Table 7, inflated from a 2D-VQ trained on ImageNet" if name in _TABLE_7 else None,
    )


_TRANSFORMER = {
    "kind": "transformer",
    "beta_1": 0.9,
    "beta_2": 0.96,
    "weight_decay": 0.045,
    "clip_norm": 1.0,
    "losses": {"label_smoothing": 1e-4},
}


def _transformer(data: str, what: str, size: str, epochs: int, decoding: Decoding, score: dict[str, float]) -> Recipe:
    preset = f"magvit_{size}_{data}_{what}"
    tasks = MAGVITS[preset]["config"]["tasks"]
    given = [task["num_condition_frames"] for task in tasks if not isinstance(task, str)]
    return Recipe(
        name=f"{data}-{what}-{size}",
        preset=preset,
        **_of_data(data),
        **_TRANSFORMER,
        epochs=epochs,
        batch_size=256,
        evaluation=f"{data}_{what}",
        video_shape=(16, DATA_SETS[data][1], DATA_SETS[data][1]),
        # The appendix gives H the 128 channels of L.
        tokenizer=f"{data}-3dvq-{'base' if size == 'base' else 'large'}",
        num_classes=NUM_CLASSES[data],
        tasks=tuple(task if isinstance(task, str) else task["name"] for task in tasks),
        num_condition_frames=given[0] if given else None,
        warmup_steps=5000,
        decoding=decoding,
        score=score,
        score_source="authors' table of transformers" if score else None,
    )


# Data set, what is trained, epochs by size (the authors give none for H, which takes L's), decoding.
_ROWS: tuple[tuple[str, str, dict[str, int], Decoding], ...] = (
    ("ucf101", "cg", {"base": 2000, "large": 2000, "huge": 2000}, _DEFAULT),
    ("bair", "fp", {"base": 400, "large": 800}, _BAIR),
    ("bair", "mt8", {"base": 1200, "large": 1600}, _DEFAULT),
    ("k600", "fp", {"base": 180, "large": 360, "huge": 360}, _K600),
    ("ssv2", "mt10", {"base": 720, "large": 1440, "huge": 1440}, _DEFAULT),
    ("nuscenes", "fp", {"base": 2560, "large": 10240}, _DEFAULT),
    ("objectron", "fi", {"base": 1000, "large": 2000}, _DEFAULT),
    ("web", "mt8", {"base": 10, "large": 20}, _DEFAULT),
)
_SCORES = {
    "ucf101-cg-base": {"fvd": 159.0},
    "ucf101-cg-large": {"fvd": 76.0},
    "bair-fp-base": {"fvd": 76.0, "fvd_debiased": 48.0},
    "bair-fp-large": {"fvd": 62.0, "fvd_debiased": 31.0},
    "k600-fp-base": {"fvd": 24.5},
    "k600-fp-large": {"fvd": 9.9},
    "bair-mt8-base": {"fvd": 32.8},
    "bair-mt8-large": {"fvd": 22.8},
    "ssv2-mt10-base": {"fvd": 43.4},
    "ssv2-mt10-large": {"fvd": 27.3},
}

# For a laptop: few shapes, faint textures, nothing in front of them.
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
        epochs=10,
        batch_size=8,
        evaluation="moving_shapes_reconstruction",
        discriminator="discriminator_moving_shapes",
        losses={**TOKENIZER_LOSSES, "entropy_loss_weight": 0.02, "perceptual_weight": 0.0},
        ema_decay=0.99,
        **_MOVING_SHAPES,
    ),
    Recipe(
        name="moving-shapes-mt10-tiny",
        preset="magvit_tiny_moving_shapes_mt10",
        **_TRANSFORMER,
        epochs=20,
        batch_size=16,
        evaluation="moving_shapes_mt10",
        tokenizer="moving-shapes-3dvq-tiny",
        num_classes=18,
        tasks=tuple(MAGVITS["magvit_tiny_moving_shapes_mt10"]["config"]["tasks"]),
        learning_rate=1e-3,
        warmup_steps=500,
        class_dropout=0.1,
        decoding=_DEFAULT,
        **_MOVING_SHAPES,
    ),
)


def _all() -> list[Recipe]:
    made = [_tokenizer(data, size, rank) for rank in (3, 2) for data in _DATA for size in ("base", "large")]
    for data, what, epochs, decoding in _ROWS:
        for size, length in epochs.items():
            made.append(_transformer(data, what, size, length, decoding, _SCORES.get(f"{data}-{what}-{size}", {})))
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
        raise ValueError(unknown("recipe", name, RECIPES))
    return RECIPES[name]
