"""Scores of Moving Shapes clips through the classifier that comes with the package."""

from typing import Any

import numpy as np

from magvit_keras.metrics.shapes_network import shapes_classifier
from magvit_keras.metrics.video_scores import VideoScore, _made_by, clip_features, fvd


def shapes_fvd(real: Any, generated: Any, batch_size: int = 16, folds: int = 1) -> VideoScore:
    """Frechet distance of Moving Shapes clips through the classifier that comes with the package.

    Not comparable with published FVD, and it says so in its name: another network, trained on other videos.

    Args:
        real: clips, as for `fvd`.
        generated: clips of the same shape.
        batch_size: clips at a time, where clips come as one array.
        folds: consecutive parts whose distances are averaged.

    Returns:
        The score with everything that it depends on, named "shapes-FVD (not comparable with published FVD)".

    Raises:
        ValueError: as `fvd`.

    Warns:
        UserWarning: fewer clips than features, 64.

    Example:
        >>> clips = mk.data.MovingShapes(80, num_frames=8, size=(32, 32)).arrays()["video"]
        >>> score = shapes_fvd(clips, clips)
        >>> score.name, round(score.value, 3)
        ('shapes-FVD (not comparable with published FVD)', 0.0)
    """
    return fvd(real, generated, shapes_classifier().features, batch_size, folds)


def shapes_accuracy(clips: Any, labels: Any, class_names: Any = None, batch_size: int = 16) -> VideoScore:
    """The part of the clips whose most likely class, of all 36, is the one that they should show.

    Args:
        clips: clips, as for `fvd`; as batches, their labels are still given apart.
        labels: integers (N,), the class of each clip.
        class_names: the classes that labels count, such as `source.class_names` of a `MovingShapes` with some of the
            shapes; by default all 36.
        batch_size: clips at a time, where clips come as one array.

    Returns:
        The score from 0 to 1 with everything that it depends on, named "shapes class accuracy".

    Raises:
        ValueError: as `fvd`, or labels that do not fit.

    Example:
        >>> source = mk.data.MovingShapes(8, num_frames=8, size=(32, 32), shapes=("circle", "star"))
        >>> clips = source.arrays()
        >>> 0 <= float(shapes_accuracy(clips["video"], clips["label"], source.class_names)) <= 1
        True
    """
    network = shapes_classifier()
    names = network.class_names if class_names is None else list(class_names)
    unknown = sorted(set(names) - set(network.class_names))
    if unknown:
        raise ValueError(f"class_names holds {', '.join(unknown)}; expected classes of MovingShapes, as 'star_orbit'.")
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, np.arange(len(names))).all():
        raise ValueError(
            f"labels must be integers (N,) from 0 to {len(names) - 1}; received {labels.dtype} of the shape "
            f"{labels.shape}" + (f" from {labels.min()} to {labels.max()}." if labels.size else ".")
        )
    logits, shape = clip_features(clips, network, batch_size)
    if len(logits) != len(labels):
        raise ValueError(f"{len(logits)} clips need as many labels; received {len(labels)}.")
    expected = np.array([network.class_names.index(name) for name in names])[labels]
    value = float((logits.argmax(axis=1) == expected).mean())
    about = {**_made_by(network, folds=1), "generated_clips": len(logits), "clip_shape": shape}
    return VideoScore("shapes class accuracy", value, None, about)
