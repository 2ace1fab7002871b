"""A training by a recipe: one row of the paper, from its data to its weights, in one folder.

RUN/settings.json        the recipe, what was changed of it, and the data
RUN/checkpoints/         state of the training in progress
RUN/tokenizer/           preset, of a tokenizer's recipe: the averaged weights
RUN/discriminator/       preset, of a tokenizer's recipe
RUN/magvit/              preset, of a transformer's recipe: tokenizer and transformer
RUN/history.json         losses by epoch
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras

from magvit_keras.checks import check_divides, check_parts, check_positive
from magvit_keras.data import Source, UnreadableVideo
from magvit_keras.data.readers.formats import merged_options
from magvit_keras.devices import distribution
from magvit_keras.layers.rematerialized import check_remat
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.model_card import ModelCard, card_of_run
from magvit_keras.presets.recipes import Recipe, get_recipe
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.vqgan import VQGAN
from magvit_keras.training.optimizers import tokenizer_optimizer, transformer_optimizer
from magvit_keras.training.recipe import MODELS, ChangedRecipe, changed_recipe
from magvit_keras.training.recipe_data import cached_batches, load_tokenizer, open_recipe_data, preset_folder
from magvit_keras.training.steps import (
    Trained,
    check_clip,
    note_settings,
    perceptual_loss,
    save_preset,
    train_steps,
    write_history,
)
from magvit_keras.training.tokens import fingerprint
from magvit_keras.transformer.masked_transformer import MaskedTransformer

#: What may differ when a training goes on: it changes the length or the speed, not what was learned so far.
FREE = ("max_steps", "checkpoint_steps", "workers", "remat")
# What follows from the name, is said of the training afterwards, or is noted in another form.
_NOT_NOTED = ("name", "data", "tokenizer", "evaluation", "decoding", "score", "score_source")


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """What a training by a recipe is told besides the recipe.

    Args:
        data_format: another form of the data set than the recipe's, such as "ucf101_tfds".
        reader: arguments of the reader, in addition to the recipe's or in their place.
        tokenizer: for a transformer: the folder of the run or preset of its tokenizer, or the name of a preset that
            comes with weights.
        tokens: for a transformer: a folder that `magvit-keras tokenize` wrote, in place of the data.
        inflate_from: for a 3D-VQ: the folder of the run or preset of the 2D-VQ that it starts from.
        perceptual_weights: for a tokenizer: file of ResNet-50 weights; None trains without that loss.
        changes: name -> value of what differs from the recipe, see `changed_recipe`.
        max_steps: ends after so many steps; learning rates stay those of the whole training.
        checkpoint_steps: steps between two checkpoints.
        workers: processes that decode videos.
        remat: activations that training keeps, "none" (all), "blocks" or "full" (the fewest): less memory for more
            time; numbers and weights are the same.
        accumulate: equal parts that each batch is split into, one after the other: less memory, the same updates.
        seed: of everything random.
    """

    data_format: str | None = None
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: str | os.PathLike | None = None
    tokens: str | os.PathLike | None = None
    inflate_from: str | os.PathLike | None = None
    perceptual_weights: str | os.PathLike | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    max_steps: int | None = None
    checkpoint_steps: int | None = None
    workers: int = 0
    remat: str = "none"
    accumulate: int = 1
    seed: int = 0


def train_recipe(
    recipe: str | Recipe,
    data: str | os.PathLike | None,
    out: str | os.PathLike,
    options: RecipeOptions | None = None,
    verbose: int = 1,
) -> keras.Model:
    """Trains the model of a recipe; started again, it goes on from the last checkpoint.

    Args:
        recipe: its name, or a `Recipe`.
        data: folder of the data set; None for a recipe that makes its own clips, and with `tokens`.
        out: the run's folder.
        options: see `RecipeOptions`.
        verbose: 1 shows progress bars, 2 a line an epoch, 0 nothing.

    Returns:
        The trained tokenizer (its averaged weights), or the trained `Magvit`.

    Raises:
        ValueError: an unknown recipe or change, something that this kind of recipe does not take or that is missing,
            or settings that differ from those of an earlier start.
        FileNotFoundError: the data is not there.

    Example:
        >>> train_recipe("ucf101-3dvq-base", "data/ucf101", "runs/ucf101-3dvq-base")  # doctest: +SKIP

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.2.
    """
    options, out = options or RecipeOptions(), pathlib.Path(out)
    changed = changed_recipe(get_recipe(recipe) if isinstance(recipe, str) else recipe, options.changes)
    recipe = changed.recipe
    _check_options(recipe, data, options)
    distribution.current().check_batch_size(batch_size=recipe.batch_size // options.accumulate)
    say = print if verbose else (lambda *_: None)
    keras.utils.set_random_seed(options.seed)
    stage = _transformer_stage if recipe.kind == "transformer" else _tokenizer_stage
    model, batches, noted, finish = stage(changed, data, options, say)
    settings = {
        **{name: value for name, value in dataclasses.asdict(recipe).items() if name not in _NOT_NOTED},
        "recipe": recipe.name,
        "architecture": changed.architecture,
        "changed_discriminator": changed.discriminator,
        "data_format": options.data_format or recipe.data_format,
        "reader": merged_options(recipe.reader, options.reader),
        **{name: getattr(options, name) for name in (*FREE, "accumulate", "seed")},
        **noted,
    }
    note_settings(out, settings, FREE, defaults={"accumulate": 1})
    say(f"{recipe.name}: {recipe.total_steps} steps of {recipe.batch_size} clips, {recipe.steps_per_epoch} an epoch.")
    name = "transformer" if recipe.kind == "transformer" else "tokenizer"
    steps, folder = _steps(recipe, options), out / "checkpoints" / name
    trained = train_steps(model, batches, steps, len(batches) // options.accumulate, folder, recipe.name, verbose)
    if hasattr(batches, "close"):
        batches.close()
    result = finish(out, trained)
    write_history(out)
    say(f"The result is in {out / ('magvit' if name == 'transformer' else 'tokenizer')}.")
    return result


def _check_options(recipe: Recipe, data: Any, options: RecipeOptions) -> None:
    takes = {
        "transformer": ("tokenizer", "tokens"),
        "tokenizer": ("inflate_from", "perceptual_weights"),
        "image_tokenizer": ("perceptual_weights",),
    }
    for name in sorted({*takes["transformer"], *takes["tokenizer"]} - set(takes[recipe.kind])):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is not for {recipe.name}, which trains a {recipe.kind}.")
    check_remat(options.remat)
    check_parts(options.accumulate, batch_size=recipe.batch_size)
    for name in ("max_steps", "checkpoint_steps"):
        if getattr(options, name) is not None:
            check_positive(**{name: getattr(options, name)})
    if recipe.kind == "transformer" and options.tokenizer is None:
        raise ValueError(
            f"{recipe.name} needs --tokenizer, the folder of a trained tokenizer: the run of "
            f"`magvit-keras train --recipe {recipe.tokenizer}`."
        )
    if options.perceptual_weights is not None and not recipe.losses["perceptual_weight"]:
        raise ValueError(f"{recipe.name} has no perceptual loss: its perceptual_weight is 0. Leave the file off.")
    if options.tokens is not None and (data is not None or options.data_format or options.reader):
        raise ValueError("--tokens takes the place of the data; leave --data, --format and --reader off.")


def _interval(recipe: Recipe, options: RecipeOptions) -> int:
    """Steps between two checkpoints: an epoch of the data, at most 1000, and no more than there are."""
    wanted = options.checkpoint_steps or min(recipe.steps_per_epoch, 1000)
    return min(wanted, _steps(recipe, options))


def _steps(recipe: Recipe, options: RecipeOptions) -> int:
    """Where the training ends."""
    return min(recipe.total_steps, options.max_steps or recipe.total_steps)


def _card(out: pathlib.Path, recipe: Recipe, options: RecipeOptions, count: str, steps: int) -> ModelCard:
    """What a person who finds the weights wants to know of them."""
    stage = "transformer" if recipe.kind == "transformer" else "tokenizer"
    clips = "x".join(map(str, recipe.video_shape))
    card = card_of_run(out, stage, f"{recipe.data}: {count}, clips of {clips}", steps)
    said = f"Trained by the recipe {recipe.name}" + (", changed" if options.changes else "")
    return dataclasses.replace(card, description=f"{said}: {steps:,} of {recipe.total_steps:,} steps.")


def _loader(recipe: Recipe, source: Source, options: RecipeOptions, say: Callable[[str], None]) -> Any:
    with contextlib.suppress(UnreadableVideo):  # of which the loader takes the next
        advice = "--set video_shape=[...] changes both, --reader the data alone"
        check_clip(source[0]["video"], recipe.video_shape, advice)
    say(f"{len(source)} videos of {recipe.data}; the recipe counts {recipe.examples} for an epoch.")
    return source.loader(
        recipe.batch_size // options.accumulate,
        seed=options.seed,
        workers=options.workers,
        steps_per_epoch=_interval(recipe, options) * options.accumulate,
        process=distribution.current().process,
    )


def _tokenizer_stage(
    changed: ChangedRecipe, data: Any, options: RecipeOptions, say: Callable[[str], None]
) -> tuple[VQGAN, Any, dict[str, Any], Callable[[pathlib.Path, Trained], keras.Model]]:
    """Model and batches of the first stage, what is noted of them, and what is written at the end."""
    recipe = changed.recipe
    source = open_recipe_data(recipe, data, options.data_format, options.reader, options.seed)
    model, critic = MODELS[recipe.kind]
    quantizer = {name: recipe.losses[name] for name in ("commitment_cost", "entropy_loss_weight")}
    # Only the architecture: trained weights of the same name would make another training of it.
    remat = {"remat": options.remat}
    tokenizer = model.from_preset(recipe.preset, load_weights=False, **{**remat, **changed.architecture, **quantizer})
    check_divides(recipe.video_shape[-len(tokenizer.downsampling) :], tokenizer.downsampling)
    shape = (
        {"video_shape": recipe.video_shape} if recipe.kind == "tokenizer" else {"image_shape": recipe.video_shape[1:]}
    )
    discriminator = critic.from_preset(recipe.discriminator, **{**remat, **changed.discriminator, **shape})
    noted: dict[str, Any] = {"class_names": list(source.class_names), "inflated_from": None}
    if options.inflate_from is not None:
        image_tokenizer = load_tokenizer(options.inflate_from, ImageTokenizer)
        say(f"Inflated from {options.inflate_from}: {inflate(image_tokenizer, tokenizer)}")
        noted["inflated_from"] = fingerprint(image_tokenizer)
        beside = preset_folder(options.inflate_from, "discriminator")
        if beside is not None:
            image_critic = MODELS["image_tokenizer"][1].from_preset(beside)
            say(f"Discriminator inflated from {beside}: {inflate(image_critic, discriminator)}")
    perceptual = perceptual_loss(options.perceptual_weights) if recipe.losses["perceptual_weight"] else None
    noted["perceptual_loss"] = perceptual is not None
    if perceptual is None and recipe.losses["perceptual_weight"]:
        say("Trains without the perceptual loss, which the paper has; --perceptual-weights names its weights.")
    weights = {name: weight for name, weight in recipe.losses.items() if name not in quantizer}
    vqgan = VQGAN(tokenizer, discriminator, perceptual, **weights, ema_decay=recipe.ema_decay, seed=options.seed)
    rates = (recipe.total_steps, recipe.learning_rate, recipe.warmup, recipe.beta_1, recipe.beta_2)
    parts = {"gradient_accumulation_steps": options.accumulate}
    vqgan.compile(tokenizer_optimizer(*rates, **parts), tokenizer_optimizer(*rates, **parts))

    def finish(out: pathlib.Path, trained: Trained) -> keras.Model:
        card = _card(out, recipe, options, f"{len(source)} videos", trained.steps)
        save_preset(vqgan.discriminator, out / "discriminator", card, trained.further)
        tokenizer.set_weights(vqgan.ema_tokenizer.get_weights())
        save_preset(tokenizer, out / "tokenizer", card, trained.further)
        return tokenizer

    return vqgan, _loader(recipe, source, options, say), noted, finish


def _transformer_stage(
    changed: ChangedRecipe, data: Any, options: RecipeOptions, say: Callable[[str], None]
) -> tuple[Magvit, Any, dict[str, Any], Callable[[pathlib.Path, Trained], keras.Model]]:
    """Model and batches of the second stage, what is noted of them, and what is written at the end."""
    recipe = changed.recipe
    tokenizer = load_tokenizer(options.tokenizer)
    check_divides(recipe.video_shape, tokenizer.downsampling)
    config = {
        "remat": options.remat,
        **Magvit._preset_table[recipe.preset]["config"]["transformer"]["config"],
        **changed.architecture,
        "num_classes": recipe.num_classes,
        "codebook_size": tokenizer.codebook_size,
        "latent_shape": tokenizer.latent_shape(recipe.video_shape),
    }
    magvit = Magvit(
        tokenizer,
        MaskedTransformer(**config),
        recipe.trained_tasks,
        label_smoothing=recipe.losses["label_smoothing"],
        class_dropout=recipe.class_dropout,
    )
    noted = {"tokenizer_weights": fingerprint(tokenizer), "from_tokens": options.tokens is not None}
    if options.tokens is None:
        source = open_recipe_data(recipe, data, options.data_format, options.reader, options.seed)
        names, batches = list(source.class_names), _loader(recipe, source, options, say)
        count = f"{len(source)} videos"
    else:
        part = dataclasses.replace(recipe, batch_size=recipe.batch_size // options.accumulate)
        interval = _interval(recipe, options) * options.accumulate
        names, batches = cached_batches(part, options.tokens, noted["tokenizer_weights"], options.seed, interval)
        count = f"tokens of {batches.count} clips"
        say(f"Tokens of {batches.count} clips; the recipe counts {recipe.examples} for an epoch.")
    if magvit.needs_labels and len(names) > recipe.num_classes:
        raise ValueError(
            f"The data has {len(names)} classes and {recipe.name} {recipe.num_classes}; "
            f"change it by --set num_classes={len(names)}."
        )
    # Data sets name classes also where the model has none.
    magvit.class_names = names if len(names) <= recipe.num_classes else None
    magvit.compile(
        optimizer=transformer_optimizer(
            recipe.total_steps,
            recipe.learning_rate,
            recipe.warmup,
            recipe.weight_decay,
            recipe.clip_norm,
            recipe.beta_1,
            recipe.beta_2,
            gradient_accumulation_steps=options.accumulate,
        )
    )

    def finish(out: pathlib.Path, trained: Trained) -> keras.Model:
        save_preset(magvit, out / "magvit", _card(out, recipe, options, count, trained.steps), trained.further)
        return magvit

    return magvit, batches, {**noted, "class_names": names}, finish
