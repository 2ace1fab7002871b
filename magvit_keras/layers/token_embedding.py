"""Token, position and segment embeddings, and the output that shares the token table (BERT)."""

import math
from typing import Any

import keras
from keras import ops

from magvit_keras.layers.dense import dense
from magvit_keras.layers.factors import split_ids
from magvit_keras.layers.initial_values import TruncatedNormal
from magvit_keras.layers.layer_norm import layer_norm


def bert_initializer() -> keras.initializers.Initializer:
    """Normal with deviation 0.02, cut at two deviations and not rescaled; a new one for each variable."""
    return TruncatedNormal(stddev=0.02)


@keras.saving.register_keras_serializable("magvit_keras")
class TokenEmbedding(keras.layers.Layer):
    """Sum of token, position and (optional) segment embeddings, then LayerNorm and dropout.

    Args:
        vocabulary_size: rows of the token table.
        sequence_length: rows of the position table, counted over the whole sequence.
        hidden_size: width D.
        num_segments: rows of the segment table; 0 for none.
        dropout: rate in [0, 1).
        codebook_factors: of the codes, the first tokens of the vocabulary, see `layers/factors.py`: the table then
            has a row for each value of each digit, and a code is the sum of its digits' rows. None does not factor.
        **kwargs: `keras.layers.Layer` arguments.

    Example:
        >>> import numpy as np
        >>> from magvit_keras.layers.token_embedding import TokenEmbedding
        >>> embedding = TokenEmbedding(vocabulary_size=10, sequence_length=4, hidden_size=8)
        >>> tuple(embedding(np.array([[1, 2, 9, 9]])).shape)
        (1, 4, 8)

    Reference: App. A.2 of the MAGVIT paper; BERT.
    """

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        hidden_size: int,
        num_segments: int = 0,
        dropout: float = 0.0,
        codebook_factors: tuple[int, ...] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.hidden_size = hidden_size
        self.num_segments = num_segments
        self.dropout_rate = dropout
        self.codebook_factors = None if codebook_factors is None else tuple(codebook_factors)
        self.norm = layer_norm("norm")
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    @property
    def rows(self) -> int:
        """Rows of the token table: one for each token, or for each value of a digit and each token that is no code."""
        if self.codebook_factors is None:
            return self.vocabulary_size
        return self.vocabulary_size - math.prod(self.codebook_factors) + sum(self.codebook_factors)

    def build(self, input_shape: Any) -> None:
        """Creates the tables."""

        def table(name: str, rows: int) -> keras.Variable:
            return self.add_weight(shape=(rows, self.hidden_size), initializer=bert_initializer(), name=name)

        self.tokens = table("tokens", self.rows)
        self.positions = table("positions", self.sequence_length)
        self.segments = table("segments", self.num_segments) if self.num_segments else None
        self.norm.build((*input_shape, self.hidden_size))
        self.built = True

    def call(self, token_ids: Any, segment_ids: Any = None, training: bool | None = None) -> Any:
        """Embeds tokens.

        Args:
            token_ids: (B,N) int32 rows; negative ones count from the end of the table.
            segment_ids: (B,N) int32, read only if there are segments; all 0 by default.
            training: whether dropout is active.

        Returns:
            (B,N,D).
        """
        positions = ops.convert_to_tensor(self.positions)[: token_ids.shape[1]]
        return self._embed(token_ids, positions, segment_ids, training)

    def step(self, token_ids: Any, position: Any) -> Any:
        """Embeds the token (B,1) at a position, an int32 scalar tensor; without dropout, in segment 0."""
        positions = ops.take(ops.convert_to_tensor(self.positions), ops.reshape(position, (1,)), axis=0)
        return self._embed(token_ids, positions, None, False)

    def _embed(self, token_ids: Any, positions: Any, segment_ids: Any, training: bool | None) -> Any:
        token_ids = ops.cast(token_ids, "int32")
        token_ids = ops.where(token_ids < 0, token_ids + self.vocabulary_size, token_ids)
        x = self._token_rows(token_ids) + positions
        if self.segments is not None:
            segment_ids = ops.zeros_like(token_ids) if segment_ids is None else ops.cast(segment_ids, "int32")
            x = x + lookup(self.segments, segment_ids)
        return self.dropout(ops.cast(self.norm(x), self.compute_dtype), training=training)

    def _token_rows(self, token_ids: Any) -> Any:
        if self.codebook_factors is None:
            return lookup(self.tokens, token_ids)
        codes, start, x = math.prod(self.codebook_factors), 0, 0.0
        is_code = (token_ids < codes)[..., None]
        for factor, digit in zip(
            self.codebook_factors, split_ids(token_ids % codes, self.codebook_factors), strict=True
        ):
            x = x + lookup(self.tokens, digit + start)
            start += factor
        # Every token that is no code has a row of its own after those of the digits.
        others = lookup(self.tokens, ops.maximum(token_ids - codes, 0) + start)
        return ops.where(is_code, x, others)

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> tuple:
        """(B,N) -> (B,N,D)."""
        return (*input_shape, self.hidden_size)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "sequence_length": self.sequence_length,
            "hidden_size": self.hidden_size,
            "num_segments": self.num_segments,
            "dropout": self.dropout_rate,
            "codebook_factors": None if self.codebook_factors is None else list(self.codebook_factors),
        }


@keras.saving.register_keras_serializable("magvit_keras")
class TokenOutput(keras.layers.Layer):
    """Logits over the vocabulary: dense, GELU, LayerNorm, then the token table transposed, plus a bias.

    Args:
        vocabulary_size: rows of the token table.
        hidden_size: width D.
        **kwargs: `keras.layers.Layer` arguments.

    Reference: App. A.2 of the MAGVIT paper; BERT's masked language model head.
    """

    def __init__(self, vocabulary_size: int, hidden_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.dense = keras.layers.Dense(
            hidden_size, kernel_initializer=bert_initializer(), dtype=self.dtype_policy, name="dense"
        )
        self.norm = layer_norm("norm")

    def build(self, input_shape: Any) -> None:
        """Creates the dense layer and the bias; the table belongs to the embedding."""
        self.dense.build(input_shape)
        self.norm.build(input_shape)
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any, table: Any, columns: int | None = None) -> Any:
        """Computes logits.

        Args:
            x: (B,N,D).
            table: (V,D), the token table.
            columns: number of rows of the table to score, from the first; all by default.

        Returns:
            (B,N,V) float32, or (B,N,columns).
        """
        x = ops.cast(self.norm(dense(self.dense, x, gelu=True)), self.compute_dtype)
        table = ops.cast(ops.convert_to_tensor(table), self.compute_dtype)[:columns]
        bias = ops.cast(ops.convert_to_tensor(self.bias), "float32")[:columns]
        return ops.cast(ops.matmul(x, ops.transpose(table)), "float32") + bias

    def compute_output_shape(
        self, input_shape: Any, table: Any = None, columns: int | None = None, **kwargs: Any
    ) -> tuple:
        """(B,N,D) -> (B,N,V)."""
        return (*input_shape[:-1], columns or self.vocabulary_size)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "hidden_size": self.hidden_size,
        }


def lookup(table: Any, ids: Any) -> Any:
    """Rows of a table, with a gradient in which repeated ids add up on every backend.

    `[MASK]` stands in a batch hundreds of times. TensorFlow's gradient of a plain lookup is a list of rows,
    of which Adam does not sum the repeated ones; times one, the gradient is a full table.

    Args:
        table: (V,D) variable.
        ids: int32 of any shape, in [0,V).

    Returns:
        (..., D).
    """
    return ops.take(table * 1.0, ids, axis=0)
