import os
import signal
import subprocess
import sys

import cloudpickle
import keras
import numpy as np
import pytest

from magvit_keras.data import MovingShapes, Source, UnreadableVideoWarning, VideoFolder, workers
from magvit_keras.data.token_cache import TokenBatches


@pytest.fixture(scope="module")
def shapes():
    return MovingShapes(10, 2, 8)


def contents(loader):
    return [loader.items(step) for step in range(len(loader))]


def test_batches_have_a_static_shape(shapes):
    for batch in shapes.loader(4):
        assert batch["video"].shape == (4, 2, 8, 8, 3) and batch["video"].dtype == np.uint8
        assert batch["label"].shape == (4,) and batch["label"].dtype == np.int32


def test_a_loader_knows_the_classes(shapes):
    assert shapes.loader(4).class_names == shapes.take(3).loader(1).class_names == shapes.class_names


def test_the_remainder_is_dropped_or_kept(shapes):
    assert len(shapes.loader(4)) == 2
    kept = shapes.loader(4, drop_remainder=False)
    assert len(kept) == 3 and kept[2]["video"].shape[0] == 2


def test_an_epoch_takes_each_clip_once(shapes):
    indices = [index for step in contents(shapes.loader(5)) for index, _ in step]
    assert sorted(indices) == list(range(10))


def test_without_shuffle_the_order_is_kept(shapes):
    loader = shapes.loader(5, shuffle=False)
    assert contents(loader)[1] == [(5, 0), (6, 0), (7, 0), (8, 0), (9, 0)]
    np.testing.assert_array_equal(loader[0]["video"][3], shapes[3]["video"])


def test_the_order_depends_on_seed_and_epoch_alone(shapes):
    a, b, other = shapes.loader(2, seed=1), shapes.loader(2, seed=1), shapes.loader(2, seed=2)
    a.epoch = b.epoch = 3
    assert contents(a) == contents(b) != contents(other)
    first = contents(a)
    a.epoch = 4
    assert [i for s in contents(a) for i, _ in s] != [i for s in first for i, _ in s]


def test_steps_per_epoch_goes_on_where_the_last_epoch_ended(shapes):
    loader = shapes.loader(3, steps_per_epoch=2)
    seen = []
    for epoch in range(5):
        loader.epoch = epoch
        seen += [item for step in contents(loader) for item in step]
    assert sorted(seen) == sorted((index, number) for number in range(3) for index in range(10))


