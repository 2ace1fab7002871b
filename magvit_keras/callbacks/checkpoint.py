"""A checkpoint from which a training goes on after it was killed at any moment."""

import json
import os
import pathlib
import re
from typing import Any

import keras

from magvit_keras import backend
from magvit_keras.devices import distribution
from magvit_keras.files import atomic_path, write_text

STATE_FILE = "state.json"
_OWN_WEIGHTS = re.compile(r"(\.[0-9a-f]{8}\.)?epoch-\d{6,}\.weights\.h5")


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizers and random state after each epoch, and restores them.

    The weights go to a new file; `state.json`, written beside and renamed, names the file that counts. A process
    that is killed in between leaves the last checkpoint as it was.

    Args:
        folder: where the checkpoint lives; made if missing. What others keep there stays.
        data: a loader whose `epoch` is set when the training goes on, so that it sees the same order of clips.

    Example:
        >>> checkpoint = Checkpoint("runs/tokenizer")                    # doctest: +SKIP
        >>> tokenizer.compile(optimizer="adam")                          # doctest: +SKIP
        >>> tokenizer.fit(clips, epochs=10, callbacks=[checkpoint],
        ...               initial_epoch=checkpoint.restore(tokenizer))   # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike, data: Any = None):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.data = data
        self.history: dict[str, list[float]] = {}

    def read(self) -> dict[str, Any]:
        """The saved state: "epoch" (epochs done), "weights" (a file name), "history" and "random_state"; or nothing."""
        path = self.folder / STATE_FILE
        try:
            state = json.loads(path.read_text())
            return {name: state[name] for name in ("epoch", "weights", "history")} | state
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is cut off or damaged. {self._advice}") from None

    @property
    def _advice(self) -> str:
        return f"Delete {self.folder}: this training starts again from its beginning, and other results stay."

    def restore(self, model: keras.Model) -> int:
        """Puts the last checkpoint into a compiled model; returns the number of epochs that are done."""
        state = self.read()
        if not state:
            return 0
        # The optimizer has no variables to load into before it is built.
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        weights = self.folder / state["weights"]
        try:
            model.load_weights(weights)
        except (OSError, KeyError) as error:  # a missing or cut file
            raise ValueError(f"{weights} is missing or damaged ({error}). {self._advice}") from None
        self.history = state["history"]
        self._tell_data(state["epoch"])
        if distribution.current().count == 1:  # of several processes each draws its own dropout
            backend.set_random_state(state.get("random_state", []))
        return state["epoch"]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the state after that epoch; of several processes the first one does, and the others wait for it."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        backend.distribution.settle(self.model)
        if distribution.current().is_main:
            with backend.distribution.alone():
                self._save(epoch)
        distribution.current().wait()

    def _save(self, epoch: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = f"epoch-{epoch + 1:06d}.weights.h5"
        with atomic_path(self.folder / weights) as partial:
            self.model.save_weights(partial)
        random_state = backend.random_state()
        state = {"epoch": epoch + 1, "weights": weights, "history": self.history, "random_state": random_state}
        write_text(self.folder / STATE_FILE, json.dumps(state, indent=1))
        for old in self.folder.iterdir():
            if _OWN_WEIGHTS.fullmatch(old.name) and old.name != weights:
                old.unlink()

    def _tell_data(self, epoch: int) -> None:
        if self.data is not None:
            self.data.epoch = epoch
