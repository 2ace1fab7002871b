"""The only room that may ask which backend runs: the same names for TensorFlow, JAX and PyTorch.

convolve(x, kernel)                        stride-1 convolution without padding, channels last
convolve_doubled(x, kernel, double)        the same after nearest upsampling, or None where that is done in phases
attention(query, key, value, scale, causal)   attention in one pass, or None where it is done in steps
cross_entropy(logits, targets, label_smoothing)   of each token, in float32
dense(x, kernel, bias, axes, gelu)         a product with bias and GELU in it, or None where that gains nothing
downsample(x, axes)                        means of pairs of cells, or None where that is done axis by axis
group_norm(x, groups, scale, bias, epsilon)   group normalization in float32, channels last
normalized_convolution(x, groups, ...)     group normalization, swish, padding and convolution at once, or None
add(x, y)                                  x + y, in the form of `normalized_convolution`
one_pass(fn, *arrays)                      fn(*arrays), compiled to one operation where those around it are not
pad(x, widths, mode)                       pads the axes between batch and channels
stack(parts, axis)                         joins parts along a new axis
value_and_gradients(loss_fn, variables, state)   one loss, its gradients, and the state it moved
input_gradient(critic, videos)             critic's outputs and d outputs / d videos, differentiable (R1)
apply_gradients(optimizer, gradients, variables, when)   one optimizer step, or none
OptaxAdam, OptaxAdamW                      Adam as optax, hence the authors, computes it
run_compiled(owner, key, fn, *arrays)      fn compiled once per owner, key and shapes
forget_compiled()                          programs of `run_compiled` compile again
exact_matmul(a, b)                         a float32 product in full precision, on hardware that would round too
full_precision()                           a context in which networks run in full float32, without TF32 or bfloat16
is_traced(x)                               True while a graph is being built
name()                                     "jax", "tensorflow" or "torch"
random_state(), set_random_state(state)    of the backend's own generators, as plain text; empty where it has none
rematerialize(fn, layers, *arrays)         fn, whose activations are computed again for the gradients, not kept
SECOND_ORDER_COMPILES                      whether the compiler takes gradients of gradients
replica_mean(x), replica_sum(x)            over the devices that share a batch, the same on each
choose_rows(pool, draws)                   rows of the pools of these devices, the same on each
uniform(shape, seed)                       random numbers for the examples of a batch, on any number of devices alike
distribution                               the devices and processes of the backend, see `devices/distribution.py`
SavedWhole                                 what keeps a model and its file the same
SteppedModel                               a keras.Model whose train step is written once
"""

import keras

if keras.config.backend() == "jax":
    from magvit_keras.backend import jax as _chosen
elif keras.config.backend() == "tensorflow":
    from magvit_keras.backend import tensorflow as _chosen
elif keras.config.backend() == "torch":
    from magvit_keras.backend import torch as _chosen
else:
    raise ImportError(
        f"Keras runs on {keras.config.backend()!r}; magvit_keras supports jax, tensorflow and torch "
        "(set KERAS_BACKEND before Keras is imported)."
    )

from magvit_keras.backend import unloaded_tensorflow  # noqa: F401
from magvit_keras.backend.adam import OptaxAdam, OptaxAdamW
from magvit_keras.backend.plain import stack
from magvit_keras.backend.remat import rematerialize
from magvit_keras.backend.replicas import choose_rows, replica_mean, replica_sum, uniform
from magvit_keras.backend.replicas import chosen as distribution
from magvit_keras.backend.saved_whole import SavedWhole
from magvit_keras.backend.stepped_model import SteppedModel, neutral_config

SECOND_ORDER_COMPILES = _chosen.SECOND_ORDER_COMPILES
add = _chosen.add
apply_gradients = _chosen.apply_gradients
attention = _chosen.attention
convolve = _chosen.convolve
convolve_doubled = _chosen.convolve_doubled
cross_entropy = _chosen.cross_entropy
dense = _chosen.dense
downsample = _chosen.downsample
exact_matmul = _chosen.exact_matmul
forget_compiled = _chosen.forget_compiled
full_precision = _chosen.full_precision
group_norm = _chosen.group_norm
input_gradient = _chosen.input_gradient
is_traced = _chosen.is_traced
name = keras.config.backend
normalized_convolution = _chosen.normalized_convolution
one_pass = _chosen.one_pass
pad = _chosen.pad
random_state = _chosen.random_state
run_compiled = _chosen.run_compiled
set_random_state = _chosen.set_random_state
value_and_gradients = _chosen.value_and_gradients

__all__ = [
    "SECOND_ORDER_COMPILES",
    "OptaxAdam",
    "OptaxAdamW",
    "SavedWhole",
    "SteppedModel",
    "add",
    "apply_gradients",
    "attention",
    "choose_rows",
    "convolve",
    "convolve_doubled",
    "cross_entropy",
    "dense",
    "distribution",
    "downsample",
    "exact_matmul",
    "forget_compiled",
    "full_precision",
    "group_norm",
    "input_gradient",
    "is_traced",
    "name",
    "neutral_config",
    "normalized_convolution",
    "one_pass",
    "pad",
    "random_state",
    "rematerialize",
    "replica_mean",
    "replica_sum",
    "run_compiled",
    "set_random_state",
    "stack",
    "uniform",
    "value_and_gradients",
]
