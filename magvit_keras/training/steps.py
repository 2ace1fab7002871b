"""What the trainings share, a folder of videos and a recipe alike: steps that go on where they stopped, and notes.

Both keep the same folder:

RUN/settings.json        what is trained, and on what
RUN/checkpoints/         state of the training in progress
RUN/history.json         losses by epoch
"""

import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import keras

from magvit_keras import backend
from magvit_keras.callbacks.checkpoint import Checkpoint
from magvit_keras.convert import load_resnet50
from magvit_keras.devices import distribution
from magvit_keras.files import write_text
from magvit_keras.presets.model_card import ModelCard, card_in
from magvit_keras.tokenizer.perceptual import PerceptualLoss
from magvit_keras.tokenizer.two_optimizers import batches_per_update

SETTINGS_FILE = "settings.json"
STAGES = ("tokenizer", "transformer")
RESULTS = ("tokenizer", "magvit")


class StopAfter(keras.callbacks.Callback):
    """Ends `fit` after so many more batches."""

    def __init__(self, batches: int):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Counts: what the optimizer counts is not at hand within JAX's epoch."""
        self.left -= 1
        if self.left <= 0:
            self.model.stop_training = True


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
    model.fit(
        data,
        initial_epoch=done // (interval * batches),
        epochs=-(-steps // interval),
        callbacks=[StopAfter(steps * batches - done), checkpoint],
        shuffle=False,  # the order is the data's own, which a training that goes on repeats
        verbose=verbose,
    )
    return Trained(steps, True)


def _restore(model: keras.Model, folder: pathlib.Path, data: Any) -> int:
    """Batches that the last checkpoint has seen; model and data are where it was."""
    if not Checkpoint(folder, data=data).restore(model):
        return 0
    updates = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    data.position = updates * batches_per_update(model.optimizer)
    return data.position


def check_clip(clip: Any, shape: tuple[int, ...], advice: str) -> None:
    """Raises ValueError unless a clip of the data, (T, H, W, 3), has the (T, H, W) that is trained on."""
    found = tuple(clip.shape[:3])
    if found != tuple(shape):
        raise ValueError(
            "The clips of the data have {} frames of {} x {} pixels, and the training wants {} of {} x {}: {}.".format(
                *found, *shape, advice
            )
        )


def note_settings(out: pathlib.Path, now: Mapping[str, Any], free: Iterable[str], defaults: Mapping[str, Any]) -> None:
    """Notes the settings of a new run; refuses to go on with others.

    Args:
        out: the run's folder, made if missing.
        now: the settings, as plain data.
        free: names of those that may change: the length or the speed, not what was learned so far.
        defaults: of settings that a run of an older version does not name.

    Raises:
        ValueError: the folder holds a run with other settings that has learned something; the message lists them.
    """
    now = json.loads(json.dumps({**now, "backend": backend.name()}))
    noted = noted_settings(out)
    if noted is not None:
        before = {**defaults, **noted}
        fixed = [name for name in now if name not in {*free, "backend"}]
        changed = {name: (before.get(name), now[name]) for name in fixed if before.get(name) != now[name]}
        if changed:
            listed = "; ".join(f"{k} was {old!r} and is now {new!r}" for k, (old, new) in changed.items())
            raise ValueError(f"{out} holds a run with other settings ({listed}). Choose another folder, or the same.")
    out.mkdir(parents=True, exist_ok=True)
    if distribution.current().is_main:
        write_text(out / SETTINGS_FILE, json.dumps(now, indent=2) + "\n")


def noted_settings(out: pathlib.Path) -> dict[str, Any] | None:
    """What a run that has learned something noted; None of a new run.

    Before the first checkpoint nothing was learned, and whoever corrects a mistake may start anew.
    """
    path = out / SETTINGS_FILE
    learned = any((out / made).exists() for made in (*(f"checkpoints/{s}/state.json" for s in STAGES), *RESULTS))
    return json.loads(path.read_text()) if path.is_file() and learned else None


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
