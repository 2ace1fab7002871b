"""What a training run reads: the clips to train on, and those held out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magvit_keras.data import Source, Subset, UnreadableVideo, VideoFolder
from magvit_keras.training.steps import check_clip
from magvit_keras.training.tokens import names_digest

if TYPE_CHECKING:
    from magvit_keras.training.train import Settings


def open_run_data(
    data: str | os.PathLike | Source, settings: Settings, noted: Mapping[str, Any] | None = None
) -> tuple[Source, Source, dict[str, Any]]:
    """The clips to train on, those held out, and what a run notes of them.

    That is "left_out", the names of those that are in neither part, and "clips", the number and names of the others.

    A new run leaves out what cannot be read. One that goes on leaves out what it left out when it began, so that its
    parts stay as they were, whatever has been mended since.

    Args:
        data: a folder of videos, or any `Source`.
        settings: of the run.
        noted: what the run noted when it began; None for a new one.

    Raises:
        ValueError: none of the videos can be read, or none of those held out; clips are not of the run's size; or they
            are not those that the run began with.
        FileNotFoundError: no videos.
    """
    if not isinstance(data, Source):
        data = VideoFolder(
            data,
            num_frames=settings.num_frames,
            size=(settings.height, settings.width),
            frame_stride=settings.frame_stride,
            horizontal_flip=settings.horizontal_flip,
            seed=settings.seed,
        )
        report = data.scan()
        if report.unreadable:
            print(report)
        if not report.readable:
            raise ValueError(f"None of the {len(data)} videos can be read; the list above says why.")
    # A run of an older version left nothing out: it read the next video in place of a broken one.
    left_out = list(data.unreadable) if noted is None else noted.get("left_out", [])
    if left_out:
        names = set(left_out)
        data = Subset(data, [index for index in range(len(data)) if data.name(index) not in names])
    if len(data) < 2:
        training, held_out = data, data.for_evaluation()
    else:
        training, held_out = data.split(settings.held_out, seed=settings.seed)
    clips = {"count": len(data), "names": names_digest(data)}
    before = clips if noted is None else noted.get("clips", clips)
    if before != clips:
        names = " of other names" if before["count"] == clips["count"] else ""
        raise ValueError(
            f"The run began with {before['count']} videos, and now {clips['count']} are there{names}. Others would be "
            "held out, some of which it was trained on. Put back what was there, or train further on all of them in a "
            "new run: --from and this run's folder (Settings.start_from)."
        )
    try:
        # They are needed after the first stage, which is late to learn that there are none.
        video = held_out[0]["video"]
    except UnreadableVideo as error:
        raise ValueError(
            f"The held-out clips cannot be read, for example {error.path}: {error.reason}. "
            "Put a readable video in the place of that file."
        ) from error
    advice = "give both the same (num_frames, height and width; --frames and --size)"
    check_clip(video, (settings.num_frames, settings.height, settings.width), advice)
    return training, held_out, {"left_out": left_out, "clips": clips}
