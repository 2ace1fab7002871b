"""Curves and counts: losses of a training, use of a codebook."""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magvit_keras.visualize.figures import COLOURS, new_figure

_LOG_RANGE = 20  # losses that span more than this factor get a logarithmic axis


def plot_history(history: Any, names: Sequence[str] | None = None, columns: int = 3) -> Any:
    """Draws what a training logged: a small plot for each name, with `val_` values in the same plot.

    Args:
        history: what `fit` returned; its dict, name -> values by epoch; a dict of such dicts, stage -> dict, as in a
            run's history.json; or the path of that file or of its run.
        names: the names to draw, such as "loss"; by default all.
        columns: plots in a row.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("loss.png")` writes it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no values, or a name that was not logged.

    Example:
        >>> from magvit_keras.visualize import plot_history
        >>> figure = plot_history({"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.3, 2.2], "accuracy": [0.1, 0.3, 0.4]})
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['loss', 'accuracy']
    """
    curves = _curves(history)
    known = list(dict.fromkeys(name for _, name in curves))
    unknown = [name for name in names or () if name not in known]
    if unknown or not curves:
        raise ValueError(f"names: expected some of {', '.join(known) or 'nothing was logged'}; received {unknown}")
    if names is not None:
        curves = {(stage, name): curves[stage, name] for name in names for stage in _stages(curves, name)}
    columns = max(1, min(columns, len(curves)))
    rows = math.ceil(len(curves) / columns)
    figure, axes = new_figure(rows, columns, (max(3.6 * columns, 4.5), 2.7 * rows))
    for place, ((stage, name), lines) in zip(axes.flat, curves.items(), strict=False):
        for number, (kind, values) in enumerate(lines.items()):
            epochs = np.arange(1, len(values) + 1)
            # A single epoch has no line: show its point.
            marker = "o" if len(values) < 3 else None
            place.plot(epochs, values, color=COLOURS[number], label=kind, marker=marker, linewidth=1.8)
        title = f"{stage}: {name}" if stage else name
        place.set_title(title, loc="left", fontsize=min(11, 340 / len(title)))
        longest = max(map(len, lines.values()))
        place.xaxis.get_major_locator().set_params(integer=True)
        if longest == 1:
            place.set_xticks([1])
        values = np.concatenate([np.asarray(line, float) for line in lines.values()])
        values = values[np.isfinite(values)]
        if "loss" in name and values.size and values.min() > 0 and values.max() / values.min() > _LOG_RANGE:
            place.set_yscale("log")
        if len(lines) > 1:
            place.legend(frameon=False)
    for place in axes.flat[len(curves) :]:
        place.remove()
    # The lowest plot of each column names the axis for those above it.
    for column in range(columns):
        lowest = (len(curves) - 1 - column) // columns
        axes[lowest, column].set_xlabel("epoch")
    return figure


def plot_codebook_usage(ids: np.ndarray | Mapping[str, np.ndarray], codebook_size: int) -> Any:
    """Draws how often each code is used, from the most frequent to the rarest.

    The flatter the curve, the better the codebook is used; it ends where codes are never used. The dashed line is equal
    use of all codes. The perplexity, exp of the entropy, is the number of equally used codes that would say as much.

    Args:
        ids: whole numbers of any shape, 0 <= id < codebook_size; or name -> ids, to compare.
        codebook_size: of the tokenizer.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: ids that are not whole numbers or outside the codebook, or none.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import plot_codebook_usage
        >>> figure = plot_codebook_usage(np.arange(4000) ** 2 % 64, codebook_size=64)
        >>> figure.axes[0].get_title(loc="left")
        '12 of 64 codes used (19 %), perplexity 11.3'
    """
    several = isinstance(ids, Mapping)
    figure, [[place]] = new_figure(1, 1, (6.4, 3.4))
    for number, (name, entry) in enumerate((ids if several else {"": ids}).items()):
        share = _shares(np.asarray(entry), codebook_size)
        used = int((share > 0).sum())
        perplexity = math.exp(-(share[:used] * np.log(share[:used])).sum())
        text = f"{used} of {codebook_size} codes used ({used / codebook_size:.0%}), perplexity {perplexity:.1f}"
        text = text.replace("%)", " %)")
        colour = COLOURS[number % len(COLOURS)]
        place.step(
            np.arange(1, used + 1), share[:used], where="mid", color=colour, linewidth=1.8, label=f"{name}: {text}"
        )
        if not several:
            place.fill_between(np.arange(1, used + 1), share[:used], step="mid", color=colour, alpha=0.15, linewidth=0)
            place.set_title(text, loc="left")
    place.axhline(1 / codebook_size, color="#666666", linestyle=(0, (4, 3)), linewidth=1)
    place.annotate(
        "equal use",
        (1, 1 / codebook_size),
        (-2, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color="#666666",
        fontsize=9,
    )
    place.set_xlim(0, codebook_size)
    place.set_yscale("log")
    place.set_xlabel("codes, most frequent first")
    place.set_ylabel("share of the tokens")
    if several:
        place.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False)
    return figure


def _shares(ids: np.ndarray, codebook_size: int) -> np.ndarray:
    """(codebook_size,) shares of the tokens, the largest first."""
    if ids.dtype.kind not in "iu" or not ids.size or ids.min() < 0 or ids.max() >= codebook_size:
        seen = f"{ids.min()} to {ids.max()}" if ids.size else "none"
        raise ValueError(f"ids: expected whole numbers from 0 to {codebook_size - 1}, received {ids.dtype} {seen}")
    return np.sort(np.bincount(ids.ravel(), minlength=codebook_size))[::-1] / ids.size


def _stages(curves: dict, name: str) -> list[str]:
    return [stage for stage, other in curves if other == name]


def _curves(history: Any) -> dict[tuple[str, str], dict[str, list[float]]]:
    """(stage, name) -> "training" and "validation" -> values."""
    if isinstance(history, (str, os.PathLike)):
        path = pathlib.Path(history)
        history = json.loads((path / "history.json" if path.is_dir() else path).read_text())
    history = getattr(history, "history", history)
    if not isinstance(history, Mapping):
        raise ValueError(f"history: expected a History, a dict or a path; received {type(history).__name__}")
    stages = history if history and all(isinstance(entry, Mapping) for entry in history.values()) else {"": history}
    curves: dict = {}
    for stage, logs in stages.items():
        for name in sorted(logs, key=lambda name: name not in ("loss", "val_loss")):  # the loss first
            values = logs[name]
            if np.ndim(values) != 1:
                raise ValueError(f"history: {name!r} must be a list of numbers, one an epoch; received {values!r:.60}")
            plain = name.removeprefix("val_")
            kind = "training" if plain == name else "validation"
            curves.setdefault((stage, plain), {})[kind] = list(values)
    return curves
