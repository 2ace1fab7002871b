"""Keras without a TensorFlow that nobody asked for.

To set a seed or to write a config Keras loads TensorFlow on every backend, where it is installed, only to see whether a
value is one of its types; that takes longer than the rest of the start. No value is, while it is not loaded.
"""

import importlib
import sys
from typing import Any

from keras.src.saving import serialization_lib
from keras.src.utils import rng_utils


class _WhereLoaded:
    """Stands for TensorFlow in these two modules of Keras; it is there once something else has loaded it."""

    @property
    def available(self) -> bool:
        return "tensorflow" in sys.modules

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("tensorflow"), name)


for _module in (serialization_lib, rng_utils):
    if hasattr(_module, "tf"):
        _module.tf = _WhereLoaded()
