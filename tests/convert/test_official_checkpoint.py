"""Checkpoints in the layouts of the authors' trainers, with the reference's weights: outputs are the reference's."""

import json
import re

import numpy as np
import pytest
from keras import ops
from test_maskgit_tokenizer import made_up_params
from test_torch_vqgan import made_up_state
from test_weight_files import pack
from typer.testing import CliRunner

import magvit_keras as mk
from magvit_keras.cli import app
from magvit_keras.convert.checkpoint import convert_checkpoint
from magvit_keras.convert.files.flax_files import read_flax_checkpoint
from magvit_keras.convert.flax import flax_paths

pytestmark = pytest.mark.once


def nested(flat, plus=0.0):
    tree = {}
    for path, array in flat.items():
        *levels, leaf = path.split("/")
        at = tree
        for level in levels:
            at = at.setdefault(level, {})
        at[leaf] = array + np.asarray(plus, array.dtype)
    return tree


def vqgan_state(params, discriminator, step=120_000):
    """The fields of the authors' VQGANTrainState; of the optimizers a moment stands for all."""
    return {
        "global_step": np.asarray(step),
        "g_opt_state": {"0": {"count": np.asarray(step, "int32"), "mu": nested(params, 9)}, "1": {}},
        "d_opt_state": {"0": {}},
        "g_model_state": {},
        "d_model_state": {},
        "rng": np.zeros(2, "uint32"),
        "metadata": {"lecam_ema_real": np.zeros((), "float32")},
        "g_params": nested(params, 0.5),
        "d_params": nested(discriminator),
        "ema_params": nested(params),
    }


def older_vqgan_state(params, discriminator):
    return {
        "global_step": 7,
        "g_optimizer": {"state": {"step": 7}, "target": nested(params, 0.5)},
        "d_optimizer": {"state": {}, "target": nested(discriminator)},
        "generator_state": {},
        "ema_params": nested(params),
    }


def transformer_state(params):
    return {
        "global_step": np.asarray(7),
        "opt_state": {"0": {"count": np.asarray(7)}},
        "params": nested(params),
        "model_state": {},
        "rng": np.zeros(2, "uint32"),
        "metadata": {},
    }


@pytest.fixture(scope="module")
def vqgan(reference, tmp_path_factory):
    """A folder of checkpoints: a file, and a later one as a folder with the file in it."""
    work = tmp_path_factory.mktemp("vqgan")
    params, discriminator = reference("vq3d_ucf").params(), reference("disc").params("params3d/")
    (work / "checkpoint_9").write_bytes(pack({"global_step": 9, "g_params": {}, "d_params": {}}))
    (work / "checkpoint_120000").mkdir()
    (work / "checkpoint_120000" / "checkpoint").write_bytes(pack(vqgan_state(params, discriminator)))
    (work / "checkpoint_120000_gda").mkdir()
    (work / "older").write_bytes(pack(older_vqgan_state(params, discriminator)))
    return work


@pytest.mark.parametrize("layout", ["", "checkpoint_120000", "checkpoint_120000/checkpoint", "older"])
def test_the_averaged_weights_give_the_references_outputs(reference, vqgan, layout):
    ref = reference("vq3d_ucf")
    conversion = convert_checkpoint(vqgan / layout)
    tokenizer = conversion.model
    assert conversion.kind == "video_tokenizer" and tokenizer.padding == "same"
    assert conversion.step == (7 if layout == "older" else 120_000)
    np.testing.assert_array_equal(ops.convert_to_numpy(tokenizer.encode(ref["video"])), ref["indices"])
    ref.assert_close(ops.convert_to_numpy(tokenizer.decode(ref["indices"], clip=False)), "decoded")


def test_the_other_weights_by_name(reference, vqgan):
    codebook = reference("vq3d_ucf").params()["quantizer/codebook"]
    tokenizer = convert_checkpoint(vqgan, part="params").model
    np.testing.assert_allclose(ops.convert_to_numpy(tokenizer.quantizer.codebook.value), codebook + 0.5, rtol=1e-6)


@pytest.mark.parametrize("how", [{"part": "discriminator"}, {"kind": "video_discriminator"}])
def test_the_discriminator(reference, vqgan, how):
    ref = reference("disc")
    sizes = {"filters": 8, "channel_multipliers": (2, 4, 4), "video_shape": (4, 20, 24)}
    made = convert_checkpoint(vqgan, preset=sizes, **how)
    assert made.kind == "video_discriminator"
    ref.assert_close(ops.convert_to_numpy(ops.stop_gradient(made.model(ref["video"]))), "logits_real_3d")
    with pytest.raises(ValueError, match="give a preset of discriminator_base_128"):
        convert_checkpoint(vqgan, **how)


