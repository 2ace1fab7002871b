"""Given pixels put back into a generated clip, and what its tokens lost of them carried on to other frames."""

import numpy as np

MOVED = 0.06  # root mean square of a change of colour at which a third of the details remains


def put_back(made: np.ndarray, given: np.ndarray, is_given: np.ndarray, details: bool) -> np.ndarray:
    """Puts the given pixels into a clip.

    Tokens hold a picture roughly, so that frames given and frames made differ in sharpness. With `details` a pixel gets
    what its place lost where it was last given, or will next be, by how little its colour has changed since then.

    Args:
        made: (B, T, H, W, 3) in [0, 1], all decoded from tokens.
        given: the same shape.
        is_given: (B, T, H, W) or (T, H, W) bool.
        details: whether to carry on details.

    Returns:
        (B, T, H, W, 3) float32 in [0, 1].

    Example:
        >>> made = np.full((1, 2, 1, 1, 3), 0.5, "float32")  # two frames of a still clip
        >>> clip = put_back(made, made + 0.1, np.array([[[True]], [[False]]]), details=True)
        >>> [round(float(value), 2) for value in clip[0, :, 0, 0, 0]]
        [0.6, 0.6]
    """
    is_given = np.broadcast_to(is_given, made.shape[:-1])
    if details:
        past, future = (_lost_at_nearest(made, given, is_given, step) for step in (1, -1))
        near = past[1] + future[1]
        made = made + (past[0] + future[0]) / np.maximum(near, 1e-9)
    return np.where(is_given[..., None], given, np.clip(made, 0, 1)).astype("float32")


def _lost_at_nearest(made: np.ndarray, given: np.ndarray, is_given: np.ndarray, step: int) -> tuple:
    """Weighted details (B, T, H, W, 3) of the nearest frame given before (or after), and the weight: 1 / distance."""
    made, given, is_given = made[:, ::step], given[:, ::step], is_given[:, ::step]
    frame = np.arange(made.shape[1])[:, None, None]
    nearest = np.maximum.accumulate(np.where(is_given, frame, -1), axis=1)  # -1 where there is none
    near = (nearest >= 0) / np.maximum(frame - nearest, 1)
    at = np.maximum(nearest, 0)[..., None]
    there = np.take_along_axis(made, at, axis=1)
    lost = np.take_along_axis(given, at, axis=1) - there
    still = np.exp(-np.square((made - there) / MOVED).mean(-1))
    return ((near * still)[..., None] * lost)[:, ::step], near[..., None][:, ::step]
