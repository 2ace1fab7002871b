"""`magvit-keras studio`: a page on this computer to paint holes into clips, and to watch a model fill them."""

import pathlib


def canvas_script() -> str:
    """JavaScript of a canvas to paint a hole on, `holeCanvas`, as the studio and the inpainting notebook use it."""
    return pathlib.Path(__file__).with_name("canvas.js").read_text("utf-8")
