"""A model and its file are the same: no part is replaced unnoticed, no file is written that could not be loaded."""

import os
from typing import Any

import keras


class SavedWhole:
    """Goes before `keras.Model` among the bases of a model."""

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.save` to a `.keras` file.

        Raises:
            ValueError: an HDF5 file, of which Keras loads no model of one's own class.
        """
        if os.fspath(filepath).lower().endswith((".h5", ".hdf5")):
            raise ValueError(
                f"A {type(self).__name__} is saved whole as a .keras file; received {os.fspath(filepath)!r}, which "
                "could not be loaded. Its weights alone go to a .weights.h5 file: save_weights."
            )
        super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.load_weights`.

        Raises:
            OSError: there is no such file, or it is cut off or damaged.
        """
        try:
            super().load_weights(filepath, *args, **kwargs)
        except OSError as error:
            known = "is not there" if isinstance(error, FileNotFoundError) else "is cut off or damaged"
            raise type(error)(f"The weights {os.fspath(filepath)!r}: the file {known} ({error}).") from None

    def __delattr__(self, name: str) -> None:
        """Refuses to take a part away: Keras would go on saving it."""
        if isinstance(getattr(self, name, None), keras.Layer):
            raise AttributeError(f"The {name} of a {type(self).__name__} cannot be deleted.")
        super().__delattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses to replace a part: Keras would go on training and saving the old one."""
        old = None if hasattr(type(self), name) else getattr(self, name, None)
        if isinstance(old, keras.Layer) and value is not old:
            kind = type(self).__name__
            raise AttributeError(
                f"The {name} of a {kind} cannot be replaced. Make a new {kind} of these parts, or copy the weights: "
                f"{name}.set_weights(other.get_weights())."
            )
        super().__setattr__(name, value)
