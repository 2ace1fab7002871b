"""PyTorch: autograd, eager execution."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
import torch.utils.checkpoint
from keras import ops

from magvit_keras.backend import plain
from magvit_keras.backend.forms import winograd
from magvit_keras.backend.torch_distribution import all_sum, replica_count
from magvit_keras.backend.whole_steps import whole_step

#: torch.compile does not differentiate twice (`torch.compile with aot_autograd does not support double backward`).
SECOND_ORDER_COMPILES = False

#: Numbers in a clip from which on a convolution over time is worth mixing its frames (see `winograd`), and from which
#: on that is done piece by piece, where no gradients are asked for.
_SMALL, _LARGE = 2**17, 2**22


def is_traced(x: Any) -> bool:
    """True for tensors without values, by which Keras works out shapes; eager PyTorch builds no graph otherwise."""
    return isinstance(x, torch.Tensor) and x.device.type == "meta"


def convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Stride-1 convolution without padding, channels last, over 2 or 3 axes."""
    rank = kernel.ndim - 2
    if all(size == 1 for size in kernel.shape[:rank]):
        return torch.matmul(x, kernel.reshape(kernel.shape[rank:]))
    at_once = winograd.frames_at_once(x, kernel) if x.dtype == kernel.dtype == torch.float32 else 0
    if at_once and x.device.type == "cpu" and x[0].numel() >= _SMALL:
        return _convolve_fewer_products(x, kernel, at_once)
    # Views, not copies: what is laid out with the channels last stays so, and the CPU's kernels like it best.
    last = rank + 1
    x, kernel = x.movedim(-1, 1), kernel.permute(last, rank, *range(rank))
    convolution = torch.nn.functional.conv3d if rank == 3 else torch.nn.functional.conv2d
    return convolution(x, kernel).movedim(1, -1)


def _convolve_fewer_products(x: torch.Tensor, kernel: torch.Tensor, at_once: int) -> torch.Tensor:
    if torch.is_grad_enabled() or x[0].numel() < _LARGE:
        return winograd.convolve_by_matmul(x, kernel, at_once, convolve)
    # Few frames at a time, so that what is mixed stays in the cache.
    shape = [n - k + 1 for n, k in zip(x.shape[1:-1], kernel.shape, strict=False)]
    y = x.new_empty((len(x), *shape, kernel.shape[-1]))
    for i in range(len(x)):
        for first in range(0, shape[0], at_once):
            window = x[i : i + 1, first : first + at_once + kernel.shape[0] - 1]
            y[i : i + 1, first : first + at_once] = winograd.convolve_by_matmul(window, kernel, at_once, convolve)
    return y


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, causal: bool) -> torch.Tensor:
    """softmax(scale query key) value, each (B, N, heads, D), by the fused kernel of the device, which keeps no weights.

    Where gradients are wanted and it is faster, few weights are kept. `causal` makes tokens blind to those after them.
    """
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if not causal and _keeps_weights(query, key):
        # The softmax computes in float32 inside, and keeps its result in half the memory.
        return (((query * scale) @ key.mT).softmax(-1) @ value).transpose(1, 2)
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(query, key, value, is_causal=causal, scale=scale).transpose(1, 2)


#: Most attention weights, B x heads x N x N, that a layer keeps for the gradients: 64 MB.
_FEW_WEIGHTS = 2**25


def _keeps_weights(query: torch.Tensor, key: torch.Tensor) -> bool:
    """In bfloat16 on a CPU the fused kernel's gradients take longer than those from weights that were kept."""
    wanted = torch.is_grad_enabled() and query.requires_grad
    few = query.shape[:-1].numel() * key.shape[-2] <= _FEW_WEIGHTS
    return wanted and few and query.device.type == "cpu" and query.dtype == torch.bfloat16


