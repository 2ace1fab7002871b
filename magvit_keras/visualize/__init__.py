"""Looking at clips, tokens and decoding: GIF, MP4, film strips and one HTML page.

Clips are uint8, or floats in [0, 1]; `(T, H, W, 3)` for one and `(N, T, H, W, 3)` for several.
"""

from magvit_keras.visualize.clips import decoding_steps, grid, strip, to_uint8, token_map, upscale
from magvit_keras.visualize.files import save_gif, save_mp4, save_png_strip
from magvit_keras.visualize.report import Figure, Section, write_report

__all__ = [
    "Figure",
    "Section",
    "decoding_steps",
    "grid",
    "save_gif",
    "save_mp4",
    "save_png_strip",
    "strip",
    "to_uint8",
    "token_map",
    "upscale",
    "write_report",
]
