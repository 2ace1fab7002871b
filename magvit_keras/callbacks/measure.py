"""A callback that measures what the model makes while it trains."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras.callbacks.samples import reconstructions
from magvit_keras.checks import check_positive, to_float, to_numpy


class Measure(keras.callbacks.Callback):
    """Adds scores of reconstructed or generated clips to the logs of every few epochs.

    Other callbacks and the history see the scores beside the losses, under `measured_` and the name of each.

    Args:
        clips: real clips (B, T, H, W, 3), uint8 or floats in [0, 1].
        scores: name -> function of real and made clips, both float32 in [0, 1], that returns a number or an array, of
            which the mean counts: `psnr`, `ssim`, an LPIPS network, or `lambda real, made: mk.metrics.fvd(...)`.
        make: model -> clips of the shape of `clips`; by default their reconstructions, under `VQGAN` with the averaged
            weights.
        every: epochs between two measurements.

    Raises:
        ValueError: `every` is below 1, or there are no scores.

    Example:
        >>> measure = Measure(np.zeros((2, 4, 16, 16, 3), "uint8"), {"psnr": mk.metrics.psnr}, every=5)
        >>> predict = lambda magvit: magvit.generate("frame_prediction", video=measure.clips, seed=0)
        >>> measure = Measure(measure.clips, {"ssim": mk.metrics.ssim}, make=predict)
    """

    def __init__(
        self,
        clips: Any,
        scores: Mapping[str, Callable[[Any, Any], Any]],
        make: Callable[[Any], Any] | None = None,
        every: int = 1,
    ):
        """Keeps the clips."""
        super().__init__()
        check_positive(every=every)
        if not scores:
            raise ValueError("scores must name at least one function, as {'psnr': mk.metrics.psnr}; received none.")
        self.clips = to_numpy(to_float(np.asarray(clips)))
        self.scores, self.every = dict(scores), every
        self.make = make or (lambda model: reconstructions(model, self.clips))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measures where it is time."""
        if logs is None or (epoch + 1) % self.every:
            return
        made = np.clip(to_numpy(to_float(self.make(self.model))), 0.0, 1.0)
        for name, score in self.scores.items():
            value = score(self.clips, made)
            logs[f"measured_{name}"] = float(ops.mean(value)) if hasattr(value, "shape") else float(value)
