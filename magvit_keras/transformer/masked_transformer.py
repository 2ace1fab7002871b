"""The masked transformer: BERT over task prompt, class and visual tokens (Sec. 3.2, App. A.2)."""

import math
from typing import ClassVar

import keras

from magvit_keras.layers.token_embedding import TokenEmbedding, TokenOutput
from magvit_keras.layers.transformer_block import TransformerBlock
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.presets.transformers import MASKED_TRANSFORMERS


@keras.saving.register_keras_serializable("magvit_keras")
class MaskedTransformer(PresetMixin, keras.Model):
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
        **kwargs,
    ):
        sizes = {
            "codebook_size": codebook_size,
            "num_layers": num_layers,
            "hidden_size": hidden_size,
            "num_heads": num_heads,
            "mlp_dim": mlp_dim,
            "num_special_tokens": num_special_tokens,
        }
        if small := [f"{name}={value}" for name, value in sizes.items() if value < 1]:
            raise ValueError(f"Expected sizes of at least 1, received {', '.join(small)}.")
        if num_classes < 0 or prefix_length < 0 or num_segments < 0:
            raise ValueError(
                "Expected num_classes, prefix_length and num_segments of at least 0, "
                f"received {num_classes}, {prefix_length}, {num_segments}."
            )
        if len(latent_shape) != 3 or min(latent_shape) < 1:
            raise ValueError(f"Expected latent_shape (t, h, w) of positive sizes, received {tuple(latent_shape)}.")
        if hidden_size % num_heads:
            raise ValueError(f"hidden_size={hidden_size} does not divide into num_heads={num_heads}.")
        super().__init__(**kwargs)
        self.codebook_size = codebook_size
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

        self.embedding = TokenEmbedding(
            self.vocabulary_size,
            self.sequence_length,
            hidden_size,
            num_segments,
            dropout,
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.blocks = [
            TransformerBlock(
                num_heads,
                mlp_dim,
                dropout,
                dropout if attention_dropout is None else attention_dropout,
                dtype=self.dtype_policy,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        self.output_head = TokenOutput(self.vocabulary_size, hidden_size, dtype=self.dtype_policy, name="output_head")
        self.build((None, self.sequence_length))

    @property
    def vocabulary_size(self) -> int:
        """Rows of the token table: codes + classes + "no class" + special tokens."""
        return self.codebook_size + self.num_classes + 1 + self.num_special_tokens

    @property
    def num_latents(self) -> int:
        """Tokens of a clip, N of the paper."""
        return math.prod(self.latent_shape)

    @property
    def sequence_length(self) -> int:
        """Prefix and latents."""
        return self.prefix_length + self.num_latents

    def build(self, input_shape=None):
        """Creates all weights; the constructor calls it, so a second call has nothing to do."""
        if self.built:
            return
        shape = (None, self.sequence_length)
        self.embedding.build(shape)
        for block in (*self.blocks, self.output_head):
            block.build((*shape, self.hidden_size))
        self.built = True

    def call(self, token_ids, segment_ids=None, training=None, codebook_only=False):
        """Computes logits.

        Args:
            token_ids: (B,N) int32 rows of the vocabulary, prefix and latents; negative ones count from its end.
            segment_ids: (B,N) int32, for models with segments; all 0 by default.
            training: whether dropout is active.
            codebook_only: only the positions of the latents and the columns of the codebook; the rest of the
                vocabulary is neither trained nor decoded.

        Returns:
            (B,N,vocabulary_size) float32, or (B,num_latents,codebook_size).
        """
        x = self.embedding(token_ids, segment_ids=segment_ids, training=training)  # (B,N,D)
        for block in self.blocks:
            x = block(x, training=training)
        if codebook_only:
            x = x[:, self.prefix_length :]  # (B,num_latents,D)
        columns = self.codebook_size if codebook_only else None
        return self.output_head(x, table=self.embedding.tokens, columns=columns)

    def codebook_logits(self, token_ids, segment_ids=None, training=None):
        """Logits of the latents over the codebook: all that training and decoding need.

        Args:
            token_ids: (B,N) int32, prefix and latents.
            segment_ids: (B,N) int32, for models with segments.
            training: whether dropout is active.

        Returns:
            (B,num_latents,codebook_size) float32.
        """
        return self(token_ids, segment_ids=segment_ids, training=training, codebook_only=True)

    def get_config(self):
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
        }
