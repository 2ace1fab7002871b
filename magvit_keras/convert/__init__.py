"""Weights from elsewhere: the official Flax code."""

import importlib
from typing import Any

_PUBLIC = {"load_flax_params": "magvit_keras.convert.flax"}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; known names: {', '.join(_PUBLIC)}")
