"""Presets from anyone: what a config or a weight file must not hold is refused before it is used."""

import json
import shutil

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from keras.src.saving.serialization_lib import SafeModeScope

import magvit_keras as mk
from magvit_keras.presets.untrusted import stored_shapes

pytestmark = pytest.mark.once

TOKENIZER = {"filters": 8, "channel_multipliers": (1, 2), "temporal_downsample": (True,), "num_res_blocks": 1}
TOKENIZER |= {"embedding_dim": 4, "codebook_size": 16, "norm_groups": 4}
TRANSFORMER = {"codebook_size": 16, "num_classes": 2, "latent_shape": (2, 4, 4), "num_layers": 1}
TRANSFORMER |= {"hidden_size": 8, "num_heads": 2, "mlp_dim": 16}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A whole model, its tokenizer compiled and trained by a step, as a preset."""
    tokenizer = mk.VideoTokenizer(**TOKENIZER)
    tokenizer.compile(optimizer="adam")
    tokenizer.optimizer.build(tokenizer.trainable_variables)
    magvit = mk.Magvit(tokenizer, mk.MaskedTransformer(**TRANSFORMER), tasks=["frame_prediction"])
    magvit.compile(optimizer="adam")
    magvit.optimizer.build(magvit.trainable_variables)
    folder = tmp_path_factory.mktemp("presets") / "magvit"
    magvit.save_to_preset(folder)
    return folder, [ops.convert_to_numpy(v.value) for v in magvit.weights]


@pytest.fixture
def folder(saved, tmp_path):
    """A copy whose weight file may be changed: it carries no checksum."""
    shutil.copytree(saved[0], tmp_path / "copy")
    change(tmp_path / "copy", lambda saved: saved.pop("weights"))
    return tmp_path / "copy"


def change(folder, edit):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_compiled_model_comes_back_without_its_optimizers(saved):
    folder, weights = saved
    assert not [name for name in stored_shapes(folder / "model.weights.h5") if "optimizer" in name]
    assert "compile_config" not in (folder / "config.json").read_text()
    loaded = mk.Magvit.from_preset(folder)
    for variable, expected in zip(loaded.weights, weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable.value), expected)
    assert not loaded.tokenizer.compiled


@keras.saving.register_keras_serializable("tests")
class OwnTransformer(mk.MaskedTransformer):
    pass


def test_own_classes_that_derive_from_a_model_are_taken(saved, tmp_path):
    magvit = mk.Magvit(mk.VideoTokenizer(**TOKENIZER), OwnTransformer(**TRANSFORMER), tasks=["frame_prediction"])
    magvit.save_to_preset(tmp_path / "own")
    assert type(mk.Magvit.from_preset(tmp_path / "own").transformer) is OwnTransformer


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wA="]}}
OBJECTS = [
    {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    {"module": "keras.layers", "class_name": "Lambda", "config": {"function": LAMBDA}, "registered_name": None},
    {"module": "keras.models", "class_name": "Sequential", "config": {"layers": []}, "registered_name": None},
    {"module": "os", "class_name": "system", "config": {}, "registered_name": "magvit_keras>VideoTokenizer"},
    {"module": "magvit_keras.tokenizer.vqgan", "class_name": "VQGAN", "config": {}},
    {"module": "x", "class_name": "VQGAN", "config": {}, "registered_name": "magvit_keras>VQGAN"},
    {"class_name": "magvit_keras>Missing", "config": {}},
    LAMBDA,
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: f"{thing.get('module')}-{thing['class_name']}")
@pytest.mark.parametrize("place", ["tokenizer", "dtype", "inside"])
def test_objects_of_others_are_refused(folder, thing, place):
    def edit(content):
        target = content["config"]["tokenizer"]["config"] if place == "inside" else content["config"]
        target["filters" if place == "inside" else place] = thing

    change(folder, edit)
    with pytest.raises(ValueError, match=r"config\.json is refused: config\..* names the class"):
        mk.Magvit.from_preset(folder)


def test_a_lambda_is_refused_even_where_code_is_allowed(folder):
    change(folder, lambda content: content["config"].update(tokenizer=LAMBDA))
    with SafeModeScope(False), pytest.raises(ValueError, match="names the class '__lambda__'"):
        mk.Magvit.from_preset(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"class": "Magvit"}', '{"class": "Magvit", "config": 1}', "[" * 10**5])
def test_other_files_are_no_config(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not"):
        mk.Magvit.from_preset(folder)


def test_a_huge_config_is_not_read(folder):
    (folder / "config.json").write_text(" " * 2**21)
    with pytest.raises(ValueError, match="at most 1048576"):
        mk.Magvit.from_preset(folder)


def test_unknown_arguments_are_named(folder):
    change(folder, lambda content: content["config"].update(colour="red"))
    with pytest.raises(ValueError, match=r"does not describe a Magvit.*colour"):
        mk.Magvit.from_preset(folder)


HUGE = [
    ("transformer", {"hidden_size": 10**6}),
    ("transformer", {"latent_shape": [10**4, 10**4, 10**4]}),
    ("transformer", {"num_layers": 10**9}),
    ("tokenizer", {"filters": 10**6}),
    ("tokenizer", {"num_res_blocks": 10**9}),
    ("tokenizer", {"codebook_size": 10**12}),
]


@pytest.mark.parametrize(("part", "sizes"), HUGE, ids=lambda value: str(value))
def test_a_huge_model_is_refused_before_it_takes_memory(folder, part, sizes):
    change(folder, lambda content: content["config"][part]["config"].update(sizes))
    before = keras.Layer.__init__, keras.Layer.add_weight
    with pytest.raises(ValueError, match=r"does not describe a Magvit: it wants more (weights|layers) than the [\d,]+"):
        mk.Magvit.from_preset(folder)
    assert (keras.Layer.__init__, keras.Layer.add_weight) == before


def test_sizes_that_are_no_numbers(folder):
    change(folder, lambda content: content["config"]["tokenizer"]["config"].update(filters="many"))
    with pytest.raises(ValueError, match="does not describe a Magvit"):
        mk.Magvit.from_preset(folder)


def replace_by_external_link(file, name, other):
    del file[name]
    file[name] = h5py.ExternalLink(str(other), "secret")


def replace_by_soft_link(file, name, other):
    del file[name]
    file[name] = h5py.SoftLink("/")


def replace_by_external_data(file, name, other):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def replace_by_virtual(file, name, other):
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[...] = h5py.VirtualSource(str(other), "secret", shape)
    file.create_virtual_dataset(name, layout)


def replace_by_text(file, name, other):
    del file[name]
    file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())


def replace_by_a_bomb(file, name, other):
    del file[name]
    file.create_dataset(name, (10**6, 10**6), "float32", chunks=(1000, 1000), compression="gzip")


def replace_by_a_loop(file, name, other):
    group = name.rsplit("/", 1)[0]
    file[f"{group}/again"] = file[group]


ATTACKS = {
    replace_by_external_link: "is a link",
    replace_by_soft_link: "is a link",
    replace_by_external_data: "lies in another file",
    replace_by_virtual: "lies in another file",
    replace_by_text: "expected numbers",
    replace_by_a_bomb: "claims .* bytes",
    replace_by_a_loop: "in the file twice",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_weight_files_hold_numbers_and_nothing_else(folder, tmp_path, attack):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros(10**4, "float32")
    path = folder / "model.weights.h5"
    name = next(name for name in stored_shapes(path) if name.endswith("conv_1/vars/0"))
    with h5py.File(path, "a") as file:
        attack(file, name, other)
    with pytest.raises(ValueError, match=f"refused: .*{ATTACKS[attack]}"):
        mk.Magvit.from_preset(folder)


def test_weights_of_another_shape_are_not_read(folder):
    path = folder / "model.weights.h5"
    name = next(name for name in stored_shapes(path) if name.endswith("conv_1/vars/0"))
    with h5py.File(path, "a") as file:
        shape = file[name].shape
        del file[name]
        file[name] = np.zeros((*shape, 2), "float32")
    with pytest.raises(ValueError, match="does not hold the weights of this Magvit: 1 arrays are missing"):
        mk.Magvit.from_preset(folder)


def test_other_files_are_no_weights(folder):
    (folder / "model.weights.h5").write_bytes(b"something else")
    with pytest.raises(ValueError, match="not a readable HDF5 file"):
        mk.Magvit.from_preset(folder)
    (folder / "model.weights.h5").unlink()
    with pytest.raises(FileNotFoundError, match="load_weights=False"):
        mk.Magvit.from_preset(folder)
    assert mk.Magvit.from_preset(folder, load_weights=False).video_shape == (4, 8, 8)


def test_weights_that_were_replaced_are_noticed(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "copy")
    with h5py.File(tmp_path / "copy" / "model.weights.h5", "a") as file:
        file.attrs["changed"] = 1
    with pytest.raises(ValueError, match="is not the file that its config was saved with"):
        mk.Magvit.from_preset(tmp_path / "copy")