@pytest.mark.parametrize("case", ["bert_multitask", "bert_single"])
def test_transformers_give_the_references_logits(reference, tmp_path, case):
    ref = reference(case)
    (tmp_path / "checkpoint_7").write_bytes(pack(transformer_state(ref.params())))
    sizes = {name: ref.config[name] for name in ("codebook_size", "latent_shape")}
    made = convert_checkpoint(tmp_path, preset=sizes)
    expected = {name: ref.config[name] for name in ("num_classes", "num_layers", "hidden_size", "num_heads", "mlp_dim")}
    assert {name: getattr(made.model, name) for name in expected} == expected and made.kind == "transformer"
    assert (made.model.prefix_length, made.model.num_special_tokens) == ((2, 16) if "multi" in case else (1, 1))
    logits = made.model(ref["token_ids"], segment_ids=ref["segment_ids"])
    ref.assert_close(ops.convert_to_numpy(ops.stop_gradient(logits)), "logits")


@pytest.fixture(scope="module")
def whole(reference, tmp_path_factory):
    """A small tokenizer as a preset, and a transformer of its 96 codes as a checkpoint."""
    work = tmp_path_factory.mktemp("whole")
    sizes = {"filters": 8, "channel_multipliers": (1, 2), "temporal_downsample": (True,), "num_res_blocks": 1}
    tokenizer = mk.VideoTokenizer(**sizes, embedding_dim=4, codebook_size=96, norm_groups=4, padding="same")
    tokenizer.save_to_preset(work / "tokenizer")
    (work / "checkpoint_7").write_bytes(pack(transformer_state(reference("bert_multitask").params())))
    (work / "sizes.json").write_text(
        json.dumps({"transformer": {"config": {"codebook_size": 96, "latent_shape": [2, 4, 4]}}})
    )
    return work


def test_a_whole_model(reference, whole):
    sizes = json.loads((whole / "sizes.json").read_text())
    made = convert_checkpoint(whole, preset=sizes, tokenizer=whole / "tokenizer", tasks=["frame_prediction"])
    assert made.kind == "magvit" and made.model.prompts == "official" and list(made.model.tasks) == ["frame_prediction"]
    made.model.save_to_preset(whole / "magvit")
    loaded = mk.Magvit.from_preset(whole / "magvit")
    ref = reference("bert_multitask")
    logits = loaded.transformer(ref["token_ids"], segment_ids=ref["segment_ids"])
    ref.assert_close(ops.convert_to_numpy(ops.stop_gradient(logits)), "logits")


def test_maskgits_tokenizer(tmp_path):
    (tmp_path / "file").write_bytes(pack(made_up_params()))
    made = convert_checkpoint(tmp_path / "file")
    assert made.kind == "image_tokenizer" and (made.model.shortcut, made.model.padding) == ("output", "same")


def test_a_decoder_deeper_than_its_encoder(tmp_path):
    sizes = {"filters": 32, "channel_multipliers": (1, 1), "embedding_dim": 4, "codebook_size": 16, "padding": "same"}
    tokenizer = mk.VideoTokenizer(**sizes, num_res_blocks=(1, 2))
    params = {path: ops.convert_to_numpy(weight) for path, weight in flax_paths(tokenizer).items()}
    (tmp_path / "file").write_bytes(pack({"params": nested(params), "opt_state": {}}))
    made = convert_checkpoint(tmp_path / "file").model
    assert made.num_res_blocks == (1, 2)
    video = np.random.default_rng(0).random((1, 2, 4, 4, 3), "float32")
    pixels = [ops.convert_to_numpy(ops.stop_gradient(model(video))) for model in (made, tokenizer)]
    np.testing.assert_array_equal(*pixels)


def test_a_vqgan_in_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {k: torch.tensor(v) for k, v in made_up_state().items()}}, tmp_path / "file.ckpt")
    made = convert_checkpoint(tmp_path / "file.ckpt")
    assert made.kind == "torch_vqgan" and "copied" in made.notes[0]
    with pytest.raises(ValueError, match="give no preset or part"):
        convert_checkpoint(tmp_path / "file.ckpt", preset="2dvq_tiny")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "video"}, "Unknown kind 'video'; known kinds: video_tokenizer"),
        ({"kind": "transformer"}, "parameters of a video_tokenizer, not of a transformer"),
        ({"preset": "2dvq_tiny"}, "not a preset of VideoTokenizer; known presets: 3dvq_base_ucf101"),
        ({"preset": "3dvq_tiny"}, "do not fit this VideoTokenizer|has the shape"),
        ({"preset": {"colour": 1}}, "colour"),
        ({"tasks": ["frame_prediction"]}, "belong to a whole model"),
        ({"kind": "magvit"}, "parameters of a video_tokenizer, not of a magvit"),
    ],
)
def test_what_does_not_fit_is_refused(vqgan, options, message):
    with pytest.raises(ValueError, match=message):
        convert_checkpoint(vqgan, **options)


