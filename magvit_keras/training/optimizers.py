"""The optimizers of the paper (App. B.2) as functions of the length of the training."""

from typing import Any

import keras

from magvit_keras.backend import OptaxAdam, OptaxAdamW
from magvit_keras.early_checks import check_positive


@keras.saving.register_keras_serializable("magvit_keras")
class KernelDecayAdamW(OptaxAdamW):
    """AdamW whose weight decay acts on kernels only: biases, norms and tables of embeddings are left alone.

    What Keras' `exclude_from_weight_decay` is told is lost when an optimizer is saved; here it is part of the class.
    Epsilon is optax's, see `magvit_keras.backend.OptaxAdam`.

    Example:
        >>> KernelDecayAdamW(1e-4, weight_decay=0.045).weight_decay
        0.045
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # TensorFlow asks with the variable's path, such as "model/dense/kernel:0", the others with its name alone.
        self.exclude_from_weight_decay(var_names=[r"^(?!(.*/)?kernel(:\d+)?$)"])


@keras.saving.register_keras_serializable("magvit_keras")
class OfUpdates(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for an optimizer that accumulates gradients: Keras asks it with the number of batches.

    Args:
        schedule: learning rate by update.
        batches: of an update.

    Example:
        >>> schedule = OfUpdates(keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.5]), batches=4)
        >>> float(schedule(3)), float(schedule(4))
        (1.0, 0.5)
    """

    def __init__(self, schedule: Any, batches: int):
        super().__init__()
        self.schedule = schedule
        self.batches = batches

    def __call__(self, step: Any) -> Any:
        """The rate of the update that this batch belongs to."""
        return self.schedule(step // self.batches)

    def get_config(self) -> dict:
        """Both arguments."""
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "batches": self.batches}

    @classmethod
    def from_config(cls, config: dict) -> "OfUpdates":
        """The schedule of that config."""
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["batches"])


def warmup_cosine(
    learning_rate: float, total_steps: int, warmup_steps: int, batches: int | None = None
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to `learning_rate`, then a cosine to 0 at `total_steps`, in updates of `batches` batches."""
    warmup_steps = max(1, min(warmup_steps, total_steps - 1))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )
    return schedule if batches is None else OfUpdates(schedule, batches)


def tokenizer_optimizer(
    total_steps: int,
    learning_rate: float = 1e-4,
    warmup_steps: int | None = None,
    beta_1: float = 0.0,
    beta_2: float = 0.99,
    gradient_accumulation_steps: int | None = None,
) -> OptaxAdam:
    """Adam(0, 0.99) in optax's form with linear warm-up and cosine decay, as the paper trains the 3D-VQ.

    Args:
        total_steps: length of the training, in updates of the weights.
        learning_rate: its peak; 1e-4 in the paper.
        warmup_steps: one epoch in the paper; by default a twentieth of the training.
        beta_1: 0 in the paper, which adversarial training wants; plain training is faster with 0.9.
        beta_2: 0.99 in the paper.
        gradient_accumulation_steps: batches whose mean gradient makes one update; None for one.
    """
    warmup_steps = total_steps // 20 if warmup_steps is None else warmup_steps
    batches = _several(gradient_accumulation_steps)
    rate = warmup_cosine(learning_rate, total_steps, warmup_steps, batches)
    return OptaxAdam(rate, beta_1=beta_1, beta_2=beta_2, gradient_accumulation_steps=batches)


def transformer_optimizer(
    total_steps: int,
    learning_rate: float = 1e-4,
    warmup_steps: int | None = None,
    weight_decay: float = 0.045,
    clip_norm: float | None = 1.0,
    beta_1: float = 0.9,
    beta_2: float = 0.96,
    gradient_accumulation_steps: int | None = None,
) -> KernelDecayAdamW:
    """Adam(0.9, 0.96) in optax's form with decoupled weight decay on kernels only, clipping, warm-up and cosine decay.

    Args:
        total_steps: length of the training, in updates of the weights.
        learning_rate: its peak; 1e-4 in the paper.
        warmup_steps: 5000 in the paper; by default that, but no more than a tenth of the training.
        weight_decay: on kernels; biases, norms and embeddings are left alone.
        clip_norm: of the global gradient; None does not clip.
        beta_1: 0.9 in the paper.
        beta_2: 0.96 in the paper.
        gradient_accumulation_steps: batches whose mean gradient makes one update; None for one.
    """
    warmup_steps = min(5000, total_steps // 10) if warmup_steps is None else warmup_steps
    batches = _several(gradient_accumulation_steps)
    return KernelDecayAdamW(
        warmup_cosine(learning_rate, total_steps, warmup_steps, batches),
        weight_decay=weight_decay,
        beta_1=beta_1,
        beta_2=beta_2,
        global_clipnorm=clip_norm,
        gradient_accumulation_steps=batches,
    )


def _several(batches: int | None) -> int | None:
    """A number of batches as Keras takes it: None where there is one."""
    if batches is None:
        return None
    check_positive(gradient_accumulation_steps=batches)
    return batches if batches > 1 else None
