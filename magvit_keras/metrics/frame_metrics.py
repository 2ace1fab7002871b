"""PSNR, SSIM and LPIPS as Keras metrics, for `compile(metrics=[...])`."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from magvit_keras.checks import to_float
from magvit_keras.metrics.frames import psnr, ssim
from magvit_keras.metrics.network_holder import NetworkHolder


class FrameMetric(keras.metrics.Metric):
    """Mean over all frames seen of a function of two batches of clips or frames; PSNR, SSIM and LPIPS are such."""

    #: Whether a large value is a good one.
    larger_is_better = True

    def __init__(self, function: Callable[[Any, Any], Any], name: str, dtype: Any):
        super().__init__(name=name, dtype=dtype)
        self._function = function
        self._mean = keras.metrics.Mean(dtype=dtype)

    def scores(self, real: Any, generated: Any) -> Any:
        """The mean over the frames of each example (batch,), so that `sample_weight` has one weight for each.

        Args:
            real: clips or frames in [0, 1] or uint8.
            generated: the same shape; values beyond [0, 1], as decoders give them, are clipped.

        Raises:
            ValueError: not a batch, or what the function raises.
        """
        if len(real.shape) < 4:
            raise ValueError(f"{self.name} takes batches (batch, ..., height, width, channels); received {real.shape}.")
        values = self._function(real, ops.clip(to_float(generated), 0.0, 1.0))
        return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds the frames of a batch.

        Args:
            y_true: real clips or frames in [0, 1] or uint8.
            y_pred: generated ones of the same shape; values beyond [0, 1], as decoders give them, are clipped.
            sample_weight: (batch,), or None.
        """
        self._mean.update_state(self.scores(y_true, y_pred), sample_weight)

    def result(self) -> Any:
        """The mean so far."""
        return self._mean.result()

    def reset_state(self) -> None:
        """Forgets all frames."""
        self._mean.reset_state()


@keras.saving.register_keras_serializable("magvit_keras")
class PSNR(FrameMetric):
    """Mean PSNR in dB over the frames of all clips; see `psnr`.

    Args:
        name: of the metric in logs.
        dtype: of the running mean.

    Example:
        >>> metric = PSNR()
        >>> clips = np.full((2, 3, 16, 16, 3), 0.5, "float32")
        >>> round(float(metric(clips, clips + 0.1)), 2)
        20.0

    Reference:
        MAGVIT (arXiv 2212.05199), Table 3.
    """

    def __init__(self, name: str = "psnr", dtype: Any = None):
        super().__init__(psnr, name, dtype)


@keras.saving.register_keras_serializable("magvit_keras")
class SSIM(FrameMetric):
    """Mean SSIM over the frames of all clips; see `ssim`.

    Args:
        name: of the metric in logs.
        dtype: of the running mean.

    Example:
        >>> metric = SSIM()
        >>> clips = np.random.default_rng(0).random((2, 3, 16, 16, 3), "float32")
        >>> round(float(metric(clips, clips)), 4)
        1.0

    Reference:
        Wang et al., Image quality assessment (IEEE TIP 2004).
    """

    def __init__(self, name: str = "ssim", dtype: Any = None):
        super().__init__(ssim, name, dtype)


@keras.saving.register_keras_serializable("magvit_keras")
class PerceptualDistance(NetworkHolder, FrameMetric):
    """Mean LPIPS over the frames of all clips.

    Args:
        network: an `LPIPS` with its weights, as `convert.load_lpips` gives it. On JAX they become constants of the
            compiled step.
        name: of the metric in logs.
        dtype: of the running mean.

    Raises:
        ValueError: no network.

    Example:
        >>> metric = PerceptualDistance(mk.metrics.LPIPS(width=1 / 16))  # yours: mk.convert.load_lpips()
        >>> clips = np.random.default_rng(0).random((1, 2, 16, 16, 3), "float32")
        >>> float(metric(clips, clips))
        0.0

    Reference:
        LPIPS (arXiv 1801.03924).
    """

    larger_is_better = False

    def __init__(self, network: keras.Model, name: str = "lpips", dtype: Any = None):
        if network is None:
            raise ValueError("PerceptualDistance needs a network, for example mk.convert.load_lpips(path).")
        super().__init__(self._distance, name, dtype)
        self._hold(network)

    def _distance(self, real: Any, generated: Any) -> Any:
        self._check_weights()
        return self._network(real, generated)
