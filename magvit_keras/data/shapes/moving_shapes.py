"""Moving Shapes: textured shapes that move over a textured background, rendered from a seed."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from magvit_keras.data.arguments import check_choice, check_clip_shape, check_count
from magvit_keras.data.shapes import drawing as draw
from magvit_keras.data.shapes.grid import render_on_grid, scenes
from magvit_keras.data.shapes.scene import render
from magvit_keras.data.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

SPLITS = ("train", "validation", "test")
MOTIONS = ("left_right", "up_down", "diagonal", "orbit", "spin", "pulse")
LOOKS = ("textured", "plain", "grid")


class MovingShapes(Source):
    """Procedural video clips: the built-in data set, which needs no download.

    Each clip shows one large textured shape that moves in one way over a textured background that drifts; in most
    clips a bar or a second, smaller shape passes over it. The class is shape x motion: `star_orbit`, `ring_spin`, ...
    Shapes are anti-aliased, bounce at the borders, turn and change size. A clip depends on `(seed, split, index)`,
    `shapes`, `motions`, `occlusion`, `texture` and `look` alone; a longer clip begins with the frames of the shorter
    one. With `look="plain"` nothing drifts, and colours are few: clips that a small model learns soon; with
    `look="grid"` places, speeds and phases are few as well.

    Args:
        num_clips: the number of clips. Classes take turns, so that they are equally frequent.
        num_frames: T, 1 or more.
        size: `(height, width)` in pixels, at least 8; an int for squares.
        seed: a non-negative int; another seed gives other clips.
        split: `"train"`, `"validation"` or `"test"`: sets of clips that have nothing in common.
        shapes: some of circle, square, triangle, star, ring, cross.
        motions: some of left_right, up_down, diagonal, orbit, spin, pulse.
        occlusion: the part of the clips, 0 to 1, in which something passes over the shape; 0.7 by default, and 0 with
            the plain look. In the grid look nothing does.
        texture: contrast of the textures, 0 to 1, by default 1; with 0 shapes and backgrounds show light and shade
            alone. The other looks have none.
        look: `"textured"`, or `"plain"`: one flat colour behind the shape, hues out of eight, faint stripes that show
            how the shape turns, a soft outline and no shadow; or `"grid"`: one of four sets of flat colours, a shape of
            two halves, upright and of one size unless it spins or pulses; it starts on a grid of an eighth of the
            frame, orbits and spins in the middle, and moves two cells in four frames. Each scene belongs to one split.

    Raises:
        ValueError: an argument is out of range or names an unknown split, shape, motion or look.

    Example:
        >>> from magvit_keras.data import MovingShapes
        >>> clips = MovingShapes(8, num_frames=4, size=(32, 32))
        >>> clips[0]["video"].shape, str(clips[0]["video"].dtype)
        ((4, 32, 32, 3), 'uint8')
        >>> clips.class_names[:2], clips.num_classes
        (['circle_left_right', 'circle_up_down'], 36)
    """

    def __init__(
        self,
        num_clips: int,
        num_frames: int = 16,
        size: tuple[int, int] = (64, 64),
        seed: int = 0,
        split: str = "train",
        shapes: Sequence[str] = tuple(draw.SHAPES),
        motions: Sequence[str] = MOTIONS,
        occlusion: float | None = None,
        texture: float | None = None,
        look: str = "textured",
    ):
        self.num_clips = check_count("num_clips", num_clips)
        self.num_frames, self.size = check_clip_shape(num_frames, size)
        check_choice("split", split, SPLITS)
        check_choice("look", look, LOOKS)
        if look != "textured" and texture:
            raise ValueError(f"texture={texture!r}: the {look} look has none; expected None, 0 or look='textured'")
        if look == "grid" and occlusion:
            raise ValueError(f"occlusion={occlusion!r}: nothing passes over in the grid look; expected None or 0")
        occlusion = (0.7 if look == "textured" else 0.0) if occlusion is None else occlusion
        texture = (1.0 if look == "textured" else 0.0) if texture is None else texture
        for name, value in (("occlusion", occlusion), ("texture", texture)):
            if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r}: expected a number from 0 to 1")
        self.seed, self.split_name, self.look = check_count("seed", seed, 0), split, look
        self.occlusion, self.texture = float(occlusion), float(texture)
        self.shapes, self.motions = _names("shapes", shapes, draw.SHAPES), _names("motions", motions, MOTIONS)
        # Classes take turns in a shuffled order: even a small set shows several shapes and motions.
        self._turns = np.random.default_rng(len(self.class_names)).permutation(len(self.class_names))

    def __len__(self) -> int:
        return self.num_clips

    @property
    def class_names(self) -> list[str]:
        """Shape x motion, the shape first."""
        return [f"{shape}_{motion}" for shape in self.shapes for motion in self.motions]

    def read(self, index: int, epoch: int = 0) -> dict:
        """Renders one clip, the same in every epoch."""
        label = int(self._turns[index % len(self._turns)])
        shape, motion = self.shapes[label // len(self.motions)], self.motions[label % len(self.motions)]
        seed = [self.seed, SPLITS.index(self.split_name), index]
        if self.look == "grid":
            found = scenes(self.split_name, shape, motion)
            scene = found[np.random.default_rng(seed).integers(len(found))]
            return {"video": render_on_grid(scene, shape, motion, self.num_frames, self.size), "label": label}
        rng = np.random.default_rng(seed)
        texture = None if self.look == "plain" else self.texture
        video = render(rng, shape, motion, self.num_frames, self.size, self.occlusion, texture)
        return {"video": video, "label": label}

    def name(self, index: int) -> str:
        """Class and number: `star_orbit/train_00007`."""
        label = self._turns[index % len(self._turns)]
        return f"{self.class_names[label]}/{self.split_name}_{index:05d}"

    def write_videos(
        self, folder: str | os.PathLike, extension: str | Sequence[str] = "mp4", fps: float = 8, overwrite: bool = False
    ) -> list[pathlib.Path]:
        """Writes the clips as video files into class sub-folders, as `VideoFolder` reads them.

        Args:
            folder: made where it is missing.
            extension: one of mp4, mov, mkv (H.264), avi (XVID), webm (VP9), gif; or several, which then take turns.
            fps: frames per second.
            overwrite: writes files anew that are there already; otherwise they stay.

        Returns:
            The paths, in the order of the clips.
        """
        from magvit_keras.data.files.encode import check_extension, write_video

        extensions = [extension] if isinstance(extension, str) else list(extension)
        extensions = [check_extension(e) for e in extensions]
        paths = []
        for index in range(len(self)):
            path = pathlib.Path(folder) / f"{self.name(index)}.{extensions[index % len(extensions)]}"
            if overwrite or not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, self.read(index)["video"], fps)
            paths.append(path)
        return paths


def _names(argument: str, names: Sequence[str], known) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"{argument}={names}: expected different names out of {', '.join(known)}")
    return names
