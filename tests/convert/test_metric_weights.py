"""Weights of I3D, C3D and LPIPS in files of the public layouts: random numbers, read without running anything.

What the networks then give is compared with another implementation in tests/metrics/test_networks.py.
"""

import os
import struct
import sys
import zipfile

import numpy as np
import pytest
from keras import ops

from magvit_keras import files
from magvit_keras.convert import load_c3d, load_i3d, load_lpips, load_resnet50
from magvit_keras.convert.c3d import load_c3d_arrays
from magvit_keras.convert.files.tf_checkpoint import read_tf_checkpoint
from magvit_keras.convert.i3d import load_i3d_arrays
from magvit_keras.convert.lpips import SHIPPED_HEADS, load_lpips_arrays
from magvit_keras.convert.metric_weights import read_weights
from magvit_keras.metrics import C3D, I3D, LPIPS

sys.path.append(os.path.join(os.path.dirname(__file__), os.pardir, "metrics"))

from test_weight_files import pack
from torch_networks import c3d_state, flax_names, i3d_state, lpips_states, scripted_names, tf_hub_names


def small_i3d():
    return I3D(width=1 / 16, input_size=32, num_classes=12)


def small_c3d():
    return C3D(filters=(3, 4, 5, 6), hidden_size=8, num_classes=7, input_size=32)


def weights(model):
    return [ops.convert_to_numpy(w.value) for w in model.weights]


def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def torch_tensors(state):
    torch = pytest.importorskip("torch")
    return {name: torch.tensor(array) for name, array in state.items()}


def scripted(state):
    """A TorchScript module with the parameters of the state dict."""
    import torch

    root = torch.nn.Module()
    for name, array in state.items():
        *path, leaf = name.split(".")
        at = root
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, torch.nn.Module())
            at = getattr(at, part)
        at.register_buffer(leaf, torch.tensor(array))
    return torch.jit.script(root)


@pytest.fixture(scope="module")
def i3d():
    return small_i3d()


@pytest.fixture(scope="module")
def i3d_expected(i3d):
    load_i3d_arrays(i3d, i3d_state())
    return weights(i3d)


@pytest.fixture
def blank(i3d, i3d_expected):
    """One model for all tests, as making one takes a while."""
    for variable in i3d.weights:
        variable.assign(variable.value * 0)
    return i3d


@pytest.mark.parametrize("kind", ["flax", "old torch", "torch", "TorchScript", "StyleGAN-V", "npz", "nested"])
def test_i3d_files(kind, tmp_path, blank, i3d_expected):
    state, path = i3d_state(), tmp_path / "file"
    if kind == "flax":
        path.write_bytes(pack(flax_names(state)))
    elif kind == "old torch":
        torch = pytest.importorskip("torch")
        torch.save(torch_tensors(state), path, _use_new_zipfile_serialization=False)
    elif kind == "torch":
        torch = pytest.importorskip("torch")
        torch.save({"state_dict": {f"module.{k}": v for k, v in torch_tensors(state).items()}, "epoch": 3}, path)
    elif kind == "TorchScript":
        pytest.importorskip("torch").jit.save(scripted(state), path)
    elif kind == "StyleGAN-V":
        pytest.importorskip("torch").jit.save(scripted(scripted_names(state)), path)
    elif kind == "npz":
        path = tmp_path / "file.npz"
        np.savez(path, **tf_hub_names(state))
    load_i3d_arrays(blank, flax_names(state) if kind == "nested" else read_weights(path))
    assert_same(weights(blank), i3d_expected)


@pytest.mark.once
def test_i3d_of_tf_hub(tmp_path, blank, i3d_expected):
    """A module's folder: TensorFlow writes the checkpoint, and it is read without."""
    tf = pytest.importorskip("tensorflow")
    graph = tf.Graph()
    (tmp_path / "variables").mkdir()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        for name, array in tf_hub_names(i3d_state()).items():
            tf.compat.v1.get_variable(name, initializer=array)
        tf.compat.v1.get_variable("a_text", initializer="not a weight")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "variables" / "variables"), write_meta_graph=False)
    (tmp_path / "variables" / "checkpoint").unlink()
    load_i3d_arrays(blank, read_weights(tmp_path))
    assert_same(weights(blank), i3d_expected)


