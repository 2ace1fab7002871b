"""A training from videos to a model in one folder, which goes on where it was stopped.

RUN/settings.json        what is trained, and on what
RUN/checkpoints/         state of the training in progress
RUN/tokenizer/           preset: the trained tokenizer
RUN/discriminator/       preset, where there is one
RUN/tokens/              cached tokens of one's own training clips
RUN/magvit/              preset: tokenizer and transformer
RUN/history.json         losses by epoch
"""

import dataclasses
import inspect
import math
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

import magvit_keras.tokenizer.discriminator as discriminators
from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.data import Source
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.devices import distribution
from magvit_keras.early_checks import check_divides
from magvit_keras.model.fine_tuning import train_further
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.model_card import card_of_run
from magvit_keras.presets.recipes import Recipe
from magvit_keras.presets.resolver import TABLES, in_run, load_trained
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.inflation import inflate
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN
from magvit_keras.training import measure
from magvit_keras.training.data import cached_tokens, check_clips, hold_out, open_clips, some_clips
from magvit_keras.training.optimizers import tokenizer_optimizer, transformer_optimizer
from magvit_keras.training.recipe import KINDS, ChangedRecipe, Settings, plan, preset_config, recipes_of
from magvit_keras.training.steps import (
    duration,
    note_settings,
    perceptual_loss,
    save_preset,
    train_steps,
    write_history,
)
from magvit_keras.training.tokens import fingerprint, write_tokens
from magvit_keras.transformer.masked_transformer import MaskedTransformer

# Steps from which on a stage is measured before the one before it begins.
_LONG = 200
# What follows from the name, is said of the training afterwards, or is noted in another form.
_NOT_NOTED = ("name", "data", "tokenizer", "evaluation", "decoding", "score", "score_source")


