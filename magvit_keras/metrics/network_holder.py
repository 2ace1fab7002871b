"""What the Keras metrics that look through a network share."""

from typing import Any

import keras


class NetworkHolder:
    """Keeps a network for a metric. A config holds its architecture without weights, and the metric then says so."""

    def _hold(self, network: keras.Model | None) -> None:
        if network is not None and not isinstance(network, keras.Layer):
            raise ValueError(f"network must be a keras.Model; received {type(network).__name__}.")
        self._network = network
        self._needs_weights = False

    @property
    def network(self) -> keras.Model | None:
        """The model that the metric looks through; None where features come in."""
        return self._network

    @network.setter
    def network(self, network: keras.Model | None) -> None:
        self._hold(network)

    def _check_weights(self) -> None:
        if self._needs_weights:
            raise ValueError(
                f"{self.name} was made from a config, which holds its network without weights: random ones would give "
                "wrong numbers in silence. Set `metric.network` to the network with its weights."
            )

    def get_config(self) -> dict:
        """Every constructor argument; of the network its architecture, not its weights."""
        network = None if self._network is None else keras.saving.serialize_keras_object(self._network)
        return {"name": self.name, "dtype": self.dtype, "network": network}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """The metric of that config; a network with weights must be set again before use."""
        network = config.get("network")
        network = None if network is None else keras.saving.deserialize_keras_object(network)
        metric = cls(**{**config, "network": network})
        metric._needs_weights = bool(network is not None and network.weights)
        return metric
