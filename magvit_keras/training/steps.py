"""What every stage of a training does: steps that go on where they stopped, and what is noted and saved of them."""

import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from magvit_keras import backend
from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.convert import load_resnet50
from magvit_keras.data.token_shards import flat_entries
from magvit_keras.devices import distribution
from magvit_keras.files import write_text
from magvit_keras.presets.model_card import ModelCard, card_in
from magvit_keras.presets.resolver import SETTINGS_FILE, STAGES
from magvit_keras.tokenizer.perceptual import PerceptualLoss
from magvit_keras.tokenizer.two_optimizers import batches_per_update
from magvit_keras.training.recipe import FREE, noted_settings


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after a number of batches, or after the update during which Ctrl-C comes; a second ends it now.

    Args:
        batches: how many.
        per_update: batches in an update of the weights.
    """

    def __init__(self, batches: int, per_update: int = 1):
        super().__init__()
        self.left, self.per_update, self.interrupted = batches, per_update, False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Listens for Ctrl-C, which only the main thread of a process hears."""
        self._before = None
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in the background of a shell
        if threading.current_thread() is threading.main_thread() and not ignored:
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Listens no more."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts: what the optimizer counts is not at hand within JAX's epoch."""
        self.left -= 1
        if self.left <= 0 or (self.interrupted and self.left % self.per_update == 0):
            self.model.stop_training = True

    def _interrupt(self, number: int, frame: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, self._before)
        print("\nStopping after this step, with a checkpoint; Ctrl-C again stops at once.", flush=True)


class ShortProgress(keras.callbacks.ProgbarLogger):
    """Keras' progress with the logs that tell most: those of ten tasks would fill a dozen lines."""

    _SHOWN = ("loss", "g_loss", "d_loss", "psnr", "codebook_usage", "mask_accuracy")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Shows them."""
        super().on_train_batch_end(batch, self._short(logs))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Shows them."""
        super().on_epoch_end(epoch, self._short(logs))

    def _short(self, logs: dict | None) -> dict:
        return {name: logs[name] for name in self._SHOWN if name in (logs or {})}


