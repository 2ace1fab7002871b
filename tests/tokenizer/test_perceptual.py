"""The perceptual loss, its network and the reading of its public weights."""

import pickle

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.resnet import load_resnet_arrays, read_arrays
from magvit_keras.tokenizer.perceptual import APPLICATIONS, PREPROCESSING, PerceptualLoss
from magvit_keras.tokenizer.resnet import resnet50


def frames(seed=0, size=8):
    return np.random.default_rng(seed).random((2, size, size, 3), "float32")


def network(size=8):
    """Mean colour: what the loss must be can be worked out by hand."""
    inputs = keras.Input((size, size, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


def value(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def small_resnet():
    return resnet50(input_size=(32, 32), filters=4, stage_sizes=(1, 2), num_classes=5)


def arrays_of(model, rng):
    """The weights of a model as the public file has them: nested dicts of arrays."""
    nested = {"params": {}, "batch_stats": {}}
    norm = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    for layer in model.layers:
        parts = layer.name.split("_", 2) if layer.name.startswith("stage") else [layer.name]
        for weight in layer.weights:
            leaf = norm.get(weight.name, weight.name)
            group = nested["batch_stats" if leaf in ("mean", "var") else "params"]
            for part in parts:
                group = group.setdefault(part, {})
            group[leaf] = rng.random(weight.shape, "float32")
    return nested


def numpy_resnet(arrays, x):
    """The same network written out in NumPy, TensorFlow's SAME padding included."""
    params, stats = arrays["params"], arrays["batch_stats"]

    def same(x, size, stride, fill):
        total = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in x.shape[1:3]]
        return np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)], constant_values=fill)

    def windows(x, size, stride, fill=0.0):
        view = np.lib.stride_tricks.sliding_window_view(same(x, size, stride, fill), (size, size), axis=(1, 2))
        return view[:, ::stride, ::stride]  # (N, H, W, C, k, k)

    def conv(x, kernel, stride=1):
        return np.einsum("nhwcij,ijco->nhwo", windows(x, kernel.shape[0], stride), kernel)

    def norm(x, p, s):
        return (x - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]

    x = norm(conv(x, params["init_conv"]["kernel"], 2), params["init_bn"], stats["init_bn"])
    x = windows(x, 3, 2, -np.inf).max(axis=(-2, -1))
    for stage, blocks in enumerate((1, 2), start=1):
        for block in range(1, blocks + 1):
            p, s = params[f"stage{stage}"][f"block{block}"], stats[f"stage{stage}"][f"block{block}"]
            stride = 2 if stage > 1 and block == 1 else 1
            y = np.maximum(norm(conv(x, p["conv1"]["kernel"]), p["bn1"], s["bn1"]), 0)
            y = np.maximum(norm(conv(y, p["conv2"]["kernel"], stride), p["bn2"], s["bn2"]), 0)
            y = norm(conv(y, p["conv3"]["kernel"]), p["bn3"], s["bn3"])
            if "proj_conv" in p:
                x = norm(conv(x, p["proj_conv"]["kernel"], stride), p["proj_bn"], s["proj_bn"])
            x = np.maximum(x + y, 0)
    return x.mean(axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]


def save_pickled(path, content):
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


def test_loss_of_mean_colours():
    real, fake = frames(0), frames(1)
    expected = np.mean((real.mean(axis=(1, 2)) - fake.mean(axis=(1, 2))) ** 2)
    np.testing.assert_allclose(value(PerceptualLoss(network(), input_size=None)(real, fake)), expected, rtol=1e-4)


def test_frames_are_resized():
    loss = PerceptualLoss(network(16), input_size=(16, 16))
    np.testing.assert_allclose(value(loss(frames(0) * 0, frames(0) * 0 + 0.5)), 0.25, rtol=1e-5)


def test_gradient_flows_to_the_frames():
    loss = PerceptualLoss(network(), input_size=None)
    _, gradient = backend.input_gradient(lambda x: loss(frames(0), x), frames(1))
    assert np.abs(value(gradient)).max() > 0


