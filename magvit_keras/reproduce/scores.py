"""The scores of the tables: Frechet distance through the shipped classifier, PSNR, right tokens, time."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.commit.tasks import Task
from magvit_keras.magvit import Magvit
from magvit_keras.metrics.frames import psnr
from magvit_keras.metrics.frechet import frechet_distance
from magvit_keras.metrics.shapes_network import shapes_classifier
from magvit_keras.metrics.video_scores import clip_features

_BATCH = 32


class Judge:
    """Compares clips with the held-out clips, whose features it computes once.

    Args:
        clips: held-out clips (N, T, H, W, 3), uint8.
    """

    def __init__(self, clips: np.ndarray):
        self.clips = clips.astype("float32") / 255
        self.network = shapes_classifier().features
        self.real = clip_features(self.clips, self.network, _BATCH)[0]

    def fvd(self, made: np.ndarray) -> float:
        """Frechet distance of made clips through the shipped classifier; not comparable with published FVD."""
        features = clip_features(made, self.network, _BATCH)[0]
        with warnings.catch_warnings():
            # Few clips for 64 features: the distance is biased upwards, in all rows alike.
            warnings.simplefilter("ignore", UserWarning)
            return float(frechet_distance(self.real, features))

    def psnr(self, made: np.ndarray) -> float:
        """dB, mean over the frames of all clips."""
        return float(np.mean(ops.convert_to_numpy(psnr(self.clips, made))))


def generation_scores(magvit: Magvit, task: str | Task, clips: dict, judge: Judge, **options: Any) -> dict[str, float]:
    """Scores of the clips that a model makes for a task out of held-out clips.

    Args:
        magvit: the model.
        task: a name, or a `Task` with the prompt of another.
        clips: "video" and "label" of the held-out clips.
        judge: of the same clips.
        options: of `magvit.generate`.

    Returns:
        "fvd", "psnr" (dB, whole clip) and "accuracy", percent of the tokens that are the true clip's.
    """
    made = magvit.generate(
        task, video=clips["video"], label=clips["label"], max_batch_size=_BATCH, return_details=True, **options
    )
    truth = true_tokens(magvit.tokenizer, clips["video"])
    right = float((made.tokens == truth).mean())
    return {"fvd": judge.fvd(made.video), "psnr": judge.psnr(made.video), "accuracy": 100 * right}


def true_tokens(tokenizer: Any, video: np.ndarray) -> np.ndarray:
    """Tokens of the clips themselves, encoded in parts."""
    parts = [video[i : i + _BATCH] for i in range(0, len(video), _BATCH)]
    return np.concatenate([ops.convert_to_numpy(tokenizer.encode(part)) for part in parts])


def shortest(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds of the shortest of `repeats` calls after a first one: by the clock, and of the processor.

    Processor time counts all threads, and does not count what other programs on the machine take.
    """
    call()
    clock, processor = [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    return min(clock), min(processor)