def test_steps_per_epoch_repeats_a_small_source(shapes):
    assert shapes.take(2).loader(8, steps_per_epoch=1)[0]["video"].shape[0] == 8


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 11}, "batch_size=11 exceeds the 10 clips"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2, "workers": -1}, "workers=-1"),
        ({"batch_size": 2, "steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"batch_size": 2, "seed": -1}, "seed=-1"),
    ],
)
def test_wrong_arguments_say_what_is_expected(shapes, arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes.loader(**arguments)


class Recorder(keras.Model):
    """A model with one weight that records nothing but accepts the batches."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, batch):
        return self.dense(keras.ops.cast(batch["video"], "float32") / 255) * keras.ops.cast(
            keras.ops.reshape(batch["label"], (-1, 1, 1, 1, 1)) >= 0, "float32"
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred))


@pytest.fixture
def recorded(monkeypatch):
    """(epoch, step) of each batch that a loader makes."""
    from magvit_keras.data import Loader

    steps, original = [], Loader._batch
    monkeypatch.setattr(Loader, "_batch", lambda self, s: (steps.append((self.epoch, s)), original(self, s))[1])
    return steps


def test_fit_takes_the_batches_in_the_loaders_own_order(shapes, recorded):
    # Keras' own shuffle=True, its default, would permute the batches from Python's global random state.
    model, loader = Recorder(), shapes.loader(2)
    model.compile("sgd")
    history = model.fit(loader, epochs=2, verbose=0)
    looks = len(recorded) - 10  # Keras looks at the first one or two to learn their shapes
    assert looks <= 2 and {epoch for epoch, _ in recorded[:looks]} <= {0}
    assert recorded[looks:] == [(epoch, step) for epoch in range(2) for step in range(5)]
    assert loader.epoch == 2 and len(history.history["loss"]) == 2


def test_fit_resumes_at_the_epoch_that_was_set(shapes, recorded):
    model, loader = Recorder(), shapes.loader(5)
    model.compile("sgd")
    loader.epoch = 7
    model.fit(loader, epochs=1, verbose=0)
    assert {epoch for epoch, _ in recorded} == {7} and loader.epoch == 8


def test_fit_resumes_within_an_epoch(shapes):
    model, loader = Recorder(), shapes.loader(2)
    model.compile("sgd")
    loader.position = 3
    model.fit(loader, epochs=2, verbose=0)
    assert loader.position == 13  # two epochs of five batches later


def test_arrays_feed_fit_too(shapes):
    model = Recorder()
    model.compile("sgd")
    assert np.isfinite(model.fit(shapes.arrays(), batch_size=5, verbose=0).history["loss"][0])


@pytest.mark.once
def test_workers_give_the_same_batches_and_recover_from_a_kill(videos):
    folder = VideoFolder(videos, 4, 16)
    plain, parallel = folder.loader(2), folder.loader(2, workers=2)
    expected = list(plain)
    got = [parallel[0], parallel[1]]
    os.kill(next(iter(parallel._pool._executor._processes)), signal.SIGKILL)
    with pytest.warns(UserWarning, match="a decoding process died"):
        got += [parallel[step] for step in (2, 3, 4)]
    parallel.close()
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a["video"], b["video"])
        np.testing.assert_array_equal(a["label"], b["label"])


class Deadly(Source):
    """The third clip kills the process that reads it."""

    class_names = ("all",)

    def __init__(self):
        self.parent = os.getpid()

    def __len__(self):
        return 4

    def read(self, index, epoch):
        if index == 2:
            assert os.getpid() != self.parent
            os.kill(os.getpid(), signal.SIGKILL)
        return {"video": np.full((1, 8, 8, 3), index, np.uint8), "label": 0}


@pytest.mark.slow
@pytest.mark.once
def test_workers_leave_the_accelerator_to_the_training(shapes, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    workers._start(cloudpickle.dumps(shapes))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.once
def test_a_clip_that_kills_its_process_is_skipped():
    # Sent as source code: otherwise every new worker imports this module, and Keras with it.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    loader = Deadly().loader(4, shuffle=False, workers=1)
    with pytest.warns(UserWarning) as caught:
        batch = next(iter(loader))
        loader.close()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert batch["video"][:, 0, 0, 0, 0].tolist() == [0, 1, 3, 3]
    assert any("clip 2: decoding it killed its process" in str(w.message) for w in caught)


@pytest.mark.once
def test_clips_are_read_here_where_no_process_starts(shapes, monkeypatch):
    def refuse(*_):
        raise OSError("no processes")

    monkeypatch.setattr("magvit_keras.data.workers._executor", refuse)
    loader = shapes.loader(5, workers=2)
    with pytest.warns(UserWarning, match="in the main process"):
        np.testing.assert_array_equal(loader[0]["video"], shapes.loader(5)[0]["video"])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_warns_once_about_unreadable_videos_and_stays_full(broken, workers):
    loader = VideoFolder(broken, 4, 16).loader(2, workers=workers)
    with pytest.warns(UnreadableVideoWarning, match="2 of 6 videos") as caught:
        batches = list(loader)
        loader.close()
    assert len([w for w in caught if w.category is UnreadableVideoWarning]) == 1
    assert [len(batch["video"]) for batch in batches] == [2, 2, 2]


@pytest.mark.once
def test_reading_needs_neither_keras_nor_a_backend():
    code = (
        "import sys; from magvit_keras.data import MovingShapes, VideoFolder, write_video, read_video; "
        "import magvit_keras.data.workers, magvit_keras.visualize; MovingShapes(1, 1, 8)[0]; "
        "print([m for m in ('keras', 'jax', 'torch', 'tensorflow') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_without_loky_the_extra_is_named(shapes, monkeypatch):
    monkeypatch.setitem(sys.modules, "loky", None)
    with pytest.raises(ImportError, match=r"pip install 'magvit-keras\[video\]'"):
        shapes.loader(2, workers=1)


@pytest.mark.parametrize("steps", [None, 3])
def test_processes_share_each_batch(shapes, steps):
    whole = contents(shapes.loader(4, steps_per_epoch=steps))
    parts = [contents(shapes.loader(4, steps_per_epoch=steps, process=(index, 2))) for index in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3}, "batch_size=3 cannot be shared evenly by 2 processes"),
        ({"batch_size": 4, "drop_remainder": False}, "smaller last batch"),
        ({"batch_size": 4, "process": (2, 2)}, "index from 0 to count - 1"),
    ],
)
def test_batches_that_processes_cannot_share(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        shapes.loader(**{"process": (1, 2), **options})


def test_processes_share_each_batch_of_tokens():
    arrays = {"tokens": np.arange(10), "label": np.arange(10)}
    whole = TokenBatches(arrays, 4)[1]["label"]
    parts = [TokenBatches(arrays, 4, process=(index, 2))[1]["label"] for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
