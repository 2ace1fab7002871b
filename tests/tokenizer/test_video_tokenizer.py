"""The 3D-VQ against the reference arrays, its parameter counts, its training and its errors."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.convert.flax_names import tokenizer_paths
from magvit_keras.tokenizer.quantizer import entropy_loss
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

CASES = ("vq3d_ucf", "vq3d_bair", "vq3d_reflect")


def build(ref, padding=None):
    config = ref.config["vqvae"]
    tokenizer = VideoTokenizer(
        filters=config["filters"],
        channel_multipliers=config["channel_multipliers"],
        temporal_downsample=config["temporal_downsample"],
        num_res_blocks=config["num_enc_res_blocks"],
        embedding_dim=config["embedding_dim"],
        codebook_size=config["codebook_size"],
        padding=padding or config.get("custom_conv_padding") or "same",
    )
    load_flax_params(tokenizer, {f"params/{path}": value for path, value in ref.params().items()})
    return tokenizer


def encoder_output(tokenizer, video):
    return ops.convert_to_numpy(backend.run_compiled(tokenizer, "latents", tokenizer.encoder.call, video))


def small(**kwargs):
    options = {
        "filters": 32,
        "channel_multipliers": (1, 2),
        "temporal_downsample": (True,),
        "num_res_blocks": 1,
        "embedding_dim": 8,
        "codebook_size": 32,
    }
    return VideoTokenizer(**{**options, **kwargs})


@pytest.fixture(scope="module", params=CASES)
def case(request, reference):
    ref = reference(request.param)
    return ref, build(ref)


def test_encoder_output(case):
    ref, tokenizer = case
    ref.assert_close(encoder_output(tokenizer, ref["video"]), "encoder_output")


def test_indices(case):
    ref, tokenizer = case
    ref.assert_close(ops.convert_to_numpy(tokenizer.encode(ref["video"])), "indices")


def test_decoded(case):
    ref, tokenizer = case
    ref.assert_close(ops.convert_to_numpy(tokenizer.decode(ref["indices"], clip=False)), "decoded")


def test_decode_given_ids(case):
    ref, tokenizer = case
    ref.assert_close(ops.convert_to_numpy(tokenizer.decode(ref["decode/ids"], clip=False)), "decode/video")


def test_losses_and_gradients(case):
    ref, tokenizer = case
    paths = tokenizer_paths(tokenizer)
    wanted = [key.removeprefix("grad/") for key in ref if key.startswith("grad/")]

    def step(video):
        variables = [paths[path] for path in wanted]
        _, logs, gradients = backend.value_and_gradients(
            lambda: tokenizer.losses_and_logs(video, training=True), variables, tokenizer.non_trainable_variables
        )
        return logs, gradients

    logs, gradients = run(tokenizer, step, ref["video"])
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


def run(tokenizer, step, video):
    """Compiled where that is faster by far (JAX op by op is slow); gradients need no compiled form elsewhere."""
    if keras.config.backend() == "jax":
        return backend.run_compiled(tokenizer, "gradients", step, video)
    return step(ops.convert_to_tensor(video))


def test_distances(case):
    ref, tokenizer = case
    distances = tokenizer.quantizer.distances(ops.convert_to_tensor(ref["encoder_output"]))
    ref.assert_close(ops.convert_to_numpy(ops.reshape(distances, ref["distances"].shape)), "distances")


@pytest.mark.parametrize("temperature", [0.05, 0.01])
def test_entropy_loss(reference, temperature):
    ref = reference("vq3d_ucf")
    value = ops.convert_to_numpy(entropy_loss(ops.convert_to_tensor(ref["distances"]), temperature))
    ref.assert_close(value, f"entropy/softmax_T{temperature}")


def test_encoder_on_odd_sizes(reference):
    ref = reference("vq3d_ucf")
    ref.assert_close(encoder_output(build(ref), ref["odd/video"]), "odd/encoder_output")


@pytest.mark.parametrize("padding", ["same", "edge", "symmetric", "wrap"])
def test_other_paddings(reference, padding):
    ref = reference("vq3d_reflect")
    tokenizer = build(ref, padding)
    ref.assert_close(encoder_output(tokenizer, ref["video"]), f"padding_{padding}/encoder_output")
    ref.assert_close(
        ops.convert_to_numpy(tokenizer.decode(ref["decode/ids"], clip=False)), f"padding_{padding}/decode_video"
    )


@pytest.mark.once  # a count is no matter of the backend, and large models take long to make
@pytest.mark.parametrize(
    ("preset", "parameters"), [("3dvq_base_ucf101", 40_579_843), ("3dvq_large_ucf101", 157_811_971)]
)
def test_parameter_count(preset, parameters):
    assert VideoTokenizer.from_preset(preset, load_weights=False).count_params() == parameters


def test_preset_table_lists_descriptions():
    assert "UCF-101" in VideoTokenizer.presets["3dvq_base_ucf101"]


def test_uint8_equals_scaled_floats():
    tokenizer = small()
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 8, 3)).astype("uint8")
    from_uint8 = ops.convert_to_numpy(tokenizer.encode(clip))
    np.testing.assert_array_equal(from_uint8, ops.convert_to_numpy(tokenizer.encode(clip.astype("float32") / 255)))


def test_call_equals_decode_of_encode():
    tokenizer = small()
    clip = np.random.default_rng(0).random((1, 4, 8, 8, 3)).astype("float32")
    called = ops.convert_to_numpy(ops.stop_gradient(tokenizer(clip)))
    np.testing.assert_allclose(
        called, ops.convert_to_numpy(tokenizer.decode(tokenizer.encode(clip), clip=False)), atol=1e-5
    )


def test_fit_lowers_the_loss():
    keras.utils.set_random_seed(0)
    tokenizer = small()
    tokenizer.compile(optimizer=keras.optimizers.Adam(2e-3))
    ramp = np.linspace(0, 1, 8, dtype="float32")[:, None, None] * np.ones((8, 8, 3), "float32")
    clips = np.broadcast_to(ramp, (4, 4, 8, 8, 3))
    history = tokenizer.fit(clips, batch_size=2, epochs=8, verbose=0).history
    assert history["reconstruction_loss"][-1] < 0.3 * history["reconstruction_loss"][0]


def test_fit_logs_every_part():
    tokenizer = small()
    tokenizer.compile(optimizer="adam")
    history = tokenizer.fit(np.zeros((2, 4, 8, 8, 3), "uint8"), batch_size=2, verbose=0).history
    assert set(history) == set(VideoTokenizer.log_names)


def test_evaluate_changes_no_weight():
    tokenizer = small()
    tokenizer.compile(optimizer="adam")
    before = tokenizer.get_weights()
    tokenizer.evaluate(np.zeros((2, 4, 8, 8, 3), "uint8"), batch_size=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, tokenizer.get_weights(), strict=True))


def test_config_round_trip():
    tokenizer = small(padding="edge", commitment_cost=0.5)
    assert VideoTokenizer.from_config(tokenizer.get_config()).get_config() == tokenizer.get_config()


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((4, 8, 8, 3), "float32"), r"received the shape \(4, 8, 8, 3\)"),
        (np.zeros((1, 4, 9, 8, 3), "float32"), "height 9, which is not a multiple of 2"),
        (np.zeros((1, 3, 8, 8, 3), "float32"), "time 3, which is not a multiple of 2"),
        (np.zeros((0, 4, 8, 8, 3), "float32"), "holds no clip"),
        (np.full((1, 4, 8, 8, 3), 255.0, "float32"), "values from 255 to 255"),
        (np.full((1, 4, 8, 8, 3), -1.0, "float32"), r"\(x \+ 1\) / 2"),
        (np.full((1, 4, 8, 8, 3), np.nan, "float32"), "not finite"),
        (np.zeros((1, 4, 8, 8, 3), "int64"), "received int64"),
    ],
)
def test_bad_clips(clip, message):
    tokenizer = small()
    tokenizer.compile(optimizer="adam")
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(clip)
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(clip, verbose=0)


def test_bad_ids():
    with pytest.raises(ValueError, match=r"in \[0, 32\); received 0 to 32"):
        small().decode(np.arange(33).reshape((1, 1, 3, 11)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 30}, "divisible by its 32 groups; received 30"),
        ({"filters": 0}, "filters must be an integer of at least 1"),
        ({"padding": "mirror"}, "expected one of reflect, same"),
        ({"temporal_downsample": ()}, "0 entries for 2"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_few_groups_allow_few_filters():
    tokenizer = small(filters=8, norm_groups=2)
    assert VideoTokenizer.from_config(tokenizer.get_config()).get_config() == tokenizer.get_config()
    assert {block.norm_1.groups for block in (*tokenizer.encoder.blocks, *tokenizer.decoder.blocks)} == {2}
    assert tokenizer(np.zeros((1, 2, 8, 8, 3), "float32")).shape == (1, 2, 8, 8, 3)


@pytest.mark.slow
def test_overfits_one_clip_to_30_db():
    """Black or grey reconstructions are the field's most common complaint: a tiny tokenizer must learn one clip."""
    from magvit_keras.data import MovingShapes

    keras.utils.set_random_seed(0)
    clip = MovingShapes(num_clips=1, num_frames=4, size=(12, 12), seed=3)[0]["video"][None]
    tokenizer = small(channel_multipliers=(1, 1), codebook_size=128, embedding_dim=16)
    tokenizer.compile(optimizer=keras.optimizers.Adam(2e-3, beta_2=0.99))
    best = 0.0
    for _ in range(20):
        history = tokenizer.fit(np.repeat(clip, 50, axis=0), batch_size=1, verbose=0).history
        best = max(best, tokenizer.evaluate(clip, verbose=0, return_dict=True)["psnr"])
        assert np.isfinite(history["loss"][-1])
        if best >= 30:
            break
    assert best >= 30, f"reached {best:.1f} dB"
