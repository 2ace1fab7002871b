"""What a run trains, as plain data: the settings that a person chooses, and the recipes of its stages.

A folder of one's own videos is two recipes in memory, a tokenizer's and a transformer's; a row of the paper is one. No
Keras is loaded here unless a message needs the arguments of a model, so that mistakes are answered at once.
"""

import dataclasses
import inspect
import json
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from magvit_keras.commit.tasks import TASKS
from magvit_keras.data.readers.formats import FORMATS
from magvit_keras.data.readers.video_folder import find_videos
from magvit_keras.early_checks import check_divides, check_parts, check_positive, unknown
from magvit_keras.presets.listing import downsampling_of
from magvit_keras.presets.recipes import Decoding, Recipe, get_recipe
from magvit_keras.presets.resolver import STAGES, TABLES, resolve, run_settings
from magvit_keras.presets.transformers import transformer_config

#: The tokenizer of a training on one's own videos; one that comes with weights is trained further.
DEFAULT_TOKENIZER = "3dvq_fast_natural"
#: What is trained further where the clips are of its size and no other model is asked for.
DEFAULT_MODEL = "magvit_tiny_natural"
DEFAULT_TASKS = ("frame_prediction", "class_conditional_generation")
_OWN = "own videos"

#: Kind of a recipe -> the class of the model that it trains, and of its discriminator.
KINDS = {
    "image_tokenizer": ("ImageTokenizer", "ImageDiscriminator"),
    "tokenizer": ("VideoTokenizer", "VideoDiscriminator"),
    "transformer": ("MaskedTransformer", None),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What `train` is told besides the data. Lengths are optimizer steps.

    Args:
        recipe: a row of the paper, by its name, or a `Recipe`; None trains tokenizer and transformer on one's own
            videos.
        start_from: own videos: a trained `Magvit` to train further: a name, a folder, a run, or `hf://user/repo`;
            "none" starts from fresh weights, also of a tokenizer that comes with weights. None stands for
            `magvit_tiny_natural` where clips are of its 16x64x64 and no tokenizer, transformer or size is given.
        tokenizer: own videos: a preset of `VideoTokenizer`, the run or preset of a trained one, or constructor
            arguments. With a transformer's recipe: its trained tokenizer.
        keep_tokens: own videos: train the tokenizer's decoder alone: a clip's tokens stay as they are, and with them
            what a transformer has learned of them. None stands for True where `start_from` names one, else for False.
        transformer: own videos: "tiny", "base", "large" or "huge", or constructor arguments of `MaskedTransformer`.
        tasks: own videos: names of the tasks to train; with `start_from` none stands for those of the model.
        num_frames: own videos: frames of a clip.
        size: own videos: height and width of a clip in pixels.
        frame_stride: own videos: every how many frames of a video one is taken.
        fps: own videos in files: frames per second that all are brought to, before `frame_stride` counts; None keeps
            each video's own.
        horizontal_flip: own videos: mirror clips at random.
        data_format: what the data is, a name in `data.readers.formats.FORMATS`; the recipe's, or "folder".
        reader: arguments of the reader, in addition to the recipe's or in their place.
        held_out: own videos: share of the videos kept for validation, or their number.
        batch_size: clips in a step of the tokenizer; own videos take four times as many in one of the transformer.
        learning_rate: its peak; the recipe's, or 2e-4 for a tokenizer of one's own and 5e-4 for a transformer,
            1e-4 for one that has learned already.
        tokenizer_steps: own videos: length of the first stage.
        transformer_steps: own videos: length of the second stage.
        minutes: own videos: how long the training may take on this machine; steps, and sizes of clips that are not
            given, are chosen by measuring a few.
        max_steps: ends each stage after this many steps; learning rates stay those of the whole training.
        checkpoint_steps: steps between two checkpoints; by default 50, or an epoch of the recipe.
        token_passes: own videos: how many random windows of each video are tokenized for the second stage.
        tokens: a transformer's recipe: a folder that `magvit-keras tokenize` wrote, in place of the data.
        inflate_from: a 3D-VQ's recipe: the run or preset of the 2D-VQ that it starts from.
        adversarial: own videos: train the tokenizer against a discriminator, as the paper does: sharper, and slower.
        perceptual_weights: of a tokenizer trained against a discriminator: file of ResNet-50 weights, see
            `convert.load_resnet50`; None leaves the perceptual loss out.
        workers: processes that decode videos.
        remat: activations that training keeps, "none" (all), "blocks" or "full" (the fewest): less memory for more
            time; numbers and weights are the same.
        accumulate: equal parts that each batch is split into, one after the other: less memory, the same updates.
        seed: of everything random.
        changes: name -> value of what differs from the recipe, see `changed_recipe`. Of two stages both take it, where
            both have it, unless `tokenizer.` or `transformer.` stands before the name.
    """

    recipe: str | Recipe | None = None
    start_from: str | None = None
    tokenizer: str | os.PathLike | Mapping[str, Any] | None = None
    keep_tokens: bool | None = None
    transformer: str | Mapping[str, Any] = "tiny"
    tasks: tuple[str, ...] = ()
    num_frames: int = 16
    size: tuple[int, int] = (64, 64)
    frame_stride: int = 1
    fps: float | None = None
    horizontal_flip: bool = False
    data_format: str | None = None
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    held_out: float = 0.1
    batch_size: int | None = None
    learning_rate: float | None = None
    tokenizer_steps: int = 2000
    transformer_steps: int = 2000
    minutes: float | None = None
    max_steps: int | None = None
    checkpoint_steps: int | None = None
    token_passes: int = 4
    tokens: str | os.PathLike | None = None
    inflate_from: str | os.PathLike | None = None
    adversarial: bool = False
    perceptual_weights: str | os.PathLike | None = None
    workers: int = 0
    remat: str = "none"
    accumulate: int = 1
    seed: int = 0
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def learned(self) -> str | None:
        """The whole model that is trained further; None where none is."""
        return None if self.start_from == "none" else self.start_from

    @property
    def decoder_only(self) -> bool:
        """Whether the first stage trains the decoder alone."""
        return self.learned is not None if self.keep_tokens is None else self.keep_tokens


#: What may differ when a training goes on: it changes the length or the speed, not what was learned so far.
FREE = ("tokenizer_steps", "transformer_steps", "minutes", "max_steps", "checkpoint_steps", "workers", "remat")
_ANY = {
    *("recipe", "data_format", "reader", "batch_size", "learning_rate", "max_steps", "checkpoint_steps", "workers"),
    *("remat", "accumulate", "seed", "changes"),
}
# Besides these, by the kind of what is trained.
_TAKES = {
    "transformer": {*_ANY, "tokenizer", "tokens"},
    "tokenizer": {*_ANY, "inflate_from", "perceptual_weights"},
    "image_tokenizer": {*_ANY, "perceptual_weights"},
    None: {field.name for field in dataclasses.fields(Settings)} - {"recipe", "tokens", "inflate_from"},
}


@dataclasses.dataclass(frozen=True)
class ChangedRecipe:
    """A recipe after changes.

    Args:
        recipe: with its fields and losses changed.
        architecture: constructor arguments of the model that differ from the preset's, or all of them without one.
        discriminator: constructor arguments of the discriminator that differ from the preset's.
    """

    recipe: Recipe
    architecture: dict[str, Any]
    discriminator: dict[str, Any]

    @property
    def stage(self) -> str:
        """Its name in the run's folder."""
        return "transformer" if self.recipe.kind == "transformer" else "tokenizer"


class Plan(NamedTuple):
    """What a run will do: its folder, settings, the recipes of its stages, its data, and what it noted before."""

    out: pathlib.Path
    settings: Settings
    recipes: list[ChangedRecipe]
    data: Any
    noted: dict[str, Any] | None


def plan(data: Any, out: str | os.PathLike | None, given: Mapping[str, Any]) -> Plan:
    """What a run will do, after all checks that need no model.

    Args:
        data: a folder, or any `Source`.
        out: the run's folder; None is runs/RECIPE, or runs/FOLDER of one's own videos.
        given: settings; what is not given is as a run that goes on has noted it.

    Raises:
        ValueError: settings that are unknown, out of range or do not fit each other.
        FileNotFoundError: the data is not there.
    """
    if out is None:
        recipe = given.get("recipe")
        if recipe is None and not isinstance(data, str | os.PathLike):
            raise ValueError("`data` must be given, a folder of videos." if data is None else "`out` must be given.")
        named = os.path.basename(os.path.abspath(data)) if recipe is None else getattr(recipe, "name", recipe)
        out = os.path.join("runs", named)
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder; {out} is a file.")
    noted = noted_settings(out)
    settings = settings_of(given, noted and noted["settings"])
    if noted is None and _suits_default_model(settings):
        settings = dataclasses.replace(settings, start_from=DEFAULT_MODEL)
    recipes = recipes_of(settings)
    if data is None and noted is not None and settings.tokens is None:
        data = noted["data"]
    if data is None and settings.recipe is None:
        raise ValueError("`data` must be given, a folder of videos.")
    name = settings.data_format or recipes[0].recipe.data_format
    if name not in FORMATS and name != "moving_shapes":
        raise ValueError(unknown("format", name, FORMATS))
    if name == "moving_shapes" and data is not None:
        raise ValueError(f"{recipes[0].recipe.name} makes its own clips; leave `data` off. Received {data}.")
    if isinstance(data, str | os.PathLike):
        if not os.path.exists(data):
            raise FileNotFoundError(f"`data`: the folder {data} does not exist.")
        if name == "folder" and noted is None:
            with warnings.catch_warnings(action="ignore"):  # given again when the videos are read
                find_videos(pathlib.Path(data))
    return Plan(out, settings, recipes, data, noted)


def _suits_default_model(settings: Settings) -> bool:
    """Whether a training on one's own videos asks for no other weights, sizes or parts than those of the default."""
    fields = {*_FIELDS_OF["tokenizer"], *_FIELDS_OF["transformer"]}
    return (
        (settings.recipe, settings.start_from, settings.tokenizer) == (None, None, None)
        and settings.transformer == Settings.transformer
        and (settings.num_frames, tuple(settings.size)) == (Settings.num_frames, Settings.size)
        and all(name.rpartition(".")[2] in fields for name in settings.changes)
    )


def noted_settings(out: pathlib.Path) -> dict[str, Any] | None:
    """What a run that has learned something noted; None of a new run.

    Before the first checkpoint nothing was learned, and whoever corrects a mistake may start anew.
    """
    made = (*(f"checkpoints/{stage}/state.json" for stage in STAGES), "tokenizer", "magvit")
    return (run_settings(out) or None) if any((out / name).exists() for name in made) else None


def settings_of(given: Mapping[str, Any], noted: Mapping[str, Any] | None = None) -> Settings:
    """Settings from what was given; what was not is as a run that goes on has noted it.

    Raises:
        ValueError: an unknown name, or one that this training does not take.
    """
    names = [field.name for field in dataclasses.fields(Settings)]
    for name in given:
        if name not in names:
            raise ValueError(unknown("setting", name, names))
    goes_on = noted is not None and given.get("recipe", noted.get("recipe")) == noted.get("recipe")
    recipe = given.get("recipe", noted.get("recipe") if goes_on else None)
    recipe = get_recipe(recipe) if isinstance(recipe, str) else recipe
    given = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
    for name in (name for name, value in given.items() if value is not None):
        if name in _TAKES[recipe.kind if recipe else None]:
            continue
        if not recipe:
            raise ValueError(f"`{name}`: for a training by a recipe, see `recipe`.")
        if name in _TAKES[None] - _TAKES["transformer"] - _TAKES["tokenizer"]:
            raise ValueError(f"`{name}`: the recipe {recipe.name} says it; to change it, see `changes`.")
        raise ValueError(f"`{name}` is not for {recipe.name}, which trains a {recipe.kind}.")
    brought = [f"`{name}`" for name in ("tokenizer", "transformer") if given.get(name) is not None]
    if brought and given.get("start_from", "none") != "none":
        raise ValueError(f"`start_from` brings tokenizer and transformer; leave {' and '.join(brought)} out.")
    steps = [f"`{name}`" for name in ("tokenizer_steps", "transformer_steps") if given.get(name) is not None]
    if given.get("minutes") is not None and steps:
        raise ValueError(f"`minutes` chooses the steps; leave {' and '.join(steps)} out.")
    given = {**noted, **given} if goes_on else given
    return Settings(**{name: tuple(value) if name in ("tasks", "size") else value for name, value in given.items()})


def recipes_of(settings: Settings) -> list[ChangedRecipe]:
    """The recipes of a run's stages, in their order.

    Raises:
        ValueError: settings that are out of range or do not fit each other; the message says what would do.
    """
    for name in ("max_steps", "checkpoint_steps", "batch_size"):
        if getattr(settings, name) is not None:
            check_positive(**{name: getattr(settings, name)})
    if isinstance(settings.workers, bool) or not isinstance(settings.workers, int) or settings.workers < 0:
        raise ValueError(f"workers must be an integer of at least 0; received {settings.workers!r}.")
    for name in ("learning_rate", "minutes", "held_out", "fps"):
        value = getattr(settings, name)
        least = 0.0 if name == "learning_rate" else 1e-9
        if value is not None and not (isinstance(value, int | float) and least <= value < float("inf")):
            raise ValueError(f"{name} must be a number {'above' if least else 'from'} 0; received {value!r}.")
    made = _of_the_paper(settings) if settings.recipe is not None else _of_own_videos(settings)
    for changed in made:
        check_parts(settings.accumulate, batch_size=changed.recipe.batch_size)
        _check_sizes(changed, settings)
    return made


def _of_the_paper(settings: Settings) -> list[ChangedRecipe]:
    recipe = get_recipe(settings.recipe) if isinstance(settings.recipe, str) else settings.recipe
    changes = dict(settings.changes)
    for name in ("batch_size", "learning_rate"):
        value = getattr(settings, name)
        if value is not None and changes.setdefault(name, value) != value:
            raise ValueError(f"`{name}` and `changes` say different values of {name}; give one of them.")
    recipe = (changed := changed_recipe(recipe, changes)).recipe
    if recipe.kind == "transformer" and settings.tokenizer is None:
        raise ValueError(
            f"{recipe.name} needs `tokenizer`, the folder of a trained tokenizer: the run of "
            f"`magvit-keras train --recipe {recipe.tokenizer}`."
        )
    if settings.perceptual_weights is not None and not recipe.losses["perceptual_weight"]:
        raise ValueError(f"{recipe.name} has no perceptual loss: its perceptual_weight is 0. Leave the file off.")
    if settings.tokens is not None and (settings.data_format or settings.reader):
        raise ValueError("`tokens` replaces the data; leave `data`, `data_format` and `reader` off.")
    for where, kind in ((settings.tokenizer, "VideoTokenizer"), (settings.inflate_from, "ImageTokenizer")):
        if where is not None:
            resolve(where, kind)
    return [changed]


def _of_own_videos(settings: Settings) -> list[ChangedRecipe]:
    if settings.perceptual_weights is not None and not settings.adversarial:
        raise ValueError("`perceptual_weights` belongs to adversarial training; set adversarial=True.")
    lengths = {name: getattr(settings, name) for name in ("tokenizer_steps", "transformer_steps", "token_passes")}
    check_positive(num_frames=settings.num_frames, frame_stride=settings.frame_stride, **lengths)
    check_positive(height=settings.size[0], width=settings.size[1])
    starts = settings.learned is not None
    if starts:
        resolve(settings.learned, "Magvit")
    tasks = settings.tasks or (() if starts else DEFAULT_TASKS)
    for task in tasks:
        if task not in TASKS:
            raise ValueError(unknown("task", task, TASKS))
    batch_size = settings.batch_size or 4
    shared = {
        **{"data": _OWN, "data_format": settings.data_format or "folder", "epochs": 1, "evaluation": ""},
        "reader": {} if settings.fps is None else {"fps": settings.fps},
        **{"video_shape": (settings.num_frames, *settings.size), "frame_stride": settings.frame_stride},
        "horizontal_flip": settings.horizontal_flip,
    }
    tokenizer, critic = settings.tokenizer or DEFAULT_TOKENIZER, settings.adversarial
    if isinstance(tokenizer, str) and not starts:
        resolve(tokenizer, "VideoTokenizer", weights=False)
    losses = {"reconstruction_weight": 1.0, "adversarial_weight": 0.1, "perceptual_weight": 0.1, "r1_weight": 10.0}
    first = Recipe(
        name="tokenizer",
        kind="tokenizer",
        preset=tokenizer if isinstance(tokenizer, str) else "",
        batch_size=batch_size,
        examples=50 * batch_size,
        discriminator="" if critic else None,
        learning_rate=2e-4 if settings.learning_rate is None else settings.learning_rate,
        # Without an opponent momentum does no harm, and learns faster.
        beta_1=0.0 if critic else 0.9,
        warmup_steps=settings.tokenizer_steps // 20,
        losses={**losses, "lecam_weight": 0.05} if critic else {},
        # The paper's 0.999 would keep the first, random weights in the average of a short training.
        ema_decay=min(0.999, 1 - 10 / max(settings.tokenizer_steps, 20)) if critic else None,
        steps=settings.tokenizer_steps,
        **shared,
    )
    second = Recipe(
        name="transformer",
        kind="transformer",
        preset="",
        batch_size=4 * batch_size,
        examples=200 * batch_size,
        tasks=tasks,
        learning_rate=settings.learning_rate if settings.learning_rate is not None else 1e-4 if starts else 5e-4,
        beta_1=0.9,
        beta_2=0.96,
        weight_decay=0.045,
        clip_norm=1.0,
        warmup_steps=min(5000, settings.transformer_steps // 10),
        losses={"label_smoothing": 1e-4},
        class_dropout=0.1,
        decoding=Decoding(),
        steps=settings.transformer_steps,
        **shared,
    )
    size = settings.transformer
    sizes = transformer_config(size, 0) if isinstance(size, str) else dict(size)
    sizes = {name: value for name, value in sizes.items() if name not in _TOLD}
    bases = ({} if isinstance(tokenizer, str) else dict(tokenizer), {} if starts else sizes)
    made = [changed_recipe(recipe, {}, base) for recipe, base in zip((first, second), bases, strict=True)]
    for name, value in settings.changes.items():
        stage, dot, rest = name.partition(".")
        chosen = [recipe.stage for recipe in made] if stage not in ("tokenizer", "transformer") or not dot else [stage]
        wanted, errors = rest if len(chosen) == 1 else name, []
        for i, before in enumerate(made):
            if before.stage in chosen:
                try:
                    made[i] = changed_recipe(before.recipe, {wanted: value}, before.architecture, before.discriminator)
                except UnknownChange as error:
                    errors.append(error)
        if len(errors) == len(chosen):
            known = [name for error in errors for name in error.known]
            raise UnknownChange(unknown("name", wanted, dict.fromkeys(known)), known)
    return made


# --- changes ---

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
# They follow from the data and the tokenizer.
_TOLD = {"codebook_size", "latent_shape", "num_classes"}
_OPTIONAL = {"warmup_steps", "clip_norm", "num_condition_frames"}
_WHOLE = {"warmup_steps", "num_condition_frames"}
_POSITIVE = ("examples", "epochs", "batch_size", "frame_stride")
_CRITIC = "discriminator."


class UnknownChange(ValueError):
    """A name that a recipe and its model do not have; `known` lists those that they have."""

    def __init__(self, message: str, known: list[str]):
        super().__init__(message)
        self.known = known


def changed_recipe(
    recipe: Recipe,
    changes: Mapping[str, Any],
    architecture: Mapping[str, Any] | None = None,
    discriminator: Mapping[str, Any] | None = None,
) -> ChangedRecipe:
    """A recipe with changes.

    Args:
        recipe: to start from.
        changes: name -> value. A name is a field of the recipe (`batch_size`, `video_shape`, ...), a weight of its
            losses, a constructor argument of the model (`filters`, `num_layers`, ...), or `discriminator.` and a
            constructor argument of the discriminator.
        architecture: constructor arguments that differ already.
        discriminator: those of the discriminator.

    Raises:
        ValueError: an unknown name, or a value of another kind; the message lists what is known.

    Example:
        >>> from magvit_keras.presets.recipes import get_recipe
        >>> changed = changed_recipe(get_recipe("bair-3dvq-base"), {"batch_size": 4, "filters": 32})
        >>> changed.recipe.batch_size, changed.architecture
        (4, {'filters': 32})
    """
    model, critic = KINDS[recipe.kind]
    fields, losses = _FIELDS_OF[recipe.kind], dict(recipe.losses)
    architecture, discriminator, new = dict(architecture or {}), dict(discriminator or {}), {}
    for name, value in changes.items():
        argument = name.removeprefix(_CRITIC)
        if name in fields:
            new[name] = _of_kind(name, getattr(recipe, name), value)
        elif name in losses:
            losses[name] = _of_kind(name, losses[name], value)
        elif name == argument and name in (known := _arguments(model, recipe, argument)):
            architecture[name] = _argument(name, known[name], value)
        elif (
            name != argument
            and recipe.discriminator is not None
            and argument in (known := _arguments(critic, recipe, argument))
        ):
            discriminator[argument] = _argument(name, known[argument], value)
        else:
            of_critic = _arguments(critic, recipe) if recipe.discriminator is not None else ()
            names = [*fields, *losses, *sorted(_arguments(model, recipe)), *(_CRITIC + n for n in sorted(of_critic))]
            raise UnknownChange(f"{recipe.name} cannot change it. {unknown('name', name, names)}", names)
    changed = dataclasses.replace(recipe, losses=losses, **new)
    check_positive(**{name: getattr(changed, name) for name in _POSITIVE})
    check_positive(**dict(zip(("frames", "height", "width"), changed.video_shape, strict=True)))
    for task in changed.tasks:
        if task not in TASKS:
            raise ValueError(unknown("task", task, TASKS))
    return ChangedRecipe(changed, architecture, discriminator)


def preset_config(kind: str, preset: str) -> dict[str, Any] | None:
    """The constructor arguments that a built-in preset names; None where the name is none."""
    if kind == "MaskedTransformer" and preset in TABLES["Magvit"]:
        return TABLES["Magvit"][preset]["config"]["transformer"]["config"]
    return TABLES[kind].get(preset, {}).get("config")


def _arguments(kind: str, recipe: Recipe, wanted: str | None = None) -> dict[str, Any]:
    """Name -> an example of the constructor's arguments; Keras is loaded unless the preset names the wanted one."""
    told = {"video_shape", "image_shape", *recipe.losses, *(_TOLD if recipe.kind == "transformer" else ())}
    preset = recipe.discriminator if "Discriminator" in kind else recipe.preset
    known = preset_config(kind, preset or "") or {}
    if wanted is None or wanted not in known:
        import magvit_keras

        parameters = inspect.signature(getattr(magvit_keras, kind)).parameters.values()
        known = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    return {name: value for name, value in known.items() if name not in told}


def _argument(name: str, example: Any, value: Any) -> Any:
    """The value of a constructor's argument, lists as tuples; which numbers are good, the constructor knows."""
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(example, tuple) and not isinstance(value, tuple):
        raise ValueError(f"{name} must be like {json.dumps(example)}; received {json.dumps(value)}.")
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
        good = isinstance(value, int | float) and 0 <= value < float("inf")
    if not good:
        raise ValueError(f"{name} must be like {json.dumps(old)}; received {json.dumps(value)}.")
    return value


def _check_sizes(changed: ChangedRecipe, settings: Settings) -> None:
    """Raises ValueError where sizes that are known before a model is made do not fit each other."""
    recipe, kind = changed.recipe, KINDS[changed.recipe.kind][0]
    if changed.stage == "tokenizer":
        config = {**(preset_config(kind, recipe.preset) or {}), **changed.architecture}
        named = bool(preset_config(kind, recipe.preset)) or not recipe.preset
    else:
        where = settings.tokenizer if isinstance(settings.tokenizer, str) else ""
        config, named = preset_config("VideoTokenizer", where) or {}, where in TABLES["VideoTokenizer"]
    if not named or settings.learned is not None:
        return
    filters, groups = config.get("filters", 64), config.get("norm_groups", 32)
    if isinstance(filters, int) and isinstance(groups, int) and groups > 0 and filters % groups:
        raise ValueError(
            f"filters={filters} must be a multiple of norm_groups={groups}: use {-(-filters // groups) * groups}, or "
            f"set norm_groups, too, for example to {_divisor(filters, groups)}."
        )
    downsampling = downsampling_of(config, 3 if kind != "ImageTokenizer" else 2)
    if downsampling is not None:
        check_divides(recipe.video_shape[-len(downsampling) :], downsampling)


def _divisor(filters: int, groups: int) -> int:
    return next(n for n in range(min(filters, groups), 0, -1) if filters % n == 0)
