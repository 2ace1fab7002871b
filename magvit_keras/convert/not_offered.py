"""Networks that the authors' code can be configured to and this library does not offer, known by their parameters."""

import re
from collections.abc import Mapping

import numpy as np

# What a path tells by its names, what it stands for, and the authors' setting.
_NAMES = {
    r"(^|/)Conv2Plus1D_\d+/": "2+1D convolutions (vqvae.architecture='2plus1dcnn')",
    r"^decoder/ConvTranspose_\d+/": "transposed convolutions for upsampling (vqvae.upsample='deconv')",
    r"^(encoder|decoder)/AttnBlock_\d+/": "attention in the tokenizer (vqvae.use_attn)",
    r"^(encoder|decoder)/(ResBlock_\d+/)?LayerNorm_\d+/": "layer normalization in the tokenizer (vqvae.norm_type='LN')",
    r"^(ResBlock_\d+/)?(Group|Layer)Norm_\d+/": "normalization in the discriminator (discriminator.norm_type)",
    r"^flaxformer_decoder_layer_\d+/": "the T5 transformer (models/t5_bert.py)",
    r"^VTNLayer_\d+/": "the language model (models/transformer_lm.py)",
}
_STRIDED = "strided convolutions for downsampling (vqvae.conv_downsample)"
_DEPTH_TO_SPACE = "depth-to-space for upsampling (vqvae.upsample='depth_to_space')"


def refuse_not_offered(flat: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError where parameters are of a network that this library does not offer, and says which.

    Args:
        flat: {"encoder/Conv_0/kernel": array, ...}.
    """
    for path in sorted(flat):
        needed = next((what for pattern, what in _NAMES.items() if re.search(pattern, path)), None)
        shape = flat[path].shape
        if re.search(r"^encoder/Conv_\d+/kernel$", path) and shape[:1] == (4,):
            needed = _STRIDED
        if re.search(r"^decoder/Conv_[1-9]\d*/kernel$", path) and shape[-1] == 4 * shape[-2]:
            needed = _DEPTH_TO_SPACE
        if needed:
            raise ValueError(
                f"The checkpoint needs {needed}, which magvit_keras does not offer: it holds {path}. "
                '"Not offered" in docs/differences.md says why.'
            )
