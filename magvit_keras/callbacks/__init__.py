"""Callbacks for long trainings: checkpoints that survive a kill, health checks, samples."""

import importlib
from typing import Any

_PUBLIC = {
    "Checkpoint": "magvit_keras.callbacks.checkpoint",
    "CollapseWarning": "magvit_keras.callbacks.health",
    "DiscriminatorWarning": "magvit_keras.callbacks.health",
    "SampleReconstructions": "magvit_keras.callbacks.samples",
    "StopOnNaN": "magvit_keras.callbacks.health",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; known names: {', '.join(_PUBLIC)}")
