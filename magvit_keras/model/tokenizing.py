"""Tokens of clips, and of their condition clips for every task (Sec. 3.2)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.checks import to_float, to_numpy
from magvit_keras.commit.conditions import apply_plan, condition_plan
from magvit_keras.commit.tasks import Task


def tokenize(
    tokenizer: Any, tasks: Mapping[str, Task], video: Any, batch_size: int = 8, verbose: int = 0
) -> dict[str, np.ndarray]:
    """Encodes clips, and the clips that each task is given of them.

    Args:
        tokenizer: a `VideoTokenizer`.
        tasks: name -> task.
        video: clips (N, T, H, W, 3), uint8 or floats in [0, 1].
        batch_size: clips encoded at a time.
        verbose: 1 shows a progress bar.

    Returns:
        "tokens" (N, t, h, w) int32 and "condition_tokens" (N, tasks, t, h, w) int32, tasks in their order.

    Example:
        >>> from magvit_keras.commit.tasks import TASKS
        >>> tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
        >>> tasks = {"frame_prediction": TASKS["frame_prediction"]}
        >>> tokens = tokenize(tokenizer, tasks, np.zeros((1, 4, 8, 8, 3), "uint8"))
        >>> tokens["tokens"].shape, tokens["condition_tokens"].shape
        ((1, 2, 4, 4), (1, 1, 2, 4, 4))
    """
    video_shape = tuple(video.shape[1:4])
    latent_shape = tuple(tokenizer.latent_shape(video_shape))
    plans = [condition_plan(task, video_shape, latent_shape) for task in tasks.values()]
    tokens, conditions = [], []
    progress = keras.utils.Progbar(len(video), verbose=verbose, unit_name="clip")
    for start in range(0, len(video), batch_size):
        clips = to_numpy(to_float(video[start : start + batch_size]))
        count = len(clips)
        clips = np.concatenate([clips, np.repeat(clips[-1:], batch_size - count, axis=0)])  # one shape, one trace
        tokens.append(to_numpy(tokenizer.encode(clips))[:count])
        conditions.append(
            np.stack([_of_condition(tokenizer, clips, plan, latent_shape) for plan in plans], axis=1)[:count]
        )
        progress.update(start + count)
    return {"tokens": np.concatenate(tokens), "condition_tokens": np.concatenate(conditions)}


def fingerprint(model: Any, weights_only: bool = False) -> str:
    """SHA-256 of a model's architecture and weights, the same on every backend, in every precision, for every copy."""
    # Keras numbers the names of models by the order in which a process makes them.
    config = (
        {}
        if weights_only
        else {name: value for name, value in model.get_config().items() if name not in ("name", "remat")}
    )
    if "trainable" in config:
        config["trainable"] = True
    if "dtype" in config:
        config["dtype"] = keras.dtype_policies.serialize(keras.dtype_policies.DTypePolicy("float32"))
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for weight in map(to_numpy, model.weights):
        digest.update(f"{weight.shape}".encode() + np.ascontiguousarray(weight, "float32").tobytes())
    return digest.hexdigest()


def _of_condition(tokenizer: Any, clips: np.ndarray, plan: Any, latent_shape: tuple[int, int, int]) -> np.ndarray:
    if plan.ispad.all():  # nothing is given, so nobody reads them
        return np.zeros((len(clips), *latent_shape), "int32")
    return to_numpy(tokenizer.encode(to_numpy(apply_plan(clips, plan))))
