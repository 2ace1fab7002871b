"""Running a protocol: shard by shard, by any number of processes, from where it was stopped; then one report."""

import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from magvit_keras import backend
from magvit_keras.commit.tasks import get_task
from magvit_keras.data.source import Source
from magvit_keras.data.token_shards import TokenShards
from magvit_keras.devices import distribution
from magvit_keras.early_checks import check_positive
from magvit_keras.evaluation.clips import Draws, describe_clips, open_clips, read_clips, read_labels
from magvit_keras.evaluation.measure import (
    MEASURED_RULE,
    SAMPLING,
    generator,
    given_frames,
    made_shard,
    open_shards,
    real_shard,
    sees_pixels,
    shows_class,
)
from magvit_keras.evaluation.models import describe_model, measured_part
from magvit_keras.evaluation.networks import Networks, describe_network, load_networks
from magvit_keras.evaluation.report import make_report, write_report
from magvit_keras.evaluation.scores import Group, replaced_clips, scores_of
from magvit_keras.evaluation.settings import plain, settle, tasks_of_clips
from magvit_keras.presets.protocols import Protocol


class _Part(NamedTuple):
    """Real clips, the tasks that take them, and where their numbers are kept."""

    source: Source
    draws: Draws
    group: Group


def evaluate(
    model: Any,
    protocol: str | Protocol,
    out: str | os.PathLike,
    data: str | os.PathLike | None = None,
    *,
    recipe: str | None = None,
    extractor: str | os.PathLike | keras.Model | None = None,
    resize_rule: str | None = None,
    files: Mapping[str, str | os.PathLike | None] | None = None,
    networks: Mapping[str, Any] | None = None,
    seed: int = 0,
    batch_size: int = 16,
    shard_clips: int = 64,
    workers: int = 0,
    process: tuple[int, int] | None = None,
    cache: str | os.PathLike | None = None,
    model_from: str | None = None,
    command: str | None = None,
    verbose: int = 1,
    **changes: Any,
) -> dict[str, Any] | None:
    """Measures a model by a protocol of the paper, and writes a report that carries every choice.

    Features are kept clip by clip in shards: stopped at any moment, the same call goes on. Several processes share the
    work and the folder; the one that finds nothing missing writes the report. Those that `distribution.start` has set
    up wait for each other, and the first one writes it.

    Args:
        model: a trained `Magvit`, or for reconstruction a tokenizer.
        protocol: a name in `PROTOCOLS`, or a `Protocol`.
        out: folder of the report: report.json and report.md.
        data: folder of the data set; None for Moving Shapes.
        recipe: the recipe that the model was trained by; chooses the paper's score beside which this one stands.
        extractor: network of the Frechet distance, see `load_networks`; by default the protocol's.
        resize_rule: of I3D; by default that of the authors.
        files: weight files of C3D and LPIPS, see `load_networks`.
        networks: models to take instead, see `load_networks`.
        seed: of samples, of their order and of random windows.
        batch_size: clips generated and measured at a time.
        shard_clips: clips in a file.
        workers: processes that decode videos; 0 decodes in this one.
        process: (index, count) of this process; by default as `distribution.start` has set it up.
        cache: folder of the kept features; by default `out`/features.
        model_from: what the report says the model is from.
        command: what the report says it was made by.
        verbose: 1 shows a progress bar, 0 nothing.
        **changes: what to change in the protocol, see `settle`. The report names each.

    Returns:
        The report, or None while other processes still have work, and in all but the first that `distribution.start`
        has set up.

    Raises:
        ValueError: model, data, protocol or changes do not fit; before anything is generated.
        FileNotFoundError: data or weights are not there.

    Example:
        >>> import tempfile
        >>> tokenizer = mk.VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
        >>> report = evaluate(tokenizer, "moving_shapes_reconstruction", tempfile.mkdtemp(), metrics=["psnr"],
        ...                   reader={"num_clips": 2}, verbose=0)
        >>> report["scores"][0]["metric"], report["deviations"]
        ('psnr', ['num_clips 2 instead of 1024'])

    Reference:
        MAGVIT (arXiv 2212.05199), App. B.3.
    """
    check_positive(batch_size=batch_size, shard_clips=shard_clips)
    devices = distribution.current()
    index, count = process = devices.process if process is None else process
    if not 0 <= index < count:
        raise ValueError(f"process={process}: expected (index, count) with index from 0 to count - 1.")
    _check_devices(devices, process, batch_size)
    settled = settle(protocol, **changes)
    model_about = describe_model(model := measured_part(model, settled))
    chosen = settled.extractor if extractor is None else extractor
    nets = load_networks(settled.metrics, chosen, resize_rule, files, networks)
    cache = pathlib.Path(out) / "features" if cache is None else pathlib.Path(cache)
    parts = [
        _part(name, tasks, settled, model, model_about, nets, data, seed, shard_clips, cache)
        for name, tasks in tasks_of_clips(settled).items()
    ]
    mine = list(_items(parts, shard_clips))[index::count]
    _make(mine, model, settled, nets, seed, batch_size, workers, verbose)
    if devices.count > 1:
        devices.wait()
        if not devices.is_main:
            return None
    groups = [part.group for part in parts]
    if any(shards.missing() for group in groups for shards in (group.real, group.made) if shards is not None):
        if devices.count > 1:
            raise ValueError(f"{cache} lacks parts of other processes: all must have the same model, data and disk.")
        return None
    codes = getattr(model, "codebook_size", 0)
    scores, remarks = scores_of(groups, settled.metrics, settled.tries, codes)
    report = make_report(
        settled,
        choices=_choices(settled, parts, nets, model),
        scores=scores,
        networks=nets,
        remarks=remarks,
        replaced=replaced_clips(groups),
        videos=parts[0].source,
        recipe=recipe,
        model={"from": model_from or "memory", **model_about},
        seed=seed,
        made={"command": command, "batch_size": batch_size, "shard_clips": shard_clips},
    )
    write_report(out, report)
    return report


