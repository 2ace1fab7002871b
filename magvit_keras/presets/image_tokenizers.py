"""Sizes of the image tokenizers (Table 7, and MaskGIT's published one), as plain data."""

from typing import Any

from magvit_keras.presets.tokenizers import DATA_SETS, FAST, MULTIPLIERS, TINY_MOVING_SHAPES, TOKENIZER_SIZES


def _config(filters: int, multipliers: tuple[int, ...], **other: Any) -> dict[str, Any]:
    return {
        "filters": filters,
        "channel_multipliers": multipliers,
        "num_res_blocks": 2,
        "embedding_dim": 256,
        "codebook_size": 1024,
        **other,
    }


IMAGE_TOKENIZERS: dict[str, dict[str, Any]] = {
    f"2dvq_{size}_{name}": {
        "description": f"2D-VQ {letter}, {pixels}x{pixels}, {title}.",
        "config": _config(filters, MULTIPLIERS[pixels]),
    }
    for name, (title, pixels) in DATA_SETS.items()
    for size, (letter, filters) in TOKENIZER_SIZES.items()
} | {
    "2dvq_maskgit": {
        "description": "MaskGIT's ImageNet tokenizer, 256x256: 16x16 pixels a token, 1024 codes.",
        "config": _config(128, (1, 1, 2, 2, 4), padding="same", shortcut="output"),
    },
    "2dvq_tiny": {
        "description": "The 2D form of 3dvq_tiny: 8x8 pixels a token, 256 codes.",
        "config": _config(32, (1, 2, 2, 2), num_res_blocks=1, embedding_dim=32, codebook_size=256),
    },
    "2dvq_fast_natural": {
        "description": "With weights: the 2D form of 3dvq_fast_natural; 8x8 pixels a token, 4096 codes.",
        "shipped": True,
        "config": {**FAST, "wavelet": (8, 8)},
    },
    "2dvq_tiny_moving_shapes": {
        "description": "With weights: the 2D-VQ from which 3dvq_tiny_moving_shapes was inflated; 4x4 pixels a token.",
        "shipped": True,
        "config": TINY_MOVING_SHAPES,
    },
}
