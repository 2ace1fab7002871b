"""Chooses the Keras backend before Keras is imported, without importing any of them."""

import importlib.util
import json
import os
import pathlib
import sys

# In the order of preference where nobody chose: JAX is the fastest of the three for these models.
BACKENDS = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}


def select_backend() -> str:
    """Returns the backend that Keras will use, after checking that it is installed.

    The choice is `KERAS_BACKEND`, then Keras' own configuration file, then the first installed one.

    Raises:
        ImportError: the chosen backend, or every backend, is missing; the message names the extra to install.
        ValueError: `KERAS_BACKEND` names no backend that this library supports.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend()
    installed = [name for name, module in BACKENDS.items() if importlib.util.find_spec(module)]
    chosen = os.environ.get("KERAS_BACKEND")
    if not chosen:
        configured = _configured_backend()
        chosen = configured if configured in installed else next(iter(installed), None)
    if chosen is None:
        raise ImportError(
            "magvit_keras needs one of JAX, TensorFlow or PyTorch, and none is installed. "
            "Install one with its extra, for example: pip install 'magvit-keras[jax]'."
        )
    if chosen not in BACKENDS:
        raise ValueError(f"KERAS_BACKEND={chosen!r} is not supported; expected one of {', '.join(BACKENDS)}.")
    if chosen not in installed:
        has = f" Installed here: {', '.join(installed)}; choose one with KERAS_BACKEND." if installed else ""
        raise ImportError(
            f"KERAS_BACKEND is {chosen!r}, but {chosen} is not installed. "
            f"Install it with: pip install 'magvit-keras[{chosen}]'.{has}"
        )
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def _configured_backend() -> str | None:
    home = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"))
    try:
        return json.loads((home / "keras.json").read_text()).get("backend")
    except (OSError, ValueError):
        return None
