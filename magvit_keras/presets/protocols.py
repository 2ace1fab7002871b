"""Evaluation protocols (App. B.3), as plain data: which clips, how many samples, which decoding, which measures.

`magvit-keras evaluate` runs one. What the paper leaves open is taken from the authors' configurations.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magvit_keras.presets.recipes import RECIPES, Decoding

#: Windows that have a name; any others are a number of them.
WINDOWS = ("random", "first", "centre")


@dataclasses.dataclass(frozen=True)
class RealClips:
    """Which clips of a data set are the real ones.

    Args:
        split: of the reader; None where it has none.
        windows: "random" (another one for every sample, as in training), "first", "centre", or how many are spread
            evenly over a video.
        crops: 1 for the centre, or how many are spread along the longer side; random windows have random crops.
    """

    split: str | None
    windows: int | str = "centre"
    crops: int = 1


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a model is measured on one data set: a row of App. B.3.

    Args:
        name: as in `PROTOCOLS`.
        data_format: name in `magvit_keras.data.readers.formats.FORMATS`, or "moving_shapes", which needs no files.
        clips: the real clips; conditions and labels are taken from them.
        samples: generated (or reconstructed) clips of a fold; None is one for each real clip.
        folds: repetitions with other samples, whose scores are averaged.
        metrics: names in `magvit_keras.evaluation.METRICS`.
        tasks: what is generated; none for reconstruction.
        decoding: how tokens are decoded; None for reconstruction.
        guidance_scale: classifier-free guidance.
        decoder: one of `generation.DECODERS` (Table 6); None for the one that the model was trained for.
        num_condition_frames: given frames of frame prediction; None for the task's own number.
        tries: PSNR, SSIM and LPIPS are those of the best of this many samples for each real clip.
        video_shape: (T, H, W) that the model makes.
        measured_size: (height, width) to which clips are resized before they are measured; None as they are.
        frame_stride: every how many frames of a video one is taken.
        videos: how many the paper has there, where it is known exactly.
        reader: further arguments of the reader.
        class_clips: the real clips of class-conditional generation, where they are others.
        extractor: network of the Frechet distance, see `magvit_keras.evaluation.load_networks`.

    Example:
        >>> protocol = get_protocol("bair_fp")
        >>> protocol.samples, protocol.folds, protocol.clips.windows, protocol.decoding.schedule
        (25600, 4, 'first', 'exp')

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3.
    """

    name: str
    data_format: str
    clips: RealClips
    samples: int | None
    folds: int
    metrics: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    decoding: Decoding | None = None
    guidance_scale: float = 0.0
    decoder: str | None = None
    num_condition_frames: int | None = None
    tries: int = 1
    video_shape: tuple[int, int, int] = (16, 128, 128)
    measured_size: tuple[int, int] | None = None
    frame_stride: int = 1
    videos: int | None = None
    reader: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    class_clips: RealClips | None = None
    extractor: str = "i3d"

    @property
    def kind(self) -> str:
        """Which of the two it is: "generation" or "reconstruction"."""
        return "generation" if self.tasks else "reconstruction"

    def paper_scores(self, metric: str) -> dict[str, float]:
        """The paper's scores by this protocol, {recipe: value}."""
        if metric == "is":
            return {name: value for name, value in _INCEPTION.items() if RECIPES[name].evaluation == self.name}
        evaluation = self.name.removesuffix("_debiased")
        key = "fvd_debiased" if self.name.endswith("_debiased") else "fvd"
        recipes = [recipe for recipe in RECIPES.values() if recipe.evaluation == evaluation]
        return {recipe.name: recipe.score[key] for recipe in recipes if metric == "fvd" and key in recipe.score}


_RECONSTRUCTION = ("fvd", "psnr", "ssim", "lpips", "codebook_use", "perplexity")
_50K = 50_000
# Table 1, beside the FVD that the recipes hold.
_INCEPTION = {"ucf101-cg-base": 83.55, "ucf101-cg-large": 89.27}

_UCF101 = {"clips": RealClips("train", "random"), "reader": {"fold": 1}, "videos": 9_537, "folds": 4}
_BAIR = {"clips": RealClips("test", 15), "reader": {"camera": "image_aux1"}, "videos": 256}
_K600 = {"clips": RealClips("validation", 2, 3), "samples": _50K}
_SSV2 = {"clips": RealClips("validation", 2), "samples": _50K}
_NUSCENES = {"clips": RealClips("validation", 16, 3), "reader": {"video_frames": 32}}
_OBJECTRON = {"clips": RealClips("test", 5)}
# The list of the videos held out is the user's own: `--reader table=...`.
_WEB = {"clips": RealClips(None), "samples": _50K}
_SHAPES_VIDEOS = 1024
_SHAPES = {
    "clips": RealClips("test"),
    "videos": _SHAPES_VIDEOS,
    "reader": {**RECIPES["moving-shapes-mt10-tiny"].reader, "num_clips": _SHAPES_VIDEOS},
    "extractor": "shapes",
}


def _protocol(name: str, about: Mapping[str, Any], like: str | None = None, **other: Any) -> Protocol:
    """The protocol of the recipes that name it, or another one, as theirs: what they say is not said again."""
    recipe = next(recipe for recipe in RECIPES.values() if recipe.evaluation == (like or name))
    shared = ("data_format", "tasks", "decoding", "num_condition_frames", "video_shape", "frame_stride")
    given = {field: getattr(recipe, field) for field in shared}
    given |= {"samples": None, "folds": 1, "metrics": ("fvd",) if recipe.tasks else _RECONSTRUCTION}
    return Protocol(name=name, **{**given, **about, **other})


_ROWS = (
    _protocol("ucf101_reconstruction", _UCF101),
    _protocol("bair_reconstruction", _BAIR),
    _protocol("k600_reconstruction", _K600),
    _protocol("ssv2_reconstruction", _SSV2),
    _protocol("nuscenes_reconstruction", _NUSCENES),
    _protocol("objectron_reconstruction", _OBJECTRON),
    _protocol("web_reconstruction", _WEB),
    _protocol(
        "moving_shapes_reconstruction",
        _SHAPES,
        metrics=("fvd", "psnr", "ssim", "accuracy", "codebook_use", "perplexity"),
    ),
    _protocol("ucf101_cg", _UCF101, samples=10_000, metrics=("fvd", "is")),
    _protocol(
        "bair_fp",
        _BAIR,
        clips=RealClips("test", "first"),
        samples=25_600,
        folds=4,
        num_condition_frames=1,
        metrics=("fvd", "psnr", "ssim", "lpips"),
        tries=100,
    ),
    _protocol("bair_fp_debiased", _BAIR, like="bair_fp", samples=3_840, num_condition_frames=1, decoding=Decoding()),
    _protocol("k600_fp", _K600, folds=4, measured_size=(64, 64)),
    _protocol("bair_mt8", _BAIR, samples=25_600),
    _protocol("ssv2_mt10", _SSV2, folds=4, class_clips=RealClips("train", "random")),
    _protocol("nuscenes_fp", _NUSCENES, samples=_50K, folds=4),
    _protocol("objectron_fi", _OBJECTRON, samples=_50K, folds=4),
    _protocol("web_mt8", _WEB),
    _protocol("moving_shapes_mt10", _SHAPES, samples=_SHAPES_VIDEOS, metrics=("fvd", "accuracy")),
)

#: name -> protocol
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ROWS}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: there is none; the message lists the known ones.

    Example:
        >>> get_protocol("k600_fp").measured_size
        (64, 64)
    """
    if name not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {name!r}; known protocols: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