def test_network_is_frozen():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    assert PerceptualLoss(model).trainable_variables == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [1.0, 0.0, 0.5]),
        ("255", [255.0, 0.0, 127.5]),
        ("tf", [1.0, -1.0, 0.0]),
        ("caffe", [127.5 - 103.939, -116.779, 255 - 123.68]),
        ("torch", [0.515 / 0.229, -0.456 / 0.224, 0.094 / 0.225]),
    ],
)
def test_preprocessing(name, expected):
    found = PREPROCESSING[name](ops.convert_to_tensor(np.array([[1.0, 0.0, 0.5]], "float32")))
    np.testing.assert_allclose(value(found)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PerceptualLoss(network(), preprocessing="bgr"), "expected one of none, 255, tf, caffe, torch"),
        (lambda: PerceptualLoss(lambda x: x), "must be a keras.Model"),
        (lambda: PerceptualLoss.from_applications("AlexNet"), "expected one of VGG16"),
        (lambda: PerceptualLoss.from_applications("VGG16", weights=None), "(?s)random.*load_resnet50"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_applications_exist():
    assert all(hasattr(keras.applications, name) for name in APPLICATIONS)


def test_config_round_trip():
    loss = PerceptualLoss(network(), input_size=None, preprocessing="tf")
    assert PerceptualLoss.from_config(loss.get_config()).get_config() == loss.get_config()


@pytest.mark.once
def test_resnet50_has_25_557_032_parameters():
    model = resnet50()
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 25_557_032
    assert model.output_shape == (None, 1000)


def test_resnet_equals_numpy(tmp_path):
    model = small_resnet()
    arrays = arrays_of(model, np.random.default_rng(0))
    save_pickled(tmp_path / "weights.npy", arrays)
    load_resnet_arrays(model, read_arrays(tmp_path / "weights.npy"))
    x = frames(2, 32)
    found = value(model(x, training=False))
    np.testing.assert_allclose(found, numpy_resnet(arrays, x), rtol=2e-4)


def test_npz_holds_the_same_arrays(tmp_path):
    arrays = arrays_of(small_resnet(), np.random.default_rng(0))
    save_pickled(tmp_path / "weights.npy", arrays)
    flat = read_arrays(tmp_path / "weights.npy")
    np.savez(tmp_path / "weights.npz", **flat)
    again = read_arrays(tmp_path / "weights.npz")
    assert again.keys() == flat.keys()
    assert all(np.array_equal(again[key], flat[key]) for key in flat)


class Opener:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    save_pickled(tmp_path / "weights.npy", {"params": {"a": Opener(tmp_path / "ran")}, "batch_stats": {}})
    with pytest.raises((ValueError, pickle.UnpicklingError), match="open; only dicts of NumPy arrays"):
        read_arrays(tmp_path / "weights.npy")
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_named(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", zeros=np.zeros(10**6))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "zeros.npz").read_bytes()[:-30])
    save_pickled(tmp_path / "whole.npy", {"params": {}, "batch_stats": {}})
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-10])
    (tmp_path / "other.npy").write_bytes(b"x")
    for name, message in (("zeros.npz", "claims"), ("cut.npz", "damaged"), ("cut.npy", "damaged"), ("other.npy", "no")):
        with pytest.raises(ValueError, match=f"{name}.* {message}"):
            read_arrays(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"), [([1, 2], "dict with `params`"), ({"params": {}}, "dict with `params`")]
)
def test_other_pickles(tmp_path, content, message):
    save_pickled(tmp_path / "weights.npy", content)
    with pytest.raises(ValueError, match=message):
        read_arrays(tmp_path / "weights.npy")


def test_arrays_of_another_network():
    model = small_resnet()
    with pytest.raises(ValueError, match="do not fit this ResNet"):
        load_resnet_arrays(model, {"params/init_conv/kernel": np.zeros((7, 7, 3, 4), "float32")})
