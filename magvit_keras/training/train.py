"""A training from videos to a model in one folder, which goes on where it was stopped.

RUN/settings.json        what is trained, and on what
RUN/checkpoints/         state of the training in progress
RUN/tokenizer/           preset: the trained tokenizer
RUN/tokens/              cached tokens of the training clips
RUN/magvit/              preset: tokenizer and transformer
RUN/history.json         losses by epoch
"""

import dataclasses
import json
import math
import os
import pathlib
import shutil
from typing import Any

import keras

from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.checks import check_divides, check_parts, check_positive
from magvit_keras.commit.tasks import get_task
from magvit_keras.data import Source
from magvit_keras.data.token_cache import TokenBatches
from magvit_keras.devices import distribution
from magvit_keras.layers.rematerialized import check_remat
from magvit_keras.model.fine_tuning import train_further
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.hub import CONFIG_FILE, local_folder
from magvit_keras.presets.model_card import card_of_run
from magvit_keras.presets.transformers import transformer_config
from magvit_keras.tokenizer.discriminator import VideoDiscriminator
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.tokenizer.vqgan import VQGAN
from magvit_keras.training.data import open_run_data
from magvit_keras.training.optimizers import tokenizer_optimizer, transformer_optimizer
from magvit_keras.training.recipe_data import preset_folder
from magvit_keras.training.steps import (
    SETTINGS_FILE,
    STAGES,
    Trained,
    note_settings,
    noted_settings,
    perceptual_loss,
    save_preset,
    train_steps,
    write_history,
)
from magvit_keras.training.tokens import write_tokens
from magvit_keras.transformer.masked_transformer import MaskedTransformer


@dataclasses.dataclass
class Settings:
    """What `train_run` trains. All lengths are optimizer steps.

    Args:
        num_frames: frames of a clip.
        height: rows of a clip.
        width: columns of a clip.
        frame_stride: every how many frames of a video one is taken.
        tasks: names of the tasks to train; with `start_from` none stands for those of the preset.
        tokenizer: a preset of `VideoTokenizer`, the folder of a run that trained one, or constructor arguments.
        transformer: "tiny", "base", "large" or "huge", or constructor arguments of `MaskedTransformer`.
        start_from: a trained `Magvit` to train further: a preset's name or folder, or hf://user/repo. `tokenizer` and
            `transformer` are then not read; a task that both have is that of the preset, with its given frames.
        batch_size: clips in a step of the tokenizer.
        transformer_batch_size: clips in a step of the transformer.
        tokenizer_steps: length of the first stage.
        transformer_steps: length of the second stage.
        steps_per_epoch: steps between two checkpoints.
        tokenizer_learning_rate: peak.
        transformer_learning_rate: peak.
        token_passes: how many random windows of each video are tokenized for the second stage.
        adversarial: train the tokenizer against a discriminator, as the paper does: sharper, and slower by far.
        discriminator: constructor arguments of `VideoDiscriminator`; None halves the tokenizer's width.
        perceptual_weights: file of ResNet-50 weights for the perceptual loss of adversarial training, see
            `convert.load_resnet50`; None leaves that loss out.
        class_dropout: share of examples without their class, for guidance.
        horizontal_flip: mirror clips at random.
        held_out: share of the videos kept for validation.
        workers: processes that decode videos.
        remat: activations that training keeps, "none" (all), "blocks" or "full" (the fewest): less memory for more
            time, see `VideoTokenizer`.
        accumulate: equal parts that each batch is split into, one after the other: less memory, the same updates.
        seed: of everything random.
    """

    num_frames: int = 16
    height: int = 64
    width: int = 64
    frame_stride: int = 1
    tasks: tuple[str, ...] = ("frame_prediction", "class_conditional_generation")
    tokenizer: str | dict = "3dvq_tiny"
    transformer: str | dict = "tiny"
    start_from: str | None = None
    batch_size: int = 4
    transformer_batch_size: int = 16
    tokenizer_steps: int = 2000
    transformer_steps: int = 2000
    steps_per_epoch: int = 50
    tokenizer_learning_rate: float = 2e-4
    transformer_learning_rate: float = 5e-4
    token_passes: int = 4
    adversarial: bool = False
    discriminator: dict | None = None
    perceptual_weights: str | None = None
    class_dropout: float = 0.1
    horizontal_flip: bool = False
    held_out: float = 0.1
    workers: int = 0
    remat: str = "none"
    accumulate: int = 1
    seed: int = 0

    #: What may differ when a training goes on: it changes the length or the speed, not what was learned so far.
    FREE = ("tokenizer_steps", "transformer_steps", "workers", "remat")

    def __post_init__(self):
        """Refuses sizes below 1 and unknown tasks."""
        self.tasks = tuple(self.tasks)
        if not self.tasks and self.start_from is None:
            raise ValueError("tasks is empty; expected names of tasks, such as frame_prediction.")
        for name in ("num_frames", "height", "width", "frame_stride", "batch_size", "transformer_batch_size"):
            check_positive(**{name: getattr(self, name)})
        for name in ("tokenizer_steps", "transformer_steps", "steps_per_epoch", "token_passes"):
            check_positive(**{name: getattr(self, name)})
        for task in self.tasks:
            get_task(task)
        check_remat(self.remat)
        check_parts(self.accumulate, batch_size=self.batch_size, transformer_batch_size=self.transformer_batch_size)
        if not self.adversarial and (self.discriminator or self.perceptual_weights):
            raise ValueError(
                "discriminator and perceptual_weights belong to adversarial training; set adversarial=True."
            )


