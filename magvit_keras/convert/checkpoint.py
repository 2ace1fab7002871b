"""Checkpoint files of others into models of ours, by what is in them: `magvit-keras convert`."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from magvit_keras.convert.files.flax_files import read_flax_checkpoint
from magvit_keras.convert.flax import flatten, load_flax_params
from magvit_keras.convert.maskgit import image_tokenizer_sizes
from magvit_keras.convert.not_offered import refuse_not_offered
from magvit_keras.convert.torch_vqgan import load_torch_vqgan
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

#: Parts of a training state, the one that is meant first.
PARTS = ("ema", "params", "discriminator")

# How messages call a training state, the fields by which it is known, and where its parts are.
_STATES = (
    ("the state of a VQGAN's training", {"g_params", "d_params"}, ("ema_params", "g_params", "d_params")),
    (
        "the state of a VQGAN's training, older form",
        {"g_optimizer", "d_optimizer"},
        ("ema_params", "g_optimizer/target", "d_optimizer/target"),
    ),
    ("the state of a training", {"params"}, (None, "params", None)),
    ("the state of a training, older form", {"optimizer"}, (None, "optimizer/target", None)),
)


@dataclasses.dataclass(frozen=True)
class FlaxState:
    """What a checkpoint of a Flax trainer holds.

    Args:
        what: the kind of state, in words.
        parts: name, one of `PARTS`, -> flat parameters, {"encoder/Conv_0/kernel": array}.
        step: of the training, where it is noted.
    """

    what: str
    parts: Mapping[str, Mapping[str, Any]]
    step: int | None = None

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "FlaxState":
        """The parts of a nested dict as `read_flax_checkpoint` returns it.

        Raises:
            ValueError: it holds no parameters.
        """
        known = [(what, places) for what, fields, places in _STATES if fields <= tree.keys()]
        what, places = known[0] if known else ("parameters alone", None)
        found = {"params": tree} if places is None else {p: _at(tree, at) for p, at in zip(PARTS, places, strict=True)}
        parts = {name: part for name, part in found.items() if isinstance(part, Mapping) and part}
        if not parts:
            raise ValueError(f"The checkpoint is {what}, and its parameters are missing; it holds {sorted(tree)[:8]}.")
        step = tree.get("global_step", tree.get("step"))
        return cls(what, parts, None if step is None else int(np.ravel(step)[0]))


def _at(tree: Mapping[str, Any], place: str | None) -> Any:
    for name in place.split("/") if place else ():
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree if place else None


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A model made of a checkpoint, and what to know of it.

    Args:
        model: with the weights.
        kind: one of `KINDS`.
        found: what the checkpoint holds, in words.
        notes: what the user should know, a sentence each.
        step: of the training, where it is noted.
    """

    model: keras.Model
    kind: str
    found: str
    notes: tuple[str, ...] = ()
    step: int | None = None


