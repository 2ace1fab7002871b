"""Inflation against the reference arrays; on static clips an inflated tokenizer repeats the 2D one."""

import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.flax import flax_paths, load_flax_params
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer

MODES = ("central", "average")


def pair(ref, padding="same"):
    config = ref.config["vqvae"]
    options = {
        "filters": config["filters"],
        "channel_multipliers": config["channel_multipliers"],
        "num_res_blocks": config["num_enc_res_blocks"],
        "embedding_dim": config["embedding_dim"],
        "codebook_size": config["codebook_size"],
        "padding": padding,
    }
    image = ImageTokenizer(**options)
    load_flax_params(image, ref.params())
    return image, VideoTokenizer(temporal_downsample=ref.config["inflate"]["temporal_downsample"], **options)


def latents(tokenizer, video):
    return ops.convert_to_numpy(backend.run_compiled(tokenizer, "latents", tokenizer.latents, video))


def tiny(cls=ImageTokenizer, multipliers=(1, 2), **kwargs):
    options = {"filters": 32, "channel_multipliers": multipliers, "num_res_blocks": 1, "embedding_dim": 8}
    return cls(**{**options, "codebook_size": 32, **kwargs})


def tiny_3d(**kwargs):
    return tiny(VideoTokenizer, **{"temporal_downsample": (True, False), **kwargs})


@pytest.fixture(scope="module", params=MODES)
def inflated(request, reference):
    ref = reference("vq2d")
    image, video = pair(ref)
    return ref, video, request.param, inflate(image, video, request.param)


def test_inflated_kernels(inflated):
    ref, video, mode, _ = inflated
    paths = flax_paths(video)
    for path in ref.config["inflate"]["kernels"]:
        ref.assert_close(ops.convert_to_numpy(paths[path].value), f"inflate_{mode}/params/{path}")


def test_inflated_tokenizer(inflated):
    ref, video, mode, _ = inflated
    ref.assert_close(latents(video, ref["static_video"]), f"inflate_{mode}/encoder_output")
    ids = ops.convert_to_numpy(video.encode(ref["static_video"]))
    ref.assert_close(ids, f"inflate_{mode}/indices")
    ref.assert_close(ops.convert_to_numpy(video.decode(ids, clip=False)), f"inflate_{mode}/decoded")


def test_report_accounts_for_every_parameter(inflated):
    _, video, _, report = inflated
    assert not report.left_out and not report.not_filled
    assert len(report.copied) + len(report.inflated) == len(video.weights)
    assert "encoder/level_0_block_0/conv_1/kernel" in report.inflated
    assert "encoder/level_1_block_0/shortcut/kernel" in report.copied


@pytest.mark.parametrize("mode", MODES)
def test_inflated_discriminator(reference, mode):
    ref = reference("disc")
    _, t, h, w, _ = ref.config["video_shape"]
    image = ImageDiscriminator(**ref.config["discriminator"], image_shape=(h, w))
    load_flax_params(image, ref.params("params2d/"))
    video = VideoDiscriminator(**ref.config["discriminator"], video_shape=(t, h, w))
    report = inflate(image, video, mode)
    assert not report.left_out and not report.not_filled
    logits = backend.run_compiled(video, "logits", video.call, ref["video"])
    ref.assert_close(ops.convert_to_numpy(logits), f"inflate_{mode}/logits")


@pytest.mark.parametrize(
    ("mode", "padding"),
    [("central", "same"), ("central", "reflect"), ("average", "reflect"), ("average", "edge"), ("average", "wrap")],
)
def test_static_clip_repeats_the_2d_tokenizer(reference, mode, padding):
    ref = reference("vq2d")
    image, video = pair(ref, padding)
    inflate(image, video, mode)
    frame, clip = ref["static_video"][:, 0], ref["static_video"]
    of_frame = latents(image, frame)  # (B, h, w, D)
    of_clip = latents(video, clip)  # (B, t, h, w, D)
    atol = ref.atol("inflate_central/encoder_output")
    np.testing.assert_allclose(of_clip, np.broadcast_to(of_frame[:, None], of_clip.shape), atol=atol)
    ids = ops.convert_to_numpy(image.encode(frame))
    of_frame = ops.convert_to_numpy(image.decode(ids, clip=False))
    of_clip = ops.convert_to_numpy(video.decode(np.repeat(ids[:, None], 2, axis=1), clip=False))  # static in time
    atol = ref.atol("inflate_central/decoded")
    np.testing.assert_allclose(of_clip, np.broadcast_to(of_frame[:, None], of_clip.shape), atol=atol)


def test_average_with_zero_padding_does_not(reference):
    ref = reference("vq2d")
    image, video = pair(ref, "same")
    inflate(image, video, "average")
    difference = latents(video, ref["static_video"]) - latents(image, ref["static_video"])[:, ::4]
    assert np.abs(difference).max() > 100 * ref.atol("inflate_central/encoder_output")


def test_an_odd_static_clip_repeats_the_2d_encoder():
    image, video = tiny(), tiny_3d()
    inflate(image, video)
    frame = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    of_clip = latents(video, np.repeat(frame[:, None], 3, axis=1))  # (1, 2, 4, 4, D)
    np.testing.assert_allclose(of_clip, np.repeat(latents(image, frame)[:, None], 2, axis=1), atol=1e-5)


def test_surplus_levels_are_left_out():
    image, video = tiny(multipliers=(1, 1, 2), shortcut="output"), tiny_3d(multipliers=(1, 2), shortcut="output")
    report = inflate(image, video)
    left_out = {name.split("/")[0] + "/" + name.split("/")[1] for name in report.left_out}
    assert left_out == {"encoder/level_1_block_0", "decoder/level_0_block_0", "decoder/conv_up_1"}
    assert not report.not_filled
    frame = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    assert np.all(np.isfinite(latents(video, np.repeat(frame[:, None], 2, axis=1))))


def test_shortcuts_that_do_not_fit_are_named():
    report = inflate(tiny(shortcut="output"), tiny_3d())
    names = {"encoder/level_1_block_0/shortcut/kernel", "decoder/level_0_block_0/shortcut/kernel"}
    assert set(report.left_out) == set(report.not_filled) == names
    assert "(1, 1, 64, 64) does not become (1, 1, 1, 32, 64)" in str(report)


def test_another_codebook_is_named():
    report = inflate(tiny(), tiny_3d(codebook_size=64))
    assert set(report.left_out) == set(report.not_filled) == {"quantizer/codebook"}


def test_nothing_is_assigned_where_levels_differ():
    image, video = tiny(multipliers=(1, 2)), tiny_3d(multipliers=(1, 3))
    before = video.get_weights()
    with pytest.raises(ValueError, match=r"32 x \(1, 2\) in 2D, 32 x \(1, 3\) in 3D"):
        inflate(image, video)
    assert all(np.array_equal(a, b) for a, b in zip(before, video.get_weights(), strict=True))


def test_other_norm_groups_are_refused():
    with pytest.raises(ValueError, match="received 32 in 2D and 8 in 3D"):
        inflate(tiny(), tiny_3d(norm_groups=8))


def test_bad_arguments():
    with pytest.raises(ValueError, match="expected one of central, average"):
        inflate(tiny(), tiny_3d(), mode="middle")
    with pytest.raises(ValueError, match="received VideoTokenizer and ImageTokenizer"):
        inflate(tiny_3d(), tiny())
