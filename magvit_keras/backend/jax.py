"""JAX: pure functions over variable values, stateless scopes, jit."""

import contextlib
import contextvars
import functools
import math
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from magvit_keras.backend import plain
from magvit_keras.backend.forms import jax_convolution, jax_tpu
from magvit_keras.backend.jax_distribution import placed
from magvit_keras.backend.whole_steps import uninterrupted

_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_TARGET: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar("magvit_keras_target", default=None)

#: XLA differentiates a traced gradient like any other function.
SECOND_ORDER_COMPILES = True

cross_entropy = plain.cross_entropy
dense = plain.dense
one_pass = plain.one_pass
random_state = plain.random_state
set_random_state = plain.set_random_state


@contextlib.contextmanager
def compiling_for(platform: str, kind: str = "") -> Iterator[None]:
    """Programs traced within take the form that is best on "cpu", "gpu" or "tpu", whatever this machine has.

    `kind` is what JAX calls the device: "TPU v2", "TPU v5 lite". Without it, forms are those of newer chips.

    For compiling ahead of time: JAX traces before it knows for which device, and takes this machine's kind.
    """
    token = _TARGET.set((platform, kind))
    try:
        yield
    finally:
        _TARGET.reset(token)


def _target() -> tuple[str, str]:
    """Platform and kind of the device that programs are traced for."""
    return _TARGET.get() or (jax.default_backend(), jax.devices()[0].device_kind)


def _platform() -> str:
    return _target()[0]


def is_traced(x: Any) -> bool:
    """True while JAX traces `x`."""
    return isinstance(x, jax.core.Tracer)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 convolution without padding, channels last, over 2 or 3 axes."""
    forms = {"cpu": jax_convolution.convolve_on_cpu, "tpu": jax_tpu.convolve_to_lanes}
    return forms.get(_platform(), jax_convolution.convolve)(x, kernel)


def attention(query: jax.Array, key: jax.Array, value: jax.Array, scale: float, causal: bool) -> jax.Array | None:
    """softmax(scale query key) value, each (B, N, heads, D), in one pass; None where XLA does it in steps.

    `causal` makes tokens blind to those after them.
    """
    platform, kind = _target()
    if keras.distribution.distribution() is not None and platform != "gpu":
        return None  # neither kernel nor loop is shared between devices
    if platform == "gpu":
        # cuDNN's flash attention where the card, the precision and the sizes allow it, which Keras finds out.
        return keras.ops.dot_product_attention(query, key, value, scale=scale, is_causal=causal)
    if platform == "tpu":
        return jax_tpu.attention(query * scale, key, value, causal, kind)
    return _attention_by_heads(query * scale, key, value, causal) if platform == "cpu" else None


def _attention_by_heads(query: jax.Array, key: jax.Array, value: jax.Array, causal: bool) -> jax.Array:
    # XLA's CPU products of two matrices are up to ten times as fast as those of stacks of them, and the weights of
    # one head fit into the cache.
    b, n, h, _ = query.shape
    seen = np.tri(n, dtype=bool) if causal else None

    def one(arrays: tuple) -> jax.Array:
        query, key, value = arrays  # (N, D)
        affinity = jnp.matmul(query, key.T).astype("float32")
        affinity = affinity if seen is None else jnp.where(seen, affinity, -1e30)
        return jnp.matmul(jax.nn.softmax(affinity, axis=-1).astype(value.dtype), value)

    flat = [jnp.swapaxes(x, 1, 2).reshape(b * h, n, -1) for x in (query, key, value)]
    return jnp.swapaxes(jax.lax.map(one, tuple(flat)).reshape(b, h, n, -1), 1, 2)


def convolve_doubled(x: jax.Array, kernel: jax.Array, double: Sequence[bool]) -> jax.Array | None:
    """A padded tensor, doubled and convolved with a kernel of size 3; None where that is better done in phases."""
    return jax_tpu.convolve_doubled(x, kernel, double) if _platform() == "tpu" else None


def normalized_convolution(x: jax.Array, *options: Any) -> jax.Array | None:
    """Normalization, swish, padding and convolution at once; None where that gains nothing."""
    return jax_tpu.normalized_convolution(x, *options) if _platform() == "tpu" else None


def downsample(x: jax.Array, axes: Sequence[bool]) -> jax.Array | None:
    """Means of pairs of cells along the chosen axes; None where that is as good axis by axis."""
    return jax_tpu.downsample(x, axes) if _platform() == "tpu" else None


def pad(x: jax.Array, widths: list[tuple[int, int]], mode: str) -> jax.Array:
    """Pads the axes between batch and channels; `mode` is "same" (zeros) or one of NumPy's names."""
    if _platform() == "tpu" and mode != "same":
        return jax_tpu.pad(x, widths, [mode] * len(widths))
    return plain.pad(x, widths, mode)