def test_other_files_are_no_checkpoint(tmp_path):
    (tmp_path / "a.index").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="not an index of a TensorFlow checkpoint"):
        read_tf_checkpoint(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match=r"no \.index file"):
        read_tf_checkpoint(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.once
@pytest.mark.parametrize("kind", ["flax", "chainer", "torch", "torch with the mean", "TorchScript"])
def test_c3d_files(kind, tmp_path):
    state, path = c3d_state(), tmp_path / "file.npz"
    mean = np.random.default_rng(1).uniform(90, 110, size=(3, 16, 32, 32)).astype("float32")
    expected, model = small_c3d(), small_c3d()
    load_c3d_arrays(expected, state, mean)
    given = mean
    if kind == "flax":
        tree = {}
        for name, array in state.items():
            layer, leaf = name.split(".")
            array = array.transpose(2, 3, 4, 1, 0) if array.ndim == 5 else array.T
            tree.setdefault(layer, {})["kernel" if leaf == "weight" else leaf] = array
        path.write_bytes(pack({"params": {**tree, "x_offset": -mean.transpose(1, 2, 3, 0)}}))
        given = None
    elif kind == "chainer":
        names = {"weight": "W", "bias": "b"}
        np.savez(path, **{f"{k.split('.')[0]}/{names[k.split('.')[1]]}": v for k, v in state.items()})
        # The mean clip as it comes is larger, and the evaluation takes it from (8, 8).
        given = np.zeros((3, 16, 48, 60), "float32")
        given[:, :, 8:40, 8:40] = mean
    elif kind == "TorchScript":
        pytest.importorskip("torch").jit.save(scripted(state), path)
    else:
        extra = {}
        if kind == "torch with the mean":
            extra, given = {"mean.bias": 128 - mean, "pre.weight": np.zeros((3, 3, 1, 1, 1), "float32")}, None
        pytest.importorskip("torch").save(torch_tensors({**state, **extra}), path)
    load_c3d_arrays(model, read_weights(path), given)
    for a, b in zip(weights(model), weights(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_c3d_without_a_mean_clip():
    with pytest.raises(ValueError, match=r"no mean clip: give `mean`.*MAGVIT_KERAS_C3D_MEAN"):
        load_c3d_arrays(small_c3d(), c3d_state())


@pytest.mark.parametrize("trunk", ["vgg16", "alexnet"])
@pytest.mark.parametrize("old", [True, False])
def test_lpips_files(trunk, old, tmp_path):
    torch = pytest.importorskip("torch")
    states, files = lpips_states(trunk), [tmp_path / "trunk.pth", tmp_path / "heads.pth"]
    for state, file in zip(states, files, strict=True):
        torch.save(torch_tensors(state), file, _use_new_zipfile_serialization=not old)
    expected, model = LPIPS(trunk, width=1 / 16), LPIPS(trunk, width=1 / 16)
    load_lpips_arrays(expected, *states)
    load_lpips_arrays(model, *(read_weights(file) for file in files))
    assert_same(weights(model), weights(expected))


@pytest.mark.once
@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "channels", "sha256"),
    [
        ("vgg.pth", (64, 128, 256, 512, 512), "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
        ("alex.pth", (64, 192, 384, 256, 256), "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    ],
)
def test_lpips_heads_are_those_of_the_package(name, channels, sha256):
    """The checksums are of the files in version 0.1.4 of the `lpips` package, weights/v0.1."""
    assert files.sha256(SHIPPED_HEADS / name) == sha256
    heads = read_weights(SHIPPED_HEADS / name)
    assert [heads[f"lin{i}.model.1.weight"].shape for i in range(5)] == [(1, n, 1, 1) for n in channels]
    assert min(head.min() for head in heads.values()) >= 0


@pytest.mark.once
def test_lpips_takes_the_heads_that_come_with_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MAGVIT_KERAS_LPIPS_ALEXNET_HEADS", raising=False)
    full = lpips_states("alexnet", divisor=1)
    np.savez(tmp_path / "alexnet.npz", **full[0])
    network = load_lpips(tmp_path / "alexnet.npz", trunk="alexnet")
    heads = read_weights(SHIPPED_HEADS / "alex.pth")
    for i, head in enumerate(network.heads):
        np.testing.assert_array_equal(weights(head)[0].ravel(), heads[f"lin{i}.model.1.weight"].ravel())
    assert network.weights_source["heads"]["file"] == "alex.pth"


class Attack:
    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.once
def test_old_torch_files_run_nothing(tmp_path):
    torch = pytest.importorskip("torch")
    attack = Attack()
    attack.folder = str(tmp_path / "made")
    torch.save({"evil": attack, "w": torch.ones(3)}, tmp_path / "file", _use_new_zipfile_serialization=False)
    assert list(read_weights(tmp_path / "file")) == ["w"]
    assert not (tmp_path / "made").exists()


def test_old_torch_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {"whole": base, "view": base[:, 1:, ::2], "half": base.to(torch.bfloat16), "ids": torch.arange(3)}
    torch.save(tensors, tmp_path / "file", _use_new_zipfile_serialization=False)
    read = read_weights(tmp_path / "file")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor.float().numpy(), err_msg=name)


@pytest.mark.once
@pytest.mark.once
@pytest.mark.parametrize(
    ("load", "variable", "words"),
    [
        (load_i3d, "MAGVIT_KERAS_I3D", ["i3d_k400.flax", "deepmind/i3d-kinetics-400/1"]),
        (load_c3d, "MAGVIT_KERAS_C3D", ["c3d_ucf101.flax", "conv3d_deepnetA_ucf.npz"]),
        (load_lpips, "MAGVIT_KERAS_LPIPS_VGG16", ["vgg16-397923af.pth"]),
        (load_resnet50, "MAGVIT_KERAS_RESNET50", ["resnet_pretrained.npy"]),
    ],
)
def test_absent_weights_say_where_to_get_them(load, variable, words, monkeypatch, tmp_path):
    monkeypatch.delenv(variable, raising=False)
    for path in (None, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=variable) as error:
            load(path)
        assert all(word in str(error.value) for word in words)


@pytest.mark.once
def test_the_environment_names_the_file(monkeypatch, tmp_path):
    """Weights of other sizes, so that nothing large is made: the error shows that the file was read."""
    np.savez(tmp_path / "w.npz", **tf_hub_names(i3d_state()))
    monkeypatch.setenv("MAGVIT_KERAS_I3D", str(tmp_path / "w.npz"))
    with pytest.raises(ValueError, match=r"has the shape \(.*; the model expects"):
        load_i3d()


def test_weights_that_are_not_those_of_fvd(i3d):
    state = i3d_state()
    state["Mixed_3b.b0.bn.weight"] = state["Mixed_3b.b0.bn.weight"] * 1.5
    with pytest.raises(ValueError, match="not the weights of FVD"):
        load_i3d_arrays(i3d, state)


@pytest.mark.once
@pytest.mark.once
@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_names_that_do_not_fit(change, i3d):
    state = i3d_state()
    if change == "missing":
        del state["Mixed_4c.b2b.bn.bias"]
    else:
        state["Mixed_9z.b0.conv3d.weight"] = np.zeros((1, 1, 1, 1, 1), "float32")
    with pytest.raises(ValueError, match=r"missing.*unknown"):
        load_i3d_arrays(i3d, state)


@pytest.mark.once
def test_numpy_files_with_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_weights(tmp_path / "w.npz")


def test_a_file_of_no_known_format(tmp_path):
    (tmp_path / "w").write_bytes(struct.pack("<4Q", 1, 2, 3, 4))
    with pytest.raises(ValueError, match="neither"):
        read_weights(tmp_path / "w")
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("text", "no weights")
    with pytest.raises(ValueError):
        read_weights(tmp_path / "z")
