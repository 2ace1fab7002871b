"""What presets there are, as a table; no Keras is loaded for it."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from magvit_keras.presets.estimates import discriminator_cost, tokenizer_cost, transformer_cost
from magvit_keras.presets.resolver import TABLES

COLUMNS = ("name", "class", "clip", "parameters", "weights", "MB", "score")


def list_presets(weights: bool = False) -> list[dict[str, Any]]:
    """The built-in presets.

    Args:
        weights: only those that come with weights.

    Returns:
        A row for each: "name", "class", "clip" ("16x64x64", or "by 4x8x8" where any size does that divides by it),
        "parameters" (None where they are not known without making the model), "weights" (True where the preset comes
        with trained ones), "MB" of these, "score" (PSNR of reconstructed clips in dB) and "description".

    Example:
        >>> [row["name"] for row in list_presets(weights=True) if row["class"] == "Magvit"][0]
        'magvit_tiny_moving_shapes'
    """
    rows = [_row(kind, name, entry) for kind, table in TABLES.items() for name, entry in table.items()]
    return [row for row in rows if row["weights"] or not weights]


def downsampling_of(config: Mapping[str, Any], rank: int) -> tuple[int, ...] | None:
    """Pixels of a token along each axis, from a tokenizer's arguments; None where they do not tell.

    Example:
        >>> from magvit_keras.presets.tokenizers import VIDEO_TOKENIZERS
        >>> downsampling_of(VIDEO_TOKENIZERS["3dvq_base_ucf101"]["config"], rank=3)
        (4, 8, 8)
    """
    multipliers, halved = config.get("channel_multipliers"), config.get("temporal_downsample", ())
    if not isinstance(multipliers, tuple | list) or (rank == 3 and len(halved) < len(multipliers) - 1):
        return None
    levels = len(multipliers) - 1
    by = (2 ** sum(map(bool, halved[:levels])), 2**levels, 2**levels)[-rank:]
    return tuple(a * b for a, b in zip(by, config.get("wavelet") or (1,) * rank, strict=True))


def _row(kind: str, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    config, shipped = entry["config"], bool(entry.get("shipped"))
    folder = _shipped_folder(name) if shipped else None
    told = json.loads((folder / "training.json").read_text()) if folder else {}
    return {
        "name": name,
        "class": kind,
        "clip": _clip(kind, config),
        "parameters": _parameters(kind, config),
        "weights": shipped,
        "MB": round((folder / "model.weights.h5").stat().st_size / 1e6, 1) if folder else None,
        "score": told.get("psnr_db"),
        "description": entry["description"],
    }


def _shipped_folder(name: str) -> pathlib.Path | None:
    folder = pathlib.Path(__file__).with_name("shipped") / name
    return folder if (folder / "model.weights.h5").is_file() and (folder / "training.json").is_file() else None


def _clip(kind: str, config: Mapping[str, Any]) -> str:
    if kind == "Magvit":
        by = downsampling_of(config["tokenizer"]["config"], 3)
        latent = config["transformer"]["config"]["latent_shape"]
        return "x".join(str(n * each) for n, each in zip(latent, by, strict=True)) if by else ""
    if "Tokenizer" in kind:
        by = downsampling_of(config, 3 if kind == "VideoTokenizer" else 2)
        return f"by {'x'.join(map(str, by))}" if by else ""
    shape = config.get("video_shape") or config.get("image_shape") or config.get("latent_shape")
    return "x".join(map(str, shape)) + (" tokens" if "latent_shape" in config else "")


def _parameters(kind: str, config: Mapping[str, Any]) -> int | None:
    if kind == "Magvit":
        tokenizer = _parameters("VideoTokenizer", config["tokenizer"]["config"])
        return tokenizer and tokenizer + transformer_cost(config["transformer"]["config"]).parameters
    if "Tokenizer" in kind:
        by = downsampling_of(config, 3 if kind == "VideoTokenizer" else 2)
        known = by is not None and config.get("quantizer", "vq") in ("vq", "vq_ema")
        return tokenizer_cost(config, by).parameters if known else None
    return (transformer_cost if kind == "MaskedTransformer" else discriminator_cost)(config).parameters
