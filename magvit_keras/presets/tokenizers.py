"""Sizes of the video tokenizers (Table 8 of the appendix and the authors' configurations), as plain data."""

from typing import Any

#: Data sets of the paper: name -> title, and height and width of the clips in pixels.
DATA_SETS: dict[str, tuple[str, int]] = {
    "ucf101": ("UCF-101", 128),
    "bair": ("BAIR Robot Pushing", 64),
    "k600": ("Kinetics-600", 128),
    "ssv2": ("Something-Something-v2", 128),
    "nuscenes": ("nuScenes, front camera", 128),
    "objectron": ("Objectron", 128),
    "web": ("web videos", 128),
}
#: Size -> letter of the paper, and base width. The H model of the appendix has L's tokenizer.
TOKENIZER_SIZES: dict[str, tuple[str, int]] = {"base": ("B", 64), "large": ("L", 128)}
#: Widths of the levels: four for 128x128 pixels and three for 64x64, so that both have 16x16 tokens.
MULTIPLIERS: dict[int, tuple[int, ...]] = {128: (1, 2, 2, 4), 64: (1, 2, 4)}


def _config(filters: int, multipliers: tuple[int, ...], **other: Any) -> dict[str, Any]:
    return {
        "filters": filters,
        "channel_multipliers": multipliers,
        "temporal_downsample": (True, True, False),
        "num_res_blocks": 2,
        "embedding_dim": 256,
        "codebook_size": 1024,
        **other,
    }


#: The shipped pair for Moving Shapes, 16x64x64: what the 2D-VQ and the 3D-VQ inflated from it have in common.
TINY_MOVING_SHAPES: dict[str, Any] = {
    "filters": 16,
    "channel_multipliers": MULTIPLIERS[64],
    "num_res_blocks": 1,
    "embedding_dim": 8,
    "codebook_size": 1024,
    # Codes that start at the centres of learned latents, whose mean square is 1, need little to hold them.
    "commitment_cost": 0.01,
    "entropy_loss_weight": 0.0,
    "norm_groups": 1,
}

#: Tokenizers that fold pixels before they convolve: what 2D-VQ and 3D-VQ have in common.
FAST: dict[str, Any] = {
    "filters": 128,
    "channel_multipliers": (1,),
    "num_res_blocks": 1,
    "embedding_dim": 16,
    "codebook_size": 4096,
    "padding": "same",
    # Latents that are free to move tell more; a larger cost draws them together and leaves codes unused.
    "commitment_cost": 0.02,
    "entropy_loss_weight": 0.0,
    "quantizer": "vq_ema",
    "norm_groups": 8,
}

VIDEO_TOKENIZERS: dict[str, dict[str, Any]] = {
    f"3dvq_{size}_{name}": {
        "description": f"3D-VQ {letter}, 16x{pixels}x{pixels}, {title}.",
        "config": _config(filters, MULTIPLIERS[pixels]),
    }
    for name, (title, pixels) in DATA_SETS.items()
    for size, (letter, filters) in TOKENIZER_SIZES.items()
} | {
    "3dvq_tiny": {
        "description": "A small 3D-VQ for a laptop: 4x8x8 pixels a token, 256 codes.",
        "config": _config(
            32,
            (1, 2, 2, 2),
            num_res_blocks=1,
            embedding_dim=32,
            codebook_size=256,
            padding="same",
            norm_groups=1,
        ),
    },
    "3dvq_fast_tiny": {
        "description": "Learns fast: a wavelet, and residual blocks at 4x8x8 pixels a token; 1024 codes.",
        "config": {**FAST, "codebook_size": 1024, "wavelet": (4, 8, 8)},
    },
    "3dvq_fast_natural": {
        "description": "With weights: for real videos of any size; learns fast; 4x8x8 pixels a token, 4096 codes.",
        "shipped": True,
        "config": {**FAST, "wavelet": (4, 8, 8)},
    },
    "3dvq_moving_shapes": {
        "description": "With weights: a very small 3D-VQ trained on Moving Shapes; 2x4x4 pixels a token, 512 codes.",
        "shipped": True,
        "config": _config(
            16,
            (1, 2, 4),
            temporal_downsample=(False, True),
            num_res_blocks=1,
            embedding_dim=8,
            codebook_size=512,
            padding="same",
            entropy_loss_weight=0.02,
            norm_groups=1,
        ),
    },
    "3dvq_tiny_moving_shapes": {
        "description": "With weights: a small 3D-VQ for Moving Shapes, 16x64x64; 4x4x4 pixels a token, 4096 codes.",
        "shipped": True,
        "config": {**TINY_MOVING_SHAPES, "temporal_downsample": (True, True), "codebook_size": 4096},
    },
    "3dvq_grid_shapes": {
        "description": "With weights: the same with 1024 codes, for the grid look of Moving Shapes.",
        "shipped": True,
        "config": {**TINY_MOVING_SHAPES, "temporal_downsample": (True, True), "codebook_size": 1024},
    },
}
