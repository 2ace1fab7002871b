"""The adversarial training: what one step changes, what it logs, what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.tokenizer.code_usage import CodeUsage
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.two_optimizers import TwoOptimizers
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN

SIZES = {"filters": 32, "channel_multipliers": (1,), "num_res_blocks": 1, "embedding_dim": 4, "codebook_size": 16}


def make(compiled=True, rate=1e-2, **kwargs):
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(temporal_downsample=(), **SIZES)
    discriminator = VideoDiscriminator(filters=4, channel_multipliers=(1,), video_shape=(2, 4, 4))
    model = VQGAN(tokenizer, discriminator, **{"perceptual_loss": None, **kwargs})
    if compiled:
        model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return model


def clips(count=2, seed=0):
    return np.random.default_rng(seed).random((count, 2, 4, 4, 3), "float32")


def step(model, count=1):
    """Trains on the same two clips; the logs of the last step."""
    history = model.fit(clips(), batch_size=2, epochs=count, shuffle=False, verbose=0).history
    return {name: values[-1] for name, values in history.items()}


def copies(weights):
    return [ops.convert_to_numpy(w).copy() for w in weights]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def one():
    """A model, its weights at the start, and the logs of its first step."""
    model = make(ema_decay=0.9)
    start = [copies(part.weights) for part in (model.tokenizer, model.discriminator)]
    logs = step(model)
    return model, start, logs


def test_logs_are_finite_and_complete(one):
    model, _, logs = one
    assert list(sorted(logs)) == sorted(model.log_names)
    assert all(np.isfinite(value) for value in logs.values())


def test_logged_parts_add_up(one):
    _, _, logs = one
    generator = ("reconstruction_loss", "commitment_loss", "codebook_loss", "entropy_loss", "g_adversarial_loss")
    np.testing.assert_allclose(sum(logs[name] for name in generator), logs["g_loss"], rtol=1e-5)
    discriminator = ("d_adversarial_loss", "r1_penalty", "lecam_loss")
    np.testing.assert_allclose(sum(logs[name] for name in discriminator), logs["d_loss"], rtol=1e-5)


def test_one_step_moves_both(one):
    model, (tokenizer, discriminator), _ = one
    assert not same(copies(model.tokenizer.weights), tokenizer)
    assert not same(copies(model.discriminator.weights), discriminator)


def test_averaged_weights_after_one_step(one):
    model, (before, _), _ = one
    for average, old, new in zip(
        copies(model.ema_tokenizer.weights), before, copies(model.tokenizer.weights), strict=True
    ):
        np.testing.assert_allclose(average, 0.9 * old + 0.1 * new, atol=1e-6)


def test_running_logits_after_one_step(one):
    model, _, logs = one
    np.testing.assert_allclose(ops.convert_to_numpy(model.average_real_logit), 0.1 * logs["d_real_logit"], rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(model.average_fake_logit), 0.1 * logs["d_fake_logit"], rtol=1e-4)


def test_both_optimizers_count(one):
    model, _, _ = one
    assert [int(ops.convert_to_numpy(o.iterations)) for o in model.optimizer.optimizers] == [1, 1]


def test_evaluate_logs_all_but_r1(one):
    model, _, _ = one
    before = copies(model.weights)
    logs = model.evaluate(clips(), batch_size=2, verbose=0, return_dict=True)
    assert set(logs) == set(model.log_names) - {"r1_penalty"}
    assert same(copies(model.weights), before)


@pytest.mark.parametrize("part", ["tokenizer", "discriminator"])
def test_gradients_are_taken_at_the_old_weights(part):
    """The step of one part does not depend on how far the other went."""
    model = make()
    start = copies(model.weights)
    found = []
    for rate in (0.0, 1e-2):
        for variable, value in zip(model.weights, start, strict=True):
            variable.assign(value)
        generator, discriminator = model.optimizer.optimizers
        (discriminator if part == "tokenizer" else generator).learning_rate = rate
        step(model)
        found.append(copies(getattr(model, part).weights))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_decoder_only_keeps_encoder_and_codebook():
    model = make(decoder_only=True)
    parts = [model.tokenizer.encoder, model.tokenizer.quantizer, model.tokenizer.decoder]
    before = [copies(part.weights) for part in parts]
    step(model)
    assert [same(copies(p.weights), b) for p, b in zip(parts, before, strict=True)] == [True, True, False]


def test_discriminator_rests_at_first():
    model = make(generator_only_steps=1)
    before = copies(model.discriminator.weights)
    assert step(model)["g_adversarial_loss"] == 0
    assert same(copies(model.discriminator.weights), before)
    assert [int(ops.convert_to_numpy(o.iterations)) for o in model.optimizer.optimizers] == [1, 0]
    assert step(model)["g_adversarial_loss"] != 0
    assert not same(copies(model.discriminator.weights), before)


def test_frames_with_image_tokenizer_and_hinge_loss():
    keras.utils.set_random_seed(0)
    discriminator = ImageDiscriminator(filters=4, channel_multipliers=(1,), image_shape=(4, 4))
    model = VQGAN(ImageTokenizer(**SIZES), discriminator, perceptual_loss=None, gan_loss="hinge", lecam_weight=0)
    model.compile()
    logs = step(model)
    assert all(np.isfinite(value) for value in logs.values())
    assert "lecam_loss" not in logs


def test_fit_averages_from_the_weights_at_its_start():
    model = make(compiled=False)
    model.tokenizer.quantizer.codebook.assign(np.ones((16, 4)))
    model.compile()
    with pytest.raises(ValueError, match="needs data"):
        model.fit()
    assert same(copies(model.ema_tokenizer.weights), copies(model.tokenizer.weights))


def test_code_usage_counts_steps():
    usage = CodeUsage(4)
    usage.update(ops.convert_to_tensor([[0, 1]]), None, [])
    usage.update(ops.convert_to_tensor([[1, 3]]), None, [])
    np.testing.assert_array_equal(ops.convert_to_numpy(usage.unused_steps), [1, 0, 2, 0])
    assert usage.share_used_within(1) == 0.5


def test_unused_codes_restart_at_latents_of_the_batch():
    usage = CodeUsage(4, restart_after=2)
    codebook = keras.Variable(np.zeros((4, 2), "float32"))
    latents = np.arange(1, 7, dtype="float32").reshape(3, 2)
    for _ in range(2):
        usage.update(ops.convert_to_tensor([0, 0, 1]), ops.convert_to_tensor(latents), [codebook])
    codes = ops.convert_to_numpy(codebook)
    np.testing.assert_array_equal(codes[:2], 0)
    assert all(any(np.array_equal(code, latent) for latent in latents) for code in codes[2:])
    np.testing.assert_array_equal(ops.convert_to_numpy(usage.unused_steps), 0)


def test_without_a_perceptual_loss_it_names_the_choices():
    model = make(compiled=False)
    with pytest.raises(ValueError, match=r"(?s)load_resnet50.*from_applications.*None"):
        VQGAN(model.tokenizer, model.discriminator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gan_loss": "wgan"}, "expected one of non_saturating, hinge"),
        ({"ema_decay": 1.0}, r"\[0, 1\)"),
        ({"generator_only_steps": -1}, "0 or more"),
        ({"decoder_only": True, "restart_codes_after": 5}, "keeps the codebook"),
        ({"restart_codes_after": 0}, "at least 1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make(compiled=False, **options)


def test_clips_of_another_size_than_the_discriminators():
    with pytest.raises(ValueError, match=r"inputs of \(2, 4, 4\)"):
        make().fit(np.zeros((2, 2, 8, 8, 3), "float32"), verbose=0)


def test_same_optimizer_twice():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="same object"):
        TwoOptimizers(optimizer, optimizer)


def test_learning_rate_of_the_pair_sets_both():
    model = make()
    model.optimizer.learning_rate = 0.5
    assert [float(ops.convert_to_numpy(o.learning_rate)) for o in model.optimizer.optimizers] == [0.5, 0.5]


def test_config_round_trip():
    model = make(compiled=False, r1_weight=3.0, restart_codes_after=7, gan_loss="hinge")
    assert VQGAN.from_config(model.get_config()).get_config() == model.get_config()