def dense(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, axes: int, gelu: bool) -> torch.Tensor:
    """The last `axes` axes of `x` times the first of the kernel, plus bias, then GELU in the form with tanh, if asked.

    One product of two matrices: Keras adds the bias in a pass of its own, and takes an `EinsumDense` by the slower
    product of stacks of matrices.
    """
    inputs = kernel.shape[:axes].numel()
    made = torch.addmm(bias.reshape(-1), x.reshape(-1, inputs), kernel.reshape(inputs, -1))
    made = _gelu(made) if gelu else made
    return made.reshape(*x.shape[: x.ndim - axes], *kernel.shape[axes:])


#: 2 sqrt(2 / pi) and, times it, the cubic term's factor: GELU with tanh is x sigmoid(_SLOPE x + _CUBIC x^3).
_SLOPE = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _SLOPE
#: Rows of a matrix whose GELU is computed at once: they stay in the cache.
_ROWS = 64


def _gelu(x: torch.Tensor) -> torch.Tensor:
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
        return torch.nn.functional.gelu(x, approximate="tanh")
    # On a CPU PyTorch's own takes several times as long as its sigmoid. In place: `x` was made for this.
    for part in x.split(_ROWS):
        part.mul_((part * part).mul_(_CUBIC).add_(_SLOPE).mul_(part).sigmoid_())
    return x


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float) -> torch.Tensor:
    """(B, N, V) and (B, N) in [0, V) -> (B, N): against (1 - e) one-hot + e / V, in float32, by the fused function."""
    rows = logits.float().flatten(0, -2)
    options = {"label_smoothing": label_smoothing, "reduction": "none"}
    return torch.nn.functional.cross_entropy(rows, targets.flatten().long(), **options).reshape(targets.shape)


