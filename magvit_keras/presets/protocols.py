"""Evaluation protocols (App. B.3), as plain data: which clips, how many samples, which decoding, which measures.

`magvit-keras evaluate` runs one. What the paper leaves open is taken from the authors' configurations.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magvit_keras.commit.tasks import TASKS
from magvit_keras.presets.recipes import RECIPES, Decoding

#: Windows that have a name; any others are a number of them.
WINDOWS = ("random", "first", "centre")


@dataclasses.dataclass(frozen=True)
class RealClips:
    """Which clips of a data set are the real ones.

    Args:
        split: of the reader; None where it has none.
        windows: "random" (drawn anew for every sample, as in training), "first", "centre", or how many are spread
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
        tries: PSNR, SSIM and LPIPS are those of the best of so many samples for each real clip.
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
_EIGHT = tuple(task.name for task in TASKS.values() if not task.needs_class)
_CG, _FP, _FI = ("class_conditional_generation",), ("frame_prediction",), ("frame_interpolation",)
_64 = (16, 64, 64)
_50K = 50_000
# Table 1, beside the FVD that the recipes hold.
_INCEPTION = {"ucf101-cg-base": 83.55, "ucf101-cg-large": 89.27}

_UCF101 = {
    "data_format": "ucf101",
    "clips": RealClips("train", "random"),
    "reader": {"fold": 1},
    "videos": 9_537,
    "folds": 4,
}
_BAIR = {"data_format": "bair", "video_shape": _64, "reader": {"camera": "image_aux1"}, "videos": 256}
_ALL_OF_BAIR = {**_BAIR, "clips": RealClips("test", 15)}
_K600 = {"data_format": "kinetics600", "clips": RealClips("validation", 2, 3)}
_SSV2 = {"data_format": "ssv2", "clips": RealClips("validation", 2)}
_NUSCENES = {
    "data_format": "nuscenes",
    "clips": RealClips("validation", 16, 3),
    "reader": {"video_frames": 32},
}
_OBJECTRON = {"data_format": "objectron", "clips": RealClips("test", 5)}
# The list of the videos held out is the user's own: `--reader table=...`.
_WEB = {"data_format": "web", "clips": RealClips(None)}

_SHAPES_RECIPE = RECIPES["moving-shapes-mt10-tiny"]
_SHAPES_VIDEOS = 1024
_MOVING_SHAPES = {
    "data_format": "moving_shapes",
    "clips": RealClips("test"),
    "video_shape": _SHAPES_RECIPE.video_shape,
    "videos": _SHAPES_VIDEOS,
    "reader": {**_SHAPES_RECIPE.reader, "num_clips": _SHAPES_VIDEOS},
    "extractor": "shapes",
}


def _reconstruction(key: str, about: dict, samples: int | None = None, **other: Any) -> Protocol:
    given = {"folds": 1, "metrics": _RECONSTRUCTION, "samples": samples, **about, **other}
    return Protocol(name=f"{key}_reconstruction", **given)


def _generation(name: str, about: dict, samples: int, folds: int, tasks: tuple[str, ...], **other: Any) -> Protocol:
    given = {"metrics": ("fvd",), "decoding": Decoding(), **about, "samples": samples, "folds": folds, "tasks": tasks}
    return Protocol(name=name, **{**given, **other})


_ROWS = (
    _reconstruction("ucf101", _UCF101),
    _reconstruction("bair", _ALL_OF_BAIR),
    _reconstruction("k600", _K600, _50K),
    _reconstruction("ssv2", _SSV2, _50K),
    _reconstruction("nuscenes", _NUSCENES),
    _reconstruction("objectron", _OBJECTRON),
    _reconstruction("web", _WEB, _50K),
    _reconstruction(
        "moving_shapes", _MOVING_SHAPES, metrics=("fvd", "psnr", "ssim", "accuracy", "codebook_use", "perplexity")
    ),
    _generation("ucf101_cg", _UCF101, 10_000, 4, _CG, metrics=("fvd", "is")),
    _generation(
        "bair_fp",
        {**_BAIR, "clips": RealClips("test", "first")},
        25_600,
        4,
        _FP,
        num_condition_frames=1,
        decoding=Decoding(schedule="exp", temperature=400.0),
        metrics=("fvd", "psnr", "ssim", "lpips"),
        tries=100,
    ),
    _generation("bair_fp_debiased", _ALL_OF_BAIR, 3_840, 1, _FP, num_condition_frames=1),
    _generation(
        "k600_fp",
        _K600,
        _50K,
        4,
        _FP,
        num_condition_frames=5,
        decoding=Decoding(schedule="uniform", temperature=7.5),
        measured_size=(64, 64),
    ),
    _generation("bair_mt8", _ALL_OF_BAIR, 25_600, 1, _EIGHT),
    _generation("ssv2_mt10", _SSV2, _50K, 4, tuple(TASKS), class_clips=RealClips("train", "random")),
    _generation("nuscenes_fp", _NUSCENES, _50K, 4, _FP),
    _generation("objectron_fi", _OBJECTRON, _50K, 4, _FI),
    _generation("web_mt8", _WEB, _50K, 1, _EIGHT),
    _generation("moving_shapes_mt10", _MOVING_SHAPES, _SHAPES_VIDEOS, 1, tuple(TASKS), metrics=("fvd", "accuracy")),
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
