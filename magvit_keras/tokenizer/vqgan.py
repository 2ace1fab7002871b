"""The adversarial training of a tokenizer, VQGAN (Sec. 3.1): two optimizers under plain `model.fit`."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_numbers, to_float, to_numpy, video_of
from magvit_keras.tokenizer import losses
from magvit_keras.tokenizer.base_tokenizer import codebook_statistics
from magvit_keras.tokenizer.code_usage import CodeUsage
from magvit_keras.tokenizer.perceptual import REQUIRED, perceptual_choices
from magvit_keras.tokenizer.two_optimizers import TwoOptimizers, batches_per_update


@keras.saving.register_keras_serializable("magvit_keras")
class VQGAN(backend.SteppedModel):
    """Trains a tokenizer against a discriminator.

    One step takes the gradients of the tokenizer's loss and of the discriminator's, both at the old weights, applies
    both, and moves the averages:

        tokenizer:      L2 + 0.1 adversarial + 0.1 perceptual + commitment + codebook + entropy
        discriminator:  adversarial + 10 R1 + 0.05 LeCam

    The weights of the quantizer's losses belong to the tokenizer. Losses are logged as they enter these sums;
    `evaluate` computes the same with the current (not the averaged) weights, without R1. `call` reconstructs.

    Args:
        tokenizer: a `VideoTokenizer` or an `ImageTokenizer`; trained in place.
        discriminator: a `VideoDiscriminator`, or an `ImageDiscriminator` for an `ImageTokenizer`.
        perceptual_loss: a `PerceptualLoss`, or another layer of (real, fake) frames; None trains without.
        reconstruction_weight: of the mean squared error.
        adversarial_weight: of the tokenizer's adversarial loss.
        perceptual_weight: of the perceptual loss.
        r1_weight: of the mean squared norm of the discriminator's input gradient on real clips; 0 leaves it out.
        lecam_weight: of LeCam; 0 leaves it out. The paper uses LeCam and gives no weight: the authors' code has 0
            unless set, Open-MAGVIT2 has 0.05, the default here.
        gan_loss: "non_saturating" (the paper) or "hinge".
        ema_decay: of the averaged weights and of LeCam's two running logits.
        generator_only_steps: steps at the start in which the tokenizer trains without the discriminator.
        decoder_only: encoder and codebook keep their weights; only the decoder trains.
        restart_codes_after: codes that went unused for this many steps are replaced by random latents of the batch;
            None never does.
        seed: of those random latents.

    Raises:
        ValueError: no `perceptual_loss` given (None is an answer), or an argument out of range.

    Example:
        >>> from magvit_keras.tokenizer.discriminator import VideoDiscriminator
        >>> from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
        >>> tokenizer = VideoTokenizer(filters=32, channel_multipliers=(1, 1), num_res_blocks=1,
        ...                            temporal_downsample=(True,), embedding_dim=8, codebook_size=64)
        >>> discriminator = VideoDiscriminator(filters=8, channel_multipliers=(2,), video_shape=(2, 8, 8))
        >>> vqgan = VQGAN(tokenizer, discriminator, perceptual_loss=None)
        >>> vqgan.compile()
        >>> clips = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3), "uint8")
        >>> history = vqgan.fit(clips, batch_size=2, verbose=0)
        >>> vqgan.ema_tokenizer.encode(clips).shape
        (2, 1, 4, 4)

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.1 and appendix A; VQGAN (arXiv 2012.09841).
    """

    log_names = ()

    def __init__(
        self,
        tokenizer: keras.Model,
        discriminator: keras.Model,
        perceptual_loss: Any = REQUIRED,
        reconstruction_weight: float = 1.0,
        adversarial_weight: float = 0.1,
        perceptual_weight: float = 0.1,
        r1_weight: float = 10.0,
        lecam_weight: float = 0.05,
        gan_loss: str = "non_saturating",
        ema_decay: float = 0.999,
        generator_only_steps: int = 0,
        decoder_only: bool = False,
        restart_codes_after: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        if perceptual_loss is REQUIRED:
            raise ValueError(perceptual_choices("VQGAN"))
        losses.gan_losses(gan_loss)
        check_numbers(
            0,
            reconstruction_weight=reconstruction_weight,
            adversarial_weight=adversarial_weight,
            perceptual_weight=perceptual_weight,
            r1_weight=r1_weight,
            lecam_weight=lecam_weight,
        )
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1); received {ema_decay}.")
        if generator_only_steps < 0:
            raise ValueError(f"generator_only_steps must be 0 or more; received {generator_only_steps}.")
        if decoder_only and restart_codes_after is not None:
            raise ValueError("decoder_only keeps the codebook; restart_codes_after must be None with it.")
        if restart_codes_after is not None and not hasattr(tokenizer.quantizer, "codebook"):
            raise ValueError(
                f"restart_codes_after needs learned codes; {type(tokenizer.quantizer).__name__} has none to restart."
            )
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.discriminator = discriminator
        self.perceptual_loss = perceptual_loss
        self.reconstruction_weight = reconstruction_weight
        self.adversarial_weight = adversarial_weight
        self.perceptual_weight = perceptual_weight
        self.r1_weight = r1_weight
        self.lecam_weight = lecam_weight
        self.gan_loss = gan_loss
        self.ema_decay = ema_decay
        self.generator_only_steps = generator_only_steps
        self.decoder_only = decoder_only
        self.restart_codes_after = restart_codes_after
        self.seed = seed
        if perceptual_loss is not None:
            perceptual_loss.trainable = False
        config = {**tokenizer.get_config(), "name": f"{tokenizer.name}_ema"}
        self.ema_tokenizer = type(tokenizer).from_config(config)
        self.ema_tokenizer.trainable = False
        self._average_from_here()
        self.code_usage = CodeUsage(tokenizer.codebook_size, restart_codes_after, seed, name="code_usage")
        state = {"trainable": False, "initializer": "zeros", "shape": ()}
        self.steps = self.add_weight(dtype="int32", name="steps", **state)
        self.average_real_logit = self.add_weight(dtype="float32", name="average_real_logit", **state)
        self.average_fake_logit = self.add_weight(dtype="float32", name="average_fake_logit", **state)
        self.set_log_names(self._names())
        self.supports_jit = backend.SECOND_ORDER_COMPILES
        self.built = True

    def _names(self) -> list[str]:
        quantizer = [n for n in self.tokenizer.log_names if n.endswith("_loss") and n != "reconstruction_loss"]
        optional = {
            "perceptual_loss": self.perceptual_loss is not None,
            "r1_penalty": self.r1_weight > 0,
            "lecam_loss": self.lecam_weight > 0,
        }
        names = [
            *("g_loss", "d_loss", "reconstruction_loss", "perceptual_loss", *quantizer, "g_adversarial_loss"),
            *("d_adversarial_loss", "r1_penalty", "lecam_loss", "psnr", "codebook_usage", "perplexity"),
            *("d_real_accuracy", "d_fake_accuracy", "d_real_logit", "d_fake_logit"),
        ]
        return [name for name in names if optional.get(name, True)]

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses to replace the two optimizers with one."""
        if name == "optimizer" and not isinstance(value, TwoOptimizers | None):
            raise AttributeError(
                f"A VQGAN has two optimizers; received {type(value).__name__} as its one. Give both: "
                "vqgan.compile(generator_optimizer=..., discriminator_optimizer=...)."
            )
        super().__setattr__(name, value)

    def compile(self, generator_optimizer: Any = None, discriminator_optimizer: Any = None, **kwargs: Any) -> None:
        """Sets the two optimizers.

        Args:
            generator_optimizer: of the tokenizer; the paper's Adam(1e-4, beta_1=0, beta_2=0.99) in optax's form if
                None. Under a float16 policy it is wrapped in a `LossScaleOptimizer`.
            discriminator_optimizer: of the discriminator; the same default.
                Both may have `gradient_accumulation_steps`, the same number: the averaged weights then move with each
                update. LeCam and the entropy loss, which are no means over examples, see the batches one by one.
            **kwargs: `run_eagerly`, `jit_compile`, `steps_per_execution` of `keras.Model.compile`.
        """
        optimizers = []
        for optimizer, model in ((generator_optimizer, self.tokenizer), (discriminator_optimizer, self.discriminator)):
            if optimizer is None:
                optimizer = backend.OptaxAdam(1e-4, beta_1=0.0, beta_2=0.99)
            optimizer = keras.optimizers.get(optimizer)
            if model.compute_dtype == "float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizers.append(optimizer)
        pair = TwoOptimizers(*optimizers)
        pair.build_parts(self._generator_variables(), self.discriminator.trainable_variables)
        # Each part scales its own loss; Keras must not scale the pair.
        super().compile(optimizer=pair, **{**kwargs, "auto_scale_loss": False})

    def get_compile_config(self) -> dict:
        """The two optimizers and the options of `compile`."""
        config = super().get_compile_config()
        if not config:
            return {}
        pair = self.optimizer.get_config()
        options = {key: config[key] for key in ("run_eagerly", "steps_per_execution", "jit_compile") if key in config}
        return {
            "generator_optimizer": pair["generator_optimizer"],
            "discriminator_optimizer": pair["discriminator_optimizer"],
            **options,
        }

    def compile_from_config(self, config: dict) -> None:
        """Compiles as before it was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit` on clips: arrays, tf.data, PyDataset, Grain, torch DataLoader, generators."""
        if int(to_numpy(self.steps)) == 0:
            # The tokenizer may have been loaded or inflated since this object was made.
            self._average_from_here()
        return super().fit(x, *args, **kwargs)

    def _average_from_here(self) -> None:
        for average, weight in zip(self.ema_tokenizer.weights, self.tokenizer.weights, strict=True):
            average.assign(to_numpy(weight))

    def call(self, video: Any, training: bool = False) -> Any:
        """Reconstruction by the current weights."""
        return self.tokenizer(video, training=training)

    def training_step(self, data: Any) -> dict[str, Any]:
        """One step of tokenizer and discriminator."""
        video = to_float(video_of(data))
        optimizers = self.optimizer.optimizers
        generator, discriminator = self._generator_variables(), self.discriminator.trainable_variables
        # Read here: inside of a loss they would be constants of JAX's compiled step.
        scale_g, scale_d = (optimizer.scale_loss(1.0) for optimizer in optimizers)
        batches = batches_per_update(self.optimizer)
        active = self.steps // batches >= self.generator_only_steps if self.generator_only_steps else None
        adversarial = 1.0 if active is None else ops.cast(active, "float32")

        def generator_loss() -> tuple[Any, Any]:
            loss, *rest = self._generator_loss(video, adversarial, training=True)
            return loss * scale_g, rest

        _, (logs, fake, latents, ids), gradients_g = backend.value_and_gradients(
            generator_loss, generator, self._others(generator)
        )

        def discriminator_loss() -> tuple[Any, Any]:
            loss, logs = self._discriminator_loss(video, fake, r1=self.r1_weight > 0)
            return loss * scale_d, logs

        _, more_logs, gradients_d = backend.value_and_gradients(
            discriminator_loss, discriminator, self._others(discriminator)
        )
        backend.apply_gradients(optimizers[0], gradients_g, generator)
        backend.apply_gradients(optimizers[1], gradients_d, discriminator, when=active)
        logs.update(more_logs)
        self._move_averages(logs, batches)
        self.code_usage.update(ids, latents, self._codebooks())
        self.steps.assign(self.steps + 1)
        return self.track(logs, data)

    def evaluation_step(self, data: Any) -> dict[str, Any]:
        """The logs, without R1 and without a step."""
        video = to_float(video_of(data))
        _, logs, fake, _, _ = self._generator_loss(video, 1.0, training=False)
        logs.update(self._discriminator_loss(video, fake, r1=False)[1])
        return self.track(logs, data)

    def _generator_loss(
        self, video: Any, adversarial: Any, training: bool
    ) -> tuple[Any, dict[str, Any], Any, Any, Any]:
        """Loss, logs, reconstruction, latents and ids of clips; `adversarial` scales that part."""
        latents, ids, quantizer_losses, fake = self._reconstruct(video, training)
        logs = {f"{name}_loss": value for name, value in quantizer_losses.items()}
        logs["reconstruction_loss"] = self.reconstruction_weight * losses.reconstruction_loss(video, fake)
        if self.perceptual_loss is not None:
            network, frames = self.perceptual_loss, (_frames(video), _frames(fake))
            keep = self.tokenizer.remat == "none"
            perceptual = network(*frames) if keep else backend.rematerialize(network, [network], *frames)
            logs["perceptual_loss"] = self.perceptual_weight * ops.cast(perceptual, "float32")
        gan = losses.gan_losses(self.gan_loss)[1](self.discriminator.logits(fake))
        logs["g_adversarial_loss"] = adversarial * self.adversarial_weight * gan
        loss = sum(logs.values())
        usage, perplexity = codebook_statistics(ids, self.tokenizer.codebook_size)
        logs.update(g_loss=loss, psnr=losses.psnr(video, fake), codebook_usage=usage, perplexity=perplexity)
        return loss, logs, fake, latents, ids

    def _discriminator_loss(self, video: Any, fake: Any, r1: bool) -> tuple[Any, dict[str, Any]]:
        parts = {}
        if r1:
            penalty, real_logits = losses.r1_penalty(self.discriminator.logits, video)
            parts["r1_penalty"] = self.r1_weight * penalty
        else:
            real_logits = self.discriminator.logits(video)
        fake_logits = self.discriminator.logits(ops.stop_gradient(fake))
        parts["d_adversarial_loss"] = losses.gan_losses(self.gan_loss)[0](real_logits, fake_logits)
        # LeCam squares the mean of the batch, so that on several devices each needs the mean of all.
        real, fake = (backend.replica_mean(ops.mean(ops.cast(x, "float32"))) for x in (real_logits, fake_logits))
        if self.lecam_weight > 0:
            lecam = losses.lecam_loss(real, fake, self.average_real_logit, self.average_fake_logit)
            parts["lecam_loss"] = self.lecam_weight * lecam
        loss = sum(parts.values())
        return loss, {
            **parts,
            "d_loss": loss,
            "d_real_accuracy": ops.mean(ops.cast(real_logits > 0, "float32")),
            "d_fake_accuracy": ops.mean(ops.cast(fake_logits < 0, "float32")),
            "d_real_logit": real,
            "d_fake_logit": fake,
        }

    def _reconstruct(self, video: Any, training: bool) -> tuple[Any, Any, dict[str, Any], Any]:
        """Latents, ids, quantizer losses and reconstruction."""
        latents = self.tokenizer.latents(video)
        quantized, ids, quantizer_losses = self.tokenizer.quantizer(
            latents, training=training and not self.decoder_only
        )
        return ops.cast(latents, "float32"), ids, quantizer_losses, self.tokenizer.pixels(quantized)

    def _move_averages(self, logs: dict[str, Any], batches: int) -> None:
        for average, name in ((self.average_real_logit, "d_real_logit"), (self.average_fake_logit, "d_fake_logit")):
            average.assign(losses.moving_average(average, logs[name], self.ema_decay ** (1 / batches)))
        # Between two updates the weights stay, and so does their average.
        updated = (self.steps + 1) % batches == 0
        for average, variable in zip(self.ema_tokenizer.weights, self.tokenizer.weights, strict=True):
            moved = losses.moving_average(average, variable, self.ema_decay)
            average.assign(moved if batches == 1 else ops.where(updated, moved, ops.convert_to_tensor(average)))

    def _generator_variables(self) -> list[keras.Variable]:
        return (self.tokenizer.decoder if self.decoder_only else self.tokenizer).trainable_variables

    def _codebooks(self) -> list[keras.Variable]:
        if self.restart_codes_after is None:
            return []
        return [model.quantizer.codebook for model in (self.tokenizer, self.ema_tokenizer)]

    def _others(self, variables: list[keras.Variable]) -> list[keras.Variable]:
        """What a loss reads besides the variables it is differentiated by."""
        ids = {id(v) for v in variables}
        return [v for v in self.variables if id(v) not in ids]

    def check_batch(self, batch: Any) -> Any:
        """The pixels of a batch, which must fit the tokenizer, and the discriminator's size."""
        video = self.tokenizer.check_batch(batch)
        shape, size = tuple(video.shape), tuple(self.discriminator.input_size)
        if shape[-1 - len(size) : -1] != size:
            raise ValueError(
                f"The discriminator was made for inputs of {size}; received a batch of the shape {shape}. "
                "Its dense layer fixes the size: make one for the size of your data."
            )
        return video

    def check_input(self, x: Any) -> None:
        """What `predict` is given must be such as the tokenizer takes."""
        self.tokenizer.check_pixels(x)

    def get_config(self) -> dict:
        """Every constructor argument."""
        serialize: Callable = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "tokenizer": serialize(self.tokenizer),
            "discriminator": serialize(self.discriminator),
            "perceptual_loss": None if self.perceptual_loss is None else serialize(self.perceptual_loss),
            "reconstruction_weight": self.reconstruction_weight,
            "adversarial_weight": self.adversarial_weight,
            "perceptual_weight": self.perceptual_weight,
            "r1_weight": self.r1_weight,
            "lecam_weight": self.lecam_weight,
            "gan_loss": self.gan_loss,
            "ema_decay": self.ema_decay,
            "generator_only_steps": self.generator_only_steps,
            "decoder_only": self.decoder_only,
            "restart_codes_after": self.restart_codes_after,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "VQGAN":
        """The model of that config; the parts are deserialized."""
        parts = {key: config[key] for key in ("tokenizer", "discriminator", "perceptual_loss")}
        parts = {key: keras.saving.deserialize_keras_object(part, custom_objects) for key, part in parts.items()}
        return cls(**{**config, **parts})


def _frames(video: Any) -> Any:
    """Clips (B, T, H, W, 3) -> frames (B*T, H, W, 3); frames unchanged."""
    return ops.reshape(video, (-1, *video.shape[-3:]))
