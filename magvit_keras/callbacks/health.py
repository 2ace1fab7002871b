"""Callbacks that watch a training run and speak up when it goes wrong."""

import math
import warnings
from typing import Any

import keras

from magvit_keras.checks import to_numpy
from magvit_keras.tokenizer.two_optimizers import batches_per_update

#: Sums of the other losses: named last, since they cannot be the cause.
_TOTALS = ("loss", "g_loss", "d_loss")


class StopOnNaN(keras.callbacks.Callback):
    """Stops training at the first loss that is not finite, and says at which step and which loss it was.

    Logs of an epoch are running means, so that the first step with a value that is not finite shows at once. Where
    several losses go in the same step, those that others are made of are named first.

    Attributes after a stop:
        step: the step, counted from 1 over all epochs of this `fit`.
        names: the losses that went first.

    Example:
        >>> callbacks = [StopOnNaN()]
    """

    def __init__(self) -> None:
        """Nothing to set."""
        super().__init__()
        self.step = 0
        self.names: list[str] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts to count."""
        self.step, self.names = 0, []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks at every value."""
        self.step += 1
        bad = {name: float(value) for name, value in (logs or {}).items() if not math.isfinite(value)}
        if not bad:
            return
        order = [*getattr(self.model, "log_names", ()), *bad]
        self.names = sorted((n for n in bad if n not in _TOTALS), key=order.index) or list(bad)
        found = ", ".join(f"{name} = {bad[name]}" for name in self.names)
        self.model.stop_training = True
        warnings.warn(
            f"Training stopped at step {self.step}: {found}. The weights of the step before are lost unless they were "
            "saved. Usual causes: a learning rate too high, float16 without loss scaling, input out of range.",
            stacklevel=2,
        )


class CollapseWarning(keras.callbacks.Callback):
    """Warns when the tokenizer has come to use a small part of its codebook.

    Under `VQGAN` it counts the codes used at least once within the epoch; elsewhere it takes `codebook_usage` of the
    logs, the mean share that a batch uses, which is low in small batches anyway.

    Args:
        threshold: share of the codes, 0 to 1, below which it warns.
        patience: epochs in a row below it before it warns; it then warns again as often.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, threshold: float = 0.1, patience: int = 1):
        """Sets the threshold."""
        super().__init__()
        if not 0 < threshold <= 1 or patience < 1:
            raise ValueError(f"threshold must be in (0, 1] and patience at least 1; received {threshold}, {patience}.")
        self.threshold, self.patience = threshold, patience
        self._steps, self._low = 0, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts to count steps."""
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts a step."""
        self._steps = batch + 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Warns where the use has been low for long enough."""
        usage = self._usage(logs or {})
        if usage is None:
            return
        self._low = self._low + 1 if usage < self.threshold else 0
        if self._low >= self.patience:
            self._low = 0
            warnings.warn(
                f"Epoch {epoch + 1} used {usage:.1%} of the codebook. Remedies: VQGAN(restart_codes_after=...), a "
                "larger entropy_loss_weight, a smaller codebook or embedding_dim, a lower learning rate.",
                stacklevel=2,
            )

    def _usage(self, logs: dict) -> float | None:
        usage = getattr(self.model, "code_usage", None)
        return logs.get("codebook_usage") if usage is None else usage.share_used_within(self._steps)


class DiscriminatorWarning(keras.callbacks.Callback):
    """Warns when the discriminator of a `VQGAN` wins outright, or has lost.

    It wins where it is right nearly always on both kinds of clips: the tokenizer then learns nothing from it. It has
    lost where it calls nearly everything wrongly. Epochs in which it rests (`generator_only_steps`) do not count.

    Args:
        high: accuracy on real and on reconstructed clips, both above which it wins.
        low: mean of the two accuracies below which it has lost.
        patience: epochs in a row before it warns; it then warns again as often.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, high: float = 0.99, low: float = 0.1, patience: int = 1):
        """Sets the limits."""
        super().__init__()
        if not 0 <= low < high <= 1 or patience < 1:
            raise ValueError(f"Needs 0 <= low < high <= 1 and patience at least 1; received {low}, {high}, {patience}.")
        self.high, self.low, self.patience = high, low, patience
        self._epochs = {"won": 0, "lost": 0}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the accuracies of the epoch."""
        real, fake = (logs or {}).get("d_real_accuracy"), (logs or {}).get("d_fake_accuracy")
        if real is None or fake is None or self._rests():
            return
        self._count("won", min(real, fake) > self.high, real, fake, epoch)
        self._count("lost", (real + fake) / 2 < self.low, real, fake, epoch)

    def _rests(self) -> bool:
        steps, rest = getattr(self.model, "steps", None), getattr(self.model, "generator_only_steps", 0)
        if not rest:
            return False
        return int(to_numpy(steps)) // batches_per_update(self.model.optimizer) <= rest

    def _count(self, what: str, holds: bool, real: Any, fake: Any, epoch: int) -> None:
        self._epochs[what] = self._epochs[what] + 1 if holds else 0
        if self._epochs[what] >= self.patience:
            self._epochs[what] = 0
            remedy = {
                "won": "Remedies: a larger r1_weight, a lower rate of the discriminator, lecam_weight, more data.",
                "lost": "Remedies: a higher rate of the discriminator, a smaller adversarial_weight or r1_weight.",
            }[what]
            warnings.warn(
                f"The discriminator {what} epoch {epoch + 1}: right on {real:.1%} of the real clips and {fake:.1%} of "
                f"the reconstructed ones. {remedy}",
                stacklevel=2,
            )
