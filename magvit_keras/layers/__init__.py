"""Building blocks shared by the tokenizer and the transformer."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "Convolution": "magvit_keras.layers.convolution",
    "GroupNorm": "magvit_keras.layers.group_norm",
    "ResidualBlock": "magvit_keras.layers.residual_block",
    "TransformerBlock": "magvit_keras.layers.transformer_block",
    "SelfAttention": "magvit_keras.layers.transformer_block",
    "TokenEmbedding": "magvit_keras.layers.token_embedding",
    "TokenOutput": "magvit_keras.layers.token_embedding",
    "PADDINGS": "magvit_keras.layers.padding",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
