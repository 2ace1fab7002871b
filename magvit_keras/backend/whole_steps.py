"""Steps end whole: Ctrl-C takes effect between two of them, and a step that fails has drawn no random numbers."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C within takes effect at the end."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    received = []
    signal.signal(signal.SIGINT, lambda *call: received.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received:
            before(*received[0])


def whole_step(
    model: keras.Model,
    step: Callable[[Any], Any],
    random_state: Callable[[], list] = list,
    set_random_state: Callable[[list], None] = list,
) -> Callable[[Any], Any]:
    """`step(data)` of a backend whose variables change in place.

    Losses and gradients come before any weight moves, so that what a failing step leaves behind are its random draws.
    """
    states = [generator.state for layer in model._flatten_layers() for generator in layer._seed_generators]

    def run(data: Any) -> Any:
        seeds, others = [state.value + 0 for state in states], random_state()
        with uninterrupted():
            try:
                return step(data)
            except BaseException:
                for state, seed in zip(states, seeds, strict=True):
                    state.assign(seed)
                set_random_state(others)
                raise

    return run