def group_norm(x: torch.Tensor, groups: int, scale: torch.Tensor, bias: torch.Tensor, epsilon: float) -> torch.Tensor:
    """(B, ..., C) normalized over all axes but batch and group, float32; accurate where the mean is large."""
    # PyTorch's kernel computes E[x^2] - E[x]^2. Where a rough mean is taken off before, it loses no digits, and the
    # result does not depend on which number was taken off.
    x = x.float()
    with torch.no_grad():
        some = x[:, :, :: max(1, x.shape[2] // 8), :: max(1, x.shape[-2] // 8)] if x.ndim == 5 else x
        rough = plain.by_group(some.mean(dim=tuple(range(1, x.ndim - 1)), keepdim=True), groups)
    x = (x - rough).movedim(-1, 1)
    return torch.nn.functional.group_norm(x, groups, scale, bias, epsilon).movedim(1, -1)


#: PyTorch's names of the modes of `pad`; the others, and axes too short to reflect, are put together from slices.
_PAD_MODES = {"same": "constant", "reflect": "reflect", "edge": "replicate"}


add = plain.add
convolve_doubled = plain.convolve_doubled
downsample = plain.downsample
normalized_convolution = plain.normalized_convolution
one_pass = plain.one_pass


def pad(x: torch.Tensor, widths: Sequence[tuple[int, int]], mode: str) -> torch.Tensor:
    """Pads the axes between batch and channels; `mode` is "same" (zeros) or one of NumPy's names."""
    fits = mode != "reflect" or all(max(w) < n for w, n in zip(widths, x.shape[1:-1], strict=True))
    if mode not in _PAD_MODES or not fits:
        return plain.pad(x, list(widths), mode)
    flat = [n for width in reversed(widths) for n in width]
    return torch.nn.functional.pad(x.movedim(-1, 1), flat, mode=_PAD_MODES[mode]).movedim(1, -1)


def exact_matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The float32 product of two matrices, summed in float64: in float32 a GPU may use TF32."""
    wide = torch.float32 if a.device.type == "mps" else torch.float64
    return (a.to(wide) @ b.to(wide)).to(torch.float32)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Networks run in float32 as it is, not in TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def value_and_gradients(
    loss_fn: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Any, Any, list]:
    """`loss_fn() -> (loss, aux)`; returns loss, aux and d loss / d variables; `state` moves by itself."""
    with torch.enable_grad():
        loss, aux = loss_fn()
        gradients = torch.autograd.grad(loss, [v.value for v in variables], allow_unused=True)
    filled = [torch.zeros_like(v.value) if g is None else g for v, g in zip(variables, gradients, strict=True)]
    if replica_count() > 1:
        # Averaged here, so that whatever follows sees the gradient of the batch: clipping by the norm, and loss
        # scaling, whose processes must agree on whether all is finite.
        filled = [g / replica_count() for g in all_sum(filled)]
    return loss.detach(), keras.tree.map_structure(ops.stop_gradient, aux), filled


def input_gradient(critic: Callable[[Any], Any], videos: Any) -> tuple[Any, Any]:
    """Outputs of `critic(videos)` and the gradient of their sum by the videos, itself differentiable."""
    with torch.enable_grad():
        videos = ops.convert_to_tensor(videos).detach().requires_grad_(True)
        outputs = critic(videos)
        (gradient,) = torch.autograd.grad(outputs.sum(), videos, create_graph=True)
    return outputs, gradient


def checkpoint(fn: Callable[..., tuple[Any, list]], arrays: Sequence[Any], values: Sequence[Any]) -> tuple[Any, list]:
    """`fn(arrays, values)`, a tensor and a list, computed again for the backward pass; see `remat.rematerialize`."""
    if not torch.is_grad_enabled():
        return fn(arrays, values)
    # The form that differentiates twice, and by what `fn` holds: the weights need no copies.
    # Keras' dropout without a seed draws from PyTorch's own state, which must be that of the first pass, too.
    options = {"use_reentrant": False, "preserve_rng_state": True}
    # An early stop is an exception. Keras' layers keep it, and with it all activations, until cycles are collected.
    with torch.utils.checkpoint.set_checkpoint_early_stop(False):
        return torch.utils.checkpoint.checkpoint(lambda *arrays: fn(arrays, values), *arrays, **options)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Any],
    variables: Sequence[keras.Variable],
    when: Any = None,
) -> None:
    """One step of a built optimizer on the variables; where the scalar `when` is False nothing changes."""
    if when is None or bool(when):
        with torch.no_grad():
            optimizer.apply(gradients, variables)


def random_state() -> list[str]:
    """Of PyTorch's own generators, from which Keras' dropout draws: of the CPU, then of each GPU; in hexadecimal."""
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]
    return [state.numpy().tobytes().hex() for state in states]


def set_random_state(state: list[str]) -> None:
    """What `random_state` gave; of GPUs where there are as many as then."""
    states = [torch.tensor(list(bytes.fromhex(text)), dtype=torch.uint8) for text in state]
    if states:
        torch.set_rng_state(states[0])
    if len(states) > 1 and len(states) == 1 + torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[1:])


def forget_compiled() -> None:
    """Nothing to forget: PyTorch runs eagerly."""


def run_compiled(owner: keras.Layer, key: Any, fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)` without gradients; PyTorch runs eagerly, so nothing is cached."""
    with torch.no_grad():
        return fn(*keras.tree.map_structure(ops.convert_to_tensor, arrays))


class StepMixin:
    """Hands Keras' PyTorch trainer the stateful steps of `SteppedModel`."""

    def make_train_function(self, force: bool = False) -> None:
        """Keras' own, as steps that end whole."""
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = whole_step(self, self.train_function, random_state, set_random_state)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' own, after which PyTorch's modules are in the mode of evaluation, come what may."""
        try:
            return super().fit(*args, **kwargs)
        finally:
            self.eval()

    def train_step(self, data: Any) -> dict:
        """One call of `training_step`."""
        return self.training_step(data)

    def test_step(self, data: Any) -> dict:
        """One call of `evaluation_step`."""
        return self.evaluation_step(data)
