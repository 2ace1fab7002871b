"""Windows, crops and flips of stored videos (App. B.3), whatever the format."""

import inspect

import numpy as np
import pytest

from magvit_keras.data import BAIR, ClipSource, MovingShapes, Subset, UnreadableVideo, UnreadableVideoWarning
from magvit_keras.data.files.images import ArrayVideo

pytestmark = pytest.mark.once


class Counted(ClipSource):
    """Each pixel holds the number of its frame, or of its column."""

    class_names = ("counted",)

    def __init__(self, lengths=(20,), size=(16, 16), broken=(), columns=False, **clips):
        super().__init__(size=size, **clips)
        self.lengths, self.broken, self.columns = lengths, set(broken), columns

    @property
    def num_videos(self):
        return len(self.lengths)

    def open_video(self, video):
        if video in self.broken:
            raise UnreadableVideo(self.name_of(video), "broken")
        values = np.arange(40)[None, None, :] if self.columns else np.arange(self.lengths[video])[:, None, None]
        return ArrayVideo(np.broadcast_to(values, (self.lengths[video], 16, 40)).astype(np.uint8))


def frames(sample):
    return sample["video"][:, 0, 0, 0].tolist()


def columns(sample):
    return sample["video"][0, 0, [0, -1], 0].tolist()


def test_evaluation_takes_the_middle():
    assert frames(Counted(num_frames=4).for_evaluation()[0]) == [8, 9, 10, 11]


def test_the_first_window_is_the_start():
    assert frames(Counted(num_frames=4).for_evaluation(windows="first")[0]) == [0, 1, 2, 3]


def test_windows_are_spread_from_the_start_to_the_end():
    source = Counted(num_frames=4).for_evaluation(windows=3)
    assert [frames(source[i])[0] for i in range(3)] == [0, 8, 16]


def test_a_stride_counts_in_the_window():
    source = Counted(num_frames=4, frame_stride=3).for_evaluation(windows=2)
    assert [frames(source[i]) for i in range(2)] == [[0, 3, 6, 9], [8, 11, 14, 17]]


def test_a_short_video_is_tiled_in_every_window():
    source = Counted(lengths=(3,), num_frames=5).for_evaluation(windows=2)
    assert [frames(source[i]) for i in range(2)] == [[0, 1, 2, 0, 1]] * 2


def test_three_crops_are_left_middle_and_right():
    source = Counted(num_frames=1, columns=True).for_evaluation(crops=3)
    assert [columns(source[i]) for i in range(3)] == [[0, 15], [12, 27], [24, 39]]


def test_clips_of_a_video_follow_one_another():
    source = Counted(lengths=(20, 30), num_frames=4).for_evaluation(windows=2, crops=3)
    assert len(source) == 12 and source.name(7) == "video 1 (window 0, crop 1)"
    assert frames(source[9])[0] == 26  # the last window of the second video


def test_training_windows_reach_the_first_and_the_last():
    source = Counted(num_frames=4)
    assert {frames(source.sample(0, epoch)[0])[0] for epoch in range(300)} == set(range(17))


def test_training_crops_reach_both_borders():
    source = Counted(num_frames=1, columns=True)
    assert {columns(source.sample(0, epoch)[0])[0] for epoch in range(300)} == set(range(25))


def test_half_of_the_training_clips_are_mirrored():
    source = Counted(num_frames=1, columns=True, horizontal_flip=True)
    mirrored = [np.diff(columns(source.sample(0, epoch)[0]))[0] < 0 for epoch in range(200)]
    assert 70 < sum(mirrored) < 130


def test_frames_are_scaled_until_they_cover_the_crop():
    assert Counted(num_frames=2, size=(32, 24)).for_evaluation()[0]["video"].shape == (2, 32, 24, 3)


def test_a_broken_video_is_known_in_all_its_windows():
    source = Counted(lengths=(20, 20), broken=[0], num_frames=4)
    with pytest.warns(UnreadableVideoWarning):
        source[0]
    evaluation = source.for_evaluation(windows=2)
    assert list(evaluation.unreadable) == ["video 0 (window 0, crop 0)", "video 0 (window 1, crop 0)"]


def test_windows_stay_when_nothing_is_said():
    windows = Counted(num_frames=4).for_evaluation(windows=3)
    assert len(windows.for_evaluation()) == 3
    assert len(Subset(windows, [1]).for_evaluation()) == 1


@pytest.mark.parametrize("arguments", [{"windows": 1}, {"windows": "last"}, {"windows": 2.5}, {"crops": 0}])
def test_wrong_windows_and_crops_say_what_is_expected(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Counted(num_frames=4).for_evaluation(**arguments)


def test_readers_show_all_their_arguments():
    shown = inspect.signature(BAIR).parameters
    assert list(shown)[:5] == ["root", "split", "camera", "size", "num_frames"] and "on_error" in shown
    assert shown["size"].default == (64, 64) and "clips" not in shown


# --- processes ---


def test_shards_have_nothing_in_common_and_are_equally_long():
    source = Counted(lengths=(20,) * 11, num_frames=4)
    shards = [source.shard(i, 3).indices for i in range(3)]
    assert [len(shard) for shard in shards] == [3, 3, 3] and len({i for shard in shards for i in shard}) == 9


def test_shards_for_evaluation_lose_no_clip():
    source = Counted(lengths=(20,) * 11, num_frames=4)
    assert sorted(i for n in range(3) for i in source.shard(n, 3, drop_remainder=False).indices) == list(range(11))


@pytest.mark.parametrize("arguments, message", [((3, 3), "index=3"), ((-1, 2), "index=-1"), ((0, 12), "11 clips")])
def test_a_shard_that_is_none_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Counted(lengths=(20,) * 11, num_frames=4).shard(*arguments)


# --- going on within an epoch ---


def contents(loader):
    return [batch["video"].tobytes() for batch in loader]


@pytest.mark.parametrize("steps", [None, 3])
def test_a_loader_goes_on_in_mid_epoch(steps):
    source = Counted(lengths=tuple(range(20, 30)), num_frames=4)
    loader, later = (source.loader(2, seed=1, steps_per_epoch=steps) for _ in range(2))
    expected = []
    for epoch in range(3):
        loader.epoch = epoch
        expected += contents(loader)
    later.position = 4
    assert contents(later) == expected[4 : 4 + len(later)]
    assert later.position == 4  # it counts whole epochs by itself, in `fit`


def test_workers_go_on_at_the_same_place():
    source = MovingShapes(6, 2, 8)
    alone, helped = source.loader(2, seed=1), source.loader(2, seed=1, workers=1)
    alone.position = helped.position = 2
    expected, got = contents(alone), contents(helped)
    helped.close()
    assert got == expected


def test_an_epoch_that_is_set_begins_at_its_start():
    loader = Counted(lengths=(20,) * 6, num_frames=4).loader(2)
    loader.position = 4
    loader.epoch = 1
    assert loader.position == 3


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_a_position_is_a_number_of_batches(value):
    with pytest.raises(ValueError, match="position="):
        Counted(num_frames=4).loader(1).position = value


@pytest.mark.parametrize("name", ["training", "horizontal_flip"])
def test_a_text_is_no_truth_value(name):
    with pytest.raises(ValueError, match=f"{name}='false': expected true or false"):
        Counted(num_frames=4, **{name: "false"})
