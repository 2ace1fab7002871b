"""Weights from elsewhere: the official Flax code, MaskGIT's image tokenizer, VQGANs in PyTorch."""

import importlib
from typing import Any

_PUBLIC = {
    "load_flax_params": "magvit_keras.convert.flax",
    "load_resnet50": "magvit_keras.convert.resnet",
    "load_maskgit_tokenizer": "magvit_keras.convert.maskgit",
    "load_torch_vqgan": "magvit_keras.convert.torch_vqgan",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; known names: {', '.join(_PUBLIC)}")
