"""Chooses the backend by the hardware, before Keras is imported, and says what it runs on."""

import ctypes
import importlib
import os
import pathlib
import shutil
import sys

from magvit_keras import _select_backend

# Parameters of glibc's `mallopt`, as numbered in its malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def choose_backend() -> str:
    """Chooses the backend that uses this machine's hardware, unless one was chosen, and says which.

    A TPU is used by JAX; an NVIDIA GPU by the first of JAX, PyTorch and TensorFlow that sees it; a CPU by the first
    installed of JAX, TensorFlow and PyTorch. `KERAS_BACKEND`, a `keras.json` that names another backend than Keras'
    own default, and a Keras that is already loaded are followed, as by `import magvit_keras`. Notebooks call it in
    their first cell, before they import Keras. With PyTorch on a CPU it also calls `keep_memory`.

    Returns:
        The backend and its devices, for example "jax on 1 x TPU v5 lite", "torch on 1 x Tesla T4" or "jax on CPU".

    Example:
        >>> import magvit_keras as mk
        >>> mk.choose_backend().split(" on ")[0] in ("jax", "tensorflow", "torch")
        True
    """
    backend = _select_backend.select_backend()
    if _select_backend.by_default and "keras" not in sys.modules:
        backend = os.environ["KERAS_BACKEND"] = _by_hardware(backend)
    seen = accelerators(backend)
    if backend == "torch" and not seen:
        keep_memory()
    kinds = [f"{seen.count(kind)} x {kind}" for kind in dict.fromkeys(seen)]
    return f"{backend} on {', '.join(kinds) or 'CPU'}"


def accelerators(backend: str) -> list[str]:
    """The kind of every GPU or TPU that a backend sees, such as ["Tesla T4"]; it imports the backend.

    Args:
        backend: "jax", "tensorflow" or "torch".
    """
    # By name: only the backend that is asked is imported.
    module = importlib.import_module(backend)
    if backend == "jax":
        try:
            return [device.device_kind for device in module.devices() if device.platform != "cpu"]
        except RuntimeError:  # what JAX_PLATFORMS asks for is not there
            return []
    if backend == "torch":
        return [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())]
    config = module.config
    details = [config.experimental.get_device_details(gpu) for gpu in config.list_physical_devices("GPU")]
    return [found.get("device_name", "GPU") for found in details] + ["TPU"] * len(config.list_physical_devices("TPU"))


def keep_memory() -> bool:
    """Keeps freed memory in this process for its next arrays, which makes PyTorch faster on a CPU.

    The C library of Linux gives each large array back to the system when it is freed, and the system clears every page
    of the next one. PyTorch on a CPU frees large arrays, and asks for others of the same sizes, in every step of
    training and decoding. From this call on they are kept, so that the process holds on to the most memory that it ever
    used. To be called before anything large is made; `choose_backend` and the commands of `magvit-keras` do so on
    PyTorch. JAX and TensorFlow gain little.

    Returns:
        Whether the C library could be told; only glibc can, so not on macOS, Windows, or Linux with musl.

    Example:
        >>> import magvit_keras as mk
        >>> mk.keep_memory() in (True, False)
        True
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # One arena for all threads: those of the others are too small for large arrays, which would be mapped each time.
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    return all([mallopt(parameter, value) == 1 for parameter, value in wanted.items()])


def _by_hardware(default: str) -> str:
    # JAX looks for TPUs and GPUs; the others, which load slowly, are asked only where there is a GPU that it left.
    asked = ["jax", *(["torch", "tensorflow"] if _nvidia_driver() else [])]
    for backend in asked:
        if _select_backend.is_installed(backend) and accelerators(backend):
            return backend
    return default


def _nvidia_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or pathlib.Path("/proc/driver/nvidia").exists()
