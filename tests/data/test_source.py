import pickle

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, Source, Subset, UnreadableVideo, UnreadableVideoWarning

pytestmark = pytest.mark.once


class Numbers(Source):
    """Clip i is filled with i; the bad ones cannot be read."""

    def __init__(self, count, bad=(), on_error="skip"):
        self.count, self.bad, self.on_error = count, set(bad), on_error

    def __len__(self):
        return self.count

    @property
    def class_names(self):
        return ["even", "odd"]

    def read(self, index, epoch):
        if index in self.bad:
            raise UnreadableVideo(self.name(index), "broken")
        return {"video": np.full((2, 8, 8, 3), index, np.uint8), "label": index % 2}


def test_take_gives_the_first_clips():
    assert [clip["video"][0, 0, 0, 0] for clip in Numbers(5).take(3)] == [0, 1, 2]


def test_take_of_more_than_there_is_gives_all():
    assert len(Numbers(5).take(9)) == 5


def test_split_parts_share_no_clip_and_lose_none():
    kept, held = Numbers(10).split(0.3, seed=1)
    assert len(held) == 3 and sorted(kept.indices + held.indices) == list(range(10))


def test_split_depends_on_the_seed_alone():
    first, again, other = (Numbers(50).split(0.2, seed)[1].indices for seed in (0, 0, 1))
    assert first == again != other


class Labelled(Numbers):
    """As many clips of each class as told."""

    def __init__(self, *counts):
        super().__init__(sum(counts))
        self.labels = np.repeat(np.arange(len(counts)), counts)

    @property
    def class_names(self):
        return list("abcdef")[: len(set(self.labels))] if 0 not in np.bincount(self.labels) else list("abc")


@pytest.mark.parametrize("seed", range(8))
def test_a_class_of_one_video_is_trained_on(seed, recwarn):
    kept, held = Labelled(1, 5, 1).split(0.4, seed)
    assert {0, 6} <= set(kept.indices) and len(held) == 3 and not recwarn


def test_classes_without_a_clip_to_train_on_are_named():
    with pytest.warns(UserWarning, match="1 of 3 classes have no clip to train on: b"):
        Labelled(4, 0, 4).split(0.25)
    with pytest.warns(UserWarning, match="1 of 2 classes have no clip to train on: [ab]"):
        assert [len(part) for part in Labelled(1, 1).split(0.5)] == [1, 1]


def test_split_holds_out_at_least_one():
    assert len(Numbers(3).split(0.01)[1]) == 1


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 3])
def test_split_wants_a_fraction(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Numbers(5).split(fraction)


def test_an_unreadable_clip_is_replaced_by_the_next():
    with pytest.warns(UnreadableVideoWarning):
        assert Numbers(5, bad=[1, 2])[1]["video"][0, 0, 0, 0] == 3


def test_the_last_clip_is_replaced_by_the_first():
    with pytest.warns(UnreadableVideoWarning):
        assert Numbers(4, bad=[3])[3]["video"][0, 0, 0, 0] == 0


def test_a_replacement_brings_its_own_label():
    with pytest.warns(UnreadableVideoWarning):
        assert Numbers(4, bad=[0])[0]["label"] == 1


def test_one_warning_counts_and_names_all():
    with pytest.warns(UnreadableVideoWarning) as caught:
        Numbers(6, bad=[1, 4]).arrays()
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "2 of 6 videos" in text and "clip 1: broken" in text and "clip 4: broken" in text


def test_known_failures_are_not_reported_again(recwarn):
    source = Numbers(6, bad=[1])
    source.arrays()
    source.arrays()
    assert len(recwarn) == 1 and source.unreadable == {"clip 1": "broken"}


def test_on_error_raise_names_the_video():
    with pytest.raises(UnreadableVideo, match="clip 2: broken"):
        Numbers(4, bad=[2], on_error="raise").arrays()


def test_a_source_without_one_readable_video_raises():
    with pytest.raises(UnreadableVideo, match="no other of the 3"):
        Numbers(3, bad=[0, 1, 2])[0]


def test_a_subset_replaces_from_its_own_clips():
    # Held-out clips must not take the place of training clips.
    subset = Subset(Numbers(6, bad=[2]), [0, 2, 4])
    with pytest.warns(UnreadableVideoWarning):
        assert subset[1]["video"][0, 0, 0, 0] == 4


def test_a_subset_keeps_the_classes():
    assert Numbers(6).take(1).class_names == ["even", "odd"]


def test_a_subset_does_not_try_known_failures_again(recwarn):
    source = Numbers(6)
    source.failures[4] = "broken"
    subset = Subset(source, [0, 4, 2])
    assert subset[1]["video"][0, 0, 0, 0] == 2 and subset.unreadable == {"clip 4": "broken"} and len(recwarn) == 0


def test_a_subset_checks_its_indices():
    with pytest.raises(ValueError, match="index 6 is outside a source of 6"):
        Subset(Numbers(6), [1, 6])


def test_arrays_stop_at_the_limit():
    assert len(Numbers(6).arrays(limit=2)["video"]) == 2


def test_unreadable_video_travels_between_processes():
    error = pickle.loads(pickle.dumps(UnreadableVideo("a.mp4", "broken")))
    assert (error.path, error.reason) == ("a.mp4", "broken") and "a.mp4: broken" in str(error)


def test_negative_indices_count_from_the_end():
    clips = MovingShapes(3, 1, 8)
    np.testing.assert_array_equal(clips[-1]["video"], clips[2]["video"])
