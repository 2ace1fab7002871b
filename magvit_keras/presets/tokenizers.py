"""Sizes of the video tokenizers (Table 8 of the appendix and the authors' configurations), as plain data."""

from typing import Any


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


_128 = (1, 2, 2, 4)  # four levels for 128x128 clips
_64 = (1, 2, 4)  # three for 64x64 (BAIR): the same 16x16 grid of tokens

VIDEO_TOKENIZERS: dict[str, dict[str, Any]] = {
    "3dvq_base_ucf101": {"description": "3D-VQ B, 16x128x128, UCF-101.", "config": _config(64, _128)},
    "3dvq_large_ucf101": {"description": "3D-VQ L, 16x128x128, UCF-101.", "config": _config(128, _128)},
    "3dvq_base_bair": {"description": "3D-VQ B, 16x64x64, BAIR Robot Pushing.", "config": _config(64, _64)},
    "3dvq_large_bair": {"description": "3D-VQ L, 16x64x64, BAIR Robot Pushing.", "config": _config(128, _64)},
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
}
