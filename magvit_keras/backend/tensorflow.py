"""TensorFlow: gradient tapes and tf.function."""

import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from magvit_keras.backend import plain
from magvit_keras.backend.forms import winograd
from magvit_keras.backend.tensorflow_distribution import all_sum, num_replicas, replica_count, take_summed_gradients
from magvit_keras.backend.whole_steps import whole_step

_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_ONE_PASS: dict[Callable, Callable] = {}

#: tf.function takes tapes inside tapes, XLA included.
SECOND_ORDER_COMPILES = True

add = plain.add
convolve_doubled = plain.convolve_doubled
cross_entropy = plain.cross_entropy
downsample = plain.downsample
normalized_convolution = plain.normalized_convolution
group_norm = plain.group_norm
pad = plain.pad
random_state = plain.random_state
set_random_state = plain.set_random_state


def is_traced(x: Any) -> bool:
    """True while a graph is being built."""
    return not tf.executing_eagerly()


def convolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Stride-1 convolution without padding, channels last, over 2 or 3 axes."""
    rank = len(kernel.shape) - 2
    if all(size == 1 for size in kernel.shape[:rank]):
        return ops.matmul(x, ops.reshape(kernel, kernel.shape[rank:]))
    at_once = winograd.frames_at_once(x, kernel) if x.dtype == kernel.dtype == tf.float32 else 0
    if at_once and not tf.config.list_logical_devices("GPU"):
        return winograd.convolve_by_matmul(x, kernel, at_once, convolve)
    return ops.conv(x, kernel, strides=1, padding="valid", data_format="channels_last")


#: Attention weights that are computed at once on a CPU, in numbers: they stay in the cache.
_WEIGHTS = 2**21


def attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, scale: float, causal: bool) -> tf.Tensor | None:
    """softmax(scale query key) value, each (B, N, heads, D), some heads at a time; None where that gains nothing.

    `causal` makes tokens blind to those after them.
    """
    if tf.config.list_logical_devices("GPU"):
        return None
    batch, length, heads, width = query.shape
    seen = np.tri(length, dtype=bool) if causal else None

    def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        affinity = tf.cast(tf.matmul(query, key, transpose_b=True), "float32")
        affinity = affinity if seen is None else tf.where(seen, affinity, -1e30)
        return tf.matmul(tf.cast(tf.nn.softmax(affinity), value.dtype), value)

    query, at_once = query * scale, _WEIGHTS // ((batch or 1) * length**2)
    if at_once <= 1:  # a head is a piece of the width, so nothing needs to be transposed
        parts = (tf.split(tf.reshape(x, (-1, length, heads * width)), heads, axis=2) for x in (query, key, value))
        return tf.reshape(tf.concat(list(map(attend, *parts)), axis=2), (-1, length, heads, width))
    query, key, value = (tf.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))  # (B, heads, N, D)
    made = [attend(*(x[:, first : first + at_once] for x in (query, key, value))) for first in range(0, heads, at_once)]
    return tf.transpose(tf.concat(made, axis=1), (0, 2, 1, 3))


def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, axes: int, gelu: bool) -> tf.Tensor:
    """The last `axes` axes of `x` times the first of the kernel, plus bias, then GELU in the form with tanh, if asked.

    TensorFlow joins the three on a CPU where a product of two matrices, `bias_add` and `gelu` follow each other.
    """
    inputs = kernel.shape[:axes].num_elements()
    flat, outside = tf.reshape(x, (-1, inputs)), tf.shape(x)[: x.shape.rank - axes]
    made = tf.nn.bias_add(tf.matmul(flat, tf.reshape(kernel, (inputs, -1))), tf.reshape(bias, (-1,)))
    made = tf.nn.gelu(made, approximate=True) if gelu else made
    made = tf.reshape(made, tf.concat((outside, kernel.shape[axes:]), axis=0))
    return tf.ensure_shape(made, (*x.shape[:-axes], *kernel.shape[axes:]))


def one_pass(fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)`, on a CPU compiled by XLA inside a graph whose other operations are not.

    A graph's operations each read and write all numbers. `fn` is a function of a module: its programs are kept by it.
    """
    if not is_traced(None) or replica_count() > 1 or tf.config.list_logical_devices("GPU"):
        return fn(*arrays)
    if fn not in _ONE_PASS:
        _ONE_PASS[fn] = tf.function(fn, jit_compile=True, autograph=False)
    return _ONE_PASS[fn](*map(tf.convert_to_tensor, arrays))


def exact_matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The float32 product of two matrices, summed in float64: in float32 a GPU may use TF32."""
    return tf.cast(tf.matmul(tf.cast(a, tf.float64), tf.cast(b, tf.float64)), tf.float32)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Networks run in float32 as it is, not in TF32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def value_and_gradients(
    loss_fn: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Any, Any, list]:
    """`loss_fn() -> (loss, aux)`; returns loss, aux and d loss / d variables; `state` moves by itself."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v.value for v in variables])
        loss, aux = loss_fn()
        # Each replica has the loss of its part of the batch, and the batch's is their mean.
        scaled = loss / replica_count()
    gradients = tape.gradient(scaled, [v.value for v in variables], unconnected_gradients="zero")
    # Summed here, so that whatever follows sees the gradient of the batch: clipping by the norm, and loss scaling,
    # whose replicas must agree on whether all is finite.
    return loss, aux, all_sum(gradients)


