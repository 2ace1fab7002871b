"""Rematerialization: activations that are computed again for the backward pass instead of being kept."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

# Keras offers no public way to read a variable uncast while a layer of lower precision is being called.
from keras.src.backend.common.variables import AutocastScope, get_autocast_scope

if keras.config.backend() == "jax":
    from magvit_keras.backend.jax import checkpoint
elif keras.config.backend() == "tensorflow":
    from magvit_keras.backend.tensorflow import checkpoint
else:
    from magvit_keras.backend.torch import checkpoint


def rematerialize(fn: Callable[..., Any], layers: Sequence[keras.Layer], *arrays: Any) -> Any:
    """`fn(*arrays)`, of which only `arrays` are kept for the backward pass.

    `keras.remat` draws other masks of dropout when it computes again, and the gradients are those of other masks
    than the loss. Here the states of the random seeds are arguments like the weights, and both passes draw the same.

    Args:
        fn: maps tensors to one tensor; reads no variables but those of `layers`.
        layers: what `fn` calls.
        *arrays: tensors.
    """
    variables = list({id(v): v for layer in layers for v in layer.variables}.values())
    weights = {id(v) for layer in layers for v in layer.weights}
    seeds = [v for v in variables if id(v) not in weights]
    trainable = [v for v in variables if v.trainable and id(v) in weights]
    frozen = [v for v in variables if not v.trainable and id(v) in weights]
    outer = get_autocast_scope()
    precision = None if outer is None else outer.dtype
    with AutocastScope(None):
        values, fixed = [v.value for v in trainable], [v.value for v in frozen]
        # Copies: PyTorch changes a state in place, and the second pass must begin where the first one did.
        states = [v.value * 1 for v in seeds]

    def pure(arrays: Sequence[Any], values: Sequence[Any]) -> tuple[Any, list]:
        mapping = [*zip(trainable, values, strict=True), *zip(frozen, fixed, strict=True)]
        mapping += zip(seeds, states, strict=True)
        with keras.StatelessScope(state_mapping=mapping) as scope, AutocastScope(precision):
            result = fn(*arrays)
            return result, [scope.get_current_value(v) for v in seeds]

    result, moved = checkpoint(pure, arrays, values)
    for variable, state in zip(seeds, moved, strict=True):
        variable.assign(state)
    return result
