"""The losses of the adversarial training of the tokenizer (Sec. 3.1): pure functions, always in float32."""

from collections.abc import Callable
from typing import Any

from keras import ops

from magvit_keras import backend


def reconstruction_loss(real: Any, fake: Any) -> Any:
    """Mean squared error of pixels; a scalar.

    Args:
        real: (B, ..., 3) in [0, 1].
        fake: the same shape, not clipped.
    """
    return ops.mean(ops.square(_float32(real) - _float32(fake)))


def psnr(real: Any, fake: Any) -> Any:
    """Peak signal-to-noise ratio in dB, at most 100, averaged over the batch.

    Args:
        real: (B, ..., 3) in [0, 1].
        fake: the same shape.
    """
    error = ops.square(_float32(real) - _float32(fake))
    error = ops.mean(error, axis=tuple(range(1, len(error.shape))))  # (B,)
    return ops.mean(-10.0 * ops.log10(ops.maximum(error, 1e-10)))


def non_saturating_discriminator_loss(real_logits: Any, fake_logits: Any) -> Any:
    """Cross-entropy of calling real clips real and reconstructed ones fake; a scalar.

    Args:
        real_logits: any shape, positive where the discriminator says "real".
        fake_logits: any shape.

    Reference:
        Goodfellow et al., Generative Adversarial Networks (arXiv 1406.2661).
    """
    return ops.mean(ops.softplus(-_float32(real_logits))) + ops.mean(ops.softplus(_float32(fake_logits)))


def non_saturating_generator_loss(fake_logits: Any) -> Any:
    """Cross-entropy of reconstructed clips being called real; a scalar."""
    return ops.mean(ops.softplus(-_float32(fake_logits)))


def hinge_discriminator_loss(real_logits: Any, fake_logits: Any) -> Any:
    """Asks for logits above 1 on real clips and below -1 on reconstructed ones; a scalar.

    Reference:
        Lim and Ye, Geometric GAN (arXiv 1705.02894).
    """
    return ops.mean(ops.relu(1.0 - _float32(real_logits))) + ops.mean(ops.relu(1.0 + _float32(fake_logits)))


def hinge_generator_loss(fake_logits: Any) -> Any:
    """Minus the mean logit of reconstructed clips; a scalar."""
    return -ops.mean(_float32(fake_logits))


#: name -> (loss of the discriminator, loss of the generator)
GAN_LOSSES: dict[str, tuple[Callable, Callable]] = {
    "non_saturating": (non_saturating_discriminator_loss, non_saturating_generator_loss),
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
}


def gan_losses(name: str) -> tuple[Callable, Callable]:
    """The losses of discriminator and generator of that name.

    Raises:
        ValueError: unknown name; the message lists the known ones.
    """
    if name not in GAN_LOSSES:
        raise ValueError(f"Unknown GAN loss {name!r}; expected one of {', '.join(GAN_LOSSES)}.")
    return GAN_LOSSES[name]


def r1_penalty(critic: Callable[[Any], Any], videos: Any) -> tuple[Any, Any]:
    """Mean over the batch of the squared norm of the critic's input gradient.

    There is no factor 1/2: the paper's cost of 10 multiplies this value, which is R1 with gamma = 20.

    Args:
        critic: maps videos to logits, one or more an example; examples must not influence each other.
        videos: (B, ..., 3) real clips or frames.

    Returns:
        The penalty, a scalar with gradients by the critic's weights, and the logits.

    Example:
        >>> penalty, logits = r1_penalty(lambda x: 3.0 * ops.sum(x, axis=(1, 2)), np.zeros((5, 2, 2), "float32"))
        >>> float(penalty)  # four pixels of gradient 3
        36.0

    Reference:
        Mescheder et al., Which Training Methods for GANs do actually Converge? (arXiv 1801.04406).
    """
    logits, gradient = backend.input_gradient(critic, _float32(videos))
    squares = ops.square(_float32(gradient))
    return ops.mean(ops.sum(squares, axis=tuple(range(1, len(squares.shape))))), _float32(logits)


def lecam_loss(real_logit: Any, fake_logit: Any, average_real_logit: Any, average_fake_logit: Any) -> Any:
    """LeCam regularization: keeps the logits of a batch from running away from the running ones of the other kind.

    Args:
        real_logit: mean logit of the real clips of the batch.
        fake_logit: mean logit of the reconstructed ones.
        average_real_logit: moving average of `real_logit` over the steps before.
        average_fake_logit: moving average of `fake_logit`.

    Returns:
        The loss, of the shape of the arguments.

    Reference:
        Tseng et al., Regularizing GANs under Limited Data (arXiv 2104.03310), in the one-sided form of the authors.
    """
    above = ops.relu(_float32(real_logit) - _float32(average_fake_logit))
    below = ops.relu(_float32(average_real_logit) - _float32(fake_logit))
    return ops.square(above) + ops.square(below)


def moving_average(average: Any, value: Any, decay: float) -> Any:
    """`decay` of the average and the rest of the new value.

    Args:
        average: the average so far.
        value: what is added.
        decay: a Python float in [0, 1): 1 - decay is taken in double precision, as in float32 it would be off by 1e-5.
    """
    return average * decay + value * (1.0 - decay)


def _float32(x: Any) -> Any:
    return ops.cast(x, "float32")
