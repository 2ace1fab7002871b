"""Moving MNIST: 10,000 videos of two digits that bounce about, 20 frames, 64x64."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from magvit_keras.data.clip_source import ClipSource, StoredVideo
from magvit_keras.data.files.images import ArrayVideo
from magvit_keras.data.readers.record_videos import PreparedVideos, prepared_folder

FILE = "mnist_test_seq.npy"
_MAGIC = b"\x93NUMPY\x01\x00"  # later versions allow headers of gigabytes


class MovingMNIST(ClipSource):
    """Moving MNIST, as its authors publish it or as TensorFlow Datasets prepares it; which one is found out.

        ROOT/mnist_test_seq.npy                          uint8 (20, 10000, 64, 64), or
        ROOT/moving_mnist/1.0.0/moving_mnist-test.tfrecord-...

    There is one split, which the authors call "test"; `split(0.1)` holds out a part. Grey is repeated in three
    channels.

    Args:
        root: the folder, or the .npy file itself.
        size: (height, width) of a clip in pixels.
        **clips: how clips are cut out, see `ClipSource`.

    Raises:
        FileNotFoundError: neither form is in the folder.
        ValueError: the array is of another type or shape or cut off, or an argument is out of range.

    Example:
        >>> import numpy as np, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> np.save(f"{folder}/mnist_test_seq.npy", np.zeros((20, 3, 64, 64), np.uint8))
        >>> clips = MovingMNIST(folder)
        >>> len(clips), clips[0]["video"].shape
        (3, (16, 64, 64, 3))

    Reference:
        Srivastava et al., Unsupervised Learning of Video Representations using LSTMs (arXiv 1502.04681).
    """

    class_names = ("digits",)

    def __init__(self, root: str | os.PathLike, size: tuple[int, int] = (64, 64), **clips: Any):
        clips = {"size": size, **clips}
        super().__init__(**clips)
        root = pathlib.Path(root)
        self._path = root if root.is_file() else root / FILE
        self._prepared = self._mapped = None
        if self._path.is_file():
            self._count = self._array().shape[1]
            return
        folder = prepared_folder(root, "moving_mnist", "test")
        if folder is None:
            raise FileNotFoundError(f"neither {FILE} nor moving_mnist/<version>/ is in {root}")
        self._prepared = PreparedVideos(folder, "test", "image_sequence", label=None, **clips)
        self._count = self._prepared.num_videos

    @property
    def num_videos(self) -> int:
        """The number of videos."""
        return self._count

    def open_video(self, video: int) -> StoredVideo:
        """The pixels of one video, mapped and not loaded as a whole."""
        return ArrayVideo(self._array()[:, video]) if self._prepared is None else self._prepared.open_video(video)

    def _array(self) -> np.ndarray:
        if self._mapped is None:
            with open(self._path, "rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise ValueError(f"{self._path} is no .npy file of version 1.0")
            try:
                array = np.load(self._path, mmap_mode="r", allow_pickle=False)
            except Exception as error:  # NumPy's parser of headers raises errors of many kinds
                raise ValueError(f"{self._path} is damaged: {error}") from None
            if array.dtype != np.uint8 or array.ndim != 4 or 0 in array.shape:
                raise ValueError(f"{self._path}: expected uint8 (20, N, 64, 64), found {array.dtype} {array.shape}")
            self._mapped = array
        return self._mapped

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_mapped": None}  # a mapped array would be sent to workers as a copy of the file
