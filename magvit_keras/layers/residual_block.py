"""The residual block of the tokenizer's encoder and decoder."""

from typing import Any

import keras
from keras import ops

from magvit_keras import backend
from magvit_keras.layers.convolution import Convolution
from magvit_keras.layers.group_norm import GroupNorm

#: What the 1x1 convolution of the shortcut reads: the block's input, or (MaskGIT's tokenizers) the output of its
#: second convolution, so that the block's input is lost where the width changes.
SHORTCUTS = ("input", "output")


def check_shortcut(shortcut: str) -> str:
    """Returns `shortcut`, or raises with the list of known ones."""
    if shortcut not in SHORTCUTS:
        raise ValueError(f"Unknown shortcut {shortcut!r}; expected one of {', '.join(SHORTCUTS)}.")
    return shortcut


@keras.saving.register_keras_serializable("magvit_keras")
class ResidualBlock(keras.layers.Layer):
    """GroupNorm, swish, convolution, twice; a 1x1 convolution on the shortcut where the width changes.

    Args:
        filters: width of the output.
        rank: 3 for clips, 2 for frames.
        padding: of the convolutions.
        shortcut: one of `SHORTCUTS`; "output" is for the weights of MaskGIT's tokenizer.
        norm_groups: groups of the normalizations.

    Reference:
        MAGVIT, Sec. 3.1 and Fig. 8 of the appendix.
    """

    def __init__(
        self,
        filters: int,
        rank: int = 3,
        padding: str = "reflect",
        shortcut: str = "input",
        norm_groups: int = 32,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.rank = rank
        self.padding = padding
        self.shortcut_of = check_shortcut(shortcut)
        self.norm_groups = norm_groups
        options = {"rank": rank, "padding": padding, "use_bias": False, "dtype": self.dtype_policy}
        self.norm_1 = GroupNorm(norm_groups, dtype=self.dtype_policy, name="norm_1")
        self.conv_1 = Convolution(filters, 3, name="conv_1", **options)
        self.norm_2 = GroupNorm(norm_groups, dtype=self.dtype_policy, name="norm_2")
        self.conv_2 = Convolution(filters, 3, name="conv_2", **options)
        self.shortcut = None

    def build(self, input_shape: tuple) -> None:
        """Builds the parts; the shortcut only where it is needed."""
        inner = (*input_shape[:-1], self.filters)
        self.norm_1.build(input_shape)
        self.conv_1.build(input_shape)
        self.norm_2.build(inner)
        self.conv_2.build(inner)
        if input_shape[-1] != self.filters:
            options = {"rank": self.rank, "use_bias": False, "dtype": self.dtype_policy}
            self.shortcut = Convolution(self.filters, 1, name="shortcut", **options)
            self.shortcut.build(input_shape if self.shortcut_of == "input" else inner)

    def call(self, x: Any) -> Any:
        """(B, ..., in) -> (B, ..., filters)."""
        residual = normalized_convolution(self.norm_1, self.conv_1, x)
        residual = normalized_convolution(self.norm_2, self.conv_2, residual)
        if self.shortcut is not None:
            x = self.shortcut(x if self.shortcut_of == "input" else residual)
        return backend.add(residual, x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape is kept, the channels become `filters`."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "rank": self.rank,
            "padding": self.padding,
            "shortcut": self.shortcut_of,
            "norm_groups": self.norm_groups,
        }


def normalized_convolution(norm: GroupNorm, conv: Convolution, x: Any) -> Any:
    """`conv(silu(norm(x)))`, at once where the backend gains by that."""
    made = backend.normalized_convolution(x, *norm.options(), ops.convert_to_tensor(conv.kernel), conv.padding)
    if made is None:
        return conv(ops.silu(norm(x)))
    return made if conv.bias is None else made + conv.bias
