"""Arrays of a weight file into the variables of a model, all or none."""

from collections.abc import Mapping

import keras
import numpy as np


def assign(network: str, variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Copies arrays into variables of the same names.

    Args:
        network: what the model is called in messages.
        variables: name -> variable.
        arrays: name -> array.

    Raises:
        ValueError: names are missing or left over, or a shape differs; nothing has been assigned then.
    """
    missing, extra = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or extra:
        raise ValueError(
            f"The weights do not fit this {network}: {len(missing)} missing {missing[:4]}, {len(extra)} unknown "
            f"{extra[:4]}. Are they of this network, and of these sizes?"
        )
    for name, variable in variables.items():
        if tuple(arrays[name].shape) != tuple(variable.shape):
            raise ValueError(f"{name} has the shape {arrays[name].shape}; the model expects {tuple(variable.shape)}.")
    for name, variable in variables.items():
        variable.assign(np.asarray(arrays[name], "float32"))
