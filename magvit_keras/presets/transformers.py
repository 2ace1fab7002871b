"""Sizes of the masked transformer (Table 8 of the appendix), and whole models, as plain data."""

import dataclasses
from typing import Any

from magvit_keras.commit.tasks import TASKS
from magvit_keras.presets.tokenizers import DATA_SETS, VIDEO_TOKENIZERS

_SIZES = {
    "tiny": {"num_layers": 4, "hidden_size": 128, "num_heads": 4, "mlp_dim": 512},
    "base": {"num_layers": 12, "hidden_size": 768, "num_heads": 12, "mlp_dim": 3072},
    "large": {"num_layers": 24, "hidden_size": 1024, "num_heads": 16, "mlp_dim": 4096},
    "huge": {"num_layers": 32, "hidden_size": 1280, "num_heads": 16, "mlp_dim": 5120},
}
_LETTERS = {"base": "B", "large": "L", "huge": "H"}
_PAPER = ("base", "large")


def transformer_config(
    size: str, num_classes: int, codebook_size: int = 1024, latent_shape: tuple[int, int, int] = (4, 16, 16)
) -> dict[str, Any]:
    """Constructor arguments of a `MaskedTransformer` of that size ("tiny", "base", "large" or "huge")."""
    if size not in _SIZES:
        raise ValueError(f"Unknown size {size!r}; known sizes: {', '.join(_SIZES)}.")
    shape = {"codebook_size": codebook_size, "num_classes": num_classes, "latent_shape": tuple(latent_shape)}
    return {**shape, **_SIZES[size], "dropout": 0.1}


#: Classes that the transformers of a data set know.
NUM_CLASSES = {"ucf101": 101, "k600": 600, "ssv2": 174, "bair": 0, "nuscenes": 0, "objectron": 0, "web": 0}

MASKED_TRANSFORMERS: dict[str, dict[str, Any]] = {
    f"transformer_{size}{f'_{name}' if name else ''}": {
        "description": f"Masked transformer {letter}, {f'{classes} classes' if classes else 'no classes'}, "
        "4x16x16 tokens.",
        "config": transformer_config(size, classes),
    }
    for name, classes in {"": 0, **{name: count for name, count in NUM_CLASSES.items() if count}}.items()
    for size, letter in _LETTERS.items()
}

_EIGHT = [task.name for task in TASKS.values() if not task.needs_class]
_FIVE_FRAMES = dataclasses.asdict(TASKS["frame_prediction"].with_frames(5))

# The rows of the authors' table and those beside it: data set, name of what is trained, in words, tasks, sizes.
_ROWS: tuple[tuple[str, str, str, list, tuple[str, ...]], ...] = (
    ("ucf101", "cg", "class-conditional generation", ["class_conditional_generation"], (*_PAPER, "huge")),
    ("bair", "fp", "frame prediction from one frame", ["frame_prediction"], _PAPER),
    ("bair", "mt8", "the eight tasks without a class", _EIGHT, _PAPER),
    ("k600", "fp", "frame prediction from five frames", [_FIVE_FRAMES], (*_PAPER, "huge")),
    ("ssv2", "mt10", "all ten tasks", list(TASKS), (*_PAPER, "huge")),
    ("nuscenes", "fp", "frame prediction from one frame", ["frame_prediction"], _PAPER),
    ("objectron", "fi", "frame interpolation", ["frame_interpolation"], _PAPER),
    ("web", "mt8", "the eight tasks without a class", _EIGHT, _PAPER),
)


#: Classes of Moving Shapes, in their order. (`data` is not imported for two lists of words; a test compares them.)
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
MOTIONS = ("left_right", "up_down", "diagonal", "orbit", "spin", "pulse")
#: The transformer of the shipped model. Without dropout a small model learns more in the same time.
TINY_TRANSFORMER: dict[str, Any] = {
    **transformer_config("tiny", len(SHAPES) * len(MOTIONS)),
    "num_layers": 8,
    "hidden_size": 192,
    "num_heads": 3,
    "mlp_dim": 768,
    "dropout": 0.0,
}


def _magvit(tokenizer: str, transformer: dict[str, Any], tasks: list) -> dict[str, Any]:
    return {
        "tokenizer": {
            "class_name": "magvit_keras>VideoTokenizer",
            "config": VIDEO_TOKENIZERS[tokenizer]["config"],
        },
        "transformer": {"class_name": "magvit_keras>MaskedTransformer", "config": transformer},
        "tasks": tasks,
    }


def _shapes(tokenizer: str) -> dict[str, Any]:
    codebook_size = VIDEO_TOKENIZERS[tokenizer]["config"]["codebook_size"]
    return {
        **_magvit(tokenizer, {**TINY_TRANSFORMER, "codebook_size": codebook_size}, [_FIVE_FRAMES, *list(TASKS)[1:]]),
        "class_dropout": 0.1,
        "class_names": [f"{shape}_{motion}" for shape in SHAPES for motion in MOTIONS],
    }


def _natural(tokenizer: str) -> dict[str, Any]:
    sizes = {"codebook_size": VIDEO_TOKENIZERS[tokenizer]["config"]["codebook_size"], "latent_shape": (4, 8, 8)}
    return {
        **_magvit(tokenizer, {**TINY_TRANSFORMER, **sizes, "num_classes": 1}, [_FIVE_FRAMES, *list(TASKS)[1:]]),
        "class_names": ["video"],
    }


MAGVITS: dict[str, dict[str, Any]] = {
    f"magvit_{size}_{name}_{what}": {
        "description": f"MAGVIT {_LETTERS[size]}, {DATA_SETS[name][0]}, {in_words}.",
        "config": _magvit(
            f"3dvq_{'base' if size == 'base' else 'large'}_{name}", transformer_config(size, NUM_CLASSES[name]), tasks
        ),
    }
    for name, what, in_words, tasks, sizes in _ROWS
    for size in sizes
} | {
    "magvit_tiny_moving_shapes_mt10": {
        "description": "A small MAGVIT for Moving Shapes, all ten tasks, 8x32x32; fresh weights.",
        "config": _magvit(
            "3dvq_moving_shapes",
            # Three shapes in six motions. Without dropout a small model learns more in the same time.
            {**transformer_config("tiny", 18, codebook_size=512, latent_shape=(4, 8, 8)), "dropout": 0.0},
            list(TASKS),
        ),
    },
    "magvit_tiny_moving_shapes": {
        "description": "With weights: a MAGVIT for Moving Shapes' grid look, all ten tasks, 16x64x64, 36 classes.",
        "shipped": True,
        "config": _shapes("3dvq_grid_shapes"),
    },
    "magvit_tiny_natural": {
        "description": "With weights: a small MAGVIT for real videos, all ten tasks, 16x64x64, one class.",
        "shipped": True,
        "config": _natural("3dvq_fast_natural"),
    },
}
