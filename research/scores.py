"""The scores of the tables: Frechet distance through the shipped classifier, PSNR, right tokens, time."""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.commit.tasks import Task
from magvit_keras.metrics.frames import psnr
from magvit_keras.metrics.frechet import frechet_distance
from magvit_keras.metrics.shapes_network import shapes_classifier
from magvit_keras.metrics.video_scores import clip_features
from magvit_keras.model.magvit import Magvit

_BATCH = 32


class Judge:
    """Compares clips with the held-out clips, whose features it computes once.

    Args:
        clips: held-out clips (N, T, H, W, 3), uint8.
        tokenizer: of the models whose clips are judged; their clips are then also compared with its reconstructions of
            the held-out clips, the best that a transformer over its tokens can reach.
    """

    def __init__(self, clips: np.ndarray, tokenizer: Any = None):
        self.clips = clips.astype("float32") / 255
        self.network = shapes_classifier().features
        self.real = self.features(self.clips)
        if tokenizer is not None:
            made, self.tokens = reconstructed(tokenizer, clips)
            self.reconstructed = self.features(made)

    def features(self, clips: np.ndarray) -> np.ndarray:
        """What the shipped classifier sees in clips, (N, 64)."""
        return clip_features(clips, self.network, _BATCH)[0]

    def fvd(self, features: np.ndarray, real: np.ndarray | None = None) -> float:
        """Frechet distance through the shipped classifier; not comparable with published FVD."""
        with warnings.catch_warnings():
            # Few clips for 64 features: the distance is biased upwards, in all rows alike.
            warnings.simplefilter("ignore", UserWarning)
            return float(frechet_distance(self.real if real is None else real, features))

    def psnr(self, made: np.ndarray) -> float:
        """dB, mean over the frames of all clips."""
        return float(np.mean(ops.convert_to_numpy(psnr(self.clips, made))))


def generation_scores(magvit: Magvit, task: str | Task, clips: dict, judge: Judge, **options: Any) -> dict[str, float]:
    """Scores of the clips that a model makes for a task out of held-out clips.

    Args:
        magvit: the model.
        task: a name, or a `Task` with the prompt of another.
        clips: "video" and "label" of the held-out clips.
        judge: of the same clips and of the model's tokenizer.
        options: of `magvit.generate`.

    Returns:
        "fvd", to the held-out clips; "fvd_tokens", to the tokenizer's reconstructions of them; "psnr" (dB, whole clip);
        "accuracy", percent of the tokens that are the true clip's.
    """
    made = magvit.generate(
        task, video=clips["video"], label=clips["label"], max_batch_size=_BATCH, return_details=True, **options
    )
    features = judge.features(made.video)
    return {
        "fvd": judge.fvd(features),
        "fvd_tokens": judge.fvd(features, judge.reconstructed),
        "psnr": judge.psnr(made.video),
        "accuracy": 100 * float((made.tokens == judge.tokens).mean()),
    }


def reconstructed(tokenizer: Any, video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a tokenizer makes of clips, (N, T, H, W, 3) in [0, 1], and their tokens; in parts of one shape."""
    made, tokens = [], []
    for start in range(0, len(video), _BATCH):
        part = video[start : start + _BATCH]
        ids = tokenizer.encode(np.concatenate([part, np.repeat(part[-1:], _BATCH - len(part), axis=0)]))
        tokens.append(ops.convert_to_numpy(ids)[: len(part)])
        made.append(np.clip(ops.convert_to_numpy(tokenizer.decode(ids))[: len(part)], 0, 1))
    return np.concatenate(made), np.concatenate(tokens)


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
