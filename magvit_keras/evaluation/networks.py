"""The networks behind the measures of a protocol, found before any long work, and what a report says of them."""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import keras

from magvit_keras.convert import load_c3d, load_i3d, load_lpips
from magvit_keras.convert.metric_weights import note_source
from magvit_keras.metrics.descriptions import distance_name, input_settings, is_published_i3d
from magvit_keras.training.tokens import architecture_digest, fingerprint

#: Extractors of the Frechet distance that have a name; anything else is a file.
EXTRACTORS = {
    "i3d": "I3D with the public Kinetics-400 weights: FVD",
    "shapes": "the classifier of Moving Shapes that comes with the package: shapes-FVD",
}


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks that a protocol's metrics need; None for those that it does not need.

    Args:
        distance: clips -> features (batch, D), for the Frechet distance.
        inception: clips -> logits, for the Inception Score.
        lpips: two batches of clips -> one distance per frame.
        classifier: clips -> logits, with `class_names`, for the accuracy.
    """

    distance: keras.Model | None = None
    inception: keras.Model | None = None
    lpips: Any = None
    classifier: Any = None

    @property
    def distance_name(self) -> str:
        """What the Frechet distance is called: FVD for the published I3D alone."""
        return distance_name(self.distance, "FVD", "Frechet distance")

    @property
    def is_published_i3d(self) -> bool:
        """Whether the distance is one that published ones compare with."""
        return is_published_i3d(self.distance)

    def description(self) -> dict[str, Any]:
        """Name, checksum and resize rule of each."""
        return {
            field.name: describe_network(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is not None
        }


def load_networks(
    metrics: tuple[str, ...],
    extractor: str | os.PathLike | keras.Model = "i3d",
    resize_rule: str | None = None,
    files: Mapping[str, str | os.PathLike | None] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Networks:
    """Loads what the metrics need.

    Args:
        metrics: names in `METRICS`.
        extractor: one of `EXTRACTORS`, a `.keras` file, a file of I3D's weights, or a model.
        resize_rule: of I3D; None is "tf1".
        files: weight files under "c3d", "c3d_mean", "lpips" and "lpips_heads"; environment variables by default, see
            `convert.load_c3d` and `convert.load_lpips`.
        given: models to take instead, by the names of `Networks`.

    Raises:
        FileNotFoundError: weights are not there; the message says where to get them, and how to do without.
        ValueError: other weights, or a rule for a network that has none.
    """
    files, given = dict(files or {}), dict(given or {})
    made = {name: given.get(name) for name in ("distance", "inception", "lpips", "classifier")}
    try:
        if "fvd" in metrics and made["distance"] is None:
            made["distance"] = load_extractor(extractor, resize_rule)
        if "is" in metrics and made["inception"] is None:
            made["inception"] = load_c3d(files.get("c3d"), files.get("c3d_mean"))
        if "lpips" in metrics and made["lpips"] is None:
            made["lpips"] = load_lpips(files.get("lpips"), files.get("lpips_heads"))
    except FileNotFoundError as error:
        others = " ".join(f"--metric {name}" for name in metrics)
        message = f"{error}\nThe metrics of this evaluation are {others}: name those that you want to have some only."
        raise FileNotFoundError(message) from None
    if "accuracy" in metrics and made["classifier"] is None:
        made["classifier"] = _shapes_classifier()
    needed = {"distance": "fvd", "inception": "is", "lpips": "lpips", "classifier": "accuracy"}
    return Networks(**{name: model for name, model in made.items() if needed[name] in metrics})


def load_extractor(extractor: str | os.PathLike | keras.Model, resize_rule: str | None = None) -> keras.Model:
    """The network of the Frechet distance; see `load_networks`."""
    if resize_rule is not None and (isinstance(extractor, keras.Model) or str(extractor) == "shapes"):
        raise ValueError(f"resize_rule={resize_rule!r} is a choice of I3D; this network has its own.")
    if isinstance(extractor, keras.Model):
        return extractor
    if str(extractor) == "shapes":
        return _shapes_classifier().features
    if str(extractor) == "i3d":
        return load_i3d(resize_rule=resize_rule or "tf1")
    path = pathlib.Path(extractor)
    if path.suffix != ".keras":
        if not path.exists():
            known = ", ".join(EXTRACTORS)
            raise FileNotFoundError(f"No extractor {str(extractor)!r}: expected {known}, or a file that is there.")
        return load_i3d(path, resize_rule or "tf1")
    if resize_rule is not None:
        raise ValueError(f"resize_rule={resize_rule!r} is a choice of I3D; {path.name} has its own.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged, or no model that Keras saved: a .keras file is a zip.")
    model = keras.saving.load_model(path, compile=False)
    note_source(model, network=path)
    return model


def describe_network(network: Any) -> dict[str, Any]:
    """Name, checksums of weights, of their files where they are known, and of the architecture, and settings."""
    return {
        "name": network.name,
        "weights_sha256": fingerprint(network, weights_only=True),
        "architecture_sha256": architecture_digest(network),
        "files": getattr(network, "weights_source", None) or "unknown: not loaded by this library",
        **input_settings(network),
    }


def _shapes_classifier() -> Any:
    from magvit_keras.metrics import shapes_classifier

    return shapes_classifier()
