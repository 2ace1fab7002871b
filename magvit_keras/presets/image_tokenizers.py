"""Sizes of the image tokenizers (Table 7, and MaskGIT's published one), as plain data."""

from typing import Any


def _config(filters: int, multipliers: tuple[int, ...], **other: Any) -> dict[str, Any]:
    return {
        "filters": filters,
        "channel_multipliers": multipliers,
        "num_res_blocks": 2,
        "embedding_dim": 256,
        "codebook_size": 1024,
        **other,
    }


_128 = (1, 2, 2, 4)
_64 = (1, 2, 4)

IMAGE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "2dvq_base_ucf101": {"description": "2D-VQ B, 128x128, UCF-101.", "config": _config(64, _128)},
    "2dvq_large_ucf101": {"description": "2D-VQ L, 128x128, UCF-101.", "config": _config(128, _128)},
    "2dvq_base_bair": {"description": "2D-VQ B, 64x64, BAIR Robot Pushing.", "config": _config(64, _64)},
    "2dvq_large_bair": {"description": "2D-VQ L, 64x64, BAIR Robot Pushing.", "config": _config(128, _64)},
    "2dvq_maskgit": {
        "description": "MaskGIT's ImageNet tokenizer, 256x256: 16x16 pixels a token, 1024 codes.",
        "config": _config(128, (1, 1, 2, 2, 4), padding="same", shortcut="output"),
    },
    "2dvq_tiny": {
        "description": "The 2D form of 3dvq_tiny: 8x8 pixels a token, 256 codes.",
        "config": _config(32, (1, 2, 2, 2), num_res_blocks=1, embedding_dim=32, codebook_size=256),
    },
}
