"""What is kept of clips, so that no clip is generated twice: features, logits and scores of each, in shards."""

import hashlib
import json
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.checks import to_float, to_numpy
from magvit_keras.commit.tasks import get_task
from magvit_keras.data.token_shards import TokenShards
from magvit_keras.decoding.noise import seed_from
from magvit_keras.evaluation.clips import Clips
from magvit_keras.evaluation.networks import Networks
from magvit_keras.evaluation.scores import PAIRED_METRICS
from magvit_keras.metrics import clip_features, psnr, resize, ssim
from magvit_keras.presets.protocols import Protocol

#: The rule by which clips are resized before they are measured: at half the size a mean of 2 x 2 pixels.
MEASURED_RULE = "half_pixel"
#: How `Magvit.generate` draws tokens, beside what a protocol says of decoding.
SAMPLING = {"token_temperature": 1.0, "top_k": None, "top_p": None, "keep_condition": False}


def open_shards(cache: str | os.PathLike, kind: str, description: dict[str, Any], passes: int, clips: int, size: int):
    """Shards in a folder whose name is a checksum of what they are of: others are never mixed in.

    Args:
        cache: where such folders lie.
        kind: begins the name of the folder.
        description: whatever decides about the numbers, as plain data.
        passes: how many times `clips` rows there will be.
        clips: rows of a pass.
        size: rows of a shard.
    """
    text = json.dumps({**description, "clips": clips, "shard_clips": size}, sort_keys=True)
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    shards = TokenShards(pathlib.Path(cache) / name)
    shards.describe(json.loads(text), passes, -(-clips // size))
    return shards


def real_shard(clips: Clips, networks: Networks, protocol: Protocol, batch_size: int) -> dict[str, np.ndarray]:
    """Features of real clips."""
    features = _features(networks.distance, measured(clips.video, protocol), batch_size)
    return {"features": features, "label": clips.labels, "replaced": clips.replaced.astype("uint8")}


def made_shard(
    made: dict[str, np.ndarray],
    clips: Clips,
    rows: np.ndarray,
    class_names: list[str] | None,
    networks: Networks,
    protocol: Protocol,
    batch_size: int,
) -> dict[str, np.ndarray]:
    """What is kept of samples.

    Args:
        made: what `generator` gave.
        clips: the real clips that they are made from.
        rows: (n,), the numbers of these among all real clips.
        class_names: the classes that labels count; None where no class was asked for.
        networks: what measures.
        protocol: settled.
        batch_size: clips measured at a time.
    """
    arrays = {"row": rows.astype("int64"), "label": clips.labels, "replaced": clips.replaced.astype("uint8")}
    if "tokens" in made and {"codebook_use", "perplexity"} & set(protocol.metrics):
        arrays["tokens"] = made["tokens"]
    video = measured(made["video"], protocol)
    if networks.distance is not None:
        arrays["features"] = _features(networks.distance, video, batch_size)
    if networks.inception is not None:
        arrays["logits"] = _features(networks.inception, video, batch_size)
    if networks.classifier is not None and class_names is not None:
        logits = _features(networks.classifier, video, batch_size)
        names = list(networks.classifier.class_names)
        expected = np.array([names.index(name) if name in names else -1 for name in class_names])[clips.labels]
        arrays["correct"] = (logits.argmax(axis=1) == expected).astype("uint8")
    if paired := paired_metrics(protocol):
        measures = {"psnr": psnr, "ssim": ssim, "lpips": networks.lpips}
        real = measured(clips.video, protocol)
        arrays |= {name: _of_pairs(measures[name], real, video, batch_size) for name in paired}
    return arrays


def paired_metrics(protocol: Protocol) -> list[str]:
    """The metrics that look at a sample and its real clip."""
    return [name for name in PAIRED_METRICS if name in protocol.metrics]


def sees_pixels(task: str, protocol: Protocol) -> bool:
    """Whether the pixels of the real clips are needed, or their classes alone."""
    return task == "reconstruction" or not get_task(task).is_unconditional or bool(paired_metrics(protocol))


def shows_class(task: str) -> bool:
    """Whether the class of the real clip is one that the made clip should show."""
    return task == "reconstruction" or get_task(task).needs_class


def given_frames(model: Any, protocol: Protocol) -> dict[str, int]:
    """How many frames of a clip are given, for each task that gives whole frames: the protocol's or the model's own."""
    tasks = [(name, get_task(model.tasks.get(name, name))) for name in protocol.tasks]
    frames = {name: _frames_of(protocol, name) or task.num_condition_frames for name, task in tasks}
    return {name: frames[name] + task.num_final_frames for name, task in tasks if frames[name]}


def _frames_of(protocol: Protocol, task: str) -> int | None:
    return protocol.num_condition_frames if task == "frame_prediction" else None


def generator(model: Any, protocol: Protocol, seed: int, batch_size: int) -> Callable[..., dict[str, np.ndarray]]:
    """How samples of a protocol are made: `make(task, fold, start, clips)` -> {"video": ...}.

    A sample depends on seed, fold, task and its own number, not on the shard or process that makes it.
    """
    if protocol.kind == "reconstruction":
        return lambda task, fold, start, clips: _reconstruct(model, clips.video, batch_size)

    def make(task: str, fold: int, start: int, clips: Clips) -> dict[str, np.ndarray]:
        about = get_task(model.tasks.get(task, task))
        count = len(clips.labels)
        # A last, smaller shard is filled up: another shape would compile again.
        filled = np.resize(np.arange(count), max(count, batch_size))
        stream = np.random.SeedSequence([seed, fold, zlib.crc32(task.encode())]).generate_state(1)[0]
        video = model.generate(
            task,
            video=None if about.is_unconditional else clips.video[filled],
            label=clips.labels[filled] if about.needs_class else None,
            num_clips=len(filled),
            num_condition_frames=_frames_of(protocol, task),
            decoder=protocol.decoder,
            num_steps=protocol.decoding.num_steps,
            schedule=protocol.decoding.schedule,
            temperature=protocol.decoding.temperature,
            guidance_scale=protocol.guidance_scale if about.needs_class else 0.0,
            **SAMPLING,
            seed=seed_from(int(stream), start),
            max_batch_size=batch_size,
        )
        return {"video": video[:count]}

    return make


def measured(clips: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Clips at the size at which they are measured; uint8 stays where nothing is resized."""
    if protocol.measured_size is None or tuple(clips.shape[2:4]) == tuple(protocol.measured_size):
        return clips
    height, width = protocol.measured_size
    # Centre crop to the shape of the result first, so that nothing is stretched.
    side = min(clips.shape[2] / height, clips.shape[3] / width)
    rows, columns = int(height * side), int(width * side)
    top, left = (clips.shape[2] - rows) // 2, (clips.shape[3] - columns) // 2
    cut = to_float(clips[:, :, top : top + rows, left : left + columns])
    return np.clip(to_numpy(resize(cut, (height, width), MEASURED_RULE)), 0.0, 1.0)


def _reconstruct(tokenizer: Any, clips: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
    narrow = "uint16" if tokenizer.codebook_size <= 2**16 else "int32"
    videos, tokens = [], []
    for part in _full_batches(clips, batch_size):
        ids = to_numpy(tokenizer.encode(part))
        made = to_numpy(ops.cast(tokenizer.decode(ids), "float32"))
        tokens.append(ids.astype(narrow))
        videos.append(np.clip(made, 0.0, 1.0))
    return {"video": np.concatenate(videos)[: len(clips)], "tokens": np.concatenate(tokens)[: len(clips)]}


def _features(network: Any, clips: np.ndarray, batch_size: int) -> np.ndarray:
    """float32 (n, D): what the network gave, which `clip_features` had widened."""
    return clip_features(_full_batches(clips, batch_size), network)[0][: len(clips)].astype("float32")


def _of_pairs(metric: Callable, real: np.ndarray, made: np.ndarray, batch_size: int) -> np.ndarray:
    """A metric of frames, its mean over the frames of each clip, float64 (n,)."""
    found = []
    for one, two in zip(*(_full_batches(clips, batch_size) for clips in (real, made)), strict=True):
        values = np.asarray(to_numpy(metric(one, two)), "float64")
        found.append(values.reshape(len(values), -1).mean(axis=1))
    return np.concatenate(found)[: len(real)]


def _full_batches(clips: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of one size, so that the last one compiles nothing new; what fills it up comes last."""
    for start in range(0, len(clips), size):
        part = clips[start : start + size]
        yield part if len(part) == size else part[np.resize(np.arange(len(part)), size)]