def train_run(data: str | os.PathLike | Source, out: str | os.PathLike, settings: Settings, verbose: int = 1) -> Magvit:
    """Trains tokenizer and transformer on a folder of videos; started again, it goes on from the last checkpoint.

    Args:
        data: a folder of videos (sub-folder = class), or any `Source`.
        out: the run's folder.
        settings: what to train.
        verbose: 1 shows progress bars, 2 a line an epoch, 0 nothing.

    Returns:
        The trained `Magvit`.

    Raises:
        ValueError: settings that do not fit the data, the model, or an earlier start of the same run; or videos that
            cannot be read, all of them or all that are held out.
        FileNotFoundError: no videos.

    Example:
        >>> magvit = train_run("videos", "runs/mine", Settings())  # doctest: +SKIP
    """
    out = pathlib.Path(out)
    sizes = {name: getattr(settings, name) // settings.accumulate for name in ("batch_size", "transformer_batch_size")}
    distribution.current().check_batch_size(**sizes)
    training, held_out, found = open_run_data(data, settings, noted_settings(out))
    # Built first: sizes that do not fit are found before a long run, and cost nothing.
    keras.utils.set_random_seed(settings.seed)
    if settings.start_from is None:
        tokenizer = _new_tokenizer(settings)
        magvit = _new_magvit(tokenizer, training, settings)
    else:
        learned = load_run(settings.start_from)
        magvit = train_further(learned, training, settings.tasks, settings.class_dropout, settings.remat)
        tokenizer = magvit.tokenizer
    trainer = _tokenizer_trainer(tokenizer, settings)
    noted = {**dataclasses.asdict(settings), "class_names": training.class_names, **found}
    note_settings(out, noted, Settings.FREE, defaults={**dataclasses.asdict(Settings()), **found})
    say = print if verbose else (lambda *_: None)
    left_out = len(found["left_out"])
    unread = f"{left_out} left out as unreadable, " if left_out else ""
    say(f"{len(training)} clips to train on, {len(held_out)} held out, {unread}{training.num_classes} classes.")
    _train_tokenizer(trainer, tokenizer, training, held_out, out, settings, verbose)
    trained = _train_transformer(magvit, training, out, settings, verbose)
    card = card_of_run(out, "transformer", training, trained.steps, held_out)
    save_preset(magvit, out / "magvit", card, trained.further)
    write_history(out)
    say(f"The model is in {out / 'magvit'}.")
    return magvit


def load_run(run: str | os.PathLike) -> Magvit:
    """The trained model of a run, with its class names as `magvit.class_names`.

    Args:
        run: its folder; or a preset of a `Magvit`: a folder, `hf://user/repo`, or a built-in name that comes with
            weights.

    Raises:
        ValueError: the folder is no run or preset, or that of a tokenizer, or the training has not ended; the message
            says how far it is.
    """
    if Magvit._preset_table.get(str(run), {}).get("shipped"):
        return Magvit.from_preset(str(run))
    where, run = run, local_folder(run)
    if not (run / SETTINGS_FILE).is_file():
        if not (run / CONFIG_FILE).is_file():
            raise ValueError(f"{where} is not the folder of a run or a preset: no {SETTINGS_FILE}, no {CONFIG_FILE}.")
        return Magvit.from_preset(run)
    if run_settings(run).get("kind", "transformer") != "transformer":
        raise ValueError(f"{run} trained a tokenizer, which makes no clips by itself; it is in {run / 'tokenizer'}.")
    if not (run / "magvit" / "config.json").is_file():
        done = {stage: Checkpoint(run / "checkpoints" / stage).read().get("epoch", 0) for stage in STAGES}
        raise ValueError(f"The training in {run} has not ended (epochs done: {done}); start the same command again.")
    magvit = Magvit.from_preset(run / "magvit")
    if magvit.class_names is None and magvit.transformer.num_classes:  # a run of an older version
        magvit.class_names = run_settings(run)["class_names"]
    return magvit


def run_settings(run: str | os.PathLike) -> dict[str, Any]:
    """What a training noted when it started, settings and class names; nothing where the folder is no run's."""
    path = pathlib.Path(run) / SETTINGS_FILE
    return json.loads(path.read_text()) if path.is_file() else {}


def _new_tokenizer(settings: Settings) -> VideoTokenizer:
    if isinstance(settings.tokenizer, str):
        preset = preset_folder(settings.tokenizer, "tokenizer") or settings.tokenizer  # a run's folder holds it
        return VideoTokenizer.from_preset(str(preset), remat=settings.remat)
    return VideoTokenizer(**{"remat": settings.remat, **settings.tokenizer})


def _tokenizer_trainer(tokenizer: VideoTokenizer, settings: Settings) -> keras.Model:
    """What `fit` is called on: the tokenizer itself, or a VQGAN around it; compiled."""
    rates = {
        "total_steps": settings.tokenizer_steps,
        "learning_rate": settings.tokenizer_learning_rate,
        "gradient_accumulation_steps": settings.accumulate,
    }
    if not settings.adversarial:
        # Without an opponent momentum does no harm, and learns faster.
        tokenizer.compile(optimizer=tokenizer_optimizer(**rates, beta_1=0.9))
        return tokenizer
    perceptual = perceptual_loss(settings.perceptual_weights)
    blocks = max(1, min(5, int(math.log2(min(settings.height, settings.width))) - 2))
    config = settings.discriminator or {
        "filters": max(8, tokenizer.filters // 2),
        "channel_multipliers": (2, 4, 4, 4, 4)[:blocks],
    }
    shape = (settings.num_frames, settings.height, settings.width)
    # The paper's 0.999 would keep the first, random weights in the average of a short training.
    decay = min(0.999, 1 - 10 / max(settings.tokenizer_steps, 20))
    discriminator = VideoDiscriminator(**{"remat": settings.remat, **config}, video_shape=shape)
    vqgan = VQGAN(tokenizer, discriminator, perceptual, ema_decay=decay)
    vqgan.compile(tokenizer_optimizer(**rates), tokenizer_optimizer(**rates))
    return vqgan


def _new_magvit(tokenizer: VideoTokenizer, source: Source, settings: Settings) -> Magvit:
    shape = (settings.num_frames, settings.height, settings.width)
    check_divides(shape, tokenizer.downsampling)
    fixed = {
        "codebook_size": tokenizer.codebook_size,
        "num_classes": source.num_classes,
        "latent_shape": tokenizer.latent_shape(shape),
    }
    size = settings.transformer
    config = transformer_config(size, **fixed) if isinstance(size, str) else {**size, **fixed}
    config = {"remat": settings.remat, **config}
    names, dropout = source.class_names, settings.class_dropout
    return Magvit(tokenizer, MaskedTransformer(**config), settings.tasks, class_dropout=dropout, class_names=names)


def _train_tokenizer(
    trainer: keras.Model,
    tokenizer: VideoTokenizer,
    training: Source,
    held_out: Source,
    out: pathlib.Path,
    settings: Settings,
    verbose: int,
) -> None:
    interval = settings.steps_per_epoch
    loader = training.loader(
        settings.batch_size // settings.accumulate,
        seed=settings.seed,
        workers=settings.workers,
        steps_per_epoch=interval * settings.accumulate,
        process=distribution.current().process,
    )

    def remove_stale() -> None:
        # What came after an earlier, shorter training was made with other weights.
        made = (out / "tokens", out / "checkpoints" / "transformer", out / "magvit")
        stale = [path for path in made if path.exists()]
        if stale:
            names = ", ".join(str(path.relative_to(out)) for path in stale)
            _announce(verbose, f"The tokenizer is trained further: what was made with it before is removed ({names}).")
        for path in stale:
            shutil.rmtree(path, ignore_errors=True)

    folder, steps = out / "checkpoints" / "tokenizer", settings.tokenizer_steps
    trained = train_steps(trainer, loader, steps, interval, folder, "Tokenizer", verbose, before=remove_stale)
    loader.close()
    if settings.adversarial:
        tokenizer.set_weights(trainer.ema_tokenizer.get_weights())
        tokenizer.compile()
    scores = tokenizer.evaluate(
        held_out.arrays(limit=64)["video"], batch_size=settings.batch_size, verbose=0, return_dict=True
    )
    _announce(
        verbose, f"Held-out clips: PSNR {scores['psnr']:.1f} dB, squared error {scores['reconstruction_loss']:.4f}."
    )
    card = card_of_run(out, "tokenizer", training, trained.steps, held_out, scores)
    save_preset(tokenizer, out / "tokenizer", card, trained.further)


def _train_transformer(
    magvit: Magvit, training: Source, out: pathlib.Path, settings: Settings, verbose: int
) -> Trained:
    tokens = _tokens(magvit, training, out / "tokens", settings, verbose)
    interval = settings.steps_per_epoch
    process = distribution.current().process
    parts = settings.accumulate
    size = settings.transformer_batch_size // parts
    batches = TokenBatches(tokens, size, settings.seed, interval * parts, process)
    rates = (settings.transformer_steps, settings.transformer_learning_rate)
    magvit.compile(optimizer=transformer_optimizer(*rates, gradient_accumulation_steps=parts))
    folder = out / "checkpoints" / "transformer"
    return train_steps(magvit, batches, settings.transformer_steps, interval, folder, "Transformer", verbose)


def _tokens(magvit: Magvit, source: Source, folder: pathlib.Path, settings: Settings, verbose: int) -> dict:
    """Tokens of `token_passes` random windows of each clip, in shards; those already there are kept."""
    _announce(verbose, f"Tokens of {len(source) * settings.token_passes} windows.")
    options = {"batch_size": settings.batch_size, "workers": settings.workers, "verbose": verbose}
    return write_tokens(source, magvit.tokenizer, magvit.tasks, folder, settings.token_passes, **options).read()


def _announce(verbose: int, text: str) -> None:
    if verbose:
        print(text, flush=True)
