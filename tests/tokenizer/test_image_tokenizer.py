"""The 2D-VQ against the reference arrays, its parameter counts, its training and its errors."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.convert.flax_names import tokenizer_paths
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer


def build(ref):
    config = ref.config["vqvae"]
    tokenizer = ImageTokenizer(
        filters=config["filters"],
        channel_multipliers=config["channel_multipliers"],
        num_res_blocks=config["num_enc_res_blocks"],
        embedding_dim=config["embedding_dim"],
        codebook_size=config["codebook_size"],
        padding="same",
    )
    load_flax_params(tokenizer, ref.params())
    return tokenizer


def latents(tokenizer, video):
    return ops.convert_to_numpy(backend.run_compiled(tokenizer, "latents", tokenizer.latents, video))


def small(**kwargs):
    options = {"filters": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 8}
    return ImageTokenizer(**{**options, "codebook_size": 32, **kwargs})


@pytest.fixture(scope="module")
def case(reference):
    ref = reference("vq2d")
    return ref, build(ref)


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ("video", "encoder_output"),
        ("odd/video", "odd/encoder_output"),
        ("static_video", "static/encoder_output"),
    ],
)
def test_encoder_output(case, video, expected):
    ref, tokenizer = case
    ref.assert_close(latents(tokenizer, ref[video]), expected)


def test_indices(case):
    ref, tokenizer = case
    ref.assert_close(ops.convert_to_numpy(tokenizer.encode(ref["video"])), "indices")


@pytest.mark.parametrize(("ids", "expected"), [("indices", "decoded"), ("decode/ids", "decode/video")])
def test_decoded(case, ids, expected):
    ref, tokenizer = case
    ref.assert_close(ops.convert_to_numpy(tokenizer.decode(ref[ids], clip=False)), expected)


def test_losses_and_gradients(case):
    ref, tokenizer = case
    paths = tokenizer_paths(tokenizer)
    wanted = [key.removeprefix("grad/") for key in ref if key.startswith("grad/")]

    def step(video):
        _, logs, gradients = backend.value_and_gradients(
            lambda: tokenizer.losses_and_logs(video, training=True),
            [paths[path] for path in wanted],
            tokenizer.non_trainable_variables,
        )
        return logs, gradients

    if keras.config.backend() == "jax":  # op by op is slow there
        logs, gradients = backend.run_compiled(tokenizer, "gradients", step, ref["video"])
    else:
        logs, gradients = step(ops.convert_to_tensor(ref["video"]))
    for name, key in {
        "loss": "total",
        "reconstruction_loss": "l2_loss",
        "commitment_loss": "e_latent_loss",
        "codebook_loss": "q_latent_loss",
        "entropy_loss": "entropy_loss",
    }.items():
        ref.assert_close(ops.convert_to_numpy(logs[name]), f"train/{key}")
    assert wanted
    for path, gradient in zip(wanted, gradients, strict=True):
        ref.assert_close(ops.convert_to_numpy(gradient), f"grad/{path}")


@pytest.mark.once  # a count is no matter of the backend, and large models take long to make
@pytest.mark.parametrize(
    ("preset", "parameters"), [("2dvq_base_ucf101", 13_809_667), ("2dvq_large_ucf101", 53_104_387)]
)
def test_parameter_count(preset, parameters):
    assert ImageTokenizer.from_preset(preset, load_weights=False).count_params() == parameters


def test_images_equal_frames_of_a_clip(case):
    ref, tokenizer = case
    frames = ref["video"][:, 1]
    ids = ops.convert_to_numpy(tokenizer.encode(frames))
    np.testing.assert_array_equal(ids, ref["indices"][:, 1])
    np.testing.assert_allclose(
        ops.convert_to_numpy(tokenizer.decode(ids, clip=False)), ref["decoded"][:, 1], atol=ref.atol("decoded")
    )


def test_latent_shape_of_images_and_clips():
    tokenizer = small()
    assert tokenizer.downsampling == (1, 2, 2)
    assert tokenizer.latent_shape((8, 6)) == (4, 3)
    assert tokenizer.latent_shape((3, 8, 6)) == (3, 4, 3)


def test_fit_lowers_the_loss():
    keras.utils.set_random_seed(0)
    tokenizer = small()
    tokenizer.compile(optimizer=keras.optimizers.Adam(2e-3))
    ramp = np.linspace(0, 1, 8, dtype="float32")[:, None, None] * np.ones((8, 8, 3), "float32")
    history = tokenizer.fit(np.broadcast_to(ramp, (4, 8, 8, 3)), batch_size=2, epochs=8, verbose=0).history
    assert history["reconstruction_loss"][-1] < 0.5 * history["reconstruction_loss"][0]


@pytest.mark.parametrize("options", [{}, {"quantizer": "lfq", "embedding_dim": None}], ids=["vq", "lfq"])
def test_preset_folder_gives_the_same_codes(tmp_path, options):
    tokenizer = small(**options)
    tokenizer.save_to_preset(tmp_path / "preset")
    images = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    again = ImageTokenizer.from_preset(tmp_path / "preset")
    ids = [ops.convert_to_numpy(t.encode(images)) for t in (tokenizer, again)]
    np.testing.assert_array_equal(*ids)


def test_config_round_trip():
    tokenizer = small(padding="edge", shortcut="output")
    assert ImageTokenizer.from_config(tokenizer.get_config()).get_config() == tokenizer.get_config()


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((8, 8, 3), "float32"), r"received the shape \(8, 8, 3\)"),
        (np.zeros((1, 9, 8, 3), "float32"), r"multiples of 2; received the shape \(1, 9, 8, 3\)"),
        (np.zeros((1, 8, 8, 1), "float32"), r"received the shape \(1, 8, 8, 1\)"),
        (np.zeros((1, 2, 8, 9, 3), "float32"), "width 9, which is not a multiple of 2"),
        (np.full((1, 8, 8, 3), 255.0, "float32"), "values from 255 to 255"),
    ],
)
def test_bad_pixels(pixels, message):
    with pytest.raises(ValueError, match=message):
        small().encode(pixels)


def test_bad_shortcut():
    with pytest.raises(ValueError, match="expected one of input, output"):
        small(shortcut="both")


@pytest.mark.once
def test_arguments_by_place_are_those_of_the_3d_tokenizer_without_time():
    made = ImageTokenizer(8, (1, 2), 1, 4, 16, "same", norm_groups=4)
    assert (made.num_res_blocks, made.embedding_dim, made.codebook_size, made.padding) == (1, 4, 16, "same")


def test_the_signature_names_every_argument():
    names = inspect.signature(ImageTokenizer).parameters
    assert {"filters", "norm_groups", "wavelet"} <= set(names) and "temporal_downsample" not in names
