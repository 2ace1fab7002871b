"""Non-autoregressive decoding (Algorithm 1) as an animation: which tokens are known after each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from magvit_keras.checks import to_numpy
from magvit_keras.visualize.clips import caption, decoding_steps, grid, to_uint8, token_map, upscale

_GREY, _GAP = 128, 4


def decoding_animation(
    generation: Any,
    codebook_size: int,
    tokenizer: Any = None,
    clip: int = 0,
    frame_size: int = 128,
) -> np.ndarray:
    """The steps of Algorithm 1 as frames, for `show(frames, fps=2)` or `save_gif`.

    Frame 0 is the start, frame k the state after step k. The tokens of a clip lie side by side, one picture for each
    step of the token grid in time. Known tokens have their colours (see `token_map`); unknown ones are grey, and where
    the network sees a token of the condition in their place, grey with a tint of that token's colour.

    Args:
        generation: the `Generation` of `Magvit.generate(..., return_details=True)`.
        codebook_size: of the tokenizer.
        tokenizer: decodes the tokens after each step; a second row then shows the first frame of each step of the
            token grid in time, with tokens that are not settled yet as the network predicts them. None leaves it out.
        clip: which clip of the batch.
        frame_size: width of one picture, about, in pixels: frames and tokens are enlarged by whole factors.

    Returns:
        uint8 (K+1, H', W', 3) for K steps.

    Raises:
        ValueError: no steps in `generation`, or no such clip.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from magvit_keras.visualize import decoding_animation
        >>> ids, unknown = np.zeros((3, 1, 2, 4, 4), int), np.ones((3, 1, 2, 4, 4), bool)
        >>> made = SimpleNamespace(steps=SimpleNamespace(inputs=ids + 9, predicted=ids, unknown=unknown))
        >>> decoding_animation(made, codebook_size=8).shape
        (4, 149, 260, 3)

    Reference: Algorithm 1 and Fig. 3 of the MAGVIT paper.
    """
    steps = getattr(generation, "steps", None)
    if steps is None:
        raise ValueError("generation: expected what generate(..., return_details=True) returns, with its steps")
    inputs, predicted, unknown = (np.asarray(getattr(steps, name)) for name in ("inputs", "predicted", "unknown"))
    if not -predicted.shape[1] <= clip < predicted.shape[1]:
        raise ValueError(f"clip={clip}: expected 0 to {predicted.shape[1] - 1}")
    inputs, predicted, unknown = inputs[:, clip], predicted[:, clip], unknown[:, clip].astype(bool)  # (K,t,h,w)
    # After step k what it left unknown is what step k+1 predicts; after the last one all is known.
    masks = np.concatenate([unknown, np.zeros_like(unknown[:1])])
    tokens = np.concatenate([predicted[:1], predicted])
    seen = np.concatenate([inputs, predicted[-1:]])
    painted = decoding_steps(tokens, masks, codebook_size)  # (K+1,t,h,w,3)
    hinted = masks & (seen < codebook_size)
    tint = token_map(np.where(hinted, seen, 0), codebook_size) * 0.3 + _GREY * 0.7
    painted = np.where(hinted[..., None], tint.astype(np.uint8), painted)
    pictures = [painted]
    if tokenizer is not None:
        pictures.append(_pixels(tokenizer, predicted))
    rows = [_row(made, frame_size) for made in pictures]
    known = 1 - masks.reshape(len(masks), -1).mean(axis=1)
    last = len(masks) - 1
    width = max(row.shape[2] for row in rows)
    texts = [f"step {k} of {last}: {part:.0%} known".replace("%", " %") for k, part in enumerate(known)]
    parts = [np.stack([caption(text, width) for text in texts])]
    for row in rows:
        parts.append(np.pad(row, ((0, 0), (0, _GAP), (0, width - row.shape[2]), (0, 0)), constant_values=255))
    return np.concatenate(parts, axis=1)[:, :-_GAP]


def _row(pictures: np.ndarray, frame_size: int) -> np.ndarray:
    """(K+1, t, h, w, 3) -> (K+1, H, W, 3): time of the clip from left to right."""
    factor = max(1, frame_size // pictures.shape[3])
    return grid([upscale(pictures[:, step], factor) for step in range(pictures.shape[1])], columns=pictures.shape[1])


def _pixels(tokenizer: Any, predicted: np.ndarray) -> np.ndarray:
    """One decoded frame for each step of the token grid in time, (K+1, t, H, W, 3); grey before the first step."""

    decoded = []
    for ids in predicted:  # one at a time: a clip of every step at once may not fit
        video = np.clip(to_numpy(tokenizer.decode(ids[None]))[0], 0, 1)  # (T,H,W,3)
        decoded.append(to_uint8(video[:: len(video) // len(ids)]))
    return np.stack([np.full_like(decoded[0], _GREY), *decoded])
