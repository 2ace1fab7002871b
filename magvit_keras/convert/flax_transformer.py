"""Names of the masked transformer's weights in the authors' Flax code."""

import keras

from magvit_keras.transformer.masked_transformer import MaskedTransformer


def transformer_paths(model: MaskedTransformer) -> dict[str, keras.Variable]:
    """Maps each Flax path to our variable; the layouts are equal.

    Args:
        model: the transformer to fill.

    Returns:
        A dict such as {"BertEmbed_0/word_embeddings/embedding": variable, ...}, one entry for each weight.

    Example:
        >>> import magvit_keras as mk
        >>> from magvit_keras.convert.flax_transformer import transformer_paths
        >>> model = mk.MaskedTransformer(16, 3, (2, 2, 2), num_layers=1, hidden_size=8, num_heads=2, mlp_dim=16)
        >>> len(transformer_paths(model)) == len(model.weights)
        True
    """
    embedding, head = model.embedding, model.output_head
    paths = {
        "BertEmbed_0/word_embeddings/embedding": embedding.tokens,
        "BertEmbed_0/position_embeddings/embedding": embedding.positions,
        **_norm("BertEmbed_0/embeddings_ln", embedding.norm),
        **_dense("BertMlmLayer_0/mlm_dense", head.dense),
        **_norm("BertMlmLayer_0/mlm_ln", head.norm),
        "BertMlmLayer_0/mlm_bias/bias": head.bias,
    }
    if embedding.segments is not None:
        paths["BertEmbed_0/segment_embeddings/embedding"] = embedding.segments
    for i, block in enumerate(model.blocks):
        attention, mlp = f"BertLayer_{i}/BertAttention_0", f"BertLayer_{i}/BertMlp_0"
        for name in ("query", "key", "value", "out"):
            paths |= _dense(f"{attention}/self_attention/{name}", getattr(block.attention, name))
        paths |= _norm(f"{attention}/attention_output_ln", block.attention_norm)
        paths |= _dense(f"{mlp}/intermediate_output", block.mlp_in)
        paths |= _dense(f"{mlp}/layer_output", block.mlp_out)
        paths |= _norm(f"{mlp}/layer_output_ln", block.mlp_norm)
    return paths


def _dense(path: str, layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    return {f"{path}/kernel": layer.kernel, f"{path}/bias": layer.bias}


def _norm(path: str, layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    return {f"{path}/scale": layer.gamma, f"{path}/bias": layer.beta}
