"""Convolution over time with fewer products: the numbers of the plain sum."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.backend.forms import winograd

CASES = [(4, 3), (4, 2), (2, 3), (2, 2)]  # frames made at once, frames of the kernel


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def drawn(frames, depth, seed=0):
    """A clip of two times `frames` results (of one time, where 2 are made at once), and a kernel."""
    rng = np.random.default_rng(seed)
    groups = 1 if frames == 2 else 2
    x = rng.normal(size=(2, groups * frames + depth - 1, 37, 37, 32)).astype("float32")
    kernel = (rng.normal(size=(depth, 3, 3, 32, 32)) / np.sqrt(9 * depth * 32)).astype("float32")
    return x, kernel


class Weights(keras.layers.Layer):
    """A kernel and a clip that gradients can be taken by."""

    def __init__(self, kernel, clip):
        super().__init__()
        self.kernel = self.add_weight(shape=kernel.shape, name="kernel")
        self.clip = self.add_weight(shape=clip.shape, name="clip")
        self.kernel.assign(kernel)
        self.clip.assign(clip)


def plain(x, kernel):
    """A sum of products over all places of the kernel, in float64."""
    x, kernel = x.astype("float64"), kernel.astype("float64")
    size = [n - k + 1 for n, k in zip(x.shape[1:4], kernel.shape, strict=False)]
    total = 0.0
    for place in np.ndindex(kernel.shape[:3]):
        window = tuple(slice(p, p + n) for p, n in zip(place, size, strict=True))
        total = total + x[(slice(None), *window)] @ kernel[place]
    return total


@pytest.mark.parametrize(("frames", "depth"), CASES)
def test_the_matrices_make_a_correlation(frames, depth):
    after, of_kernel, before = (m.astype("float64") for m in winograd.matrices(frames, depth))
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=frames + depth - 1), rng.normal(size=depth)
    np.testing.assert_allclose(
        after @ ((of_kernel @ kernel) * (before @ x)), np.correlate(x, kernel), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("frames", "depth"), CASES)
def test_clips_are_as_by_the_plain_sum(frames, depth):
    x, kernel = drawn(frames, depth)
    assert winograd.frames_at_once(x, kernel) == frames
    made = backend.convolve(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(numpy(made), plain(x, kernel), rtol=0, atol=2e-5)


@pytest.mark.parametrize("way", [winograd.convolve_by_sums, winograd.convolve_by_matmul])
def test_both_ways_of_mixing_are_right(way):
    x, kernel = drawn(4, 3)
    made = way(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), 4, backend.convolve)
    np.testing.assert_allclose(numpy(made), plain(x, kernel), rtol=0, atol=2e-5)


def test_gradients_are_those_of_the_plain_sum(monkeypatch):
    x, kernel = drawn(4, 3)
    weight = Weights(kernel, x)

    def loss():
        made = backend.convolve(ops.convert_to_tensor(weight.clip), ops.convert_to_tensor(weight.kernel))
        return ops.sum(ops.square(made)), ()

    def gradients():
        return backend.value_and_gradients(loss, [weight.kernel, weight.clip], [])[2]

    ours = backend.run_compiled(weight, "with fewer products", gradients)
    monkeypatch.setattr(winograd, "frames_at_once", lambda x, kernel: 0)
    theirs = backend.run_compiled(weight, "plain", gradients)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(numpy(our), numpy(their), rtol=0, atol=1e-4 * np.abs(numpy(their)).max())


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [
        ((1, 5, 8, 8, 64), (3, 3, 3, 64, 64)),  # 3 frames
        ((1, 6, 8, 8, 3), (3, 3, 3, 3, 64)),  # of pixels
        ((1, 7, 8, 8, 64), (4, 3, 3, 64, 64)),  # of another size
        ((8, 8, 64), (3, 64, 64)),  # of another rank
        ((1, None, 8, 8, 64), (3, 3, 3, 64, 64)),  # of any length
    ],
)
def test_what_does_not_fit_is_convolved_plainly(shape, kernel):
    class Shape:
        def __init__(self, shape):
            self.shape = shape

    assert winograd.frames_at_once(Shape(shape), Shape(kernel)) == 0
