"""Names that the official Flax code gives to the parameters of its models: Flax path -> our variable."""

import keras

from magvit_keras.tokenizer.base_tokenizer import BaseTokenizer
from magvit_keras.tokenizer.decoder import Decoder
from magvit_keras.tokenizer.discriminator import StyleGANDiscriminator
from magvit_keras.tokenizer.encoder import Encoder
from magvit_keras.transformer.masked_transformer import MaskedTransformer

Paths = dict[str, keras.Variable]


def flax_paths(model: keras.Model) -> Paths:
    """Flax path -> variable, for every variable of a tokenizer, a discriminator or a transformer.

    Raises:
        ValueError: the authors' code has no such model.

    Example:
        >>> model = mk.MaskedTransformer(16, 3, (2, 2, 2), num_layers=1, hidden_size=8, num_heads=2, mlp_dim=16)
        >>> len(flax_paths(model)) == len(model.weights)
        True
    """
    kinds = {
        BaseTokenizer: tokenizer_paths,
        StyleGANDiscriminator: discriminator_paths,
        MaskedTransformer: transformer_paths,
    }
    for cls, paths in kinds.items():
        if isinstance(model, cls):
            return paths(model)
    raise ValueError(
        f"No Flax names are known for a {type(model).__name__}; expected a tokenizer, a discriminator or a "
        "MaskedTransformer."
    )


def tokenizer_paths(tokenizer: BaseTokenizer) -> Paths:
    """Of the encoder, the quantizer and the decoder."""
    return {
        **{f"encoder/{path}": v for path, v in _coder(tokenizer.encoder).items()},
        "quantizer/codebook": tokenizer.quantizer.codebook,
        **{f"decoder/{path}": v for path, v in _coder(tokenizer.decoder).items()},
    }


def discriminator_paths(discriminator: StyleGANDiscriminator) -> Paths:
    """The shortcut comes between the two convolutions of a block: `Conv_1`."""
    paths = _weights("Conv_0", discriminator.conv_in) | _weights("Conv_1", discriminator.conv_out)
    for i, block in enumerate(discriminator.blocks):
        for j, conv in enumerate((block.conv_1, block.shortcut, block.conv_2)):
            paths |= _weights(f"ResBlock_{i}/Conv_{j}", conv)
    return paths | _weights("Dense_0", discriminator.dense) | _weights("Dense_1", discriminator.logit)


def transformer_paths(model: MaskedTransformer) -> Paths:
    """Embeddings, blocks and head."""
    embedding, head = model.embedding, model.output_head
    paths = {
        "BertEmbed_0/word_embeddings/embedding": embedding.tokens,
        "BertEmbed_0/position_embeddings/embedding": embedding.positions,
        **_layer_norm("BertEmbed_0/embeddings_ln", embedding.norm),
        **_weights("BertMlmLayer_0/mlm_dense", head.dense),
        **_layer_norm("BertMlmLayer_0/mlm_ln", head.norm),
        "BertMlmLayer_0/mlm_bias/bias": head.bias,
    }
    if embedding.segments is not None:
        paths["BertEmbed_0/segment_embeddings/embedding"] = embedding.segments
    for i, block in enumerate(model.blocks):
        attention, mlp = f"BertLayer_{i}/BertAttention_0", f"BertLayer_{i}/BertMlp_0"
        for name in ("query", "key", "value", "out"):
            paths |= _weights(f"{attention}/self_attention/{name}", getattr(block.attention, name))
        paths |= _layer_norm(f"{attention}/attention_output_ln", block.attention_norm)
        paths |= _weights(f"{mlp}/intermediate_output", block.mlp_in)
        paths |= _weights(f"{mlp}/layer_output", block.mlp_out)
        paths |= _layer_norm(f"{mlp}/layer_output_ln", block.mlp_norm)
    return paths


def _coder(coder: Encoder | Decoder) -> Paths:
    """Flax numbers the layers of each kind in the order in which they run."""
    between = coder.conv_up if isinstance(coder, Decoder) else []
    paths = {}
    for i, conv in enumerate([coder.conv_in, *between, coder.conv_out]):
        paths |= _weights(f"Conv_{i}", conv)
    for i, block in enumerate(coder.blocks):
        for name, norm in (("GroupNorm_0", block.norm_1), ("GroupNorm_1", block.norm_2)):
            paths |= _weights(f"ResBlock_{i}/{name}", norm, "scale")
        for j, conv in enumerate((block.conv_1, block.conv_2, block.shortcut)):
            paths |= {} if conv is None else _weights(f"ResBlock_{i}/Conv_{j}", conv)
    return paths | _weights("GroupNorm_0", coder.norm_out, "scale")


def _weights(path: str, layer: keras.Layer, factor: str = "kernel") -> Paths:
    found = {f"{path}/{factor}": getattr(layer, factor), f"{path}/bias": layer.bias}
    return {name: variable for name, variable in found.items() if variable is not None}


def _layer_norm(path: str, layer: keras.Layer) -> Paths:
    return {f"{path}/scale": layer.gamma, f"{path}/bias": layer.beta}
