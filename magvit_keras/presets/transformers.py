"""Sizes of the masked transformer (Table 8 of the appendix), and whole models, as plain data."""

from typing import Any

from magvit_keras.commit.tasks import TASKS
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS

_BASE = {"num_layers": 12, "hidden_size": 768, "num_heads": 12, "mlp_dim": 3072}
_LARGE = {"num_layers": 24, "hidden_size": 1024, "num_heads": 16, "mlp_dim": 4096}
_TINY = {"num_layers": 4, "hidden_size": 128, "num_heads": 4, "mlp_dim": 512}

_SIZES = {"tiny": _TINY, "base": _BASE, "large": _LARGE}
_EIGHT = [task.name for task in TASKS.values() if not task.needs_class]


def transformer_config(
    size: str, num_classes: int, codebook_size: int = 1024, latent_shape: tuple[int, int, int] = (4, 16, 16)
) -> dict[str, Any]:
    """Constructor arguments of a `MaskedTransformer` of that size ("tiny", "base" or "large")."""
    if size not in _SIZES:
        raise ValueError(f"Unknown size {size!r}; known sizes: {', '.join(_SIZES)}.")
    shape = {"codebook_size": codebook_size, "num_classes": num_classes, "latent_shape": tuple(latent_shape)}
    return {**shape, **_SIZES[size], "dropout": 0.1}


MASKED_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "transformer_base_ucf101": {
        "description": "Masked transformer B, 101 classes, 4x16x16 tokens.",
        "config": transformer_config("base", 101),
    },
    "transformer_large_ucf101": {
        "description": "Masked transformer L, 101 classes, 4x16x16 tokens.",
        "config": transformer_config("large", 101),
    },
    "transformer_base": {
        "description": "Masked transformer B without classes, 4x16x16 tokens.",
        "config": transformer_config("base", 0),
    },
    "transformer_large": {
        "description": "Masked transformer L without classes, 4x16x16 tokens.",
        "config": transformer_config("large", 0),
    },
}


def _magvit(tokenizer: str, size: str, num_classes: int, tasks: list[str]) -> dict[str, Any]:
    return {
        "tokenizer": {
            "class_name": "magvit_keras>VideoTokenizer",
            "config": VIDEO_TOKENIZERS[tokenizer]["config"],
        },
        "transformer": {
            "class_name": "magvit_keras>MaskedTransformer",
            "config": transformer_config(size, num_classes),
        },
        "tasks": tasks,
    }


_CG, _FP = ["class_conditional_generation"], ["frame_prediction"]

MAGVITS: dict[str, dict[str, Any]] = {
    "magvit_base_ucf101_cg": {
        "description": "MAGVIT B, UCF-101, class-conditional generation.",
        "config": _magvit("3dvq_base_ucf101", "base", 101, _CG),
    },
    "magvit_large_ucf101_cg": {
        "description": "MAGVIT L, UCF-101, class-conditional generation.",
        "config": _magvit("3dvq_large_ucf101", "large", 101, _CG),
    },
    "magvit_base_bair_fp": {
        "description": "MAGVIT B, BAIR, frame prediction from one frame.",
        "config": _magvit("3dvq_base_bair", "base", 0, _FP),
    },
    "magvit_large_bair_fp": {
        "description": "MAGVIT L, BAIR, frame prediction from one frame.",
        "config": _magvit("3dvq_large_bair", "large", 0, _FP),
    },
    "magvit_base_bair_mt8": {
        "description": "MAGVIT B, BAIR, the eight tasks without a class.",
        "config": _magvit("3dvq_base_bair", "base", 0, _EIGHT),
    },
}