def _check_devices(devices: distribution.Distribution, process: tuple[int, int], batch_size: int) -> None:
    """Raises ValueError unless the devices that were set up can share the work."""
    if devices.count == 1:
        devices.check_batch_size(batch_size=batch_size)
    elif backend.distribution.num_replicas() == 1:
        # The networks' `predict` would be one program of all processes, which have other numbers of batches.
        raise ValueError(
            "On JAX several processes measure without a distribution: leave --distribution out, and they share --out; "
            "where neither torchrun nor srun started them, --process 0/4 says which one each is."
        )
    elif process != devices.process:
        raise ValueError(f"process={process}: this is {devices.process} by the distribution; leave --process out.")


def _part(
    name: str,
    tasks: tuple[str, ...],
    settled: Protocol,
    model: Any,
    model_about: dict,
    nets: Networks,
    data: Any,
    seed: int,
    shard_clips: int,
    cache: pathlib.Path,
) -> _Part:
    clips = getattr(settled, name)
    source = open_clips(settled, clips, data, seed)
    _check_classes(model, tasks, source, nets)
    samples = len(source) if settled.samples is None else settled.samples
    draws = Draws(len(source), samples, settled.folds, seed, clips.windows == "random")
    shared = {
        "source": {**source.description(), **describe_clips(source)},
        "class_names": list(source.class_names),
        "draws": draws.description(),
        "measured_size": settled.measured_size,
    }
    real = None
    if nets.distance is not None:
        about = {**shared, "network": describe_network(nets.distance)}
        real = open_shards(cache, "real", about, 1, len(draws.pairs), shard_clips)
    about = {
        **shared,
        "model": model_about,
        "protocol": plain(settled),
        "tasks": tasks,
        "given_frames": given_frames(model, settled),
        "networks": nets.description(),
        "seed": seed,
    }
    made = open_shards(cache, "made", about, settled.folds * len(tasks), samples, shard_clips)
    return _Part(source, draws, Group(tasks, draws.rows, real, made))


def _check_classes(model: Any, tasks: tuple[str, ...], source: Source, nets: Networks) -> None:
    if nets.classifier is not None and (unknown := set(source.class_names) - set(nets.classifier.class_names)):
        listed = ", ".join(sorted(unknown)[:5])
        raise ValueError(f"The metric accuracy knows the classes of Moving Shapes alone; the data has {listed}.")
    needing = [task for task in tasks if task != "reconstruction" and get_task(task).needs_class]
    if not needing:
        return
    known, names = model.transformer.num_classes, getattr(model, "class_names", None)
    if source.num_classes > known or (not names and source.num_classes != known):
        raise ValueError(
            f"The task {needing[0]!r} needs classes: the data has {source.num_classes} and the model {known}."
        )
    if names and list(names) != list(source.class_names):
        first = next((a, b) for a, b in itertools.zip_longest(names, source.class_names) if a != b)
        raise ValueError(
            f"The classes of the model and of the data differ: the first is {first[0]!r}, not {first[1]!r}."
        )