def add(x: jax.Array, y: jax.Array) -> jax.Array:
    """`x + y` of one shape (B, ..., C)."""
    return jax_tpu.add(x, y) if _platform() == "tpu" else x + y


def group_norm(x: jax.Array, groups: int, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """(B, ..., C) normalized over all axes but batch and group, float32; accurate where the mean is large."""
    if _platform() == "tpu":
        return jax_tpu.normalizer(x, groups, scale, bias, epsilon)(x)
    return plain.group_norm(x, groups, scale, bias, epsilon)


def exact_matmul(a: Any, b: Any) -> jax.Array:
    """The float32 product of two matrices, without the bfloat16 or TF32 that the hardware may prefer."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def full_precision() -> contextlib.AbstractContextManager:
    """Networks traced within run in float32 as it is, not in bfloat16 or TF32."""
    return jax.default_matmul_precision("float32")


def value_and_gradients(
    loss_fn: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Any, Any, list]:
    """`loss_fn() -> (loss, aux)`; returns loss, aux and d loss / d variables; `state` is read and moved.

    `state` must hold every other variable that `loss_fn` reads: one that is missing there is read from outside the
    traced state and would be a constant of the compiled step.
    """

    def pure(values: list, state_values: list) -> tuple[Any, tuple[Any, list]]:
        mapping = [*zip(variables, values, strict=True), *zip(state, state_values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss, aux = loss_fn()
            moved = [scope.get_current_value(v) for v in state]
        return loss, (aux, moved)

    before = [v.value for v in state]
    (loss, (aux, after)), gradients = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables], before)
    for variable, value in zip(state, after, strict=True):
        variable.assign(value)
    return loss, aux, gradients


def input_gradient(critic: Callable[[Any], Any], videos: Any) -> tuple[Any, Any]:
    """Outputs of `critic(videos)` and the gradient of their sum by the videos, itself differentiable."""
    outputs, pull_back = jax.vjp(critic, jnp.asarray(videos))
    (gradient,) = pull_back(jnp.ones_like(outputs))
    return outputs, gradient


def checkpoint(fn: Callable[..., tuple[Any, list]], arrays: Sequence[Any], values: Sequence[Any]) -> tuple[Any, list]:
    """`fn(arrays, values)`, a tensor and a list, computed again for the backward pass; see `remat.rematerialize`."""
    return jax.checkpoint(fn)(tuple(arrays), list(values))


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    when: Any = None,
) -> None:
    """One step of a built optimizer on the variables; where the scalar `when` is False nothing changes."""
    targets = [*variables, *optimizer.variables]
    before = [v.value for v in targets]
    count = len(variables)
    new_values, new_state = optimizer.stateless_apply(before[count:], gradients, before[:count])
    after = [*new_values, *new_state]
    if when is not None:
        after = [jnp.where(when, new, old) for new, old in zip(after, before, strict=True)]
    for variable, value in zip(targets, after, strict=True):
        variable.assign(value)


def forget_compiled() -> None:
    """Makes all programs of `run_compiled` compile again: a model has other variables than before."""
    _COMPILED.clear()


def run_compiled(owner: keras.Layer, key: Any, fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)` under jit, compiled once per owner, key and shapes; the owner's variables are arguments."""
    if any(is_traced(a) for a in jax.tree.leaves(arrays)):
        return fn(*arrays)
    cache = _COMPILED.setdefault(owner, {})
    if key not in cache:
        # The cached closure must not keep the owner alive: the cache is keyed weakly by it.
        owner_ref = weakref.ref(owner)
        fn_ref = weakref.WeakMethod(fn) if hasattr(fn, "__self__") else lambda: fn

        def pure(values: list, *args: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(owner_ref().variables, values, strict=True))):
                return fn_ref()(*args)

        cache[key] = jax.jit(pure)
    values, arrays = placed([v.value for v in owner.variables], arrays)
    return cache[key](values, *arrays)


