"""Turning a data set into cached tokens: `magvit-keras tokenize`, and the second stage of a training run."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from magvit_keras.commit.conditions import condition_plan
from magvit_keras.commit.tasks import TASKS, Task, named_tasks
from magvit_keras.data.source import Source
from magvit_keras.data.token_shards import TokenShards
from magvit_keras.data.workers import Pool
from magvit_keras.devices import distribution
from magvit_keras.early_checks import check_positive
from magvit_keras.model.tokenizing import fingerprint, tokenize


def write_tokens(
    source: Source,
    tokenizer: Any,
    tasks: Iterable[str | Task],
    folder: str | os.PathLike,
    passes: int = 1,
    batch_size: int = 8,
    shard_clips: int = 64,
    workers: int = 0,
    process: tuple[int, int] | None = None,
    verbose: int = 1,
) -> TokenShards:
    """Tokens of the clips of a source, and of their condition clips for each task, in shards.

    Started again, it makes only what is missing, cut off or changed; with more passes it adds these. A pass over a
    source in training draws other windows, crops and flips.

    Args:
        source: the clips.
        tokenizer: a trained `VideoTokenizer`.
        tasks: names of the tasks whose condition clips are encoded too, or `Task` objects.
        folder: where the shards go, see `TokenShards`.
        passes: how many times each video is seen.
        batch_size: clips encoded at a time.
        shard_clips: clips in a shard.
        workers: processes that decode; 0 decodes in this one.
        process: (index, count) of this process, of several that share the work and the folder. By default those that
            `distribution.start` has set up, which then wait for each other at the end.
        verbose: 1 shows a progress bar, 0 nothing.

    Returns:
        The shards; `read` gives what `Magvit.fit` takes, once all processes are done.

    Raises:
        ValueError: the folder holds tokens of something else, or does not tell of what; a task is unknown, clips do not
            fit the tokenizer, or a number is out of range.
        UnreadableVideo: no video is readable, or one is not and the source says `on_error="raise"`.

    Example:
        >>> import tempfile
        >>> from magvit_keras.data import MovingShapes
        >>> tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
        >>> clips = MovingShapes(3, num_frames=4, size=(8, 8))
        >>> shards = write_tokens(clips, tokenizer, ["frame_prediction"], tempfile.mkdtemp(), shard_clips=2, verbose=0)
        >>> shards.read()["condition_tokens"].shape
        (3, 1, 2, 4, 4)

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.2.
    """
    check_positive(passes=passes, batch_size=batch_size, shard_clips=shard_clips)
    if workers < 0:
        raise ValueError(f"workers={workers!r}: expected a number of processes, 0 or more")
    devices = distribution.current()
    index, count = process = devices.process if process is None else process
    if not 0 <= index < count:
        raise ValueError(f"process={process}: expected (index, count) with index from 0 to count - 1.")
    tasks = named_tasks(tasks)
    per_pass = -(-len(source) // shard_clips)
    shards = TokenShards(folder)
    shape = _checked_shape(source, tokenizer, tasks.values())
    description = _description(source, tokenizer, tasks.values(), shape, shard_clips)
    shards.describe(description, passes, per_pass)
    mine = [(number_of_pass, n) for number_of_pass in range(passes) for n in range(per_pass)][index::count]
    done = [item for item in mine if shards.is_complete(*item)]
    progress = keras.utils.Progbar(len(mine), verbose=min(verbose, 1), unit_name="shard")
    progress.update(len(done))
    waiting = sorted(set(mine) - set(done))
    narrow = "uint16" if tokenizer.codebook_size <= 2**16 else "int32"
    clips = [
        [(i, number_of_pass) for i in range(n * shard_clips, min((n + 1) * shard_clips, len(source)))]
        for number_of_pass, n in waiting
    ]
    read = zip(waiting, read_ahead(source, clips, workers), strict=True)
    for made, (item, samples) in enumerate(read, len(done) + 1):
        arrays = tokenize(tokenizer, tasks, np.stack([sample["video"] for sample in samples]), batch_size)
        arrays = {name: array.astype(narrow) for name, array in arrays.items()}
        shards.write(*item, {**arrays, "label": np.array([sample["label"] for sample in samples], "int32")})
        progress.update(made)
    if process == devices.process:
        devices.wait()  # whoever reads the shards next finds those of the others, too
    return shards


def read_ahead(source: Source, lists: Sequence[Sequence[tuple[int, int]]], workers: int) -> Iterator[list[dict]]:
    """The clips of each list; worker processes decode the next one while this one is used.

    Args:
        source: what is read; learns which videos are unreadable.
        lists: (index, epoch) pairs.
        workers: processes that decode; 0 decodes in this one.
    """
    known = dict(source.failures)
    pool = Pool(source, workers) if workers else None
    ahead = pool.submit(lists[0], known) if pool and lists else None
    try:
        for position, pairs in enumerate(lists):
            if pool is None:
                results = [source.sample(*pair, dict(known)) for pair in pairs]
            else:
                now, following = ahead, lists[position + 1 : position + 2]
                ahead = pool.submit(following[0], known) if following else None
                results = pool.results(now)
            for _, found in results:
                known.update(found)
                source.report(found)
            yield [sample for sample, _ in results]
    finally:
        if pool is not None:
            pool.close()


def _checked_shape(source: Source, tokenizer: Any, tasks: Iterable[Task]) -> tuple[int, int, int]:
    """(T, H, W) of the clips; raises ValueError where they fit the tokenizer or a task not, before any long work."""
    sample, found = source.sample(0)
    source.report(found)
    tokenizer.check_pixels(sample["video"][None])
    shape = tuple(sample["video"].shape[:3])
    for task in tasks:
        condition_plan(task, shape, tokenizer.latent_shape(shape))
    return shape


def _description(
    source: Source, tokenizer: Any, tasks: Iterable[Task], shape: tuple[int, int, int], shard_clips: int
) -> dict[str, Any]:
    frames = given_frames(tasks)
    return {
        "video_shape": shape,
        "tokenizer": fingerprint(tokenizer),
        "codebook_size": tokenizer.codebook_size,
        "tasks": [task.name for task in tasks],
        **({"given_frames": frames} if frames else {}),
        "class_names": list(source.class_names),
        "clips": len(source),
        "shard_clips": shard_clips,
        "source": source.description(),
    }


def given_frames(tasks: Iterable[Task]) -> dict[str, int]:
    """Task -> its given frames, where these are others than the task's own."""
    return {
        task.name: task.num_condition_frames
        for task in tasks
        if task.name in TASKS and task.num_condition_frames != TASKS[task.name].num_condition_frames
    }


def architecture_digest(model: Any) -> str:
    """SHA-256 of a model's configuration, the same in every process; "unknown" of a model that has none."""
    try:
        config = {
            name: value for name, value in model.get_config().items() if name not in ("name", "trainable", "remat")
        }
    except NotImplementedError:
        return "unknown"
    # Keras numbers the names of layers by the order in which a process makes them.
    text = re.sub(r'_\d+"', '"', json.dumps(config, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()