KERNEL = np.zeros((3, 3, 3, 8, 8), "float32")
NOT_OFFERED = [
    ("encoder/Conv2Plus1D_0/Conv_0/kernel", KERNEL, "2+1D convolutions"),
    ("encoder/Conv_1/kernel", np.zeros((4, 4, 4, 8, 8)), "strided convolutions for downsampling"),
    ("decoder/ConvTranspose_0/kernel", KERNEL, "transposed convolutions for upsampling"),
    ("decoder/Conv_1/kernel", np.zeros((3, 3, 8, 32)), "depth-to-space for upsampling"),
    ("encoder/AttnBlock_0/q/kernel", KERNEL, "attention in the tokenizer"),
    ("encoder/ResBlock_0/LayerNorm_0/scale", KERNEL, "layer normalization in the tokenizer"),
    ("ResBlock_0/GroupNorm_0/scale", KERNEL, "normalization in the discriminator"),
    ("flaxformer_decoder_layer_0/mlp/wi/kernel", KERNEL, "the T5 transformer"),
    ("VTNLayer_0/MlpBlock_0/Dense_0/kernel", KERNEL, "the language model"),
]


@pytest.mark.parametrize(("path", "array", "what"), NOT_OFFERED, ids=[path for path, _, _ in NOT_OFFERED])
def test_what_is_not_offered_is_refused_by_name(tmp_path, path, array, what):
    (tmp_path / "file").write_bytes(pack({"params": nested({path: array.astype("float32")}), "opt_state": {}}))
    with pytest.raises(ValueError, match=rf"needs {re.escape(what)} .*does not offer: it holds {path}"):
        convert_checkpoint(tmp_path / "file")


def test_parameters_that_are_not_offered_do_not_load_into_a_model():
    model = mk.VideoDiscriminator(filters=8, channel_multipliers=(1,), video_shape=(2, 4, 4))
    with pytest.raises(ValueError, match=r"needs 2\+1D convolutions"):
        mk.convert.load_flax_params(model, {"ResBlock_0": {"Conv2Plus1D_0": {"Conv_0": {"kernel": KERNEL}}}})


def test_sizes_that_fit_no_transformer(whole):
    with pytest.raises(ValueError, match=r"has 34 positions and a vocabulary of 123; 1024 codes"):
        convert_checkpoint(whole)
    with pytest.raises(ValueError, match=r"preset says .*'num_layers': 12.*num_layers=2"):
        convert_checkpoint(whole, preset={"codebook_size": 96, "latent_shape": (2, 4, 4), "num_layers": 12})
    with pytest.raises(ValueError, match="holds no part 'ema'; it is the state of a training, with params"):
        convert_checkpoint(whole, part="ema")


def test_array_stores_are_refused_with_a_way_out(tmp_path):
    (tmp_path / "checkpoint_3").mkdir()
    (tmp_path / "checkpoint_3" / "manifest.ocdbt").touch()
    with pytest.raises(ValueError, match=r"Orbax's array store[\s\S]*msgpack_serialize"):
        read_flax_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["//GDAPlaceholder:params/kernel", "PLACEHOLDER://kernel"])
def test_arrays_in_other_files_are_noticed(tmp_path, text):
    (tmp_path / "file").write_bytes(pack({"params": {"kernel": text}, "opt_state": {}}))
    with pytest.raises(ValueError, match="arrays that lie in other files"):
        convert_checkpoint(tmp_path / "file")


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        read_flax_checkpoint(tmp_path / "missing")
    with pytest.raises(ValueError, match="expected a file or a folder named checkpoint_N"):
        read_flax_checkpoint(tmp_path)


def test_the_command(vqgan, tmp_path, reference):
    arguments = ["convert", str(vqgan), "--out", str(tmp_path / "out"), "--licence", "apache-2.0"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "training at step 120,000: ema (5,207,075 parameters)" in done.output and "ema is taken" in done.output
    assert 'pads with zeros (padding="same")' in done.output
    loaded = mk.VideoTokenizer.from_preset(tmp_path / "out")
    expected = reference("vq3d_ucf").params()["quantizer/codebook"]
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded.quantizer.codebook.value), expected)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: apache-2.0" in card and "| Steps | 120,000 |" in card and "| Data | not stated |" in card
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "holds a preset already" in again.output
