"""The losses of the adversarial training against the reference arrays."""

import numpy as np
import pytest
from keras import ops

from magvit_keras import backend
from magvit_keras.convert.flax import load_flax_params
from magvit_keras.convert.flax_names import discriminator_paths
from magvit_keras.tokenizer import losses
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator

NAMES = {"non_saturating": "non-saturating", "hinge": "hinge"}


def build(ref, rank):
    config = ref.config["discriminator"]
    _, t, h, w, _ = ref.config["video_shape"]
    kind, size = (VideoDiscriminator, (t, h, w)) if rank == 3 else (ImageDiscriminator, (h, w))
    discriminator = kind(config["filters"], config["channel_multipliers"], size)
    load_flax_params(discriminator, ref.params(f"params{rank}d/"))
    return discriminator


def numpy(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


@pytest.mark.parametrize("name", NAMES)
def test_gan_losses(reference, name):
    ref = reference("disc")
    discriminator_loss, generator_loss = losses.gan_losses(name)
    real, fake = ref["losses/real_logit"], ref["losses/fake_logit"]
    ref.assert_close(numpy(discriminator_loss(real, fake)), f"losses/{NAMES[name]}/d")
    ref.assert_close(numpy(generator_loss(fake)), f"losses/{NAMES[name]}/g")


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_gan_losses(reference, name):
    ref = reference("disc")
    discriminator_loss, generator_loss = losses.gan_losses(name)
    real, fake = ref["losses/real_logit"], ref["losses/fake_logit"]
    by_real = backend.input_gradient(lambda x: discriminator_loss(x, fake), real)[1]
    by_fake = backend.input_gradient(lambda x: discriminator_loss(real, x), fake)[1]
    ref.assert_close(numpy(by_real), f"losses/{NAMES[name]}/d_grad_real")
    ref.assert_close(numpy(by_fake), f"losses/{NAMES[name]}/d_grad_fake")
    ref.assert_close(numpy(backend.input_gradient(generator_loss, fake)[1]), f"losses/{NAMES[name]}/g_grad_fake")


def test_unknown_gan_loss():
    with pytest.raises(ValueError, match="expected one of non_saturating, hinge"):
        losses.gan_losses("wasserstein")


@pytest.mark.parametrize("rank", [3, 2])
def test_input_gradient(reference, rank):
    ref = reference("disc")
    discriminator = build(ref, rank)

    def gradient(video):
        return backend.input_gradient(discriminator, video)[1]

    ref.assert_close(
        numpy(backend.run_compiled(discriminator, "gradient", gradient, ref["video"])), f"r1_{rank}d/input_gradient"
    )


@pytest.mark.parametrize("rank", [3, 2])
def test_penalty_and_its_gradients_by_the_weights(reference, rank):
    ref = reference("disc")
    discriminator = build(ref, rank)
    paths = discriminator_paths(discriminator)
    wanted = {kind: [path for path in paths if f"{kind}_{rank}d/grad/{path}" in ref] for kind in ("r1", "d_loss")}
    variables = [paths[path] for path in wanted["d_loss"]]
    others = [v for v in discriminator.variables if all(v is not w for w in variables)]

    def step(video, fake_video):
        def penalty():
            return 10.0 * losses.r1_penalty(discriminator, video)[0], ()

        def whole():
            penalty, real_logits = losses.r1_penalty(discriminator, video)
            gan = losses.non_saturating_discriminator_loss(real_logits, discriminator(fake_video))
            return 10.0 * penalty + gan, ()

        value, _, by_r1 = backend.value_and_gradients(penalty, variables, others)
        return value, {"r1": by_r1, "d_loss": backend.value_and_gradients(whole, variables, others)[2]}

    value, gradients = backend.run_compiled(discriminator, "step", step, ref["video"], ref["fake_video"])
    ref.assert_close(numpy(value), f"r1_{rank}d/penalty")
    assert set(wanted["r1"]) < set(wanted["d_loss"])
    for kind, found in gradients.items():
        for path, gradient in zip(wanted["d_loss"], found, strict=True):
            if path in wanted[kind]:
                ref.assert_close(numpy(gradient), f"{kind}_{rank}d/grad/{path}")


def test_lecam(reference):
    ref = reference("disc")
    arguments = [ref[f"lecam/{name}"] for name in ("real_pred", "fake_pred", "ema_real", "ema_fake")]
    ref.assert_close(numpy(losses.lecam_loss(*arguments)), "lecam/value")


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_moving_average_of_logits(reference, kind):
    ref = reference("disc")
    average, sequence = np.float32(0), []
    for value in ref[f"lecam_ema/{kind}_pred"]:
        average = losses.moving_average(average, value, 0.999)
        sequence.append(average)
    ref.assert_close(np.array(sequence), f"lecam_ema/{kind}_sequence")


def test_moving_average_of_weights(reference):
    ref = reference("disc")
    average, sequence = ops.convert_to_tensor(ref["ema/init"]), []
    for value in ref["ema/values"]:
        average = losses.moving_average(average, ops.convert_to_tensor(value), 0.999)
        sequence.append(numpy(average))
    ref.assert_close(np.array(sequence), "ema/sequence")


def test_psnr_of_a_known_error():
    real = np.full((2, 2, 4, 4, 3), 0.5, "float32")
    np.testing.assert_allclose(numpy(losses.psnr(real, real + 0.1)), 20.0, atol=1e-4)


def test_losses_of_half_precision_logits_are_float32():
    logits = np.array([[1.0], [-2.0]], "float16")
    assert numpy(losses.hinge_discriminator_loss(logits, logits)).dtype == np.float32
