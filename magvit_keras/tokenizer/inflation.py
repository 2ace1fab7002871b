"""From a 2D model to a 3D one: weights of images as the start of a video model (Sec. 3.1, Table 7).

A kernel (k, k, in, out) becomes (k, k, k, in, out). "central" puts it in the middle slice of time and zeros in the
others: the 3D model begins as the 2D one applied to every frame. "average" puts a k-th of it in every slice: the 3D
model begins as the 2D one applied to a moving average of frames. All other parameters (biases, norms, 1x1
convolutions, the codebook, dense layers) are copied.

On a static clip, whose frames are all equal, an inflated tokenizer repeats the 2D tokenizer's codes and pixels in
every frame, up to rounding:

- central, with every padding. The off-centre slices are zero, so what is padded in time is never seen and each
  convolution acts frame by frame; GroupNorm's statistics over T equal frames are those of one frame; the average of
  equal frames is that frame, also at an odd end; nearest upsampling repeats it. By induction all frames stay equal.
- average, with "reflect", "edge", "symmetric" or "wrap" padding. The padded frames are frames of the clip, so the k
  slices of a k-th each see equal frames and add up to the 2D kernel. With "same" (zeros) the first and last frame of
  every layer see k - 1 of k slices only, and the two tokenizers differ.

A wavelet along time makes of equal frames the channels of one frame, which come first, and zeros. So the 2D kernels
that read or make folded pixels act on those channels, the others begin with zeros, and all of the above holds.

On a clip that moves they differ in both modes: GroupNorm mixes the statistics of the frames, and temporal pooling the
frames themselves.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.checks import to_numpy
from magvit_keras.layers.residual_block import ResidualBlock
from magvit_keras.tokenizer.base_tokenizer import BaseTokenizer
from magvit_keras.tokenizer.discriminator import StyleGANDiscriminator

#: How a kernel is spread over the slices of time.
MODES = ("central", "average")


@dataclasses.dataclass(frozen=True)
class InflationReport:
    """What became of each parameter.

    Attributes:
        copied: parameters of the 3D model that are those of the 2D model.
        inflated: kernels of the 3D model that were spread over time.
        left_out: parameters of the 2D model that were not used, and why.
        not_filled: parameters of the 3D model that keep their values, and why.
    """

    copied: tuple[str, ...]
    inflated: tuple[str, ...]
    left_out: Mapping[str, str]
    not_filled: Mapping[str, str]

    def __str__(self) -> str:
        """One line of counts, then a line for each parameter that found no place."""
        lines = [
            f"{len(self.copied)} copied, {len(self.inflated)} inflated, {len(self.left_out)} left out, "
            f"{len(self.not_filled)} not filled"
        ]
        lines += [f"  left out {name}: {reason}" for name, reason in self.left_out.items()]
        lines += [f"  not filled {name}: {reason}" for name, reason in self.not_filled.items()]
        return "\n".join(lines)


def inflate(image_model: keras.Model, video_model: keras.Model, mode: str = "central") -> InflationReport:
    """Fills a 3D tokenizer or discriminator with the weights of a 2D one.

    A 2D tokenizer may have more levels of one width than the 3D tokenizer, as MaskGIT's (1, 1, 2, 2, 4) has beside
    (1, 2, 2, 4): the encoder keeps the first levels of that width, the decoder the deepest.

    Args:
        image_model: an `ImageTokenizer` or an `ImageDiscriminator`.
        video_model: a `VideoTokenizer` or a `VideoDiscriminator`; changed in place.
        mode: "central" or "average".

    Returns:
        What was copied, what was inflated, what was left out and why, and what keeps its values.

    Raises:
        ValueError: the two are no pair, or the mode is unknown; nothing has been assigned then.

    Example:
        >>> sizes = {"filters": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 8,
        ...          "codebook_size": 64}
        >>> image_tokenizer = ImageTokenizer(**sizes)
        >>> tokenizer = VideoTokenizer(temporal_downsample=(True,), **sizes)
        >>> report = inflate(image_tokenizer, tokenizer)
        >>> len(report.inflated), dict(report.left_out)
        (16, {})

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.1 and Table 7.
    """
    if mode not in MODES:
        raise ValueError(f"Unknown mode {mode!r}; expected one of {', '.join(MODES)}.")
    for kind, parts in ((BaseTokenizer, _tokenizer_pairs), (StyleGANDiscriminator, _discriminator_pairs)):
        if isinstance(image_model, kind) and isinstance(video_model, kind):
            if (image_model.rank, video_model.rank) == (2, 3):
                return _transfer(*parts(image_model, video_model), mode)
            break
    raise ValueError(
        "inflate takes a 2D and a 3D tokenizer, or a 2D and a 3D discriminator; received "
        f"{type(image_model).__name__} and {type(video_model).__name__}."
    )


def inflate_kernel(kernel: np.ndarray, depth: int, mode: str) -> np.ndarray:
    """A kernel (k, k, in, out) as (depth, k, k, in, out)."""
    if mode == "average":
        return np.repeat(kernel[None] / depth, depth, axis=0)
    inflated = np.zeros((depth, *kernel.shape), kernel.dtype)
    inflated[(depth - 1) // 2] = kernel  # the slice of the present frame: (k - 1) // 2 cells are padded before it
    return inflated


def _transfer(
    pairs: dict[str, tuple[keras.Variable, keras.Variable]],
    left_out: dict[str, str],
    not_filled: dict[str, str],
    mode: str,
) -> InflationReport:
    copied, inflated, values = [], [], []
    for name, (source, target) in pairs.items():
        value, wanted = to_numpy(source.value), tuple(target.shape)
        if name.startswith(_FOLDED):
            value = _first_channels(value, wanted)
        if value.shape == wanted:
            copied.append(name)
        elif len(wanted) == 5 and value.shape == wanted[1:]:
            value = inflate_kernel(value, wanted[0], mode)
            # A 1x1 convolution gains an axis and no weight: nothing is spread.
            (copied if wanted[0] == 1 else inflated).append(name)
        else:
            reason = f"its shape {value.shape} does not become {wanted}"
            left_out[name], not_filled[name] = reason, f"the 2D parameter has the shape {value.shape}"
            continue
        values.append((target, value))
    for target, value in values:
        target.assign(value)
    return InflationReport(tuple(copied), tuple(inflated), left_out, not_filled)


# Parts that read or make folded pixels.
_FOLDED = ("encoder/conv_in/", "encoder/shortcut/", "decoder/conv_out/", "decoder/shortcut/")


def _first_channels(value: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """The weights of the first channels of a wider kernel or bias, zeros behind."""
    widths = [(0, max(0, n - had)) for n, had in zip(wanted[-value.ndim :], value.shape, strict=True)]
    return np.pad(value, widths)


def _pair(
    image: dict[str, keras.Variable], video: dict[str, keras.Variable], source_of: Mapping[str, str] | None = None
) -> tuple[dict, dict, dict]:
    """Pairs by name; `source_of` renames parts of the video model to those of the image model."""
    pairs, not_filled, used = {}, {}, set()
    for name, target in video.items():
        part, _, rest = name.partition(":")
        source = f"{(source_of or {}).get(part, part)}:{rest}"
        if source in image:
            pairs[_readable(name)] = (image[source], target)
            used.add(source)
        else:
            not_filled[_readable(name)] = "the 2D model has no such parameter"
    left_out = {_readable(n): "the 3D model has no such parameter" for n in image if n not in used}
    return pairs, left_out, not_filled


def _readable(name: str) -> str:
    return name.replace(":", "/")


def _tokenizer_pairs(image: BaseTokenizer, video: BaseTokenizer) -> tuple[dict, dict, dict]:
    if image.norm_groups != video.norm_groups:
        raise ValueError(
            "The same weights compute something else with other norm_groups; received "
            f"{image.norm_groups} in 2D and {video.norm_groups} in 3D. They must be equal."
        )
    if (image.wavelet is None) != (video.wavelet is None) or (video.wavelet or ())[1:] != (image.wavelet or ()):
        raise ValueError(
            "The 3D model must fold height and width as the 2D model does; received the wavelets "
            f"{image.wavelet} in 2D and {video.wavelet} in 3D."
        )
    source_of = {}
    for coder, levels in zip((video.encoder, video.decoder), _matching_levels(image, video), strict=True):
        for level, source in enumerate(levels):
            source_of[f"{coder.name}/conv_up_{level}"] = f"{coder.name}/conv_up_{source}"
            for i in range(coder.num_res_blocks):
                source_of[f"{coder.name}/level_{level}_block_{i}"] = f"{coder.name}/level_{source}_block_{i}"
    pairs, left_out, not_filled = _pair(tokenizer_parts(image), tokenizer_parts(video), source_of)
    return pairs, left_out, not_filled


def _matching_levels(image: BaseTokenizer, video: BaseTokenizer) -> tuple[list[int], list[int]]:
    """For each level of the video encoder, and decoder, the level of the image tokenizer with its shapes."""
    runs = []
    for model in (image, video):
        widths = [model.filters * m for m in model.channel_multipliers]
        run: list[tuple[int, list[int]]] = []
        for level, width in enumerate(widths):
            if not run or run[-1][0] != width:
                run.append((width, []))
            run[-1][1].append(level)
        runs.append(run)
    widths = [[width for width, _ in run] for run in runs]
    if widths[0] != widths[1] or any(len(a[1]) < len(b[1]) for a, b in zip(*runs, strict=True)):
        raise ValueError(
            f"The levels do not fit: filters {image.filters} x {image.channel_multipliers} in 2D, {video.filters} x "
            f"{video.channel_multipliers} in 3D. The widths must be equal; the 2D model may have more levels of one."
        )
    first, deepest = [], []
    for (_, ours), (_, theirs) in zip(*runs, strict=True):
        first += ours[: len(theirs)]  # the first level of a width is the one that changes it on the way down
        deepest += ours[-len(theirs) :]  # and the deepest on the way up
    return first, deepest


def tokenizer_parts(tokenizer: BaseTokenizer) -> dict[str, keras.Variable]:
    """ "part:rest" -> variable, for instance "encoder/level_0_block_1:conv_1/kernel"."""
    parts = {}
    for coder_name, coder in (("encoder", tokenizer.encoder), ("decoder", tokenizer.decoder)):
        layers = [coder.conv_in, *getattr(coder, "conv_up", []), coder.norm_out, coder.conv_out, *coder.blocks]
        layers += [] if coder.shortcut_conv is None else [coder.shortcut_conv]
        for layer in layers:
            parts.update({f"{coder_name}/{layer.name}:{rest}": v for rest, v in _layer_parts(layer).items()})
    parts.update({f"quantizer:{v.name}": v for v in tokenizer.quantizer.weights})
    return parts


def _layer_parts(layer: keras.Layer) -> dict[str, keras.Variable]:
    if not isinstance(layer, ResidualBlock):
        return {v.name: v for v in layer.weights}
    inner: list[Any] = [layer.norm_1, layer.conv_1, layer.norm_2, layer.conv_2]
    inner += [] if layer.shortcut is None else [layer.shortcut]
    return {f"{part.name}/{v.name}": v for part in inner for v in part.weights}


def _discriminator_pairs(image: StyleGANDiscriminator, video: StyleGANDiscriminator) -> tuple[dict, dict, dict]:
    return _pair(_discriminator_parts(image), _discriminator_parts(video))


def _discriminator_parts(discriminator: StyleGANDiscriminator) -> dict[str, keras.Variable]:
    layers = [discriminator.conv_in, discriminator.conv_out, discriminator.dense, discriminator.logit]
    parts = {f"{layer.name}:{v.name}": v for layer in layers for v in layer.weights}
    for block in discriminator.blocks:
        for conv in (block.conv_1, block.conv_2, block.shortcut):
            parts.update({f"{block.name}:{conv.name}/{v.name}": v for v in conv.weights})
    return parts