class _Item(NamedTuple):
    """A shard: of which clips, and of which samples of which task and fold."""

    kind: str
    part: _Part
    number: int  # of the pass
    shard: int
    rows: slice

    @property
    def shards(self) -> TokenShards:
        return getattr(self.part.group, self.kind)

    @property
    def fold_and_task(self) -> tuple[int, str]:
        fold, task = divmod(self.number, len(self.part.group.tasks))
        return fold, self.part.group.tasks[task]

    @property
    def pairs(self) -> np.ndarray:
        """(epoch, index) of the real clips."""
        draws = self.part.draws
        return draws.pairs[self.rows if self.kind == "real" else draws.rows[self.fold_and_task[0], self.rows]]


def _items(parts: list[_Part], shard_clips: int) -> Iterator[_Item]:
    """All shards; those of the real clips come first."""
    for kind in ("real", "made"):
        for part in parts:
            shards = getattr(part.group, kind)
            about = {"passes": 0} if shards is None else shards.description()
            for number in range(about["passes"]):
                for n in range(about["shards_per_pass"]):
                    stop = min((n + 1) * shard_clips, about["clips"])
                    yield _Item(kind, part, number, n, slice(n * shard_clips, stop))


def _make(
    items: list[_Item],
    model: Any,
    settled: Protocol,
    nets: Networks,
    seed: int,
    batch_size: int,
    workers: int,
    verbose: int,
) -> None:
    """Makes the shards that are not there yet."""
    make = generator(model, settled, seed, batch_size)
    sizes = [item.rows.stop - item.rows.start for item in items]
    progress = keras.utils.Progbar(sum(sizes), verbose=min(verbose, 1), unit_name="clip")
    waiting = [item for item in items if not item.shards.is_complete(item.number, item.shard)]
    done = sum(sizes) - sum(item.rows.stop - item.rows.start for item in waiting)
    progress.update(done)

    def source_and_pixels(item: _Item) -> tuple[int, bool]:
        pixels = item.kind == "real" or sees_pixels(item.fold_and_task[1], settled)
        return id(item.part.source), pixels

    for (_, pixels), group in itertools.groupby(waiting, source_and_pixels):
        group = list(group)
        source, pairs = group[0].part.source, [item.pairs for item in group]
        read = read_clips(source, pairs, workers) if pixels else read_labels(source, pairs)
        for item, clips in zip(group, read, strict=True):
            if item.kind == "real":
                arrays = real_shard(clips, nets, settled, batch_size)
            else:
                fold, task = item.fold_and_task
                made = make(task, fold, item.rows.start, clips)
                rows = item.part.draws.rows[fold, item.rows]
                names = list(source.class_names) if shows_class(task) else None
                arrays = made_shard(made, clips, rows, names, nets, settled, batch_size)
            item.shards.write(item.number, item.shard, arrays)
            done += item.rows.stop - item.rows.start
            progress.update(done)


def _choices(settled: Protocol, parts: list[_Part], nets: Networks, model: Any) -> dict[str, Any]:
    """Everything on which two scores must agree to be compared."""
    return {
        "protocol": settled.name,
        "kind": settled.kind,
        "data_format": settled.data_format,
        "real_clips": {
            name: describe_clips(part.source) for name, part in zip(tasks_of_clips(settled), parts, strict=True)
        },
        "reader": plain(settled)["reader"],
        "split": settled.clips.split,
        "samples": [part.draws.samples for part in parts],
        "folds": settled.folds,
        "tries": settled.tries,
        "tasks": list(settled.tasks),
        "given_frames": given_frames(model, settled),
        "decoding": plain(settled)["decoding"],
        **({"sampling": SAMPLING} if settled.tasks else {}),
        "guidance_scale": settled.guidance_scale,
        "decoder": settled.decoder or "the one that the model was trained for",
        "video_shape": list(settled.video_shape),
        "frame_stride": settled.frame_stride,
        "measured_size": settled.measured_size and list(settled.measured_size),
        "measured_by": "as made" if settled.measured_size is None else f"centre crop, bilinear, {MEASURED_RULE}",
        "real_clips_count": "as often as samples are made from them",
        "networks": nets.description(),
    }
