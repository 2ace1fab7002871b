"""What the video tokenizer and the image tokenizer share: sizes, parts, the way from pixels to ids and back, losses."""

from typing import Any

from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_array, check_numbers, check_positive, to_float, to_numpy, video_of
from magvit_keras.layers.padding import check_padding
from magvit_keras.layers.rematerialized import check_remat
from magvit_keras.layers.residual_block import check_shortcut
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.tokenizer.decoder import Decoder
from magvit_keras.tokenizer.encoder import Encoder, halved_axes
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
        filters: int,
        channel_multipliers: tuple[int, ...],
        temporal_downsample: tuple[bool, ...],
        num_res_blocks: int,
        embedding_dim: int | None,
        codebook_size: int | None,
        padding: str,
        commitment_cost: float,
        entropy_loss_weight: float,
        entropy_temperature: float,
        quantizer: str,
        fsq_levels: tuple[int, ...] | None,
        shortcut: str,
        norm_groups: int,
        remat: str,
        **kwargs: Any,
    ):
        check_positive(filters=filters, num_res_blocks=num_res_blocks, norm_groups=norm_groups)
        check_numbers(0, commitment_cost=commitment_cost, entropy_loss_weight=entropy_loss_weight)
        check_numbers(0, entropy_temperature=entropy_temperature)
        if not channel_multipliers:
            raise ValueError("channel_multipliers needs an entry for each level; received none.")
        super().__init__(**kwargs)
        self.filters = filters
        self.channel_multipliers = tuple(channel_multipliers)
        self.temporal_downsample = tuple(bool(x) for x in temporal_downsample)
        self.num_res_blocks = num_res_blocks
        self.padding = check_padding(padding)
        self.commitment_cost = commitment_cost
        self.entropy_loss_weight = entropy_loss_weight
        self.entropy_temperature = entropy_temperature
        self.quantizer_name = quantizer
        self.fsq_levels = None if fsq_levels is None else tuple(fsq_levels)
        self.shortcut = check_shortcut(shortcut)
        self.norm_groups = norm_groups
        self.remat = check_remat(remat)
        made = make_quantizer(
            quantizer,
            codebook_size,
            embedding_dim,
            fsq_levels,
            commitment_cost=commitment_cost,
            entropy_loss_weight=entropy_loss_weight,
            entropy_temperature=entropy_temperature,
        )
        self.codebook_size = made.codebook_size
        self.embedding_dim = made.embedding_dim
        shared = {
            "filters": filters,
            "channel_multipliers": self.channel_multipliers,
            "temporal_downsample": self.temporal_downsample,
            "num_res_blocks": num_res_blocks,
            "rank": self.rank,
            "padding": padding,
            "shortcut": shortcut,
            "norm_groups": norm_groups,
            "remat": remat,
            "dtype": self.dtype_policy,
        }
        self.encoder = Encoder(embedding_dim=self.embedding_dim, name="encoder", **shared)
        self.quantizer = made
        self.decoder = Decoder(name="decoder", **shared)
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
        time, space = 1, 1
        for level in range(len(self.channel_multipliers) - 1):
            halved = halved_axes(level, self.rank, self.temporal_downsample)
            time, space = time * (2 if self.rank == 3 and halved[0] else 1), space * 2
        return time, space, space

    def latents(self, pixels: Any) -> Any:
        """Encoder outputs (B, ..., D), not yet quantized, of pixels (B, ..., 3) in [0, 1]."""
        return self.encoder(pixels)

    def pixels(self, latents: Any) -> Any:
        """Decoder outputs (B, ..., 3) float32, not clipped, of quantized latents (B, ..., D)."""
        return ops.cast(self.decoder(latents), "float32")

    def reconstruct(self, pixels: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Pixels in [0, 1] -> reconstruction (not clipped), ids, and the weighted losses of the quantizer."""
        quantized, ids, losses = self.quantizer(self.latents(pixels))
        return self.pixels(quantized), ids, losses

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
        reconstruction, ids, losses = self.reconstruct(video)
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
        """Every constructor argument that the two share."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "channel_multipliers": list(self.channel_multipliers),
            "num_res_blocks": self.num_res_blocks,
            "embedding_dim": self.embedding_dim,
            "codebook_size": self.codebook_size,
            "padding": self.padding,
            "commitment_cost": self.commitment_cost,
            "entropy_loss_weight": self.entropy_loss_weight,
            "entropy_temperature": self.entropy_temperature,
            "quantizer": self.quantizer_name,
            "fsq_levels": None if self.fsq_levels is None else list(self.fsq_levels),
            "shortcut": self.shortcut,
            "norm_groups": self.norm_groups,
            "remat": self.remat,
        }


def codebook_statistics(ids: Any, codebook_size: int) -> tuple[Any, Any]:
    """Share of the codes that a batch uses, and the perplexity of their frequencies (1 to codebook_size)."""
    flat = ops.reshape(ids, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat, dtype="float32"), flat, num_segments=codebook_size)  # (K,)
    counts = backend.replica_sum(counts)
    frequency = counts / ops.sum(counts)
    perplexity = ops.exp(-ops.sum(frequency * ops.log(frequency + 1e-10)))
    return ops.mean(ops.cast(counts > 0, "float32")), perplexity
