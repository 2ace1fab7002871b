"""Tokenizers that fold pixels before they convolve, their start from the data, and codes that are running means."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.wavelet import fold, unfold, unit
from magvit_keras.presets.estimates import tokenizer_cost
from magvit_keras.tokenizer.adaptation import kmeans
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.quantizer import MEMORY, VectorQuantizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN

SIZES = {"filters": 8, "channel_multipliers": (1,), "num_res_blocks": 1, "norm_groups": 1}
CODES = {"quantizer": "vq_ema", "embedding_dim": 6, "codebook_size": 16, "entropy_loss_weight": 0.0}


def numpy(x):
    return ops.convert_to_numpy(x)


def fast(cls=VideoTokenizer, **options):
    wavelet = (2, 4, 4) if cls is VideoTokenizer else (4, 4)
    return cls(**{**SIZES, **CODES, "wavelet": wavelet, **options})


def clips(number=8, seed=0):
    """Clips (N, 4, 8, 8, 3): a ramp of some colour and slope, and a little noise."""
    rng = np.random.default_rng(seed)
    colours, slopes = rng.random((number, 1, 1, 1, 3)), rng.normal(size=(number, 1, 1, 1, 1)) / 8
    ramp = np.linspace(-1, 1, 8)[None, None, :, None, None]
    noise = rng.normal(size=(number, 4, 8, 8, 3)) / 200
    return np.clip(colours + slopes * ramp + noise, 0, 1).astype("float32")


def error(tokenizer, video):
    return float(np.square(numpy(tokenizer.decode(tokenizer.encode(video))) - video).mean())


@pytest.mark.parametrize("factors", [(4, 8, 8), (2, 4, 4), (1, 2, 8), (4, 8), (1, 1)])
def test_the_wavelet_loses_nothing(factors):
    x = np.random.default_rng(0).normal(size=(*(2, 8, 16, 16)[: 1 + len(factors)], 3)).astype("float32")
    folded = fold(ops.convert_to_tensor(x), factors)
    assert tuple(folded.shape)[-1] == 3 * np.prod(factors)
    np.testing.assert_allclose(numpy(unfold(folded, factors)), x, atol=1e-5)


def test_an_error_in_space_is_as_large_folded():
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 8, 3)).astype("float32")
    assert np.square(numpy(fold(x, (1, 8, 8)))).sum() == pytest.approx(np.square(x).sum(), rel=1e-5)


def test_equal_frames_have_the_channels_of_one_and_zeros():
    frame = np.random.default_rng(0).random((1, 8, 8, 3), "float32")
    folded = numpy(fold(np.repeat(frame[:, None], 4, axis=1), (4, 4, 4)))[:, 0]
    np.testing.assert_allclose(folded[..., :48], numpy(fold(frame, (4, 4))), atol=1e-6)
    np.testing.assert_allclose(folded[..., 48:], 0, atol=1e-6)


def test_the_first_channels_are_the_mean_colour():
    folded = numpy(fold(np.full((1, 4, 8, 8, 3), 0.25, "float32"), (4, 8, 8)))
    np.testing.assert_allclose(folded[..., :3], 0.25 * unit((4, 8, 8)), rtol=1e-6)
    np.testing.assert_allclose(folded[..., 3:], 0, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("wavelet", [(2, 4), (3, 4, 4), (0, 4, 4), (2, 4, 4.0)])
def test_a_bad_wavelet_is_refused(wavelet):
    with pytest.raises(ValueError, match="wavelet must be a power of two for each of"):
        fast(wavelet=wavelet)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (VideoTokenizer, {}),
        (VideoTokenizer, {"quantizer": "vq"}),
        (VideoTokenizer, {"quantizer": "fsq", "embedding_dim": None, "codebook_size": None}),
        (VideoTokenizer, {"quantizer": "lfq", "embedding_dim": None, "codebook_size": 64}),
        (VideoTokenizer, {"wavelet": (1, 2, 2), "channel_multipliers": (1, 2), "temporal_downsample": (True,)}),
        (VideoTokenizer, {"num_res_blocks": (1, 2), "dtype": "mixed_bfloat16"}),
        (ImageTokenizer, {}),
    ],
    ids=["vq_ema", "vq", "fsq", "lfq", "levels", "bfloat16", "image"],
)
def test_adapt_reconstructs_before_any_step(cls, options):
    tokenizer, video = fast(cls, **options), clips(16)
    video = video[:, 0] if cls is ImageTokenizer else video
    assert tokenizer.downsampling[-2:] == (4, 4)
    tokenizer.adapt(video)
    of_mean = np.square(video - video.mean((0, 1, 2, 3)[: video.ndim - 1])).mean()
    assert error(tokenizer, video) < 0.3 * of_mean
    latents = numpy(tokenizer.latents(video)).astype("float32")
    assert np.square(latents).mean() == pytest.approx(1, abs=0.05)


def test_adapt_of_the_papers_tokenizer_is_the_mean_colour():
    sizes = {**SIZES, "channel_multipliers": (1, 2), "temporal_downsample": (True,)}
    tokenizer, video = VideoTokenizer(**sizes, embedding_dim=6, codebook_size=16), clips(8)
    tokenizer.adapt(video)
    made = numpy(tokenizer(video))
    np.testing.assert_allclose(made, np.broadcast_to(video.mean((0, 1, 2, 3)), made.shape), atol=1e-5)
    latents = numpy(backend.run_compiled(tokenizer, "latents", tokenizer.latents, video))
    np.testing.assert_allclose(latents.mean((0, 1, 2, 3)), 0, atol=1e-2)
    assert latents.std() == pytest.approx(1, abs=1e-2)
    distances = numpy(tokenizer.quantizer.distances(ops.convert_to_tensor(latents)))
    assert distances.min(-1).mean() < 0.8 * 6  # less than the distance to one code in the middle


@pytest.mark.once
def test_adapt_refuses_what_the_tokenizer_does_not_take():
    with pytest.raises(ValueError, match="not a multiple"):
        fast().adapt(np.zeros((1, 3, 8, 8, 3), "float32"))


@pytest.mark.once
def test_kmeans_finds_separate_groups():
    rng = np.random.default_rng(0)
    groups = np.array([[0, 0], [9, 0], [0, 9]], "float32")
    latents = np.repeat(groups, 50, axis=0) + rng.normal(size=(150, 2)).astype("float32") / 100
    centres, counts = kmeans(latents, 6, rng)
    nearest = np.abs(groups[:, None] - centres).max(-1).min(1)
    assert nearest.max() < 0.1 and counts.sum() == 150


def test_moving_codes_are_the_running_means_of_their_latents():
    quantizer = VectorQuantizer(2, 1, entropy_loss_weight=0.0, moving=True)
    quantizer.build((None, 1))
    quantizer.codebook.assign([[0.0], [10.0]])
    quantizer.counts.assign([2.0, 2.0])
    quantizer(ops.convert_to_tensor([[1.0], [3.0], [11.0]]), training=True)
    kept = 2 * (1 - 1 / MEMORY)
    wanted = [4 / MEMORY / (kept + 2 / MEMORY), (10 * kept + 11 / MEMORY) / (kept + 1 / MEMORY)]
    np.testing.assert_allclose(numpy(quantizer.codebook)[:, 0], wanted, rtol=1e-5)
    np.testing.assert_allclose(numpy(quantizer.counts), [kept + 2 / MEMORY, kept + 1 / MEMORY], rtol=1e-6)


def test_unused_moving_codes_become_latents_of_the_batch():
    quantizer = VectorQuantizer(8, 2, entropy_loss_weight=0.0, moving=True)
    quantizer.build((None, 2))
    quantizer.codebook.assign(np.arange(16).reshape(8, 2) * 100)  # all but the first are far from the latents
    latents = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    quantizer(ops.convert_to_tensor(latents), training=True)
    moved = numpy(quantizer.codebook)
    np.testing.assert_allclose(moved[0], latents.mean(0), atol=1e-5)
    assert np.abs(moved[1:, None] - latents).max(-1).min(1).max() < 1e-6
    assert np.unique(numpy(quantizer.ids(latents))).size > 1


def test_fit_moves_the_codes_and_evaluate_does_not():
    tokenizer, video = fast(), clips(8)
    tokenizer.compile(optimizer=keras.optimizers.Adam(1e-3))
    tokenizer.adapt(video)
    codes = numpy(tokenizer.quantizer.codebook)
    tokenizer.evaluate(video, batch_size=4, verbose=0)
    np.testing.assert_array_equal(numpy(tokenizer.quantizer.codebook), codes)
    before = error(tokenizer, video)
    history = tokenizer.fit(video, batch_size=4, epochs=8, verbose=0).history
    assert np.abs(numpy(tokenizer.quantizer.codebook) - codes).max() > 1e-4
    assert history["codebook_loss"] == [0] * 8 and error(tokenizer, video) < before


def test_a_saved_tokenizer_goes_on(tmp_path):
    tokenizer, video = fast(num_res_blocks=(1, 2)), clips(4)
    tokenizer.compile(optimizer=keras.optimizers.Adam(1e-3))
    tokenizer.adapt(video)
    tokenizer.fit(video, batch_size=4, epochs=1, verbose=0)
    tokenizer.save(tmp_path / "tokenizer.keras")
    again = keras.saving.load_model(tmp_path / "tokenizer.keras")
    assert again.get_config() == tokenizer.get_config() and len(again.decoder.bottleneck) == 2
    for model in (tokenizer, again):
        model.fit(video, batch_size=4, epochs=1, verbose=0)
    for one, other in zip(tokenizer.weights, again.weights, strict=True):
        np.testing.assert_allclose(numpy(one.value), numpy(other.value), atol=1e-5)


@pytest.mark.parametrize("remat", ["blocks", "full"])
def test_remat_changes_no_gradient(remat):
    tokenizer, video = fast(), clips(2)
    same = fast(remat=remat)
    keras.utils.set_random_seed(0)
    for variable in tokenizer.weights:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape) / 4)
    same.set_weights(tokenizer.get_weights())
    found = []
    for model in (tokenizer, same):
        variables = model.trainable_variables
        loss = lambda model=model: model.losses_and_logs(ops.convert_to_tensor(video), training=False)  # noqa: E731
        found.append(backend.value_and_gradients(loss, variables, model.non_trainable_variables)[2])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), atol=1e-4)


def test_an_inflated_fast_tokenizer_repeats_the_2d_one_on_static_clips():
    image, video = fast(ImageTokenizer), fast()
    frames = clips(4)[:, 0]
    image.adapt(frames)
    for layer in (image.encoder.conv_out, image.decoder.conv_out):
        layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape) / 8)
    report = inflate(image, video)
    assert not report.left_out and not report.not_filled
    static = np.repeat(frames[:, None], 4, axis=1)
    ids = numpy(image.encode(frames))
    np.testing.assert_allclose(
        numpy(video.latents(static)), np.repeat(numpy(image.latents(frames))[:, None], 2, axis=1), atol=1e-4
    )
    made = numpy(video.decode(np.repeat(ids[:, None], 2, axis=1)))
    np.testing.assert_allclose(made, np.repeat(numpy(image.decode(ids))[:, None], 4, axis=1), atol=1e-4)


@pytest.mark.once
def test_inflation_refuses_another_wavelet():
    with pytest.raises(ValueError, match="must fold height and width as the 2D model does"):
        inflate(fast(ImageTokenizer, wavelet=(2, 2)), fast())


def test_vqgan_trains_a_fast_tokenizer():
    video = clips(4)
    tokenizer = fast()
    tokenizer.adapt(video)
    discriminator = VideoDiscriminator(filters=4, channel_multipliers=(2,), video_shape=(4, 8, 8))
    vqgan = VQGAN(tokenizer, discriminator, perceptual_loss=None)
    vqgan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    codes = numpy(tokenizer.quantizer.codebook)
    history = vqgan.fit(video, batch_size=4, epochs=2, verbose=0).history
    assert np.all(np.isfinite([values[-1] for values in history.values()]))
    assert np.abs(numpy(tokenizer.quantizer.codebook) - codes).max() > 1e-5


@pytest.mark.once
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_res_blocks": (1, 3)},
        {"wavelet": (1, 2, 2), "channel_multipliers": (1, 2), "temporal_downsample": (1,)},
    ],
)
def test_counted_parameters_are_those_of_the_built_model(options):
    tokenizer = fast(**options)
    assert tokenizer_cost(tokenizer.get_config(), (4, 8, 8)).parameters == tokenizer.count_params()


@pytest.mark.once
def test_bad_numbers_of_blocks_are_refused():
    with pytest.raises(ValueError, match=r"a number or a pair \(encoder, decoder\); received \(1, 2, 3\)"):
        fast(num_res_blocks=(1, 2, 3))
    with pytest.raises(ValueError, match="num_res_blocks must be an integer of at least 1; received 0"):
        fast(num_res_blocks=(1, 0))