#: How much of a training a device that fails may lose.
_COPY_SECONDS = 60

#: What Keras' JAX trainer hands from step to step, by the number of groups: of predict, evaluate, fit.
_GROUPS = {
    2: ("trainable_variables", "non_trainable_variables"),
    3: ("trainable_variables", "non_trainable_variables", "metrics_variables"),
    4: ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"),
}


def _gives_back(name: str) -> Callable:
    """Keras' method of that name, after which the variables have their values again, come what may."""

    @functools.wraps(getattr(keras.Model, name))
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._lost = ""
        if name == "fit":
            self._copied = {}, -math.inf
        try:
            return getattr(super(StepMixin, self), name)(*args, **kwargs)
        except BaseException as error:
            self.jax_state_sync()
            self._jax_state = None
            if self._lost:
                error.add_note(self._lost)
            raise
        finally:
            if name == "fit":
                self._copied = None

    return method


class StepMixin:
    """Runs the stateful steps of `SteppedModel` inside a stateless scope, as Keras' JAX trainer asks.

    While `fit` runs, Keras takes the values out of the variables: each step consumes them and returns new ones. So
    that an error loses none, `_jax_state`, from which Keras fills the variables again, always holds the newest. A
    device that fails within a step loses these, too; `fit` therefore keeps a copy of them on the host.
    """

    _copied: tuple[dict, float] | None = None
    _lost = ""

    def jax_state_sync(self) -> None:
        """Keras' own; where a device has failed in a step, and keeps what it was given, from the copy."""
        kept = [] if self._jax_state_synced else [v for group in (self._jax_state or {}).values() for v in group]
        if any(isinstance(value, jax.Array) and value.is_deleted() for value in kept):
            copy, at = self._copied or ({}, 0.0)
            self._jax_state = copy or self._jax_state
            seconds = f"{time.monotonic() - at:.0f}"
            became = f"is as it was {seconds} seconds ago" if copy else "is lost: load the last checkpoint"
            self._lost = f"The device failed within a step, and the model {became}."
        super().jax_state_sync()

    fit = _gives_back("fit")
    evaluate = _gives_back("evaluate")
    predict = _gives_back("predict")
    train_on_batch = _gives_back("train_on_batch")
    test_on_batch = _gives_back("test_on_batch")
    predict_on_batch = _gives_back("predict_on_batch")

    def _get_jax_state(self, purge_model_variables: bool = False, **groups: bool) -> tuple:
        state = super()._get_jax_state(**groups)
        if purge_model_variables:
            self._keep_state(state)
            super()._get_jax_state(**groups, purge_model_variables=True)
        return state

    def _make_function(self, step: Callable, **options: Any) -> Callable:
        def whole(state: tuple, data: Any) -> tuple:
            self._keep_state(state)
            self._copy_now_and_then(state)
            with uninterrupted():  # else the new values could be lost when the old ones have been consumed
                outputs, state = step(state, data)
                self._keep_state(state)
            return outputs, state

        return super()._make_function(whole, **options)

    def _keep_state(self, state: tuple) -> None:
        self._jax_state, self._jax_state_synced = dict(zip(_GROUPS[len(state)], state, strict=True)), False

    def _copy_now_and_then(self, state: tuple) -> None:
        due = self._copied is not None and time.monotonic() - self._copied[1] > _COPY_SECONDS
        if due and len(state) == 4 and all(value.is_fully_addressable for group in state for value in group):
            groups = ([np.array(value) for value in group] for group in state)
            self._copied = dict(zip(_GROUPS[4], groups, strict=True)), time.monotonic()

    def train_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """One call of `training_step`; `state` = trainable, non-trainable, optimizer and metric values."""
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        return _stateless(self.training_step, groups, state, data)

    def test_step(self, state: tuple, data: Any) -> tuple[dict, tuple]:
        """One call of `evaluation_step`; `state` = trainable, non-trainable and metric values."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        return _stateless(self.evaluation_step, groups, state, data)


def _stateless(step: Callable, groups: tuple, state: tuple, data: Any) -> tuple[dict, tuple]:
    mapping = [pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        logs = step(data)
        state = tuple([scope.get_current_value(v) for v in group] for group in groups)
    return logs, state
