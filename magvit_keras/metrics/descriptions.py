"""What scores say of the network behind them: the name that it gives them, and the settings that they depend on."""

import numbers
from typing import Any

from magvit_keras.metrics.i3d import I3D

_UNKNOWN = "whatever the network does"
# Said in their own places, or without effect on the features.
_SAID_ELSEWHERE = ("name", "trainable", "dtype", "resize_rule", "crop")


def is_published_i3d(network: Any) -> bool:
    """Whether a distance through it compares with published FVD: I3D of that size, with weights from a file."""
    return isinstance(network, I3D) and network.is_published and hasattr(network, "weights_source")


def distance_name(network: Any, name: str, kind: str) -> str:
    """What a distance through a network is called.

    Args:
        network: clips -> features.
        name: for the network of the published scores, as "FVD".
        kind: for any other, as "Frechet distance".

    Example:
        >>> distance_name(I3D(width=1 / 32), "FVD", "Frechet distance")
        'Frechet distance of i3d'
    """
    if is_published_i3d(network):
        return name
    if hasattr(network, "score_prefix"):  # a network of this library that has no published scores
        return f"{network.score_prefix}-{name} (not comparable with published {name})"
    return f"{kind} of {network.name}"


def input_settings(network: Any) -> dict[str, Any]:
    """Resize rule, crop, and the other plain settings of a network, as far as it tells them.

    Example:
        >>> input_settings(I3D("half_pixel", width=1 / 32))["resize_rule"]
        'half_pixel'
    """
    try:
        config = network.get_config()
    except NotImplementedError:  # a model of the user's that cannot be saved
        config = {}
    config = {name: value for name, value in config.items() if name not in _SAID_ELSEWHERE}
    return {
        "resize_rule": getattr(network, "resize_rule", None) or _UNKNOWN,
        "crop": getattr(network, "crop", _UNKNOWN),
        "settings": {name: _listed(value) for name, value in config.items() if _is_plain(value)},
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(entry, numbers.Number) for entry in value)
    return isinstance(value, numbers.Number | str)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
