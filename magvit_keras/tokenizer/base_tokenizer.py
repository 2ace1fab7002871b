"""What the video tokenizer and the image tokenizer share: sizes, parts, the way from pixels to ids and back, losses."""

from typing import Any

from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_array, check_numbers, check_positive, to_float, to_numpy, video_of
from magvit_keras.layers.padding import check_padding
from magvit_keras.layers.wavelet import check_wavelet
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.tokenizer.adaptation import adapt
from magvit_keras.tokenizer.decoder import Decoder
from magvit_keras.tokenizer.encoder import Encoder
from magvit_keras.tokenizer.losses import psnr, reconstruction_loss
from magvit_keras.tokenizer.quantizers import make_quantizer


class BaseTokenizer(PresetMixin, backend.SteppedModel):
    """Encoder, quantizer and decoder of rank 3 or 2; the arguments are explained at the subclasses."""

    #: 3 for clips, 2 for frames.
    rank: int

    log_names = (
        "loss",
        "reconstruction_loss",
        "commitment_loss",
        "codebook_loss",
        "entropy_loss",
        "psnr",
        "codebook_usage",
        "perplexity",
    )

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 4),
        temporal_downsample: tuple[bool, ...] = (True, True, False),
        num_res_blocks: int | tuple[int, int] = 2,
        embedding_dim: int | None = None,
        codebook_size: int | None = None,
        padding: str = "reflect",
        commitment_cost: float = 0.25,
        entropy_loss_weight: float = 0.1,
        entropy_temperature: float = 0.01,
        quantizer: str = "vq",
        fsq_levels: tuple[int, ...] | None = None,
        shortcut: str = "input",
        norm_groups: int = 32,
        remat: str = "none",
        wavelet: tuple[int, ...] | None = None,
        **kwargs: Any,
    ):
        check_positive(filters=filters, norm_groups=norm_groups)
        check_numbers(0, commitment_cost=commitment_cost, entropy_loss_weight=entropy_loss_weight)
        check_numbers(0, entropy_temperature=entropy_temperature)
        if not channel_multipliers:
            raise ValueError("channel_multipliers needs an entry for each level; received none.")
        if self.rank == 3 and len(temporal_downsample) < len(channel_multipliers) - 1:
            raise ValueError(
                "temporal_downsample needs an entry for each level but the last; received "
                f"{len(temporal_downsample)} entries for {len(channel_multipliers)} channel_multipliers."
            )
        encoder_blocks, decoder_blocks = res_blocks(num_res_blocks)
        super().__init__(**kwargs)
        made = make_quantizer(
            quantizer,
            codebook_size,
            embedding_dim,
            fsq_levels,
            commitment_cost=commitment_cost,
            entropy_loss_weight=entropy_loss_weight,
            entropy_temperature=entropy_temperature,
        )
        self.filters = filters
        self.channel_multipliers = tuple(channel_multipliers)
        self.temporal_downsample = tuple(bool(x) for x in temporal_downsample) if self.rank == 3 else ()
        self.num_res_blocks = num_res_blocks if isinstance(num_res_blocks, int) else tuple(num_res_blocks)
        self.codebook_size = made.codebook_size
        self.embedding_dim = made.embedding_dim
        self.padding = check_padding(padding)
        self.commitment_cost = commitment_cost
        self.entropy_loss_weight = entropy_loss_weight
        self.entropy_temperature = entropy_temperature
        self.quantizer_name = quantizer
        self.fsq_levels = None if fsq_levels is None else tuple(fsq_levels)
        self.shortcut = shortcut
        self.norm_groups = norm_groups
        self.remat = remat
        self.wavelet = check_wavelet(wavelet, self.rank)
        shared = {
            **{name: getattr(self, name) for name in _CODER_ARGUMENTS},
            "rank": self.rank,
            "dtype": self.dtype_policy,
        }
        self.encoder = Encoder(self.embedding_dim, num_res_blocks=encoder_blocks, name="encoder", **shared)
        self.quantizer = made
        self.decoder = Decoder(num_res_blocks=decoder_blocks, name="decoder", **shared)
        self.build((None,) * (self.rank + 1) + (3,))

    def build(self, input_shape: tuple) -> None:
        """Makes all weights; they depend on no size of the input."""
        if self.encoder.built:
            return
        shape = (None,) * (self.rank + 1)
        self.encoder.build((*shape, 3))
        self.quantizer.build((*shape, self.embedding_dim))
        self.decoder.build((*shape, self.embedding_dim))
        self.built = True

    @property
    def downsampling(self) -> tuple[int, int, int]:
        """How many frames, rows and columns of pixels share a token."""
        return (1, *self.encoder.block)[-3:]

    def latents(self, pixels: Any) -> Any:
        """Encoder outputs (B, ..., D), not yet quantized, of pixels (B, ..., 3) in [0, 1]."""
        return self.encoder(pixels)

    def pixels(self, latents: Any) -> Any:
        """Decoder outputs (B, ..., 3) float32, not clipped, of quantized latents (B, ..., D)."""
        return ops.cast(self.decoder(latents), "float32")

    def reconstruct(self, pixels: Any, training: bool = False) -> tuple[Any, Any, dict[str, Any]]:
        """Pixels in [0, 1] -> reconstruction (not clipped), ids, and the weighted losses of the quantizer."""
        quantized, ids, losses = self.quantizer(self.latents(pixels), training=training)
        return self.pixels(quantized), ids, losses

    def __call__(self, video: Any, *args: Any, **kwargs: Any) -> Any:
        """`call`, of an array: Keras would say of a list that it is no tensor."""
        check_array(video)
        return super().__call__(video, *args, **kwargs)

    def call(self, video: Any, training: bool = False) -> Any:
        """Reconstruction, not clipped, of pixels in [0, 1]; ValueError where they are others."""
        if not backend.is_traced(video):
            self.check_pixels(video)
        return self.reconstruct(to_float(video))[0]

    def encode(self, video: Any, check: bool = True) -> Any:
        """Tokens of clips.

        Args:
            video: (B, T, H, W, 3), uint8 or floats in [0, 1].
            check: False skips the check of the values, which copies them from the device to the host.

        Returns:
            (B, t, h, w) int32 in [0, codebook_size).

        Raises:
            ValueError: shape not divisible by `downsampling`, or pixels outside [0, 1].
        """
        if check and not backend.is_traced(video):
            self.check_pixels(video)
        return backend.run_compiled(self, "encode", self._encode, video)

    def _encode(self, video: Any) -> Any:
        return self.quantizer.ids(self.latents(to_float(video)))

    def decode(self, ids: Any, check: bool = True, clip: bool = True) -> Any:
        """Clips of tokens.

        Args:
            ids: (B, t, h, w) int32 in [0, codebook_size).
            check: False skips the check of the values, which copies them from the device to the host.
            clip: False gives what the decoder puts out, a little of which lies outside of [0, 1].

        Returns:
            (B, T, H, W, 3) float32 in [0, 1].

        Raises:
            ValueError: ids of the wrong rank or outside the codebook.
        """
        if check and not backend.is_traced(ids):
            if not isinstance(ids, list | tuple):
                check_array(ids, "ids", "(batch, t, h, w) integers")
            array = to_numpy(ids)
            if array.ndim not in (4, self.rank + 1) or array.dtype.kind not in "iu":
                raise ValueError(f"ids must be (batch, t, h, w) integers; received {array.shape} of {array.dtype}.")
            if array.size and not 0 <= array.min() <= array.max() < self.codebook_size:
                raise ValueError(f"ids must be in [0, {self.codebook_size}); received {array.min()} to {array.max()}.")
            ids = array.astype("int32")
        program = self._decode_clipped if clip else self._decode
        return backend.run_compiled(self, program.__name__, program, ids)

    def _decode(self, ids: Any) -> Any:
        return self.pixels(self.quantizer.lookup(ids))

    def _decode_clipped(self, ids: Any) -> Any:
        return ops.clip(self._decode(ids), 0.0, 1.0)

    def losses_and_logs(self, data: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Squared error of the pixels plus the quantizer's losses."""
        video = to_float(video_of(data))
        reconstruction, ids, losses = self.reconstruct(video, training)
        error = reconstruction_loss(video, reconstruction)
        loss = error + losses["commitment"] + losses["codebook"] + losses["entropy"]
        usage, perplexity = codebook_statistics(ids, self.codebook_size)
        return loss, {
            "loss": loss,
            "reconstruction_loss": error,
            **{f"{name}_loss": value for name, value in losses.items()},
            "psnr": psnr(video, reconstruction),
            "codebook_usage": usage,
            "perplexity": perplexity,
        }

    def adapt(self, clips: Any, seed: int = 0) -> None:
        """Initializes weights from data, for a good start of the training.

        The latents get the mean 0 and the mean square 1, learned codes are the centres of latents (k-means), and the
        output is the mean colour. With a wavelet, the matrices beside the residual blocks are the principal components
        of the blocks of pixels: the tokenizer reconstructs from the first step on. Call it before `fit`, and not for
        weights that are trained or inflated already.

        Args:
            clips: NumPy array of what the tokenizer takes, uint8 or in [0, 1]; some 64 clips, or 1000 images, tell
                enough. Some thousand codes want ten times as many tokens as there are codes.
            seed: of the choice of latents from which k-means starts.

        Raises:
            ValueError: pixels that the tokenizer does not take.

        Example:
            >>> from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
            >>> tokenizer = VideoTokenizer(filters=32, channel_multipliers=(1,), wavelet=(4, 8, 8), num_res_blocks=1,
            ...                            embedding_dim=3, codebook_size=8)
            >>> rng = np.random.default_rng(0)
            >>> colours = np.repeat(rng.random((4, 1, 2, 1, 3), "float32"), 4, axis=1).repeat(8, axis=2)
            >>> clips = colours.repeat(8, axis=3)  # (4, 4, 16, 8, 3), two tokens each
            >>> tokenizer.adapt(clips)
            >>> float(abs(ops.convert_to_numpy(tokenizer(clips)) - clips).max()) < 0.01
            True
        """
        self.check_pixels(clips)
        adapt(self, clips, seed)

    def check_pixels(self, video: Any) -> None:
        """Raises ValueError unless the pixels have a shape and a range that the tokenizer takes."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it takes.")

    def check_batch(self, batch: Any) -> Any:
        """The pixels of a batch, which must be such as the tokenizer takes."""
        self.check_pixels(video_of(batch))
        return video_of(batch)

    def check_input(self, x: Any) -> None:
        """The same of what `predict` is given."""
        self.check_pixels(x)

    def get_config(self) -> dict:
        """Every constructor argument."""
        values = {name: getattr(self, name) for name in (*_CODER_ARGUMENTS, *_OTHER_ARGUMENTS)}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {**super().get_config(), **values, "quantizer": self.quantizer_name}


# Constructor arguments, by the name of the attribute that keeps them: what encoder and decoder have in common, ...
_CODER_ARGUMENTS = ("filters", "channel_multipliers", "temporal_downsample", "padding", "shortcut", "norm_groups")
_CODER_ARGUMENTS += ("remat", "wavelet")
# ... and the others, but for the quantizer's name.
_OTHER_ARGUMENTS = ("num_res_blocks", "embedding_dim", "codebook_size", "commitment_cost", "entropy_loss_weight")
_OTHER_ARGUMENTS += ("entropy_temperature", "fsq_levels")


def res_blocks(num_res_blocks: int | tuple[int, int]) -> tuple[int, int]:
    """Residual blocks a level in the encoder, and in the decoder, of one number for both or of a pair."""
    pair = (num_res_blocks,) * 2 if isinstance(num_res_blocks, int) else tuple(num_res_blocks)
    if len(pair) != 2:
        raise ValueError(f"num_res_blocks must be a number or a pair (encoder, decoder); received {num_res_blocks!r}.")
    for blocks in pair:
        check_positive(num_res_blocks=blocks)
    return pair


def codebook_statistics(ids: Any, codebook_size: int) -> tuple[Any, Any]:
    """Share of the codes that a batch uses, and the perplexity of their frequencies (1 to codebook_size)."""
    flat = ops.reshape(ids, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat, dtype="float32"), flat, num_segments=codebook_size)  # (K,)
    counts = backend.replica_sum(counts)
    frequency = counts / ops.sum(counts)
    perplexity = ops.exp(-ops.sum(frequency * ops.log(frequency + 1e-10)))
    return ops.mean(ops.cast(counts > 0, "float32")), perplexity
