"""matplotlib figures in one style, which notebooks show and which are written as PNG, SVG or PDF."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np

# Okabe and Ito's colours, which people with any colour vision tell apart; without their yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLE = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "figure.facecolor": "white",
}


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, np.ndarray]:
    """A matplotlib figure and its axes (rows, columns).

    It is made without `pyplot`, which would show it a second time in a notebook and keep it in memory.

    Args:
        rows: of axes.
        columns: of axes.
        size: (width, height) in inches.
        **options: of `Figure.subplots`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    plot = _figure_class()(figsize=size, layout="constrained")
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return plot, plot.subplots(rows, columns, squeeze=False, **options)


@functools.cache
def _figure_class() -> type:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed: pip install matplotlib, or the extra magvit-keras[plots]"
        ) from error

    class Plot(Figure):
        """A Figure that a notebook shows as the last expression of a cell."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=110)
            return file.getvalue()

    return Plot
