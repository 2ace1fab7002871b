"""Looking at clips, tokens, decoding and training: in a notebook, as files, and as one HTML page.

Clips are uint8, or floats in [0, 1]; `(T, H, W, 3)` for one and `(N, T, H, W, 3)` for several.
"""

from magvit_keras._lazy import public_names

# On first use: the attention maps need Keras, and the plots matplotlib, which is optional.
_PUBLIC = {
    "Animation": "magvit_keras.visualize.notebook",
    "Figure": "magvit_keras.visualize.report",
    "Section": "magvit_keras.visualize.report",
    "attention_maps": "magvit_keras.visualize.attention",
    "decoding_animation": "magvit_keras.visualize.decoding",
    "decoding_steps": "magvit_keras.visualize.clips",
    "hatched": "magvit_keras.visualize.clips",
    "grid": "magvit_keras.visualize.clips",
    "plot_attention": "magvit_keras.visualize.attention",
    "plot_codebook_usage": "magvit_keras.visualize.plots",
    "plot_history": "magvit_keras.visualize.plots",
    "save_gif": "magvit_keras.visualize.files",
    "save_mp4": "magvit_keras.visualize.files",
    "save_png_strip": "magvit_keras.visualize.files",
    "show": "magvit_keras.visualize.notebook",
    "side_by_side": "magvit_keras.visualize.comparison",
    "strip": "magvit_keras.visualize.clips",
    "to_pixels": "magvit_keras.visualize.comparison",
    "to_uint8": "magvit_keras.visualize.clips",
    "token_map": "magvit_keras.visualize.clips",
    "upscale": "magvit_keras.visualize.clips",
    "write_report": "magvit_keras.visualize.report",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
