"""Names that the official Flax code gives to the parameters of a discriminator."""

import keras

from magvit_keras.convert.flax_tokenizer import convolution_paths
from magvit_keras.tokenizer.discriminator import StyleGANDiscriminator


def discriminator_paths(discriminator: StyleGANDiscriminator) -> dict[str, keras.Variable]:
    """Flax path -> variable; the shortcut is made between the two convolutions of a block, hence `Conv_1`."""
    paths = {
        **convolution_paths("Conv_0", discriminator.conv_in),
        **convolution_paths("Conv_1", discriminator.conv_out),
    }
    for i, block in enumerate(discriminator.blocks):
        for j, conv in enumerate((block.conv_1, block.shortcut, block.conv_2)):
            paths.update(convolution_paths(f"ResBlock_{i}/Conv_{j}", conv))
    for i, dense in enumerate((discriminator.dense, discriminator.logit)):
        paths.update({f"Dense_{i}/kernel": dense.kernel, f"Dense_{i}/bias": dense.bias})
    return paths
