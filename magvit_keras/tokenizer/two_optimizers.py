"""Two optimizers as one: what lets `model.fit` train generator and discriminator."""

from collections.abc import Sequence
from typing import Any

import keras

from magvit_keras import backend
from magvit_keras.checks import to_numpy


def batches_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """Batches whose gradients an optimizer, or a pair of optimizers, puts together for one update of the weights."""
    optimizer = getattr(optimizer, "generator_optimizer", optimizer)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    return optimizer.gradient_accumulation_steps or 1


@keras.saving.register_keras_serializable("magvit_keras")
class TwoOptimizers(keras.optimizers.Optimizer):
    """A pair of optimizers that Keras sees as one.

    Keras moves, saves and restores the state of `model.optimizer` only; a second optimizer kept beside it would
    never learn on JAX and be lost in checkpoints. The pair takes no step itself: `VQGAN` applies each part to its
    own variables.

    `learning_rate` reads the generator's and sets both, so that callbacks that change it work; give each part a
    schedule where the two rates differ. `optimizers` lists the parts.

    Args:
        generator_optimizer: of the tokenizer; a Keras optimizer, or its name or config.
        discriminator_optimizer: of the discriminator; another object.
        name: of the pair.

    Raises:
        ValueError: both parts are the same object, or accumulate gradients over different numbers of batches.

    Example:
        >>> pair = TwoOptimizers(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-4))
        >>> len(pair.optimizers)
        2
    """

    def __init__(self, generator_optimizer: Any, discriminator_optimizer: Any, name: str = "two_optimizers"):
        if generator_optimizer is discriminator_optimizer and isinstance(
            generator_optimizer, keras.optimizers.Optimizer
        ):
            raise ValueError(
                "generator_optimizer and discriminator_optimizer are the same object; each needs its own state. "
                "Make two of them."
            )
        super().__init__(learning_rate=0.0, name=name)
        self.generator_optimizer = keras.optimizers.get(generator_optimizer)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        batches = [batches_per_update(optimizer) for optimizer in self.optimizers]
        if batches[0] != batches[1]:
            raise ValueError(
                f"Both optimizers must accumulate gradients over as many batches; received {batches[0]} for the "
                f"generator's and {batches[1]} for the discriminator's."
            )

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The generator's, the discriminator's."""
        return [self.generator_optimizer, self.discriminator_optimizer]

    def build_parts(
        self, generator_variables: Sequence[keras.Variable], discriminator_variables: Sequence[keras.Variable]
    ) -> None:
        """Makes the state of each part for its own variables."""
        if self.built:
            return
        parts = (list(generator_variables), list(discriminator_variables))
        object.__setattr__(self, "_parts", parts)  # Keras' own setter would take the weights for optimizer state
        for optimizer, variables in zip(self.optimizers, self._parts, strict=True):
            optimizer.build(variables)
        self.built = True

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Keras calls this with all variables at once; `build_parts` must have come before."""
        if not self.built:
            raise ValueError("TwoOptimizers is built by VQGAN.compile, which knows whose variables are whose.")

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own, the generator's, the discriminator's."""
        return [*self._variables, *(v for optimizer in self.optimizers for v in optimizer.variables)]

    @property
    def iterations(self) -> keras.Variable:
        """Steps of the generator."""
        return self.generator_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """The generator's; setting it sets both."""
        return self.generator_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate = value

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Not defined for the pair."""
        raise NotImplementedError("TwoOptimizers takes no step itself; apply its parts to their own gradients.")

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Each part finishes its own variables."""
        for optimizer, variables in zip(self.optimizers, self._parts, strict=True):
            optimizer.finalize_variable_values(variables)

    def save_own_variables(self, store: Any) -> None:
        """Its own variables alone: Keras saves the parts as children."""
        for i, variable in enumerate(self._variables):
            store[str(i)] = to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Its own variables alone."""
        for i, variable in enumerate(self._variables):
            variable.assign(store[str(i)])

    def get_config(self) -> dict:
        """Both parts, readable on every backend."""
        parts = [backend.neutral_config(keras.optimizers.serialize(optimizer)) for optimizer in self.optimizers]
        return {"generator_optimizer": parts[0], "discriminator_optimizer": parts[1], "name": self.name}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "TwoOptimizers":
        """The pair of that config."""
        return cls(**config)
