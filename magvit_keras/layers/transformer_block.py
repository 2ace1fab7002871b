"""The BERT layer: self-attention and MLP, each followed by a residual sum and LayerNorm."""

from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.dense import dense
from magvit_keras.layers.layer_norm import layer_norm, normalized_sum
from magvit_keras.layers.token_embedding import bert_initializer


@keras.saving.register_keras_serializable("magvit_keras")
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention: every token sees all tokens, or, if causal, itself and those before it.

    The softmax is computed in float32. Dropout of the attention weights is shared over batch and heads,
    as in the authors' code.

    Args:
        num_heads: number of heads; must divide the width.
        dropout: rate on the attention weights, in [0, 1).
        causal: whether tokens are blind to those after them.
        **kwargs: `keras.layers.Layer` arguments.

    Reference: App. A.2 of the MAGVIT paper.
    """

    def __init__(self, num_heads: int, dropout: float = 0.0, causal: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout_rate = dropout
        self.causal = causal
        self.dropout = keras.layers.Dropout(dropout, noise_shape=(1, 1, None, None), dtype="float32", name="dropout")

    def build(self, input_shape: Any) -> None:
        """Creates the projections; kernels (D, heads, head_dim), of the output (heads, head_dim, D)."""
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"A width of {width} does not divide into {self.num_heads} heads.")
        self.head_dim = width // self.num_heads

        def projection(name: str, equation: str, output_shape: Any, bias_axes: str) -> keras.layers.EinsumDense:
            layer = keras.layers.EinsumDense(
                equation,
                output_shape=output_shape,
                bias_axes=bias_axes,
                kernel_initializer=bert_initializer(),
                dtype=self.dtype_policy,
                name=name,
            )
            return layer

        heads = (None, self.num_heads, self.head_dim)
        self.query = projection("query", "bnd,dhk->bnhk", heads, "hk")
        self.key = projection("key", "bnd,dhk->bnhk", heads, "hk")
        self.value = projection("value", "bnd,dhk->bnhk", heads, "hk")
        self.out = projection("out", "bnhk,hkd->bnd", (None, width), "d")
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.out.build((*input_shape[:-1], self.num_heads, self.head_dim))
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B,N,D) -> (B,N,D)."""
        key, value = dense(self.key, x), dense(self.value, x)  # (B,N,h,k)
        if not (training and self.dropout_rate):
            made = backend.attention(dense(self.query, x), key, value, self.head_dim**-0.5, self.causal)
            if made is not None:
                return dense(self.out, made, axes=2)
        seen = np.tri(x.shape[1], dtype=bool) if self.causal else None  # (N,N)
        return self._attend(x, key, value, seen, training)

    def step(self, x: Any, cache: Any, position: Any) -> tuple[Any, tuple]:
        """One token after those in the cache.

        Args:
            x: (B,1,D), the token at `position`.
            cache: keys and values of the tokens before it, each (B,N,h,k).
            position: int32 scalar tensor.

        Returns:
            (B,1,D), and the cache with this token in it.
        """
        place = ops.arange(cache[0].shape[1], dtype="int32")
        here = ops.reshape(place == position, (1, -1, 1, 1))
        cache = tuple(ops.where(here, new, old) for new, old in zip((self.key(x), self.value(x)), cache, strict=True))
        return self._attend(x, *cache, place[None] <= position, False), cache

    def weights_of(self, x: Any, position: Any) -> Any:
        """The attention weights of one token, to look at; without dropout.

        Args:
            x: (B,N,D).
            position: int32 scalar tensor, the token that looks.

        Returns:
            (B,h,N) float32; they sum to 1 over N.
        """
        place = ops.arange(x.shape[1], dtype="int32")
        seen = place[None] <= position if self.causal else None
        looking = ops.take(x, ops.reshape(position, (1,)), axis=1)  # (B,1,D)
        return self._weights(looking, self.key(x), seen)[:, :, 0]

    def _query(self, x: Any) -> Any:
        return dense(self.query, x) * self.head_dim**-0.5  # (B,N,h,k)

    def _weights(self, x: Any, key: Any, seen: Any) -> Any:
        affinity = ops.cast(ops.einsum("bqhk,bmhk->bhqm", self._query(x), key), "float32")
        if seen is not None:
            affinity = ops.where(seen, affinity, -1e30)
        return ops.softmax(affinity, axis=-1)  # (B,h,N,N)

    def _attend(self, x: Any, key: Any, value: Any, seen: Any, training: bool | None) -> Any:
        weights = self._weights(x, key, seen)
        weights = ops.cast(self.dropout(weights, training=training), self.compute_dtype)
        return dense(self.out, ops.einsum("bhqm,bmhk->bqhk", weights, value), axes=2)

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> tuple:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout_rate,
            "causal": self.causal,
        }


@keras.saving.register_keras_serializable("magvit_keras")
class TransformerBlock(keras.layers.Layer):
    """One BERT layer, post-LN: x = norm(x + attention(x)), then x = norm(x + mlp(x)).

    Args:
        num_heads: number of attention heads; must divide the width.
        mlp_dim: width of the MLP.
        dropout: rate on the outputs of attention and MLP, in [0, 1).
        attention_dropout: rate on the attention weights, in [0, 1).
        causal: whether tokens are blind to those after them.
        **kwargs: `keras.layers.Layer` arguments.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.layers.transformer_block import TransformerBlock
        >>> block = TransformerBlock(num_heads=2, mlp_dim=16)
        >>> tuple(block(np.zeros((1, 5, 8), "float32")).shape)
        (1, 5, 8)

    Reference: App. A.2 of the MAGVIT paper; BERT.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        causal: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout_rate = dropout
        self.attention_dropout_rate = attention_dropout
        self.causal = causal
        self.attention = SelfAttention(num_heads, attention_dropout, causal, dtype=self.dtype_policy, name="attention")
        self.attention_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="attention_dropout")
        self.attention_norm = layer_norm("attention_norm")
        self.mlp_in = keras.layers.Dense(
            mlp_dim, kernel_initializer=bert_initializer(), dtype=self.dtype_policy, name="mlp_in"
        )
        self.mlp_dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="mlp_dropout")
        self.mlp_norm = layer_norm("mlp_norm")

    def build(self, input_shape: Any) -> None:
        """Creates the weights."""
        self.attention.build(input_shape)
        self.attention_norm.build(input_shape)
        self.mlp_in.build(input_shape)
        self.mlp_out = keras.layers.Dense(
            input_shape[-1], kernel_initializer=bert_initializer(), dtype=self.dtype_policy, name="mlp_out"
        )
        self.mlp_out.build((*input_shape[:-1], self.mlp_dim))
        self.mlp_norm.build(input_shape)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """(B,N,D) -> (B,N,D)."""
        return self._after_attention(x, self.attention(x, training=training), training)

    def step(self, x: Any, cache: Any, position: Any) -> tuple[Any, tuple]:
        """One token (B,1,D) after those in the cache, see `SelfAttention.step`; without dropout."""
        attended, cache = self.attention.step(x, cache, position)
        return self._after_attention(x, attended, False), cache

    def _after_attention(self, x: Any, attended: Any, training: bool | None) -> Any:
        attended = self.attention_dropout(attended, training=training)
        x = normalized_sum(self.attention_norm, x, attended)
        hidden = dense(self.mlp_in, x, gelu=True)  # (B,N,mlp_dim)
        hidden = self.mlp_dropout(dense(self.mlp_out, hidden), training=training)
        return normalized_sum(self.mlp_norm, x, hidden)

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> tuple:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout_rate,
            "attention_dropout": self.attention_dropout_rate,
            "causal": self.causal,
        }
