"""The only room that may ask which backend runs: the same names for TensorFlow, JAX and PyTorch.

    convolve(x, kernel)                        stride-1 convolution without padding, channels last
    value_and_gradients(loss_fn, variables, state)   one loss, its gradients, and the state it moved
    run_compiled(owner, key, fn, *arrays)      fn compiled once per owner, key and shapes
    is_traced(x)                               True while a graph is being built
    SteppedModel                               a keras.Model whose train step is written once
"""

import keras

if keras.config.backend() == "jax":
    from magvit_keras.backend.jax import convolve, is_traced, run_compiled, value_and_gradients
elif keras.config.backend() == "tensorflow":
    from magvit_keras.backend.tensorflow import convolve, is_traced, run_compiled, value_and_gradients
elif keras.config.backend() == "torch":
    from magvit_keras.backend.torch import convolve, is_traced, run_compiled, value_and_gradients
else:
    raise ImportError(
        f"Keras runs on {keras.config.backend()!r}; magvit_keras supports jax, tensorflow and torch "
        "(set KERAS_BACKEND before Keras is imported)."
    )

from magvit_keras.backend.stepped_model import SteppedModel

__all__ = ["SteppedModel", "convolve", "is_traced", "run_compiled", "value_and_gradients"]
