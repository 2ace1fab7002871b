"""A recipe with some of its numbers, losses or sizes changed, for small trials."""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from typing import Any

from magvit_keras.checks import check_positive
from magvit_keras.commit.tasks import get_task
from magvit_keras.presets.recipes import Recipe
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

#: Kind of a recipe -> the model that it trains, and the discriminator.
MODELS = {
    "image_tokenizer": (ImageTokenizer, ImageDiscriminator),
    "tokenizer": (VideoTokenizer, VideoDiscriminator),
    "transformer": (MaskedTransformer, None),
}

_FIELDS = (
    *("examples", "epochs", "batch_size", "video_shape", "frame_stride", "horizontal_flip", "learning_rate"),
    *("beta_1", "beta_2", "warmup_steps"),
)
_FIELDS_OF = {
    "image_tokenizer": (*_FIELDS, "ema_decay"),
    "tokenizer": (*_FIELDS, "ema_decay"),
    "transformer": (
        *(*_FIELDS, "weight_decay", "clip_norm", "num_classes", "tasks", "num_condition_frames", "class_dropout"),
    ),
}
# They follow from others: from the clips, from the tokenizer, or have a name among the losses.
_DERIVED = {"video_shape", "image_shape", "commitment_cost", "entropy_loss_weight"}
_OPTIONAL = {"warmup_steps", "clip_norm", "num_condition_frames"}
_WHOLE = {"warmup_steps", "num_condition_frames"}
_POSITIVE = ("examples", "epochs", "batch_size", "frame_stride")
_CRITIC = "discriminator."


@dataclasses.dataclass(frozen=True)
class ChangedRecipe:
    """A recipe after changes.

    Args:
        recipe: with its fields and losses changed.
        architecture: constructor arguments of the model that differ from the preset's.
        discriminator: constructor arguments of the discriminator that differ from the preset's.
    """

    recipe: Recipe
    architecture: dict[str, Any]
    discriminator: dict[str, Any]


def changed_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> ChangedRecipe:
    """A recipe with changes.

    Args:
        recipe: to start from.
        changes: name -> value. A name is a field of the recipe (`batch_size`, `video_shape`, ...), a weight of its
            losses, a constructor argument of the model (`filters`, `num_layers`, ...), or `discriminator.` and a
            constructor argument of the discriminator.

    Raises:
        ValueError: an unknown name, or a value of another kind; the message lists what is known.

    Example:
        >>> from magvit_keras.presets.recipes import get_recipe
        >>> changed = changed_recipe(get_recipe("bair-3dvq-base"), {"batch_size": 4, "filters": 32})
        >>> changed.recipe.batch_size, changed.architecture
        (4, {'filters': 32})
    """
    model, critic = MODELS[recipe.kind]
    fields, losses, arguments = _FIELDS_OF[recipe.kind], dict(recipe.losses), _arguments(model)
    if recipe.kind == "transformer":
        for name in ("codebook_size", "latent_shape", "num_classes"):  # the tokenizer says them, or the recipe
            del arguments[name]
    critic_arguments = _arguments(critic) if critic else {}
    new: dict[str, Any] = {}
    architecture: dict[str, Any] = {}
    discriminator: dict[str, Any] = {}
    for name, value in changes.items():
        if name in fields:
            new[name] = _of_kind(name, getattr(recipe, name), value)
        elif name in losses:
            losses[name] = _of_kind(name, losses[name], value)
        elif name in arguments:
            architecture[name] = _argument(name, arguments[name], value)
        elif name.removeprefix(_CRITIC) in critic_arguments and name.startswith(_CRITIC):
            argument = name.removeprefix(_CRITIC)
            discriminator[argument] = _argument(name, critic_arguments[argument], value)
        else:
            known = [
                *fields,
                *losses,
                *sorted(arguments),
                *(_CRITIC + argument for argument in sorted(critic_arguments)),
            ]
            raise ValueError(f"{recipe.name} has no {name!r} to change; expected one of {', '.join(known)}.")
    changed = dataclasses.replace(recipe, losses=losses, **new)
    check_positive(**{name: getattr(changed, name) for name in _POSITIVE})
    check_positive(**dict(zip(("frames", "height", "width"), changed.video_shape, strict=True)))
    for task in changed.tasks:
        get_task(task)
    return ChangedRecipe(changed, architecture, discriminator)


def _arguments(model: type) -> dict[str, Any]:
    """Name -> default of the constructor's arguments."""
    parameters = inspect.signature(model).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in _DERIVED}


def _argument(name: str, default: Any, value: Any) -> Any:
    """The value of a constructor's argument, lists as tuples; which numbers are good, the constructor knows."""
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(default, tuple) and not isinstance(value, tuple):
        raise ValueError(f"{name} must be like {json.dumps(default)}; received {json.dumps(value)}.")
    return value


def _of_kind(name: str, old: Any, value: Any) -> Any:
    """The value, if it is of the kind that the recipe has there."""
    if value is None and name in _OPTIONAL:
        return None
    if isinstance(old, tuple):
        good = isinstance(value, list | tuple) and (name == "tasks" or len(value) == len(old))
        good = good and all(isinstance(part, str if name == "tasks" else int) for part in value)
        value = tuple(value) if good else value
    elif isinstance(old, bool) or isinstance(value, bool):
        good = isinstance(old, bool) and isinstance(value, bool)
    elif isinstance(old, int) or name in _WHOLE:
        good = isinstance(value, int) and value >= 0
    else:
        good = isinstance(value, int | float) and value >= 0
    if not good:
        raise ValueError(f"{name} must be like {json.dumps(old)}; received {json.dumps(value)}.")
    return value
