"""The discriminators against the reference arrays, their parameter counts, second derivatives and errors."""

import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator


def build(ref, rank, **kwargs):
    config = ref.config["discriminator"]
    options = {"filters": config["filters"], "channel_multipliers": config["channel_multipliers"], **kwargs}
    _, t, h, w, _ = ref.config["video_shape"]
    if rank == 3:
        discriminator = VideoDiscriminator(video_shape=(t, h, w), **options)
    else:
        discriminator = ImageDiscriminator(image_shape=(h, w), **options)
    load_flax_params(discriminator, ref.params(f"params{rank}d/"))
    return discriminator


def logits(discriminator, video):
    return ops.convert_to_numpy(backend.run_compiled(discriminator, "logits", discriminator.call, video))


@pytest.mark.parametrize("rank", [3, 2])
def test_logits(reference, rank):
    ref = reference("disc")
    discriminator = build(ref, rank)
    ref.assert_close(logits(discriminator, ref["video"]), f"logits_real_{rank}d")
    ref.assert_close(logits(discriminator, ref["fake_video"]), f"logits_fake_{rank}d")


def test_logits_with_blur(reference):
    ref = reference("disc")
    ref.assert_close(logits(build(ref, 2, resampling="blur"), ref["video"]), "logits_real_2d_blur")


def test_frames_alone_equal_frames_of_a_clip(reference):
    ref = reference("disc")
    discriminator = build(ref, 2)
    of_clip = logits(discriminator, ref["video"])
    np.testing.assert_allclose(logits(discriminator, ref["video"][:, 1]), of_clip[:, 1], atol=1e-6)


@pytest.mark.once  # a count is no matter of the backend, and large models take long to make
@pytest.mark.parametrize(
    ("preset", "parameters"), [("discriminator_base_128", 15_339_457), ("discriminator_large_128", 61_341_569)]
)
def test_parameter_count(preset, parameters):
    assert VideoDiscriminator.from_preset(preset).count_params() == parameters


@pytest.mark.parametrize(
    "discriminator",
    [
        VideoDiscriminator(8, (2,), video_shape=(2, 8, 8), padding="reflect"),
        ImageDiscriminator(8, (2, 2), image_shape=(8, 8), resampling="blur"),
    ],
    ids=["video", "image"],
)
def test_config_round_trip(discriminator):
    assert type(discriminator).from_config(discriminator.get_config()).get_config() == discriminator.get_config()


def test_preset_folder_gives_the_same_logits(tmp_path):
    discriminator = VideoDiscriminator(8, (2,), video_shape=(2, 8, 8))
    discriminator.save_to_preset(tmp_path / "preset")
    x = np.random.default_rng(0).random((1, 2, 8, 8, 3), "float32")
    np.testing.assert_array_equal(
        logits(VideoDiscriminator.from_preset(tmp_path / "preset"), x), logits(discriminator, x)
    )


def test_blur_in_time_leaves_a_single_frame_alone():
    discriminator = VideoDiscriminator(8, (2, 2), video_shape=(1, 8, 8), resampling="blur")
    assert np.all(np.isfinite(logits(discriminator, np.ones((2, 1, 8, 8, 3), "float32"))))


@pytest.mark.parametrize("resampling", ["average", "blur"])
def test_mixed_precision_gives_float32_logits(resampling):
    options = {"image_shape": (8, 8), "resampling": resampling}
    discriminator = ImageDiscriminator(8, (2, 2), dtype="mixed_bfloat16", **options)
    full = ImageDiscriminator(8, (2, 2), **options)
    full.set_weights(discriminator.get_weights())
    x = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    of_mixed = logits(discriminator, x)
    assert of_mixed.dtype == np.float32
    assert np.abs(of_mixed - logits(full, x)).max() > 0  # it did compute in half precision
    np.testing.assert_allclose(of_mixed, logits(full, x), atol=0.05)


def test_other_sizes_are_refused():
    discriminator = VideoDiscriminator(8, (2,), video_shape=(2, 8, 8))
    with pytest.raises(ValueError, match=r"takes \(batch, 2, 8, 8, 3\); received the shape \(1, 2, 8, 16, 3\)"):
        discriminator(np.zeros((1, 2, 8, 16, 3), "float32"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"video_shape": (8, 8)}, "needs 3 entries"),
        ({"channel_multipliers": ()}, "received none"),
        ({"filters": 0}, "filters must be an integer"),
        ({"padding": "mirror"}, "expected one of reflect, same"),
        ({"resampling": "max"}, "expected one of average, blur"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        VideoDiscriminator(**{"filters": 8, "channel_multipliers": (2,), "video_shape": (2, 8, 8), **options})