def train(
    data: str | os.PathLike | Source | None = None,
    out: str | os.PathLike | None = None,
    verbose: int = 1,
    dry_run: bool = False,
    **settings: Any,
) -> keras.Model:
    """Trains a model in one folder; started again, it goes on from the last checkpoint.

    Without a recipe: tokenizer and transformer on a folder of one's own videos (sub-folder = class). With one: the
    model of a row of the paper. A run that goes on keeps the settings that are not given anew.

    Args:
        data: a folder of videos, or any `Source`. None for a recipe that makes its own clips, with `tokens`, and for
            a run that goes on with the folder that it began with.
        out: the run's folder; by default runs/NAME of the recipe, or runs/FOLDER of the folder of videos.
        verbose: 1 shows progress bars, 2 a line an epoch, 0 nothing.
        dry_run: nothing is trained or written: prints parameters, memory and hours, after a few steps that are
            measured, and returns the untrained model.
        **settings: see `magvit_keras.training.recipe.Settings`.

    Returns:
        The trained `Magvit`; of a tokenizer's recipe the tokenizer, its averaged weights.

    Raises:
        ValueError: settings that do not fit the data, the model, or an earlier start of the same run; or videos that
            cannot be read, all of them or all that are held out.
        FileNotFoundError: the data is not there.

    Example:
        >>> magvit = train("videos", "runs/mine", num_frames=16, size=(64, 64))  # doctest: +SKIP
        >>> tokenizer = train("data/ucf101", recipe="ucf101-3dvq-base")  # doctest: +SKIP

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.2.
    """
    out, chosen, recipes, data, noted = plan(data, out, settings)
    for changed in recipes:
        distribution.current().check_batch_size(batch_size=changed.recipe.batch_size // chosen.accumulate)
    keras.utils.set_random_seed(chosen.seed)
    run = _Run(out, chosen, noted, verbose)
    if chosen.minutes is not None and noted is None:
        run.settings = chosen = run.within_minutes(recipes, data, settings)
        recipes = recipes_of(chosen)
        keras.utils.set_random_seed(chosen.seed)
    stages = run.of_own_videos(recipes, data) if chosen.recipe is None else run.of_recipe(recipes[0], data)
    if dry_run:
        run.estimate(stages)
        return stages[-1].result
    run.note(recipes, data)
    for number, stage in enumerate(stages, 1):
        run.train(stage, f"stage {number} of {len(stages)}", stages[number:])
    write_history(out)
    run.say(f"The result is in {out / stages[-1].folder}.")
    return stages[-1].result


train.__signature__ = inspect.Signature(
    [p for p in inspect.signature(train).parameters.values() if p.kind is not p.VAR_KEYWORD]
    + list(inspect.signature(Settings).parameters.values())
)


def load_run(run: str | os.PathLike) -> Magvit:
    """The trained model of a run, with its class names as `magvit.class_names`.

    Args:
        run: its folder; or a preset of a `Magvit`: a folder, `hf://user/repo`, or a built-in name that comes with
            weights.

    Raises:
        ValueError: the folder is no run or preset, or that of a tokenizer, or the training has not ended; the message
            says how far it is.
    """
    return load_trained(Magvit, run)


def seconds_of_steps(settings: Settings, source: Source) -> tuple[float, float]:
    """Seconds of a step of each stage of a training on one's own videos, on models that are thrown away."""
    return _Run(pathlib.Path(), settings, None, 0).measured(recipes_of(settings), source, steps=5)


class _Stage(NamedTuple):
    """A compiled model, its batches, and the part of it that is kept."""

    recipe: Recipe
    model: keras.Model
    batches: Callable[[], Any]
    result: keras.Model
    data: Any
    held_out: Source | None = None

    @property
    def name(self) -> str:
        return "transformer" if self.recipe.kind == "transformer" else "tokenizer"

    @property
    def folder(self) -> str:
        return "magvit" if self.recipe.kind == "transformer" else "tokenizer"


class _Run:
    """What the stages of a training share: folder, settings, and what is noted of it."""

    def __init__(self, out: pathlib.Path, settings: Settings, noted: dict[str, Any] | None, verbose: int):
        self.out, self.settings, self.noted, self.verbose = out, settings, noted, verbose
        self.found: dict[str, Any] = {}
        self.trained = True  # whether the tokenizer has learned something elsewhere

    def say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)

    def steps(self, recipe: Recipe) -> int:
        """Where the training of a stage ends."""
        return min(recipe.total_steps, self.settings.max_steps or recipe.total_steps)

    def interval(self, recipe: Recipe) -> int:
        """Steps between two checkpoints: an epoch of the data, at most 1000, and no more than there are."""
        return min(self.settings.checkpoint_steps or min(recipe.steps_per_epoch, 1000), self.steps(recipe))

    # --- what is trained ---

    def of_own_videos(self, recipes: list[ChangedRecipe], data: Any) -> list[_Stage]:
        """Two stages: the tokenizer, and the transformer on tokens that are written in between."""
        first, second = recipes
        settings = self.settings
        source = open_clips(first.recipe, data, settings.data_format, settings.reader, settings.seed)
        training, held_out, parts = hold_out(
            source, settings.held_out, settings.seed, self.noted and self.noted["found"]
        )
        check_clips(held_out, first.recipe, held_out=True)
        names = list(training.class_names)
        self.found = {**parts, "class_names": names}
        left_out = f"{len(parts['left_out'])} left out as unreadable, " if parts["left_out"] else ""
        classes = f"{len(names)} class{'es' * (len(names) != 1)}"
        self.say(f"{len(training)} clips to train on, {len(held_out)} held out, {left_out}{classes}.")
        # Both are built first: sizes that do not fit are found before a long run, and cost nothing.
        if settings.learned is not None:
            self.say(f"Starts from {settings.learned}; --from none starts from fresh weights.")
            learned, dropout = load_run(settings.learned), second.recipe.class_dropout
            magvit = train_further(learned, training, second.recipe.tasks, dropout, settings.remat)
            tokenizer = magvit.tokenizer
        else:
            tokenizer = self._new_tokenizer(first)
            magvit = self._new_magvit(second, tokenizer, len(names), names)
        trainer = self._compiled_tokenizer(first, tokenizer)
        self._compile(magvit, second.recipe)

        def tokens() -> TokenBatches:
            passes = settings.token_passes
            self.say(f"Tokens of {len(training) * passes} windows.")
            how = {"batch_size": first.recipe.batch_size, "workers": settings.workers, "verbose": self.verbose}
            shards = write_tokens(training, tokenizer, magvit.tasks, self.out / "tokens", passes, **how)
            return self._token_batches(second.recipe, shards.read())

        return [
            _Stage(first.recipe, trainer, self._clip_batches(first.recipe, training), tokenizer, training, held_out),
            _Stage(second.recipe, magvit, tokens, magvit, training, held_out),
        ]

    def of_recipe(self, changed: ChangedRecipe, data: Any) -> list[_Stage]:
        """One stage: the tokenizer or the transformer of a row of the paper."""
        return [
            self._recipe_transformer(changed, data)
            if changed.stage == "transformer"
            else self._recipe_tokenizer(changed, data)
        ]

    def _recipe_tokenizer(self, changed: ChangedRecipe, data: Any) -> _Stage:
        recipe = changed.recipe
        source = self._open(recipe, data)
        tokenizer = self._new_tokenizer(changed)
        vqgan = self._compiled_tokenizer(changed, tokenizer)
        inflated_from = self.settings.inflate_from
        self.found = {"class_names": list(source.class_names), "inflated_from": None}
        if inflated_from is not None:
            image_tokenizer = load_trained(ImageTokenizer, inflated_from)
            self.say(f"Inflated from {inflated_from}: {inflate(image_tokenizer, tokenizer)}")
            self.found["inflated_from"] = fingerprint(image_tokenizer)
            if (beside := in_run(inflated_from, "ImageDiscriminator")) is not None:
                critic = discriminators.ImageDiscriminator.from_preset(beside)
                self.say(f"Discriminator inflated from {beside}: {inflate(critic, vqgan.discriminator)}")
            vqgan.ema_tokenizer.set_weights(tokenizer.get_weights())
        self.found["perceptual_loss"] = vqgan.perceptual_loss is not None
        if vqgan.perceptual_loss is None and recipe.losses["perceptual_weight"]:
            self.say("Trains without the perceptual loss, which the paper has; --perceptual-weights names its weights.")
        return _Stage(
            recipe, vqgan, self._clip_batches(recipe, source), tokenizer, f"{recipe.data}: {len(source)} videos"
        )

    def _recipe_transformer(self, changed: ChangedRecipe, data: Any) -> _Stage:
        recipe, folder = changed.recipe, self.settings.tokens
        if folder is not None and data is not None:
            raise ValueError("`tokens` replaces the data; leave `data`, `data_format` and `reader` off.")
        tokenizer = load_trained(VideoTokenizer, self.settings.tokenizer)
        self.found = {"tokenizer_weights": fingerprint(tokenizer), "from_tokens": folder is not None}
        if folder is None:
            source = self._open(recipe, data)
            names, batches, count = (
                list(source.class_names),
                self._clip_batches(recipe, source),
                f"{len(source)} videos",
            )
        else:
            names, arrays = cached_tokens(recipe, folder, self.found["tokenizer_weights"])
            batches, count = (lambda: self._token_batches(recipe, arrays)), f"tokens of {len(arrays['tokens'])} clips"
            self.say(f"{count[0].upper()}{count[1:]}; the recipe counts {recipe.examples} for an epoch.")
        # Data sets name classes also where the model has none.
        kept = names if len(names) <= recipe.num_classes else None
        magvit = self._new_magvit(changed, tokenizer, recipe.num_classes, kept)
        if magvit.needs_labels and kept is None:
            raise ValueError(
                f"The data has {len(names)} classes and {recipe.name} {recipe.num_classes}; "
                f"change it by --set num_classes={len(names)}."
            )
        self.found["class_names"] = names
        self._compile(magvit, recipe)
        return _Stage(recipe, magvit, batches, magvit, f"{recipe.data}: {count}")

    def _open(self, recipe: Recipe, data: Any) -> Source:
        source = open_clips(recipe, data, self.settings.data_format, self.settings.reader, self.settings.seed)
        check_clips(source, recipe, held_out=False)
        self.say(f"{len(source)} videos of {recipe.data}; the recipe counts {recipe.examples} for an epoch.")
        return source

    # --- models and batches ---

    def _new_tokenizer(self, changed: ChangedRecipe) -> keras.Model:
        recipe, own = changed.recipe, self.settings.recipe is None
        model = VideoTokenizer if recipe.kind == "tokenizer" else ImageTokenizer
        quantizer = {n: recipe.losses[n] for n in ("commitment_cost", "entropy_loss_weight") if n in recipe.losses}
        arguments = {"remat": self.settings.remat, **changed.architecture, **quantizer}
        # Of a recipe only the architecture: trained weights of the same name would make another training of it.
        shipped = TABLES[model.__name__].get(recipe.preset, {"shipped": True}).get("shipped", False)
        self.trained = weights = own and shipped and self.settings.start_from != "none" and bool(recipe.preset)
        made = model.from_preset(recipe.preset, weights, **arguments) if recipe.preset else model(**arguments)
        check_divides(recipe.video_shape[-len(made.downsampling) :], made.downsampling)
        return made

    def _compiled_tokenizer(self, changed: ChangedRecipe, tokenizer: keras.Model) -> keras.Model:
        """What `fit` is called on: the tokenizer itself, or a VQGAN around it."""
        recipe, settings = changed.recipe, self.settings
        rates = (recipe.total_steps, recipe.learning_rate, recipe.warmup, recipe.beta_1, recipe.beta_2)
        parts = {"gradient_accumulation_steps": settings.accumulate}
        if recipe.discriminator is None:
            tokenizer.encoder.trainable = tokenizer.quantizer.trainable = not settings.decoder_only
            tokenizer.compile(optimizer=tokenizer_optimizer(*rates, **parts))
            return tokenizer
        kind = KINDS[recipe.kind][1]
        shape = recipe.video_shape
        config = preset_config(kind, recipe.discriminator) or {
            "filters": max(8, tokenizer.filters // 2),
            "channel_multipliers": (2, 4, 4, 4, 4)[: max(1, min(5, min(shape[1:]).bit_length() - 3))],
        }
        config = {"remat": settings.remat, **config, **changed.discriminator}
        config |= {"video_shape": shape} if recipe.kind == "tokenizer" else {"image_shape": shape[1:]}
        perceptual = perceptual_loss(settings.perceptual_weights) if recipe.losses["perceptual_weight"] else None
        weights = {n: w for n, w in recipe.losses.items() if n not in ("commitment_cost", "entropy_loss_weight")}
        decay = {} if recipe.ema_decay is None else {"ema_decay": recipe.ema_decay}
        critic = getattr(discriminators, kind)(**config)
        weights["decoder_only"] = settings.decoder_only
        vqgan = VQGAN(tokenizer, critic, perceptual, **weights, **decay, seed=settings.seed)
        vqgan.compile(tokenizer_optimizer(*rates, **parts), tokenizer_optimizer(*rates, **parts))
        return vqgan

    def _new_magvit(self, changed: ChangedRecipe, tokenizer: Any, num_classes: int, names: list[str] | None) -> Magvit:
        recipe = changed.recipe
        check_divides(recipe.video_shape, tokenizer.downsampling)
        config = {
            "remat": self.settings.remat,
            **(preset_config("MaskedTransformer", recipe.preset) or {}),
            **changed.architecture,
            "num_classes": num_classes,
            "codebook_size": tokenizer.codebook_size,
            "latent_shape": tokenizer.latent_shape(recipe.video_shape),
        }
        return Magvit(
            tokenizer,
            MaskedTransformer(**config),
            recipe.trained_tasks,
            label_smoothing=recipe.losses["label_smoothing"],
            class_dropout=recipe.class_dropout,
            class_names=names,
        )

    def _compile(self, magvit: Magvit, recipe: Recipe) -> None:
        magvit.compile(
            optimizer=transformer_optimizer(
                recipe.total_steps,
                recipe.learning_rate,
                recipe.warmup,
                recipe.weight_decay,
                recipe.clip_norm,
                recipe.beta_1,
                recipe.beta_2,
                gradient_accumulation_steps=self.settings.accumulate,
            )
        )

    def _clip_batches(self, recipe: Recipe, source: Source) -> Callable[[], Any]:
        return lambda: source.loader(
            recipe.batch_size // self.settings.accumulate,
            seed=self.settings.seed,
            workers=self.settings.workers,
            steps_per_epoch=self.interval(recipe) * self.settings.accumulate,
            process=distribution.current().process,
        )

    def _token_batches(self, recipe: Recipe, arrays: dict[str, Any]) -> TokenBatches:
        parts, process = self.settings.accumulate, distribution.current().process
        return TokenBatches(
            arrays, recipe.batch_size // parts, self.settings.seed, self.interval(recipe) * parts, process
        )

    # --- the time it takes ---

    def within_minutes(self, recipes: list[ChangedRecipe], data: Any, given: dict[str, Any]) -> Settings:
        """The settings with steps, and sizes of clips that were not given, for the minutes that there are."""
        settings, budget = self.settings, 60 * self.settings.minutes
        shape, fixed = recipes[0].recipe.video_shape, given.keys() & {"num_frames", "size"} or settings.learned
        self.say(f"Measuring a few steps on clips of {'x'.join(map(str, shape))}, to choose for this machine.")
        seconds = self.measured(recipes, data)
        if not fixed:
            shape = measure.chosen_shape(math.prod(shape), seconds[0], budget)
            settings = dataclasses.replace(settings, num_frames=shape[0], size=shape[1:])
            seconds = self.measured(recipes_of(settings), data)
        steps = measure.chosen_steps(seconds, budget, settings.decoder_only)
        self.say(
            f"Clips of {'x'.join(map(str, shape))}; {steps[0]} steps of the tokenizer, {steps[1]} of the transformer."
        )
        return dataclasses.replace(settings, tokenizer_steps=steps[0], transformer_steps=steps[1])

    def measured(self, recipes: list[ChangedRecipe], data: Any, steps: int = 2) -> tuple[float, float]:
        """Seconds of a step of each stage, reading included, on models that are thrown away."""
        first, second = recipes
        settings = self.settings
        source = open_clips(first.recipe, data, settings.data_format, settings.reader, settings.seed)
        reading = measure.reading_seconds(source, first.recipe, settings.workers)
        if self.settings.learned is None:
            tokenizer = self._new_tokenizer(first)
            magvit = self._new_magvit(second, tokenizer, 1, None)
        else:
            magvit = load_run(self.settings.learned)
            tokenizer = VideoTokenizer.from_config(magvit.tokenizer.get_config())
        trainer = self._compiled_tokenizer(first, tokenizer)
        self._compile(magvit, second.recipe)
        alone = measure.step_seconds(trainer, first.recipe, steps)
        return alone + reading, measure.step_seconds(magvit, second.recipe, steps)

    def estimate(self, stages: list[_Stage]) -> None:
        """Prints what a training takes."""
        total = 0.0
        for stage in stages:
            steps, each = self.steps(stage.recipe), measure.step_seconds(stage.model, stage.recipe)
            if stage.name == "tokenizer" and isinstance(stage.data, Source):
                each += measure.reading_seconds(stage.data, stage.recipe, self.settings.workers)
            total += steps * each
            print(
                f"{stage.recipe.name}: {stage.model.count_params():,} parameters, {steps} steps of "
                f"{stage.recipe.batch_size} clips, {each:.2f} s each: {duration(steps * each)}."
            )
        memory = measure.memory_bytes() / 1e9
        print(f"The whole training: {duration(total)}{f'; memory of this process {memory:.1f} GB' if memory else ''}.")

    # --- the training ---

    def note(self, recipes: list[ChangedRecipe], data: Any) -> None:
        """Notes settings, recipe and data; refuses to go on with others."""
        settings = dataclasses.asdict(dataclasses.replace(self.settings, recipe=None))
        recipe, fields = recipes[0].recipe, {}
        if self.settings.recipe is not None:
            settings["recipe"] = recipe.name
            fields = {n: v for n, v in dataclasses.asdict(recipe).items() if n not in _NOT_NOTED}
            fields |= {"architecture": recipes[0].architecture, "discriminator_changes": recipes[0].discriminator}
        about = {
            "recipe": settings["recipe"],
            "stages": [changed.stage for changed in recipes],
            "data": os.path.abspath(data) if isinstance(data, str | os.PathLike) else None,
            **{"video_shape": recipe.video_shape, "frame_stride": recipe.frame_stride, "seed": self.settings.seed},
            "fps": self.settings.fps,
        }
        note_settings(self.out, settings, fields, self.found, about)

    def train(self, stage: _Stage, which: str, following: list[_Stage]) -> None:
        """Trains a stage, and writes what it made."""
        recipe, out, result = stage.recipe, self.out, stage.result
        batches = stage.batches()
        folder, steps = out / "checkpoints" / stage.name, self.steps(recipe)
        before = None if stage.name == "transformer" else lambda: self._before_tokenizer(stage)
        title = f"{recipe.name}, {which}"
        # Of a long stage that follows, a few steps tell how long it takes.
        later = sum(
            self.steps(after.recipe) * measure.step_seconds(measure.copy_of(after.model), after.recipe)
            for after in following
            if self.verbose and self.steps(after.recipe) >= _LONG
        )
        trained = train_steps(
            stage.model, batches, steps, self.interval(recipe), folder, title, self.verbose, before, later, which
        )
        if hasattr(batches, "close"):
            batches.close()
        result.trainable, adversarial = True, stage.model is not result
        if adversarial:
            result.set_weights(stage.model.ema_tokenizer.get_weights())
            result.compile()
        scores = None
        if stage.name == "tokenizer" and stage.held_out is not None:
            videos = stage.held_out.arrays(limit=64)["video"]
            scores = result.evaluate(videos, batch_size=recipe.batch_size, verbose=0, return_dict=True)
            which = "Held-out clips" if len(stage.data) > 1 else "The training clip, as none is held out"
            for text in measure.quality(scores, videos, result, which):
                self.say(text)
        card = card_of_run(out, stage.name, stage.data, trained.steps, stage.held_out, scores)
        if self.settings.recipe is not None:
            said = f"Trained by the recipe {recipe.name}" + (", changed" if self.settings.changes else "")
            card = dataclasses.replace(card, description=f"{said}: {trained.steps:,} of {recipe.total_steps:,} steps.")
        if adversarial:
            save_preset(stage.model.discriminator, out / "discriminator", card, trained.further)
        save_preset(result, out / stage.folder, card, trained.further)

    def _before_tokenizer(self, stage: _Stage) -> None:
        tokenizer, fresh = stage.result, not Checkpoint(self.out / "checkpoints" / "tokenizer").read()
        if self.settings.recipe is None and fresh and not self.trained:
            # As many tokens as k-means wants for the codes, of clips that fit into memory.
            tokens = math.prod(tokenizer.latent_shape(stage.recipe.video_shape))
            count = min(256, max(16, 10 * tokenizer.codebook_size // tokens))
            self.say(f"Initializing from {count} clips.")
            tokenizer.adapt(some_clips(stage.data, count), self.settings.seed)
            if stage.model is not tokenizer:
                stage.model.ema_tokenizer.set_weights(tokenizer.get_weights())
        # What came after an earlier, shorter training was made with other weights.
        made = (self.out / "tokens", self.out / "checkpoints" / "transformer", self.out / "magvit")
        stale = [path for path in made if path.exists()]
        if stale:
            names = ", ".join(str(path.relative_to(self.out)) for path in stale)
            self.say(f"The tokenizer is trained further: what was made with it before is removed ({names}).")
        for path in stale:
            shutil.rmtree(path, ignore_errors=True)