def convert_checkpoint(
    path: str | os.PathLike,
    kind: str | None = None,
    preset: str | Mapping[str, Any] | None = None,
    part: str | None = None,
    padding: str = "same",
    tokenizer: str | os.PathLike | None = None,
    tasks: Iterable[str] | None = None,
) -> Conversion:
    """A model from a checkpoint of the authors' Flax trainer, of MaskGIT's tokenizer, or of a VQGAN in PyTorch.

    Args:
        path: see `read_flax_checkpoint`; or a file of PyTorch or safetensors.
        kind: one of `KINDS`; None tells it from the names and shapes of the parameters.
        preset: sizes of the model, as the name of a preset of its class or as constructor arguments. None reads them
            off the arrays where these tell them: tokenizers, and transformers of 1024 codes and 4x16x16 tokens.
        part: "ema", "params" or "discriminator"; the averaged weights by default, where there are any.
        padding: of a tokenizer. The authors' weights were trained with zeros, which is "same".
        tokenizer: for a whole model: the preset of its tokenizer, a name, a folder or `hf://`.
        tasks: for a whole model: its tasks; those of the preset by default.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the file is of no known kind, is of a network that is not offered here, or does not fit the preset;
            the message says what was found.

    Example:
        >>> conversion = convert_checkpoint("vqgan/checkpoint_120000", preset="3dvq_base_ucf101")  # doctest: +SKIP
        >>> conversion.model.save_to_preset("3dvq_base_ucf101")  # doctest: +SKIP
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"Unknown kind {kind!r}; known kinds: {', '.join(KINDS)}.")
    if kind == "torch_vqgan" or (kind is None and _is_torch(path)):
        if preset is not None or part is not None:
            raise ValueError(
                "A VQGAN in PyTorch's format has its sizes and one set of weights: give no preset or part."
            )
        model, report = load_torch_vqgan(path)
        return Conversion(model, "torch_vqgan", "a VQGAN in PyTorch's format", (str(report), _ZEROS))
    state = FlaxState.of(read_flax_checkpoint(path))
    if part is None:
        part = "discriminator" if kind and "discriminator" in kind else next(p for p in PARTS if p in state.parts)
    if part not in state.parts:
        raise ValueError(f"The checkpoint holds no part {part!r}; it is {state.what}, with {', '.join(state.parts)}.")
    flat = _numbers(state.parts[part], path)
    refuse_not_offered(flat)
    guessed = _guess(flat)
    kind = kind or ("magvit" if guessed == "transformer" and tokenizer is not None else guessed)
    if kind is None:
        raise ValueError(
            f"The names of the parameters tell no kind: {sorted(flat)[:4]}...; give one of {', '.join(KINDS)}."
        )
    if guessed not in (None, kind) and (guessed, kind) != ("transformer", "magvit"):
        raise ValueError(f"These are the parameters of a {guessed}, not of a {kind}.")
    if kind == "magvit":
        model, notes = _magvit(flat, preset, tokenizer, tasks)
    elif tokenizer is not None or tasks is not None:
        raise ValueError(f"tokenizer and tasks belong to a whole model (magvit); this is a {kind}.")
    else:
        model, notes = _MAKERS[kind](flat, preset, padding)
    held = ", ".join(f"{name} ({_count(p):,} parameters)" for name, p in state.parts.items())
    found = f"{state.what}{'' if state.step is None else f' at step {state.step:,}'}: {held}; {part} is taken"
    return Conversion(model, kind, found, tuple(notes), state.step)


_ZEROS = 'It pads with zeros (padding="same"), as it was trained; reflecting at the borders would change its outputs.'


def _numbers(part: Mapping[str, Any], path: str | os.PathLike) -> dict[str, np.ndarray]:
    try:
        return flatten(part)
    except (TypeError, ValueError) as error:  # Flax's and Orbax's place holders are texts
        raise ValueError(
            f"{path} names arrays that lie in other files ({error}). Restore it with the flax that wrote it, and "
            "write it with flax.serialization.msgpack_serialize."
        ) from None


def _count(part: Mapping[str, Any]) -> int:
    return sum(_count(item) if isinstance(item, Mapping) else np.size(item) for item in part.values())


def _is_torch(path: str | os.PathLike) -> bool:
    if not pathlib.Path(path).is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(9)
    return start[:4] in (b"PK\x03\x04", b"\x80\x02\x8a\n") or start[8:9] == b"{"


def _guess(flat: Mapping[str, np.ndarray]) -> str | None:
    if any(name.startswith("BertEmbed_0/") for name in flat):
        return "transformer"
    ranks = {5: "video", 4: "image"}
    if "quantizer/codebook" in flat and "encoder/Conv_0/kernel" in flat:
        rank, what = flat["encoder/Conv_0/kernel"].ndim, "tokenizer"
    elif "Dense_1/kernel" in flat and "ResBlock_0/Conv_0/kernel" in flat:
        rank, what = flat["ResBlock_0/Conv_0/kernel"].ndim, "discriminator"
    else:
        return None
    return f"{ranks[rank]}_{what}" if rank in ranks else None


def _config(cls: type, preset: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if preset is None or isinstance(preset, Mapping):
        return None if preset is None else dict(preset)
    if preset not in cls._preset_table:
        raise ValueError(f"{preset!r} is not a preset of {cls.__name__}; known presets: {', '.join(cls.presets)}.")
    return dict(cls._preset_table[preset]["config"])


def _load(cls: type, config: Mapping[str, Any], flat: Mapping[str, np.ndarray]) -> Any:
    try:
        model = cls(**config)
    except TypeError as error:
        raise ValueError(f"These are not arguments of {cls.__name__}: {error}") from None
    load_flax_params(model, flat)
    return model


def _tokenizer(cls: type) -> Callable:
    def make(flat, preset, padding):
        config = _config(cls, preset) or image_tokenizer_sizes(flat)  # the same names and axes in 2D and 3D
        model = _load(cls, {**config, "padding": padding}, flat)
        if padding == "same":
            return model, [_ZEROS]
        return model, [f'padding={padding!r} was asked for; the authors\' weights were trained with zeros ("same").']

    return make


def _discriminator(cls: type) -> Callable:
    def make(flat, preset, padding):
        config = _config(cls, preset)
        if config is None:
            raise ValueError(
                f"The arrays do not tell the sizes of the clips: give a preset of {', '.join(cls.presets)}."
            )
        return _load(cls, config, flat), []

    return make


def _transformer(flat: Mapping[str, np.ndarray], preset: Any, padding: str | None = None) -> tuple[Any, list[str]]:
    config = _config(MaskedTransformer, preset) or {}
    given = {name: config[name] for name in ("codebook_size", "latent_shape") if name in config}
    model = _load(MaskedTransformer, {**transformer_sizes(flat, **given), **_dropout(config)}, flat)
    different = {k: v for k, v in config.items() if k in _SIZES and getattr(model, k) != v}
    if different:
        found = ", ".join(f"{name}={getattr(model, name)}" for name in different)
        raise ValueError(f"The preset says {different}; the arrays are of {found}.")
    prompts = "no task prompts" if model.prefix_length == 1 else "task prompts in the authors' layout"
    return model, [f"It has {prompts}, {model.num_classes} classes and {model.num_layers} layers."]


_SIZES = ("num_classes", "num_layers", "hidden_size", "num_heads", "mlp_dim")


def _dropout(config: Mapping[str, Any]) -> dict[str, float]:
    return {name: config[name] for name in ("dropout", "attention_dropout") if name in config}


def transformer_sizes(
    flat: Mapping[str, np.ndarray], codebook_size: int = 1024, latent_shape: Iterable[int] = (4, 16, 16)
) -> dict[str, Any]:
    """Constructor arguments of the `MaskedTransformer` that has parameters of these shapes.

    The authors' models of one task have neither task prompts nor their slots in the vocabulary; the number of
    positions tells which it is.

    Args:
        flat: {"BertEmbed_0/word_embeddings/embedding": array, ...}.
        codebook_size: which the arrays do not tell apart from the classes.
        latent_shape: (t, h, w), which they do not tell apart from the prefix.

    Raises:
        ValueError: parameters are missing, or the sizes fit no transformer of such tokens.
    """
    layer = "BertLayer_0/BertAttention_0/self_attention/query/kernel"
    try:
        rows, width = flat["BertEmbed_0/word_embeddings/embedding"].shape
        positions = flat["BertEmbed_0/position_embeddings/embedding"].shape[0]
        heads = flat[layer].shape[1]
        mlp_dim = flat["BertLayer_0/BertMlp_0/intermediate_output/kernel"].shape[1]
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"These are not the parameters of the authors' transformer: {error!r}.") from None
    segments = flat.get("BertEmbed_0/segment_embeddings/embedding")
    prefix = positions - math.prod(latent_shape)
    special = {1: 1, 2: 16}.get(prefix)
    classes = None if special is None else rows - codebook_size - 1 - special
    if classes is None or classes < 0:
        raise ValueError(
            f"The transformer has {positions} positions and a vocabulary of {rows}; {codebook_size} codes and latents "
            f"of {tuple(latent_shape)} do not fit them. Give a preset, or codebook_size and latent_shape."
        )
    return {
        "codebook_size": codebook_size,
        "num_classes": classes,
        "latent_shape": tuple(latent_shape),
        "num_layers": len({name.split("/")[0] for name in flat if name.startswith("BertLayer_")}),
        "hidden_size": width,
        "num_heads": heads,
        "mlp_dim": mlp_dim,
        "prefix_length": prefix,
        "num_special_tokens": special,
        "num_segments": 0 if segments is None else segments.shape[0],
    }


def _magvit(flat: Mapping, preset: Any, tokenizer: Any, tasks: Iterable[str] | None) -> tuple[Any, list[str]]:
    if tokenizer is None:
        raise ValueError("A whole model needs its tokenizer: convert that first, and give its folder.")
    config = _config(Magvit, preset) or {}
    tasks = list(tasks) if tasks is not None else config.get("tasks")
    if not tasks:
        raise ValueError("The arrays do not tell the tasks: give a preset of Magvit, or the tasks.")
    inner = config.get("transformer")
    transformer, notes = _transformer(flat, inner["config"] if isinstance(inner, Mapping) else None)
    model = Magvit(VideoTokenizer.from_preset(tokenizer), transformer, tasks, prompts="official")
    return model, [*notes, 'prompts="official": the authors\' out- and inpaintings share one prompt.']


_MAKERS: dict[str, Callable] = {
    "video_tokenizer": _tokenizer(VideoTokenizer),
    "image_tokenizer": _tokenizer(ImageTokenizer),
    "video_discriminator": _discriminator(VideoDiscriminator),
    "image_discriminator": _discriminator(ImageDiscriminator),
    "transformer": _transformer,
}
#: What a checkpoint may hold; "magvit" is a transformer that is given its tokenizer.
KINDS = (*_MAKERS, "magvit", "torch_vqgan")