class Remaining(keras.callbacks.Callback):
    """Says after ten steps how long the whole run will take, and that the first step is compiled.

    Args:
        batches: how many are left of this stage.
        later: seconds that the stages after it take.
        which: stage of how many, in words.
    """

    def __init__(self, batches: int, later: float, which: str):
        super().__init__()
        self.batches, self.later, self.which, self.seen = batches, later, which, 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """The first step takes longer than the others."""
        if backend.name() != "torch":
            print("The first step is compiled, which may take a minute or more.", flush=True)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Measures from the end of the first step, without the compilation."""
        self.seen += 1
        if self.seen == 1:
            self.start = time.monotonic()
        elif self.seen == 11:
            step = (time.monotonic() - self.start) / 10
            print(f"\n{duration(step * (self.batches - 11) + self.later)} to go; {self.which}.", flush=True)


def duration(seconds: float) -> str:
    """Seconds in words, rounded as an estimate is.

    Example:
        >>> duration(6012), duration(200), duration(20)
        ('about 1 h 40 min', 'about 3 min', 'less than a minute')
    """
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes if minutes < 60 else 5 * round(minutes / 5), 60)
    if minutes < 1:
        return "less than a minute"
    return "about " + " ".join(f"{n} {unit}" for n, unit in ((hours, "h"), (rest, "min")) if n)


class Trained(NamedTuple):
    """What became of a stage: the updates of its weights since its beginning, and whether this start made some."""

    steps: int
    further: bool


def train_steps(
    model: keras.Model,
    data: Any,
    steps: int,
    interval: int,
    folder: pathlib.Path,
    title: str,
    verbose: int = 1,
    before: Callable[[], None] | None = None,
    later: float = 0.0,
    which: str = "stage 1 of 1",
) -> Trained:
    """Trains a compiled model for a number of steps; started again, it goes on from the last checkpoint.

    Args:
        model: compiled.
        data: batches with `position`: `Loader` or `TokenBatches` of `interval` updates an epoch.
        steps: of the whole training, in updates of the weights.
        interval: updates between two checkpoints.
        folder: of the checkpoints.
        title: what is trained, for the line that is printed.
        verbose: 1 shows progress bars, 2 a line an epoch, 0 nothing.
        before: called where there are steps to do, before the first.
        later: seconds that the stages after this one take.
        which: stage this is of how many, in words.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved.
    """
    batches = batches_per_update(model.optimizer)
    done = _restore(model, folder, data)  # batches
    if done >= steps * batches:
        return Trained(done // batches, False)
    if before is not None:
        before()
    checkpoint = Checkpoint(folder, data=data)
    checkpoint.history = checkpoint.read().get("history", {})
    if verbose:
        print(f"{title}: steps {done // batches + 1} to {steps}, a checkpoint each {interval}.", flush=True)
    left = steps * batches - done
    stop = StopAfter(left, batches)
    model.fit(
        data,
        initial_epoch=done // (interval * batches),
        epochs=-(-steps // interval),
        callbacks=[stop, checkpoint, *([ShortProgress(), Remaining(left, later, which)] if verbose else ())],
        shuffle=False,  # the order is the data's own, which a training that goes on repeats
        verbose=verbose,
    )
    if stop.interrupted and stop.left > 0:
        raise KeyboardInterrupt(f"Stopped after step {steps - stop.left // batches} of {steps}.")
    return Trained(steps, True)


def _restore(model: keras.Model, folder: pathlib.Path, data: Any) -> int:
    """Batches that the last checkpoint has seen; model and data are where it was."""
    if not Checkpoint(folder, data=data).restore(model):
        return 0
    updates = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    data.position = updates * batches_per_update(model.optimizer)
    return data.position


def note_settings(
    out: pathlib.Path,
    settings: Mapping[str, Any],
    recipe: Mapping[str, Any],
    found: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Notes the settings of a new run; refuses to go on with others.

    Args:
        out: the run's folder, made if missing.
        settings: as plain data.
        recipe: what the recipe says, after the changes in the settings.
        found: what was found of data and models.
        about: what may differ.

    Raises:
        ValueError: the folder holds a run with other settings that has learned something; the message lists them.
    """
    parts = {"settings": settings, "recipe_says": recipe, "found": found}
    now = json.loads(json.dumps({**parts, **about, "backend": backend.name()}))
    noted = noted_settings(out)
    if noted is not None:
        # What a recipe says after the changes names them best.
        left = {*FREE, "changes"} if recipe else set(FREE)
        old, new = ({n: v for part in parts for n, v in flat_entries(run[part]).items()} for run in (noted, now))
        names = [n for n in {**old, **new} if n.split(".")[0] not in left and old.get(n) != new.get(n)]
        if names:
            listed = "; ".join(f"{n} was {old.get(n)!r} and is now {new.get(n)!r}" for n in names)
            raise ValueError(f"{out} holds a run with other settings ({listed}). Choose another folder, or the same.")
    out.mkdir(parents=True, exist_ok=True)
    if distribution.current().is_main:
        write_text(out / SETTINGS_FILE, json.dumps(now, indent=2) + "\n")


def save_preset(model: Any, folder: pathlib.Path, card: ModelCard, further: bool) -> None:
    """Writes a trained model; of several processes the first one does, and the others wait for it.

    Where it was not trained further, and the folder has it already, what is there stays, with what was written into it.
    """
    there = not further and card_in(folder).get("steps") == card.steps
    distribution.current().wait()  # until all have looked
    if there:
        return
    backend.distribution.settle(model)
    if distribution.current().is_main:
        with backend.distribution.alone():
            model.save_to_preset(folder, card)
    distribution.current().wait()


def write_history(out: pathlib.Path) -> None:
    """Losses by epoch of the stages that have a checkpoint."""
    states = {stage: Checkpoint(out / "checkpoints" / stage).read() for stage in STAGES}
    histories = {stage: state["history"] for stage, state in states.items() if state}
    if distribution.current().is_main:
        write_text(out / "history.json", json.dumps(histories, indent=1))


def perceptual_loss(weights: str | os.PathLike | None) -> PerceptualLoss | None:
    """The paper's perceptual loss from a file of ResNet-50 weights; None without a file."""
    return None if weights is None else PerceptualLoss(load_resnet50(weights))
