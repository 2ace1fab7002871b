"""Scores of sets of clips through any network: FVD, kernel distance, Inception Score, each with how it was made."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from magvit_keras import backend
from magvit_keras.checks import EXCURSION, check_positive, check_range, to_numpy, video_of
from magvit_keras.files import version
from magvit_keras.metrics.descriptions import distance_name, input_settings
from magvit_keras.metrics.folds import over_folds
from magvit_keras.metrics.frechet import frechet_distance
from magvit_keras.metrics.inception import inception_score
from magvit_keras.metrics.kernel import kernel_distance
from magvit_keras.metrics.statistics import FeatureStatistics


@dataclasses.dataclass(frozen=True)
class VideoScore:
    """A score and how it was made; two scores compare only if these agree.

    Attributes:
        name: "FVD" only for I3D of the published size with weights from a file; otherwise it names the network, as in
            "shapes-FVD (not comparable with published FVD)".
        value: the score, the mean over folds.
        std: population standard deviation over folds, or over splits where there is one fold; None for one of both.
        made_by: network, its weights' checksums, resize rule and other settings, counts and shapes of clips, folds,
            versions.
    """

    name: str
    value: float
    std: float | None
    made_by: dict[str, Any]

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        parts = "folds" if self.made_by["folds"] > 1 else "splits"
        spread = "" if self.std is None else f" (standard deviation {self.std:.4g} over {self.made_by[parts]} {parts})"
        return f"{self.name}: {self.value:.4f}{spread}; " + ", ".join(f"{k} {v}" for k, v in self.made_by.items())


def fvd(real: Any, generated: Any, network: keras.Model, batch_size: int = 16, folds: int = 1) -> VideoScore:
    """Frechet video distance: that of the features which a network gives two sets of clips.

    Args:
        real: clips (N, time, height, width, 3) in [0, 1] or uint8 (what a decoder puts a little outside is clipped); or
            an iterable of batches of such clips (arrays, or dicts with "video"); or `FeatureStatistics` of earlier
            ones, for one fold.
        generated: the same, with clips of the same shape.
        network: any model of clips (batch, time, height, width, 3) in [0, 1] -> features (batch, D). For numbers like
            published ones `convert.load_i3d()`.
        batch_size: clips at a time, where clips come as one array.
        folds: consecutive parts whose distances are averaged; the paper takes 4.

    Returns:
        The score with everything that it depends on.

    Raises:
        ValueError: clips that are not finite or not in [0, 1], of unlike shapes, too short for the network, or features
            that are not (batch, D).

    Warns:
        UserWarning: fewer clips than features, with the distance that chance alone would give.

    Example:
        >>> clips = np.random.default_rng(0).random((8, 4, 8, 8, 3), "float32")
        >>> pool = keras.layers.GlobalAveragePooling3D()
        >>> network = keras.Sequential([keras.Input((4, 8, 8, 3)), pool], name="colours")
        >>> score = fvd(clips, clips, network)
        >>> score.name, round(float(score), 6)
        ('Frechet distance of colours', 0.0)

    Reference:
        FVD (arXiv 1812.01717); MAGVIT (arXiv 2212.05199), Sec. 4 and App. B.3.
    """
    return _distance("FVD", "Frechet distance", frechet_distance, real, generated, network, batch_size, folds)


def kernel_video_distance(
    real: Any, generated: Any, network: keras.Model, batch_size: int = 16, folds: int = 1, **kernel: Any
) -> VideoScore:
    """Kernel distance (MMD) of the features which a network gives two sets of clips: few clips do.

    Args:
        real: as for `fvd`, without statistics.
        generated: the same.
        network: any model of clips -> features (batch, D).
        batch_size: clips at a time, where clips come as one array.
        folds: consecutive parts whose distances are averaged.
        **kernel: what `kernel_distance` takes: kernel, degree, gamma, coefficient, bandwidth, unbiased, scale; or
            settings of a paper, `**JEDI`.

    Returns:
        The score with everything that it depends on.

    Raises:
        ValueError: as `fvd`.

    Example:
        >>> clips = np.random.default_rng(0).random((8, 4, 8, 8, 3), "float32")
        >>> network = keras.Sequential([keras.Input((4, 8, 8, 3)), keras.layers.GlobalAveragePooling3D()])
        >>> float(kernel_video_distance(clips, clips**2, network, degree=2)) > 0
        True

    Reference:
        KVD (arXiv 1812.01717); JEDi (arXiv 2410.05203).
    """
    function = functools.partial(kernel_distance, **kernel)
    score = _distance("KVD", "Kernel distance", function, real, generated, network, batch_size, folds)
    return dataclasses.replace(score, made_by={**score.made_by, **kernel})


def video_inception_score(
    generated: Any, network: keras.Model, batch_size: int = 16, folds: int = 1, splits: int = 1
) -> VideoScore:
    """Inception Score of the logits which a classifier gives to clips.

    Args:
        generated: clips, as for `fvd`.
        network: a classifier of clips -> logits (batch, classes); for numbers like published ones `convert.load_c3d()`.
        batch_size: clips at a time, where clips come as one array.
        folds: consecutive parts whose scores are averaged: the paper takes 4 of 10,000 clips.
        splits: consecutive parts of each fold that are scored by themselves: StyleGAN-V takes one fold of 2,048 clips
            in 10 splits.

    Returns:
        The score with everything that it depends on.

    Raises:
        ValueError: as `fvd`.

    Example:
        >>> clips = np.random.default_rng(0).random((8, 4, 8, 8, 3), "float32")
        >>> network = keras.Sequential([keras.Input((4, 8, 8, 3)), keras.layers.GlobalAveragePooling3D()])
        >>> 1 <= float(video_inception_score(clips, network)) < 3
        True

    Reference:
        MAGVIT (arXiv 2212.05199), Table 1.
    """
    logits, shape = clip_features(generated, network, batch_size)
    if folds == 1:
        score = over_folds(inception_score, splits, logits)
    else:
        score = over_folds(functools.partial(inception_score, splits=splits), folds, logits)
    made_by = {**_made_by(network, folds), "splits": splits, "generated_clips": len(logits), "clip_shape": shape}
    return _score(f"Inception Score of {network.name}", score, max(folds, splits), made_by)


def clip_features(
    clips: Any, network: keras.Model, batch_size: int = 16, name: str = "clips", shape: tuple | None = None
) -> tuple[np.ndarray, tuple]:
    """What a network gives for clips, float64 (N, D), and the shape of a clip.

    Args:
        clips: as for `fvd`.
        network: a model of clips -> features.
        batch_size: clips at a time, where clips come as one array.
        name: how messages call the clips.
        shape: the (time, height, width, 3) that the clips must have, or None.

    Raises:
        ValueError: as `fvd`.

    Example:
        >>> network = keras.Sequential([keras.Input((4, 8, 8, 3)), keras.layers.GlobalAveragePooling3D()])
        >>> features, shape = clip_features(np.zeros((5, 4, 8, 8, 3), "uint8"), network, batch_size=2)
        >>> features.shape, shape
        ((5, 3), (4, 8, 8, 3))
    """
    _check_network(network)
    check_positive(batch_size=batch_size)
    found, done, largest = [], 0, 0
    for batch in _batches(clips, batch_size):
        _check_clips(batch, f"{name}, from clip {done}", shape)
        shape, n = tuple(batch.shape[1:]), len(batch)
        batch = batch.astype("float32") / 255 if batch.dtype == np.uint8 else batch.astype("float32").clip(0, 1)
        # A smaller last batch would compile again; it is filled up with copies, whose features are dropped.
        largest = max(largest, n)
        batch = np.concatenate([batch, np.repeat(batch[-1:], largest - n, axis=0)])
        with backend.full_precision():
            features = network.predict(batch, batch_size=largest, verbose=0)
        if isinstance(features, list | dict | tuple) or np.ndim(features) != 2:
            given = [np.shape(x) for x in keras.tree.flatten(features)]
            raise ValueError(f"network must return features (batch, D); it returned {given} for {batch.shape}.")
        features = np.asarray(features[:n], "float64")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if bad.size:
            raise ValueError(f"The network gives NaN or infinity for clip {done + bad[0]} of {name}.")
        found.append(features)
        done += n
    if not found:
        raise ValueError(f"{name} holds no clip.")
    return np.concatenate(found), shape


def _distance(
    name: str,
    kind: str,
    function: Callable,
    real: Any,
    generated: Any,
    network: keras.Model,
    batch_size: int,
    folds: int,
) -> VideoScore:
    shapes = [tuple(x.shape[1:]) for x in (real, generated) if hasattr(x, "shape")]
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        raise ValueError(f"real and generated must be clips of one shape; received {shapes[0]} and {shapes[1]}.")
    made_by, samples, shape = _made_by(network, folds), [], None
    for side, clips in (("real", real), ("generated", generated)):
        if isinstance(clips, FeatureStatistics):
            if folds != 1 or function is not frechet_distance:
                raise ValueError("FeatureStatistics give a Frechet distance of one fold only: give clips instead.")
            samples.append(clips)
            made_by[f"{side}_clips"] = clips.count
            made_by[f"{side}_from"] = "statistics that do not say of which clips and through which network"
        else:
            features, shape = clip_features(clips, network, batch_size, side, shape)
            samples.append(features)
            made_by[f"{side}_clips"] = len(features)
    made_by["clip_shape"] = shape
    label = distance_name(network, name, kind)
    if folds == 1:
        return VideoScore(label, function(*samples), None, made_by)
    return _score(label, over_folds(function, folds, *samples), folds, made_by)


def _score(name: str, score: Any, folds: int, made_by: dict) -> VideoScore:
    return VideoScore(name, score.mean, score.std if folds > 1 else None, made_by)


def _made_by(network: keras.Model, folds: int) -> dict[str, Any]:
    _check_network(network)
    versions = {name: version(name) or "unknown" for name in ("magvit-keras", "keras", backend.name())}
    return {
        "network": network.name,
        "weights": getattr(network, "weights_source", None) or "unknown: not loaded by this library",
        **input_settings(network),
        "folds": folds,
        "versions": versions,
    }


def _batches(clips: Any, batch_size: int) -> Iterator[np.ndarray]:
    if isinstance(clips, keras.utils.PyDataset):
        if clips.num_batches is None:
            raise ValueError("An endless PyDataset cannot be measured: it must define __len__.")
        batches: Iterable = (clips[i] for i in range(clips.num_batches))
    elif hasattr(clips, "shape"):
        batches = (clips[i : i + batch_size] for i in range(0, len(clips), batch_size))
    elif isinstance(clips, Iterable) and not isinstance(clips, str):
        batches = clips
    else:
        raise ValueError(
            f"Clips come as an array or as an iterable of batches of them; received {type(clips).__name__}."
        )
    for batch in batches:
        video = video_of(batch)
        yield video if isinstance(video, np.ndarray) else to_numpy(video)


def _check_network(network: Any) -> None:
    if not isinstance(network, keras.Model):
        raise ValueError(
            f"network must be a keras.Model of clips -> features; received {type(network).__name__}. For FVD it is "
            "mk.convert.load_i3d(path)."
        )


def _check_clips(batch: np.ndarray, name: str, shape: tuple | None) -> None:
    if batch.ndim != 5 or batch.shape[-1] != 3 or 0 in batch.shape:
        raise ValueError(
            f"{name}: clips must be (batch, time, height, width, 3), channels last; received the shape {batch.shape}."
        )
    if shape is not None and tuple(batch.shape[1:]) != tuple(shape):
        raise ValueError(f"{name}: clips are {batch.shape[1:]}, but those before them {tuple(shape)}.")
    check_range(batch, name, EXCURSION)
