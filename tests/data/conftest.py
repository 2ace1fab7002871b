"""A small folder of real videos, made once."""

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, write_video

FORMATS = ("mp4", "avi", "webm", "mov", "gif")


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Two classes, ten videos of 20 frames, 24 x 32 pixels, every format twice."""
    folder = tmp_path_factory.mktemp("videos")
    clips = MovingShapes(10, 20, (24, 32), shapes=["circle", "star"], motions=["diagonal"])
    clips.write_videos(folder, FORMATS)
    return folder


@pytest.fixture
def broken(tmp_path):
    """Six videos; the second is cut in half and the fourth holds no video at all."""
    paths = MovingShapes(6, 20, (24, 32), shapes=["ring"], motions=["spin"]).write_videos(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[: paths[1].stat().st_size // 2])
    paths[3].write_bytes(b"not a video")
    return tmp_path


@pytest.fixture(scope="session")
def psnr():
    """Peak signal-to-noise ratio of two uint8 arrays, in decibels."""
    return lambda a, b: 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b) ** 2), 1e-9))


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """The bytes of one video of 12 frames, 24 x 32 pixels, by ending: XVID avi, VP9 webm, H.264 mp4 and mov."""
    folder, clip = tmp_path_factory.mktemp("sample"), MovingShapes(1, 12, (24, 32))[0]["video"]
    endings = ("avi", "webm", "mp4", "mov")
    files = {ending: write_video(folder / f"v.{ending}", clip).read_bytes() for ending in endings}
    return {**files, "clip": clip}


@pytest.fixture
def put(tmp_path):
    """Writes files below the test's folder: `put({"a/b.txt": text or bytes})`; returns the folder."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return write
