"""Chooses the Keras backend before Keras is imported, without importing any of them."""

import difflib
import importlib.util
import json
import os
import pathlib
import sys

# In order of preference, without a choice: JAX is the fastest of the three for these models.
BACKENDS = ("jax", "tensorflow", "torch")

# Keras writes a keras.json with this backend at its first import, whichever backend is in use: in that file the name
# tells of no choice, and to follow it would change the backend between the first run on a machine and the second.
_KERAS_DEFAULT = "tensorflow"

# True once `select_backend` has taken the first installed backend: then `devices/hardware.py` may still decide.
by_default = False


def select_backend() -> str:
    """Returns the backend that Keras will use, after checking that it is installed.

    The choice is the backend of a Keras that is already loaded, then `KERAS_BACKEND`, then a `keras.json` that names
    another backend than Keras' own default, then the first installed of JAX, TensorFlow and PyTorch.

    Raises:
        ImportError: the chosen backend, or every backend, is missing; the message names the extra to install.
        ValueError: the chosen backend is none that this library supports.
    """
    global by_default
    if "keras" in sys.modules:
        return _supported(sys.modules["keras"].config.backend(), "Keras is already loaded with the backend")
    installed = [name for name in BACKENDS if is_installed(name)]
    chosen = os.environ.get("KERAS_BACKEND")
    if not chosen:
        configured = _configured_backend()
        if configured in installed and configured != _KERAS_DEFAULT:
            chosen = configured
        elif installed:
            chosen, by_default = installed[0], True
        else:
            raise ImportError(
                "magvit_keras needs one of JAX, TensorFlow or PyTorch, and none is installed. "
                "Install one with its extra, for example: pip install 'magvit-keras[jax]'."
            )
    if _supported(chosen, "KERAS_BACKEND is") not in installed:
        has = f" Installed here: {', '.join(installed)}; choose one with KERAS_BACKEND." if installed else ""
        raise ImportError(
            f"KERAS_BACKEND is {chosen!r}, but {chosen} is not installed. "
            f"Install it with: pip install 'magvit-keras[{chosen}]'.{has}"
        )
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def is_installed(name: str) -> bool:
    """Whether a package can be imported; it is not."""
    # A folder without __init__.py has a spec too, as a namespace package, and uninstalling may leave such a folder.
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _supported(backend: str, origin: str) -> str:
    if backend not in BACKENDS:
        near = difflib.get_close_matches(backend, BACKENDS, 1)
        asked = f"did you mean {near[0]}? Expected" if near else "expected"
        raise ValueError(f"{origin} {backend!r}, which is not supported; {asked} one of {', '.join(BACKENDS)}.")
    return backend


def _configured_backend() -> str | None:
    home = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"))
    try:
        return json.loads((home / "keras.json").read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        return None
