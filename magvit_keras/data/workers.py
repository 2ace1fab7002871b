"""Decoding in worker processes, which load neither Keras nor a backend and may be killed without harm."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
import weakref
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future


class Clips(Protocol):
    """What loaders and workers need of a source; see `magvit_keras.data.Source`."""

    class_names: Sequence[str]
    failures: dict[int, str]

    def __len__(self) -> int: ...

    def sample(self, index: int, epoch: int, known: Mapping[int, str] | None) -> tuple[dict, dict[int, str]]:
        """A clip, or the next readable one, and the unreadable ones met on the way."""

    def report(self, failures: Mapping[int, str]) -> None:
        """Remembers unreadable clips, and warns."""


_IDLE_SECONDS = 120  # workers whose parent was killed end themselves after this time without work
_source: Clips | None = None  # in a worker: what it reads from


def _start(pickled: bytes) -> None:
    global _source
    # A decoder may bring PyTorch or TensorFlow along, which must not take a part of the memory that training needs.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    _source = pickle.loads(pickled)


def _sample(index: int, epoch: int, known: dict[int, str]) -> tuple[dict, dict[int, str]]:
    return _source.sample(index, epoch, known)


class Batch(NamedTuple):
    """Clips under way: what was asked for, where, and the futures (None where nothing could be started)."""

    items: Sequence[tuple[int, int]]
    known: Mapping[int, str]
    executor: object
    futures: list[Future] | None


class Pool:
    """Reads clips of one source in processes.

    A killed worker (by the system's memory guard, by a decoder that crashes) takes its pool with it; the pool is
    started again and the batch read once more. If that breaks too, each clip gets a process of its own: a clip that
    kills this one counts as unreadable. Where no process starts at all, clips are read in this one.

    Args:
        source: what is read; it is sent to each worker once.
        workers: the number of processes.
    """

    def __init__(self, source: Clips, workers: int):
        try:
            import loky  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "workers=1 and more need loky, which is not installed. "
                "Install it with: pip install 'magvit-keras[video]', or use workers=0."
            ) from error
        self.source, self.workers = source, workers
        self._executor = None
        self._in_process = False
        self._finalizer = None

    def submit(self, items: Sequence[tuple[int, int]], known: Mapping[int, str]) -> Batch:
        """Starts to read (index, epoch) pairs; `results` waits for them."""
        futures = None
        if not self._in_process:
            with contextlib.suppress(RuntimeError, OSError):  # a broken pool: `results` mends it
                futures = [self._running().submit(_sample, *item, dict(known)) for item in items]
        return Batch(items, known, self._executor, futures)

    def results(self, batch: Batch) -> list[tuple[dict, dict[int, str]]]:
        """Waits for a batch: a list of (sample, newly found unreadable videos)."""
        for attempt in range(2):
            if attempt:
                batch = self.submit(batch.items, batch.known)
            try:
                if batch.futures is not None:
                    return [future.result() for future in batch.futures]
            except _broken() as error:
                if batch.executor is self._executor:  # not that of an earlier failure, mended by now
                    warnings.warn(f"a decoding process died; it is started again ({_first_line(error)})", stacklevel=4)
            if batch.executor is self._executor:
                self.close()
        return [self._alone(item, batch.known) for item in batch.items]

    def close(self) -> None:
        """Ends the processes; the next `submit` starts new ones."""
        if self._finalizer is not None:
            self._finalizer()
        self._executor = self._finalizer = None

    def _running(self):
        if self._executor is None:
            self._executor = _executor(self.source, self.workers)
            # Also at the end of the program, and when the loader is forgotten.
            self._finalizer = weakref.finalize(self, _kill, self._executor)
        return self._executor

    def _alone(self, item: tuple[int, int], known: Mapping[int, str]):
        index, epoch = item
        known, found = dict(known), {}
        while not self._in_process:
            executor = None
            try:
                executor = _executor(self.source, 1)
                executor.submit(int).result()  # does any process start?
            except (*_broken(), OSError):
                warnings.warn("no decoding process can be started; clips are read in the main process", stacklevel=5)
                self._in_process = True
                break
            try:
                sample, new = executor.submit(_sample, index, epoch, {**known, **found}).result()
                return sample, {**found, **new}
            except _broken():
                # The clip that was being read: the first, from here on, that is not known to be bad.
                count = len(self.source)
                candidates = ((index + step) % count for step in range(count))
                culprit = next((c for c in candidates if c not in known and c not in found), None)
                if culprit is None:
                    raise
                found[culprit] = "decoding it killed its process"
            finally:
                if executor is not None:
                    _kill(executor)
        sample, new = self.source.sample(index, epoch, {**known, **found})
        return sample, {**found, **new}


def _executor(source: Clips, workers: int):
    import loky  # needs no `if __name__ == "__main__"` in the user's script, unlike multiprocessing

    return loky.ProcessPoolExecutor(
        max_workers=workers, timeout=_IDLE_SECONDS, initializer=_start, initargs=(_pickled(source),)
    )


def _pickled(source: Clips) -> bytes:
    import cloudpickle  # a dependency of loky; also takes sources defined in a notebook

    return cloudpickle.dumps(source)


def _broken() -> tuple[type[Exception], ...]:
    import loky
    from loky.process_executor import ShutdownExecutorError

    return loky.BrokenProcessPool, ShutdownExecutorError, loky.CancelledError


def _kill(executor) -> None:
    with contextlib.suppress(Exception):
        executor.shutdown(wait=False, kill_workers=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
