"""Where a token of the transformer looks: attention weights as maps over the clip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magvit_keras.checks import to_numpy
from magvit_keras.commit.tasks import get_task
from magvit_keras.commit.vocabulary import Vocabulary
from magvit_keras.visualize.clips import clip_list
from magvit_keras.visualize.comparison import to_pixels
from magvit_keras.visualize.figures import COLOURS, new_figure


def attention_maps(
    model: Any,
    token_ids: Any,
    query: int | Sequence[int],
    layer: int | None = -1,
    head: int | None = None,
    task: str | None = None,
    label: int = -1,
) -> np.ndarray:
    """Attention weights of one token, its query, on all visual tokens of the clip.

    The transformer runs once, without dropout. In a causal transformer a token sees itself and those before it only;
    the weights of the others are 0.

    Args:
        model: a `Magvit` or `MaskedTransformer`.
        token_ids: int (t, h, w), or (B, t, h, w) for several clips: visual tokens, with the model's
            `vocabulary.mask_id` where unknown, as one of `Generation.steps.inputs`.
        query: the token that looks, as (t, h, w) indices or as its number in the order time, row, column.
        layer: number of the layer from 0; negative ones count from the last; None averages over all layers.
        head: number of the head; None averages over all heads.
        task: whose prompt stands before the tokens; by default the model's first one.
        label: number of the class that stands before the tokens; -1 for none.

    Returns:
        float32 (t, h, w) or (B, t, h, w). The sum is below 1 by what the prompt and the class get.

    Raises:
        ValueError: tokens of another shape or outside the vocabulary; query, layer or head out of range.

    Example:
        >>> import numpy as np
        >>> import magvit_keras as mk
        >>> transformer = mk.MaskedTransformer(16, num_classes=3, latent_shape=(2, 2, 2), num_layers=2, hidden_size=8,
        ...                                    num_heads=2, mlp_dim=16)
        >>> mk.visualize.attention_maps(transformer, np.zeros((2, 2, 2), int), query=(1, 0, 0)).shape
        (2, 2, 2)

    Reference: Sec. 3.2 and App. A.2 of the MAGVIT paper.
    """
    transformer = getattr(model, "transformer", model)
    shape = transformer.latent_shape
    ids = np.asarray(to_numpy(token_ids))
    if ids.shape[-3:] != shape or ids.ndim not in (3, 4) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"token_ids: expected whole numbers {shape} or (B, *{shape}), received {ids.dtype} {ids.shape}"
        )
    if ids.min() < 0 or ids.max() >= transformer.vocabulary_size:
        raise ValueError(
            f"token_ids: expected 0 to {transformer.vocabulary_size - 1}, received {ids.min()} to {ids.max()}"
        )
    position = transformer.prefix_length + _query_number(query, shape)
    flat = ids.reshape(-1, math.prod(shape))
    prefix = np.broadcast_to(_prefix(model, transformer, task, label), (len(flat), transformer.prefix_length))
    sequence = np.concatenate([prefix, flat], axis=1).astype("int32")
    chosen_layers = slice(None) if layer is None else [_in_range("layer", layer, transformer.num_layers)]
    chosen_heads = slice(None) if head is None else [_in_range("head", head, transformer.num_heads)]
    weights = to_numpy(transformer.attention_weights(sequence, position))  # (layers,B,heads,N)
    weights = weights[chosen_layers][:, :, chosen_heads, transformer.prefix_length :]
    return weights.mean(axis=(0, 2)).reshape(ids.shape)


def plot_attention(
    clip: np.ndarray,
    maps: np.ndarray | Mapping[str, np.ndarray],
    query: int | Sequence[int] | None = None,
) -> Any:
    """Lays attention maps over the frames of a clip: the brighter, the more weight.

    Each column is one step of the token grid in time, with the first of the frames that it stands for. In each row of
    pictures the brightest token is the one with the most weight, which stands beside the row; those with less than the
    median token show the frame as it is.

    Args:
        clip: (T, H, W, 3), uint8 or floats in [0, 1].
        maps: (t, h, w) of `attention_maps`, or name -> map: a row of pictures for each.
        query: the token that looks, as in `attention_maps`; it gets a frame.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the clip is not a multiple of the maps.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.visualize import plot_attention
        >>> figure = plot_attention(np.zeros((8, 32, 32, 3)), np.random.rand(2, 4, 4), query=(1, 2, 2))
    """
    [clip] = clip_list(clip)
    named = dict(maps) if isinstance(maps, Mapping) else {"": maps}
    steps, rows, columns = next(iter(named.values())).shape
    each = len(clip) // steps
    place = (
        None
        if query is None
        else np.unravel_index(_query_number(query, (steps, rows, columns)), (steps, rows, columns))
    )
    figure, axes = new_figure(len(named), steps, (min(2.0 * steps, 14) + 0.4, 2.15 * len(named) + 0.2))
    grey = clip.mean(axis=-1) / 255 * 0.75
    for number, (line, (name, weights)) in enumerate(zip(axes, named.items(), strict=True)):
        weights = np.asarray(weights, "float32")
        # From the median: where all tokens get nearly the same, what stands out is still seen.
        middle, most = float(np.median(weights)), float(weights.max())
        shown = to_pixels(np.clip((weights - middle) / max(most - middle, 1e-9), 0, 1), clip.shape[:3])
        for step, axis in enumerate(line):
            axis.imshow(grey[step * each], cmap="gray", vmin=0, vmax=1)
            heat = shown[step * each]
            axis.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * heat**0.5, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if place is not None and place[0] == step:
                _mark(axis, place[1], place[2], clip.shape[1] / rows, clip.shape[2] / columns)
            if number == 0:
                last = (step + 1) * each
                axis.set_title(f"frame {last}" if each == 1 else f"frames {step * each + 1}-{last}", loc="left")
        line[0].set_ylabel(f"{name}\nmost: {100 * most:.2g} %".strip())
    return figure


def _mark(axis: Any, row: int, column: int, height: float, width: float) -> None:
    from matplotlib.patches import Rectangle

    corner = column * width - 0.5, row * height - 0.5
    # White below blue: seen on light and on dark.
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="white", linewidth=4))
    axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=COLOURS[4], linewidth=2))


def _prefix(model: Any, transformer: Any, task: str | None, label: int) -> np.ndarray:
    vocabulary = getattr(model, "vocabulary", None) or Vocabulary(
        transformer.codebook_size, transformer.num_classes, transformer.num_special_tokens
    )
    if task is None:
        task = next(iter(getattr(model, "tasks", ())), "frame_prediction")
    prompt = vocabulary.prompt_id(get_task(task).name) if vocabulary.prefix_length == 2 else 0
    prefix = vocabulary.prefix(np.array([prompt], "int32"), vocabulary.class_ids(np.array([label])))
    return to_numpy(prefix)


def _query_number(query: int | Sequence[int], shape: Sequence[int]) -> int:
    if np.ndim(query) == 0:
        return _in_range("query", query, math.prod(shape))
    if len(query) != 3:
        raise ValueError(f"query={query!r}: expected (t, h, w) indices or one number")
    places = [_in_range(f"query={tuple(query)}", index, size) for index, size in zip(query, shape, strict=True)]
    return int(np.ravel_multi_index(places, tuple(shape)))


def _in_range(name: str, index: int, size: int) -> int:
    if not -size <= index < size:
        raise ValueError(
            f"{name}: expected an index from 0 to {size - 1} (or negative, from the end), received {index}"
        )
    return int(index) % size
