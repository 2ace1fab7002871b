"""PyTorch: autograd, eager execution."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch
from keras import ops


def is_traced(x: Any) -> bool:
    """Eager PyTorch builds no graph ahead of running."""
    return False


def convolve(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Stride-1 convolution without padding, channels last, over 2 or 3 axes."""
    rank = kernel.ndim - 2
    if all(size == 1 for size in kernel.shape[:rank]):
        return torch.matmul(x, kernel.reshape(kernel.shape[rank:]))
    return ops.conv(x, kernel, strides=1, padding="valid", data_format="channels_last")


def value_and_gradients(
    loss_fn: Callable[[], tuple[Any, Any]], variables: Sequence[keras.Variable], state: Sequence[keras.Variable]
) -> tuple[Any, Any, list]:
    """`loss_fn() -> (loss, aux)`; returns loss, aux and d loss / d variables; `state` moves by itself."""
    with torch.enable_grad():
        loss, aux = loss_fn()
        gradients = torch.autograd.grad(loss, [v.value for v in variables], allow_unused=True)
    filled = [torch.zeros_like(v.value) if g is None else g for v, g in zip(variables, gradients, strict=True)]
    return loss.detach(), keras.tree.map_structure(ops.stop_gradient, aux), filled


def run_compiled(owner: keras.Layer, key: Any, fn: Callable, *arrays: Any) -> Any:
    """`fn(*arrays)` without gradients; PyTorch runs eagerly, so nothing is cached."""
    with torch.no_grad():
        return fn(*keras.tree.map_structure(ops.convert_to_tensor, arrays))


class StepMixin:
    """Hands Keras' PyTorch trainer the stateful steps of `SteppedModel`."""

    def train_step(self, data: Any) -> dict:
        """One call of `training_step`."""
        return self.training_step(data)

    def test_step(self, data: Any) -> dict:
        """One call of `evaluation_step`."""
        return self.evaluation_step(data)
