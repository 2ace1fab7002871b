"""Metrics of frames, as Keras metrics, between the neighbouring frames of a clip and of the best of several tries."""

from typing import Any

import keras
from keras import ops

from magvit_keras.checks import to_float
from magvit_keras.metrics.frame_metrics import FrameMetric
from magvit_keras.metrics.frames import interframe


class _OfMetric(FrameMetric):
    """Holds the metric of frames that it is made of."""

    def __init__(self, metric: FrameMetric, name: str | None, dtype: Any):
        if not isinstance(metric, FrameMetric):
            raise ValueError(f"metric must be a PSNR, SSIM or PerceptualDistance; received {type(metric).__name__}.")
        prefix = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(self).__name__).removeprefix("_")
        super().__init__(metric.scores, name or f"{prefix}_{metric.name}", dtype)
        self.metric = metric

    def get_config(self) -> dict:
        """Every constructor argument; of a network its architecture, not its weights."""
        metric = keras.saving.serialize_keras_object(self.metric)
        return {"name": self.name, "dtype": self.dtype, "metric": metric}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """The metric of that config."""
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})


@keras.saving.register_keras_serializable("magvit_keras")
class Interframe(_OfMetric):
    """A metric of neighbouring frames within each clip: how still, or how restless, clips are; see `interframe`.

    Args:
        metric: a `PSNR`, `SSIM` or `PerceptualDistance`.
        of: "generated", or "real": the same of the targets, to compare with.
        name: of the metric in logs; None is "interframe_" and the name of `metric`.
        dtype: of the running mean.

    Raises:
        ValueError: another metric, an unknown `of`, clips of a single frame.

    Example:
        >>> still = np.full((2, 4, 16, 16, 3), 0.5, "float32")
        >>> metric = Interframe(mk.metrics.SSIM())
        >>> metric.name, round(float(metric(None, still)), 4)
        ('interframe_ssim', 1.0)
    """

    def __init__(self, metric: FrameMetric, of: str = "generated", name: str | None = None, dtype: Any = None):
        if of not in ("generated", "real"):
            raise ValueError(f"of must be 'generated' or 'real'; received {of!r}.")
        super().__init__(metric, name, dtype)
        self.of = of

    def scores(self, real: Any, generated: Any) -> Any:
        """The mean over the pairs of neighbours of each clip (batch,)."""
        clips = generated if self.of == "generated" else real
        return interframe(self.metric.scores, ops.clip(to_float(clips), 0.0, 1.0))

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "of": self.of}


@keras.saving.register_keras_serializable("magvit_keras")
class BestOf(_OfMetric):
    """The mean over clips of the best score among several tries for each; see `best_of`.

    Predictions have an axis of tries after that of the batch: (batch, tries, time, height, width, channels). Where so
    many do not fit, `best_of` takes them one after the other.

    Args:
        metric: a `PSNR`, `SSIM` or `PerceptualDistance`; of the latter the smallest value is the best.
        name: of the metric in logs; None is "best_of_" and the name of `metric`.
        dtype: of the running mean.

    Raises:
        ValueError: another metric, or predictions without the axis of tries.

    Example:
        >>> real = np.full((2, 1, 16, 16, 3), 0.5, "float32")
        >>> tries = np.stack([real + 0.1, real + 0.2, real + 0.4], axis=1)
        >>> round(float(BestOf(mk.metrics.PSNR())(real, tries)), 2)
        20.0

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3: the best of 100 on BAIR.
    """

    def __init__(self, metric: FrameMetric, name: str | None = None, dtype: Any = None):
        super().__init__(metric, name, dtype)
        self.larger_is_better = metric.larger_is_better

    def scores(self, real: Any, generated: Any) -> Any:
        """The best score of each clip (batch,)."""
        if len(generated.shape) != len(real.shape) + 1 or not generated.shape[1]:
            raise ValueError(
                f"{self.name} takes predictions with an axis of tries, (batch, tries, ...) for targets (batch, ...); "
                f"received {tuple(generated.shape)} for {tuple(real.shape)}."
            )
        tries = generated.shape[1]
        flat = ops.reshape(generated, (-1, *generated.shape[2:]))
        values = ops.reshape(self.metric.scores(ops.repeat(real, tries, axis=0), flat), (-1, tries))
        return ops.max(values, axis=1) if self.larger_is_better else ops.min(values, axis=1)
