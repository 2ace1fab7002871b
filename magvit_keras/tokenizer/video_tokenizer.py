"""The 3D-VQ video tokenizer (Sec. 3.1)."""

from typing import Any, ClassVar

import keras

from magvit_keras.checks import check_video
from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
from magvit_keras.tokenizer.base_tokenizer import BaseTokenizer


@keras.saving.register_keras_serializable("magvit_keras")
class VideoTokenizer(BaseTokenizer):
    """3D-VQ: clips to a small grid of discrete tokens and back.

    `fit` trains it plainly, by reconstruction and quantizer losses. Clips are (batch, time, height, width, 3),
    uint8 or floats in [0, 1].

    Args:
        filters: base width, a multiple of `norm_groups`.
        channel_multipliers: width of each level in units of `filters`; height and width are halved between levels.
        temporal_downsample: whether time is halved after each level; entries past the last but one are not used.
        num_res_blocks: residual blocks a level in encoder and decoder, and as many at the bottleneck; a pair
            (encoder, decoder) where they differ.
        embedding_dim: width of a code; None is 256 for "vq", and what the codebook implies for the other quantizers.
        codebook_size: number of codes; None is 1024, and the product of the levels for "fsq".
        padding: "reflect" (the paper) or "same" (zeros, the authors' released configurations), "edge",
            "symmetric", "wrap".
        commitment_cost: weight of the commitment loss.
        entropy_loss_weight: weight of the entropy loss on the use of the codes.
        entropy_temperature: its temperature.
        quantizer: "vq", learned codes (the paper); "lfq", signs (MAGVIT-v2, up to 2^18 codes); "fsq", levels.
        fsq_levels: levels of each latent value for "fsq"; None is (8, 5, 5, 5).
        shortcut: "input", or "output" for weights inflated from MaskGIT's image tokenizer.
        norm_groups: groups of the normalizations, 32 in the paper. A group forgets the mean of its channels over the
            clip: with as many groups as filters a small model loses the colours of many different clips, while with
            1 it learns the detail of a clip more slowly.
        remat: activations that training keeps: "none" keeps all; "blocks" computes those within the residual blocks
            again for the gradients, "full" those of whole levels: less memory, more time, the same numbers.
        wavelet: (time, height, width), powers of two: a Haar wavelet folds blocks of this size into channels
            before anything is convolved, and unfolds them at the end; the levels begin at the grid of the blocks, and a
            matrix leads past them. It learns many times as fast as the paper's, which has None; call `adapt` first.

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

    rank = 3
    presets: ClassVar = {name: entry["description"] for name, entry in VIDEO_TOKENIZERS.items()}
    _preset_table: ClassVar = VIDEO_TOKENIZERS

    def latent_shape(self, video_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Tokens (t, h, w) of a clip of that (T, H, W)."""
        return tuple(size // by for size, by in zip(video_shape, self.downsampling, strict=True))

    def check_pixels(self, video: Any) -> None:
        """Raises ValueError unless `video` is (B, T, H, W, 3), divisible by `downsampling`, in [0, 1] or uint8."""
        check_video(video, self.downsampling)
