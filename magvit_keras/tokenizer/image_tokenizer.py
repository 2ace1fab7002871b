"""The 2D-VQ image tokenizer, frame by frame on clips: the baseline and the source of the inflation (Table 7)."""

import inspect
from typing import Any, ClassVar

import keras
from keras import ops

from magvit_keras.checks import check_range, check_video
from magvit_keras.presets.image_tokenizers import IMAGE_TOKENIZERS
from magvit_keras.tokenizer.base_tokenizer import BaseTokenizer


@keras.saving.register_keras_serializable("magvit_keras")
class ImageTokenizer(BaseTokenizer):
    """2D-VQ: the 3D-VQ without time. Takes images (B, H, W, 3) and, frame by frame, clips (B, T, H, W, 3).

    `fit` trains it plainly on either. Pixels are uint8 or floats in [0, 1].

    Args:
        filters: base width, a multiple of `norm_groups`.
        channel_multipliers: width of each level in units of `filters`; height and width are halved between levels.
        num_res_blocks: residual blocks a level in encoder and decoder, and as many at the bottleneck; a pair
            (encoder, decoder) where they differ.
        embedding_dim: width of a code; None is 256 for "vq", and what the codebook implies for the other quantizers.
        codebook_size: number of codes; None is 1024, and the product of the levels for "fsq".
        padding: "reflect" (the paper) or "same" (zeros, the authors' released configurations), "edge",
            "symmetric", "wrap".
        commitment_cost: weight of the commitment loss.
        entropy_loss_weight: weight of the entropy loss on the use of the codes.
        entropy_temperature: its temperature.
        quantizer: "vq", "lfq" or "fsq".
        fsq_levels: levels of each latent value for "fsq"; None is (8, 5, 5, 5).
        shortcut: "input", or "output" for the weights of MaskGIT's tokenizer.
        norm_groups: groups of the normalizations, 32 in the paper. A group forgets the mean of its channels over the
            clip: with as many groups as filters a small model loses the colours of many different clips, while with
            1 it learns the detail of a clip more slowly.
        remat: activations that training keeps: "none" keeps all; "blocks" computes those within the residual blocks
            again for the gradients, "full" those of whole levels: less memory, more time, the same numbers.
        wavelet: (height, width), powers of two: a Haar wavelet folds blocks of this size into channels before
            anything is convolved, and unfolds them at the end, as in `VideoTokenizer`; None is the paper's.

    Raises:
        ValueError: an argument, an image or a clip does not fit.

    Example:
        >>> tokenizer = ImageTokenizer(filters=32, channel_multipliers=(1, 2), num_res_blocks=1,
        ...                            embedding_dim=8, codebook_size=64)
        >>> tokenizer.encode(np.zeros((1, 8, 8, 3), "float32")).shape
        (1, 4, 4)
        >>> tokenizer.encode(np.zeros((1, 3, 8, 8, 3), "float32")).shape
        (1, 3, 4, 4)

    Reference:
        MAGVIT (arXiv 2212.05199), Tables 6 and 7; MaskGIT (arXiv 2202.04200).
    """

    rank = 2
    presets: ClassVar = {name: entry["description"] for name, entry in IMAGE_TOKENIZERS.items()}
    _preset_table: ClassVar = IMAGE_TOKENIZERS

    def __init__(
        self,
        filters: int = 64,
        channel_multipliers: tuple[int, ...] = (1, 2, 2, 4),
        num_res_blocks: int | tuple[int, int] = 2,
        *others: Any,
        **kwargs: Any,
    ):
        # The arguments of the 3D-VQ, in its order, but for the time that is halved.
        super().__init__(filters, channel_multipliers, (), num_res_blocks, *others, **kwargs)

    # What `help`, an editor and `train --set` are told.
    __init__.__signature__ = inspect.Signature(
        [p for p in inspect.signature(BaseTokenizer.__init__).parameters.values() if p.name != "temporal_downsample"]
    )

    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Tokens (h, w) of an image of that (H, W), or (T, h, w) of a clip of that (T, H, W)."""
        return tuple(size // by for size, by in zip(shape, self.downsampling[-len(shape) :], strict=True))

    def latents(self, pixels: Any) -> Any:
        """Encoder outputs (B, h, w, D) of images (B, H, W, 3); time, where there is one, stays."""
        return _frame_by_frame(self.encoder, pixels)

    def pixels(self, latents: Any) -> Any:
        """Decoder outputs (B, H, W, 3) float32, not clipped, of (B, h, w, D); time, where there is one, stays."""
        return ops.cast(_frame_by_frame(self.decoder, latents), "float32")

    def encode(self, video: Any, check: bool = True) -> Any:
        """Tokens of images or clips.

        Args:
            video: (B, H, W, 3) or (B, T, H, W, 3), uint8 or floats in [0, 1].
            check: False skips the check of the values, which copies them from the device to the host.

        Returns:
            (B, h, w) or (B, T, h, w) int32 in [0, codebook_size).

        Raises:
            ValueError: shape not divisible by `downsampling`, or pixels outside [0, 1].
        """
        return super().encode(video, check)

    def decode(self, ids: Any, check: bool = True, clip: bool = True) -> Any:
        """Images or clips of tokens.

        Args:
            ids: (B, h, w) or (B, T, h, w) int32 in [0, codebook_size).
            check: False skips the check of the values, which copies them from the device to the host.
            clip: False gives what the decoder puts out, a little of which lies outside of [0, 1].

        Returns:
            (B, H, W, 3) or (B, T, H, W, 3) float32 in [0, 1].

        Raises:
            ValueError: ids of the wrong rank or outside the codebook.
        """
        return super().decode(ids, check, clip)

    def check_pixels(self, video: Any) -> None:
        """Raises ValueError unless these are images or clips, divisible by `downsampling`, in [0, 1] or uint8."""
        shape = tuple(getattr(video, "shape", ()))
        if len(shape) != 4:
            check_video(video, self.downsampling)
            return
        by = self.downsampling[-1]
        if shape[-1] != 3 or 0 in shape or shape[1] % by or shape[2] % by:
            raise ValueError(
                f"images must be (batch, height, width, 3), height and width multiples of {by}; received the shape "
                f"{shape}."
            )
        check_range(video, "images")

    def get_config(self) -> dict:
        """Every constructor argument; frames have no time to halve."""
        return {name: value for name, value in super().get_config().items() if name != "temporal_downsample"}


def _frame_by_frame(coder: Any, x: Any) -> Any:
    """Applies a coder of rank 2 to (B, H, W, C), or to every frame of (B, T, H, W, C)."""
    if len(x.shape) == 4:
        return coder(x)
    time = x.shape[1]
    frames = coder(ops.reshape(x, (-1, *x.shape[2:])))  # (B*T, h, w, D)
    return ops.reshape(frames, (-1, time, *frames.shape[1:]))
