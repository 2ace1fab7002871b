"""Sizes of the discriminators (appendix A and the authors' configurations), as plain data."""

from typing import Any

_128 = (2, 4, 4, 4, 4)
_64 = (2, 4, 4, 4)


def _video(filters: int, multipliers: tuple[int, ...], size: int) -> dict[str, Any]:
    return {"filters": filters, "channel_multipliers": multipliers, "video_shape": (16, size, size)}


def _image(filters: int, multipliers: tuple[int, ...], size: int) -> dict[str, Any]:
    return {"filters": filters, "channel_multipliers": multipliers, "image_shape": (size, size)}


VIDEO_DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "discriminator_base_128": {"description": "For 3D-VQ B, 16x128x128.", "config": _video(64, _128, 128)},
    "discriminator_large_128": {"description": "For 3D-VQ L, 16x128x128.", "config": _video(128, _128, 128)},
    "discriminator_base_64": {"description": "For 3D-VQ B, 16x64x64 (BAIR).", "config": _video(64, _64, 64)},
    "discriminator_large_64": {"description": "For 3D-VQ L, 16x64x64 (BAIR).", "config": _video(128, _64, 64)},
    "discriminator_tiny": {
        "description": "For small clips on a laptop, 16x32x32.",
        "config": _video(16, (2, 2, 2), 32),
    },
    "discriminator_moving_shapes": {
        "description": "For 3dvq_moving_shapes, 8x32x32.",
        "config": {**_video(8, (2, 4, 4), 32), "video_shape": (8, 32, 32)},
    },
    "discriminator_tiny_moving_shapes": {
        "description": "For 3dvq_tiny_moving_shapes, 16x64x64.",
        "config": _video(8, (2, 4, 4, 4), 64),
    },
}

IMAGE_DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "discriminator2d_base_128": {"description": "For 2D-VQ B, 128x128.", "config": _image(64, _128, 128)},
    "discriminator2d_large_128": {"description": "For 2D-VQ L, 128x128.", "config": _image(128, _128, 128)},
    "discriminator2d_base_64": {"description": "For 2D-VQ B, 64x64.", "config": _image(64, _64, 64)},
    "discriminator2d_large_64": {"description": "For 2D-VQ L, 64x64.", "config": _image(128, _64, 64)},
}