def input_gradient(critic: Callable[[Any], Any], videos: Any) -> tuple[Any, Any]:
    """Outputs of `critic(videos)` and the gradient of their sum by the videos, itself differentiable."""
    videos = tf.convert_to_tensor(videos)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(videos)
        outputs = critic(videos)
    return outputs, tape.gradient(outputs, videos)


def checkpoint(fn: Callable[..., tuple[Any, list]], arrays: Sequence[Any], values: Sequence[Any]) -> tuple[Any, list]:
    """`fn(arrays, values)`, a tensor and a list, computed again for the backward pass; see `remat.rematerialize`.

    `tf.recompute_grad` refuses gradients of gradients, which R1 takes.
    """
    count = len(arrays)

    @tf.custom_gradient
    def run(*inputs: tf.Tensor) -> tuple[list, Callable]:
        result, moved = fn(inputs[:count], inputs[count:])

        def gradient(upstream: tf.Tensor, *_: Any) -> list:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                again = [_after(upstream, x) for x in inputs[:count]] + [tf.identity(x) for x in inputs[count:]]
                tape.watch(again)
                result, _ = fn(again[:count], again[count:])
            return tape.gradient(result, again, output_gradients=upstream)

        return [result, *moved], gradient

    result, *moved = run(*map(tf.convert_to_tensor, (*arrays, *values)))
    return result, moved


def _after(upstream: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """`x`, which the compiler cannot have before `upstream`: else it would find the first pass, and keep that."""
    if tf.executing_eagerly() or not x.dtype.is_floating:
        return tf.identity(x)
    some = tf.cast(tf.reduce_max(tf.reshape(upstream, [-1])[:1]), "bool")
    return x + tf.cast(tf.where(tf.equal(some, some), 0.0, float("nan")), x.dtype)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    when: Any = None,
) -> None:
    """One step of a built optimizer on the variables; where the scalar `when` is False nothing changes."""
    if replica_count() > 1:
        take_summed_gradients(optimizer)
    if when is None:
        optimizer.apply(gradients, variables)
        return
    if replica_count() > 1:
        # A branch must not synchronize replicas; so all replicas stop, and the branch runs them.
        def across(strategy: tf.distribute.Strategy, gradients: Sequence[Any], when: Any) -> None:
            def step() -> tf.Tensor:
                strategy.extended.call_for_each_replica(lambda g: optimizer.apply(g, variables), args=(gradients,))
                return tf.constant(True)

            decision = strategy.experimental_local_results(when)[0]
            tf.cond(tf.cast(decision, "bool"), step, lambda: tf.constant(False))

        tf.distribute.get_replica_context().merge_call(across, args=(gradients, when))
        return

    def step() -> tf.Tensor:
        optimizer.apply(gradients, variables)
        return tf.constant(True)

    tf.cond(tf.cast(when, "bool"), step, lambda: tf.constant(False))


def forget_compiled() -> None:
    """Makes all programs of `run_compiled` compile again: a model has other variables than before."""
    _COMPILED.clear()


def run_compiled(owner: keras.Layer, key: Any, fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)` as a tf.function, traced once per owner, key and shapes."""
    if is_traced(None):
        return fn(*arrays)
    cache = _COMPILED.setdefault(owner, {})
    if key not in cache:
        # The cached closure must not keep the owner alive: the cache is keyed weakly by it.
        ref = weakref.WeakMethod(fn) if hasattr(fn, "__self__") else lambda: fn
        cache[key] = tf.function(lambda *args: ref()(*args))
    return cache[key](*[tf.nest.map_structure(tf.convert_to_tensor, a) for a in arrays])


class StepMixin:
    """Hands Keras' TensorFlow trainer the stateful steps of `SteppedModel`."""

    def make_train_function(self, force: bool = False) -> None:
        """Keras' own, as steps that end whole.

        Without XLA where they run on several devices side by side: XLA does not compile that.
        """
        self.jit_compile = self.jit_compile and num_replicas() == 1
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = whole_step(self, self.train_function)

    def make_test_function(self, force: bool = False) -> Any:
        """The same for `evaluate`."""
        self.jit_compile = self.jit_compile and num_replicas() == 1
        return super().make_test_function(force)

    def train_step(self, data: Any) -> dict:
        """One call of `training_step`."""
        data = self._own(data)
        # Not before the batch is there: where the data fail, not even the count of steps has moved.
        with tf.control_dependencies([x for x in keras.tree.flatten(data) if tf.is_tensor(x)]):
            return self.training_step(data)

    def test_step(self, data: Any) -> dict:
        """One call of `evaluation_step`."""
        return self.evaluation_step(self._own(data))

    def _own(self, data: Any) -> Any:
        """A copy of the batch, where its tensors may lie in the memory of NumPy arrays, which belong to the user.

        TensorFlow takes an aligned array as it is, and does not write there; but it forgets that once the batch has
        been cut into parts for the replicas, and puts the results of the step's operations into the user's array.
        """
        if self.jit_compile or tf.config.list_logical_devices("GPU"):  # the batch is brought elsewhere in any case
            return data
        return keras.tree.map_structure(lambda x: tf.raw_ops.DeepCopy(x=x) if tf.is_tensor(x) else x, data)
