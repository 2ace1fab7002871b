"""The model that is measured: out of a run, out of a preset, and what a report says of it."""

import os
from typing import Any

from magvit_keras.early_checks import check_divides
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.protocols import Protocol
from magvit_keras.presets.resolver import resolve
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.tokens import fingerprint

_CLASSES = {cls.__name__: cls for cls in (Magvit, VideoTokenizer, ImageTokenizer)}


def load_model(run: str | os.PathLike, protocol: Protocol) -> Any:
    """The trained model that a protocol measures.

    Args:
        run: folder of a run, with magvit/ or tokenizer/ in it; folder of a preset; the name of a preset that comes
            with weights; or `hf://user/repo`.
        protocol: one that generates takes a `Magvit`, one that reconstructs a tokenizer, of a `Magvit` its own.

    Raises:
        ValueError: there is no such model.
    """
    kinds = ("VideoTokenizer", "ImageTokenizer", "Magvit") if protocol.kind == "reconstruction" else ("Magvit",)
    place = resolve(run, *kinds)
    return _fitting(_CLASSES[place.kind].from_preset(place.preset), protocol, str(run))


def measured_part(model: Any, protocol: Protocol) -> Any:
    """The model itself, or its tokenizer where a protocol reconstructs.

    Raises:
        ValueError: the model does not fit the protocol; the message says which changes would do.
    """
    model = _fitting(model, protocol, type(model).__name__)
    if protocol.kind == "reconstruction":
        check_divides(protocol.video_shape[-len(model.downsampling) :], model.downsampling)
    elif tuple(model.video_shape) != tuple(protocol.video_shape):
        made, wanted = ("x".join(map(str, shape)) for shape in (model.video_shape, protocol.video_shape))
        frames, height, width = model.video_shape
        raise ValueError(
            f"The protocol {protocol.name!r} measures clips of {wanted} and this model makes {made}: add --frames "
            f"{frames} --size {height}x{width}, which the report will name as a deviation."
        )
    return model


def describe_model(model: Any) -> dict[str, Any]:
    """Class, parameters, precision, and fingerprints of architecture and weights, of its parts for a `Magvit`."""
    if isinstance(model, Magvit):
        prints = {"tokenizer": fingerprint(model.tokenizer), "transformer": fingerprint(model.transformer)}
        about = {"condition_mode": model.condition_mode, "prompts": model.prompts}
    else:
        prints, about = {"tokenizer": fingerprint(model)}, {}
    about = {"parameters": model.count_params(), "precision": model.dtype_policy.name, **about}
    return {"class": type(model).__name__, "fingerprint": prints, **about}


def _fitting(model: Any, protocol: Protocol, name: str) -> Any:
    if protocol.kind == "generation" and not hasattr(model, "generate"):
        raise ValueError(f"The protocol {protocol.name!r} generates: it needs a Magvit; {name} is a tokenizer.")
    return model.tokenizer if protocol.kind == "reconstruction" and hasattr(model, "tokenizer") else model
