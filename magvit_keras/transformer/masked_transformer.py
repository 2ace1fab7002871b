"""The masked transformer: BERT over task prompt, class and visual tokens (Sec. 3.2, App. A.2)."""

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive
from magvit_keras.layers.factors import check_factors
from magvit_keras.layers.rematerialized import check_remat, run_block, run_level
from magvit_keras.layers.token_embedding import TokenEmbedding, TokenOutput
from magvit_keras.layers.transformer_block import TransformerBlock
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.presets.transformers import MASKED_TRANSFORMERS


@keras.saving.register_keras_serializable("magvit_keras")
class MaskedTransformer(PresetMixin, backend.SavedWhole, keras.Model):
    """Predicts visual tokens from masked ones, all at once (Sec. 3.2).

    The sequence is [task prompt, class, latents in time-row-column order]; the vocabulary is
    [codes, classes, "no class", special tokens], see `commit.vocabulary.Vocabulary`. The defaults are the
    paper's B model. Weights exist as soon as the model does.

    Args:
        codebook_size: number of visual tokens.
        num_classes: number of class labels; a row for "no class" is added.
        latent_shape: (t, h, w) of the tokens of a clip.
        num_layers: transformer layers.
        hidden_size: width D; divisible by `num_heads`.
        num_heads: attention heads.
        mlp_dim: width of the MLPs.
        dropout: rate on embeddings and on the outputs of attention and MLP, in [0, 1).
        attention_dropout: rate on the attention weights; as `dropout` if None.
        prefix_length: tokens before the latents: 2, or 1 for models without task prompts.
        num_special_tokens: special rows at the end of the vocabulary: 16, or 1 without task prompts.
        num_segments: rows of the segment table; 0 for none, as in the paper's models.
        codebook_factors: sizes whose product is `codebook_size`, for large codebooks: a token is embedded as a sum of
            rows, and its digits are predicted instead of itself, see `layers/factors.py`. None does not factor.
        causal: makes it the autoregressive transformer of Table 6: each token sees those before it, and the logits of
            a latent are computed from them alone.
        remat: activations that training keeps: "none" keeps all; "blocks" computes those within the blocks again for
            the gradients, "full" those of groups of blocks: less memory, more time, the same numbers, dropout included.
        quantized: "int8" makes the dense layers hold 8-bit weights, as after `quantize`; None for floats.
        **kwargs: `keras.Model` arguments.

    Raises:
        ValueError: a size is out of range or does not divide.

    Example:
        >>> import numpy as np
        >>> import magvit_keras as mk
        >>> transformer = mk.MaskedTransformer(codebook_size=16, num_classes=3, latent_shape=(2, 2, 2),
        ...                                    num_layers=1, hidden_size=8, num_heads=2, mlp_dim=16)
        >>> tuple(transformer(np.zeros((1, 10), "int32")).shape)  # 16 codes + 4 class rows + 16 special
        (1, 10, 36)
        >>> tuple(transformer.codebook_logits(np.zeros((1, 10), "int32")).shape)
        (1, 8, 16)

    Reference: Sec. 3.2 and App. A.2 of the MAGVIT paper.
    """

    presets: ClassVar = {name: entry["description"] for name, entry in MASKED_TRANSFORMERS.items()}
    _preset_table: ClassVar = MASKED_TRANSFORMERS

    def __init__(
        self,
        codebook_size: int = 1024,
        num_classes: int = 101,
        latent_shape: tuple[int, int, int] = (4, 16, 16),
        num_layers: int = 12,
        hidden_size: int = 768,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        prefix_length: int = 2,
        num_special_tokens: int = 16,
        num_segments: int = 0,
        codebook_factors: tuple[int, ...] | None = None,
        causal: bool = False,
        remat: str = "none",
        quantized: str | None = None,
        **kwargs: Any,
    ):
        sizes = {
            "codebook_size": codebook_size,
            "num_layers": num_layers,
            "hidden_size": hidden_size,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "num_special_tokens": num_special_tokens,
        }
        check_positive(**sizes)
        if num_classes < 0 or prefix_length < 0 or num_segments < 0:
            raise ValueError(
                "Expected num_classes, prefix_length and num_segments of at least 0, "
                f"received {num_classes}, {prefix_length}, {num_segments}."
            )
        if len(latent_shape) != 3 or min(latent_shape) < 1:
            raise ValueError(f"Expected latent_shape (t, h, w) of positive sizes, received {tuple(latent_shape)}.")
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size={hidden_size} does not divide into num_heads={num_heads}.")
        if causal and prefix_length < 1:
            raise ValueError(
                "A causal transformer predicts the first latent from the prefix: expected prefix_length >= 1."
            )
        factors = check_factors(codebook_factors, codebook_size)
        super().__init__(**kwargs)
        self.codebook_size = codebook_size
        self.codebook_factors = None if codebook_factors is None else factors
        self.num_classes = num_classes
        self.latent_shape = tuple(latent_shape)
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout_rate = dropout
        self.attention_dropout_rate = attention_dropout
        self.prefix_length = prefix_length
        self.num_special_tokens = num_special_tokens
        self.num_segments = num_segments
        self.causal = causal
        self.remat = check_remat(remat)

        self.embedding = TokenEmbedding(
            self.vocabulary_size,
            self.sequence_length,
            hidden_size,
            num_segments,
            dropout,
            self.codebook_factors,
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.blocks = [
            TransformerBlock(
                num_heads,
                mlp_dim,
                dropout,
                dropout if attention_dropout is None else attention_dropout,
                causal,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self.output_head = TokenOutput(self.embedding.rows, hidden_size, dtype=self.dtype_policy, name="output_head")
        self.build((None, self.sequence_length))
        self.quantized = None
        if quantized is not None:
            self.quantize(quantized)

    @property
    def vocabulary_size(self) -> int:
        """Token ids in use: codes + classes + "no class" + special tokens."""
        return self.codebook_size + self.num_classes + 1 + self.num_special_tokens

    @property
    def num_latents(self) -> int:
        """Tokens of a clip, N of the paper."""
        return math.prod(self.latent_shape)

    @property
    def sequence_length(self) -> int:
        """Prefix and latents."""
        return self.prefix_length + self.num_latents

    def build(self, input_shape: Any = None) -> None:
        """Creates all weights; the constructor calls it, so a second call has nothing to do."""
        if self.built:
            return
        shape = (None, self.sequence_length)
        self.embedding.build(shape)
        for block in (*self.blocks, self.output_head):
            block.build((*shape, self.hidden_size))
        self.built = True

    def call(
        self, token_ids: Any, segment_ids: Any = None, training: bool | None = None, codebook_only: bool = False
    ) -> Any:
        """Computes logits.

        Args:
            token_ids: (B,N) int32 rows of the vocabulary, prefix and latents; negative ones count from its end.
            segment_ids: (B,N) int32, for models with segments; all 0 by default.
            training: whether dropout is active.
            codebook_only: only the positions of the latents (if causal, each one earlier, where the latent is
                predicted) and the columns of the codebook; the rest of the vocabulary is neither trained nor decoded.

        Returns:
            (B,N,vocabulary_size) float32, or (B,num_latents,codebook_size). With `codebook_factors` their sum takes
            the place of the codebook size in both.
        """
        x = self.embedding(token_ids, segment_ids=segment_ids, training=training)  # (B,N,D)
        # Groups of about the root of all blocks keep the fewest inputs, of groups and of the blocks of one, together.
        size = math.ceil(math.sqrt(len(self.blocks)))
        for first in range(0, len(self.blocks), size):
            group = self.blocks[first : first + size]
            x = run_level(self.remat, functools.partial(self._run_blocks, group, training), group, x)
        if codebook_only:
            first = self.prefix_length - self.causal
            x = x[:, first : first + self.num_latents]  # (B,num_latents,D)
        return self._logits(x, codebook_only)

    def _run_blocks(self, blocks: Sequence[TransformerBlock], training: bool | None, x: Any) -> Any:
        for block in blocks:
            x = run_block(self.remat, block, x, training=training)
        return x

    def _logits(self, x: Any, codebook_only: bool) -> Any:
        columns = sum(self.codebook_factors or (self.codebook_size,)) if codebook_only else None
        return self.output_head(x, table=self.embedding.tokens, columns=columns)

    def empty_cache(self, batch_size: int) -> list[tuple[Any, Any]]:
        """Keys and values of no tokens, for `next_logits`: a pair (B,N,heads,head_dim) for each layer."""
        shape = (batch_size, self.sequence_length, self.num_heads, self.hidden_size // self.num_heads)
        return [(ops.zeros(shape, self.compute_dtype), ops.zeros(shape, self.compute_dtype)) for _ in self.blocks]

    def next_logits(self, token_ids: Any, position: Any, cache: Any) -> tuple[Any, list]:
        """Logits of the latent after one more token, without computing the tokens before it again.

        Args:
            token_ids: (B,) int32, the tokens at `position` of the sequence.
            position: int32 scalar tensor.
            cache: of the tokens before, at first `empty_cache`.

        Returns:
            (B,codebook_size) float32, and the cache with these tokens in it.

        Raises:
            ValueError: the transformer is not causal.
        """
        if not self.causal:
            raise ValueError("Only a causal transformer predicts token by token; make it with causal=True.")
        x, new_cache = self.embedding.step(token_ids[:, None], position), []
        for block, layer_cache in zip(self.blocks, cache, strict=True):
            x, layer_cache = block.step(x, layer_cache, position)
            new_cache.append(layer_cache)
        return self._logits(x, True)[:, 0], new_cache

    def codebook_logits(self, token_ids: Any, segment_ids: Any = None, training: bool | None = None) -> Any:
        """Logits of the latents over the codebook: all that training and decoding need.

        Args:
            token_ids: (B,N) int32, prefix and latents.
            segment_ids: (B,N) int32, for models with segments.
            training: whether dropout is active.

        Returns:
            (B,num_latents,codebook_size) float32; with `codebook_factors` the digits' logits, one after the other.
        """
        return self(token_ids, segment_ids=segment_ids, training=training, codebook_only=True)

    def attention_weights(self, token_ids: Any, position: Any) -> Any:
        """How much one token attends to every token, in all layers and heads; without dropout.

        Args:
            token_ids: (B,N) int32, prefix and latents.
            position: the token that looks, counted in the sequence with its prefix.

        Returns:
            (num_layers,B,num_heads,N) float32; the weights sum to 1 over N.
        """
        position = ops.convert_to_tensor(np.int32(position))  # data, so that all positions share one program
        return backend.run_compiled(self, "attention_weights", self._attention_weights, token_ids, position)

    def _attention_weights(self, token_ids: Any, position: Any) -> Any:
        x, weights = self.embedding(token_ids, training=False), []
        for block in self.blocks:
            weights.append(block.attention.weights_of(x, position))
            x = block(x, training=False)
        return ops.stack(weights)

    def quantize(self, mode: str = "int8", config: Any = None, filters: Any = None, **kwargs: Any) -> None:
        """Gives the dense layers of the blocks and of the output 8-bit weights, a quarter of the memory.

        For generating: the weights no longer train. Saved and loaded, the model stays as it is.

        Args:
            mode: "int8".
            config: None; the same rounding happens when the model is loaded.
            filters: None; all dense layers.
            **kwargs: of `keras.Model.quantize`.

        Raises:
            ValueError: another mode, a config or filters.
        """
        # Keras makes a config of the mode before it calls this.
        own = config is not None and config.get_config() != keras.quantizers.Int8QuantizationConfig().get_config()
        if mode != "int8" or own or filters is not None:
            raise ValueError(
                'Only quantize("int8") of all dense layers is supported; '
                f"received mode={mode!r}, {'a config of your own' if own else 'no config'}, filters={filters!r}."
            )
        super().quantize(mode, filters=_is_dense, **kwargs)
        self.quantized = mode
        backend.forget_compiled()

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "codebook_size": self.codebook_size,
            "num_classes": self.num_classes,
            "latent_shape": list(self.latent_shape),
            "num_layers": self.num_layers,
            "hidden_size": self.hidden_size,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout_rate,
            "attention_dropout": self.attention_dropout_rate,
            "prefix_length": self.prefix_length,
            "num_special_tokens": self.num_special_tokens,
            "num_segments": self.num_segments,
            "codebook_factors": None if self.codebook_factors is None else list(self.codebook_factors),
            "causal": self.causal,
            "remat": self.remat,
            "quantized": self.quantized,
        }


def _is_dense(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense)
