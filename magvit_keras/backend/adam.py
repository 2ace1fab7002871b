"""Adam in the form of optax, which the authors train with."""

from typing import Any

import keras
from keras import ops

# On PyTorch, Keras has another class for each optimizer, which updates all variables at once and is not public: asked
# for an Adam, Keras makes one of that class, but of a subclass of Adam it makes what it is asked for.
_Adam, _AdamW = (type(cls.__new__(cls)) for cls in (keras.optimizers.Adam, keras.optimizers.AdamW))


class _OptaxForm:
    """Adds epsilon, 1e-8 by default, to the root of the second moment as it is after its correction.

        optax:  m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)
        Keras:  m / (1 - b1^t) * sqrt(1 - b2^t) / (sqrt(v) + epsilon), with 1e-7

    The two are equal where Keras' epsilon is optax's times sqrt(1 - b2^t), and that is what `epsilon` reads as;
    `get_config` has optax's.
    """

    def __init__(self, *args: Any, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(*args, epsilon=epsilon, **kwargs)

    @property
    def epsilon(self) -> Any:
        """What Keras' form adds in this step."""
        step = ops.cast(self.iterations + 1, "float32")
        return self._epsilon * ops.sqrt(1.0 - ops.power(ops.cast(self.beta_2, "float32"), step))

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._epsilon = value

    def get_config(self) -> dict:
        """The arguments."""
        return {**super().get_config(), "epsilon": self._epsilon}


@keras.saving.register_keras_serializable("magvit_keras")
class OptaxAdam(_OptaxForm, _Adam):
    """Keras' Adam with optax's epsilon: 1e-8, added to the root of the corrected second moment.

    Keras adds 1e-7 before the correction, which shortens the steps of weights whose gradients are small: with
    `beta_2=0.99`, the first step along a gradient of 1e-7 to a tenth. All else, arguments and saved state included,
    is as in `keras.optimizers.Adam`.

    Example:
        >>> OptaxAdam(1e-4, beta_1=0.0, beta_2=0.99).get_config()["epsilon"]
        1e-08
    """


@keras.saving.register_keras_serializable("magvit_keras")
class OptaxAdamW(_OptaxForm, _AdamW):
    """Keras' AdamW with optax's epsilon, as `OptaxAdam`.

    Example:
        >>> OptaxAdamW(1e-4, weight_decay=0.045).get_config()["epsilon"]
        1e-08
    """
