"""The 3D-VQ video tokenizer (Sec. 3.1)."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive, check_video, to_float, video_of
from magvit_keras.layers.padding import check_padding
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.tokenizer.decoder import Decoder
from magvit_keras.tokenizer.encoder import Encoder, halved_axes
from magvit_keras.tokenizer.quantizer import VectorQuantizer


@keras.saving.register_keras_serializable("magvit_keras")
class VideoTokenizer(PresetMixin, backend.SteppedModel):
    """3D-VQ: clips to a small grid of discrete tokens and back.

    `fit` trains it plainly, by reconstruction and quantizer losses. Clips are (batch, time, height, width, 3),
    uint8 or floats in [0, 1].

    Args:
        filters: base width, a multiple of 32 (GroupNorm has 32 groups).
        channel_multipliers: width of each level in units of `filters`; height and width are halved between levels.
        temporal_downsample: whether time is halved after each level; entries past the last but one are not used.
        num_res_blocks: residual blocks a level in encoder and decoder, and as many at the bottleneck.
        embedding_dim: width of a code.
        codebook_size: number of codes.
        padding: "reflect" (the paper) or "same" (zeros, the authors' released configurations), "edge",
            "symmetric", "wrap".
        commitment_cost: weight of the commitment loss.
        entropy_loss_weight: weight of the entropy loss on the use of the codes.
        entropy_temperature: its temperature.

    Raises:
        ValueError: an argument, or a clip, does not fit; the message says what was received and expected.

    Example:
        >>> tokenizer = VideoTokenizer(filters=32, channel_multipliers=(1, 2), num_res_blocks=1,
        ...                            temporal_downsample=(True,), embedding_dim=8, codebook_size=64)
        >>> clip = np.random.default_rng(0).random((1, 4, 8, 8, 3), "float32")
        >>> ids = tokenizer.encode(clip)
        >>> ids.shape
        (1, 2, 4, 4)
        >>> tokenizer.decode(ids).shape
        (1, 4, 8, 8, 3)

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.1; sizes B and L in appendix A.
    """

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
    presets = {name: entry["description"] for name, entry in VIDEO_TOKENIZERS.items()}
    _preset_table = VIDEO_TOKENIZERS

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 4),
        temporal_downsample: tuple[bool, ...] = (True, True, False),
        num_res_blocks: int = 2,
        embedding_dim: int = 256,
        codebook_size: int = 1024,
        padding: str = "reflect",
        commitment_cost: float = 0.25,
        entropy_loss_weight: float = 0.1,
        entropy_temperature: float = 0.01,
        **kwargs: Any,
    ):
        check_positive(filters=filters, num_res_blocks=num_res_blocks)
        levels = len(channel_multipliers)
        if levels < 1 or len(temporal_downsample) < levels - 1:
            raise ValueError(
                "temporal_downsample needs an entry for each level but the last; received "
                f"{len(temporal_downsample)} entries for {levels} channel_multipliers."
            )
        super().__init__(**kwargs)
        self.filters = filters
        self.channel_multipliers = tuple(channel_multipliers)
        self.temporal_downsample = tuple(bool(x) for x in temporal_downsample)
        self.num_res_blocks = num_res_blocks
        self.embedding_dim = embedding_dim
        self.codebook_size = codebook_size
        self.padding = check_padding(padding)
        self.commitment_cost = commitment_cost
        self.entropy_loss_weight = entropy_loss_weight
        self.entropy_temperature = entropy_temperature
        shared = {
            "filters": filters,
            "channel_multipliers": self.channel_multipliers,
            "temporal_downsample": self.temporal_downsample,
            "num_res_blocks": num_res_blocks,
            "padding": padding,
            "dtype": self.dtype_policy,
        }
        self.encoder = Encoder(embedding_dim=embedding_dim, name="encoder", **shared)
        self.quantizer = VectorQuantizer(
            codebook_size,
            embedding_dim,
            commitment_cost=commitment_cost,
            entropy_loss_weight=entropy_loss_weight,
            entropy_temperature=entropy_temperature,
            name="quantizer",
        )
        self.decoder = Decoder(name="decoder", **shared)
        self.build((None, None, None, None, 3))

    def build(self, input_shape: tuple) -> None:
        """Makes all weights; they depend on no size of the clips."""
        if self.encoder.built:
            return
        self.encoder.build(input_shape)
        self.quantizer.build((None, None, None, None, self.embedding_dim))
        self.decoder.build((None, None, None, None, self.embedding_dim))
        self.built = True

    @property
    def downsampling(self) -> tuple[int, int, int]:
        """How many frames, rows and columns of pixels share a token."""
        time, space = 1, 1
        for level in range(len(self.channel_multipliers) - 1):
            halved = halved_axes(level, 3, self.temporal_downsample)
            time, space = time * (2 if halved[0] else 1), space * 2
        return time, space, space

    def latent_shape(self, video_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Tokens (t, h, w) of a clip of that (T, H, W)."""
        return tuple(size // by for size, by in zip(video_shape, self.downsampling, strict=True))

    def call(self, video: Any, training: bool = False) -> Any:
        """Reconstruction: (B, T, H, W, 3) in [0, 1] -> (B, T, H, W, 3), not clipped."""
        latents = self.encoder(to_float(video))  # (B, t, h, w, D)
        quantized, _, _ = self.quantizer(latents)
        return ops.cast(self.decoder(quantized), "float32")

    def encode(self, video: Any) -> Any:
        """Tokens of clips.

        Args:
            video: (B, T, H, W, 3), uint8 or floats in [0, 1].

        Returns:
            (B, t, h, w) int32 in [0, codebook_size).

        Raises:
            ValueError: shape not divisible by `downsampling`, or pixels outside [0, 1].
        """
        if not backend.is_traced(video):
            check_video(video, self.downsampling)
        return backend.run_compiled(self, "encode", self._encode, video)

    def _encode(self, video: Any) -> Any:
        return self.quantizer.ids(self.encoder(to_float(video)))

    def decode(self, ids: Any) -> Any:
        """Clips of tokens.

        Args:
            ids: (B, t, h, w) int32 in [0, codebook_size).

        Returns:
            (B, T, H, W, 3) float32, not clipped.

        Raises:
            ValueError: ids of the wrong rank or outside the codebook.
        """
        if not backend.is_traced(ids):
            array = ops.convert_to_numpy(ids)
            if array.ndim != 4 or array.dtype.kind not in "iu":
                raise ValueError(f"ids must be (batch, t, h, w) integers; received {array.shape} of {array.dtype}.")
            if array.size and not 0 <= array.min() <= array.max() < self.codebook_size:
                raise ValueError(
                    f"ids must be in [0, {self.codebook_size}); received {array.min()} to {array.max()}."
                )
            ids = array.astype("int32")
        return backend.run_compiled(self, "decode", self._decode, ids)

    def _decode(self, ids: Any) -> Any:
        return ops.cast(self.decoder(self.quantizer.lookup(ids)), "float32")

    def losses_and_logs(self, data: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Squared error of the pixels plus the quantizer's losses."""
        video = to_float(video_of(data))
        quantized, ids, losses = self.quantizer(self.encoder(video))
        reconstruction = ops.cast(self.decoder(quantized), "float32")
        error = ops.mean(ops.square(reconstruction - video), axis=(1, 2, 3, 4))  # (B,)
        reconstruction_loss = ops.mean(error)
        loss = reconstruction_loss + losses["commitment"] + losses["codebook"] + losses["entropy"]
        usage, perplexity = codebook_statistics(ids, self.codebook_size)
        return loss, {
            "loss": loss,
            "reconstruction_loss": reconstruction_loss,
            **{f"{name}_loss": value for name, value in losses.items()},
            "psnr": ops.mean(-10.0 * ops.log10(ops.maximum(error, 1e-10))),
            "codebook_usage": usage,
            "perplexity": perplexity,
        }

    def check_batch(self, batch: Any) -> None:
        """The first batch must hold clips that the tokenizer can halve."""
        check_video(video_of(batch), self.downsampling)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "channel_multipliers": list(self.channel_multipliers),
            "temporal_downsample": list(self.temporal_downsample),
            "num_res_blocks": self.num_res_blocks,
            "embedding_dim": self.embedding_dim,
            "codebook_size": self.codebook_size,
            "padding": self.padding,
            "commitment_cost": self.commitment_cost,
            "entropy_loss_weight": self.entropy_loss_weight,
            "entropy_temperature": self.entropy_temperature,
        }


def codebook_statistics(ids: Any, codebook_size: int) -> tuple[Any, Any]:
    """Share of the codes that a batch uses, and the perplexity of their frequencies (1 to codebook_size)."""
    flat = ops.reshape(ids, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat, dtype="float32"), flat, num_segments=codebook_size)  # (K,)
    frequency = counts / ops.sum(counts)
    perplexity = ops.exp(-ops.sum(frequency * ops.log(frequency + 1e-10)))
    return ops.mean(ops.cast(counts > 0, "float32")), perplexity
