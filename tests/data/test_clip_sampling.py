import numpy as np
import pytest

from magvit_keras.data import clip_sampling as sampling

pytestmark = pytest.mark.once


def test_centre_window_leaves_equal_margins():
    assert sampling.centre_offset(100, 16, 2) == (100 - 32) // 2


def test_short_videos_start_at_zero():
    assert sampling.centre_offset(10, 16) == 0 == sampling.random_offset(np.random.default_rng(0), 10, 16)


def test_training_offsets_are_uniform_over_all_windows():
    rng = np.random.default_rng(0)
    counts = np.bincount([sampling.random_offset(rng, 20, 16) for _ in range(5000)])
    assert len(counts) == 5 and counts.min() > 900


def test_short_videos_are_tiled():
    assert sampling.window(0, 3, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_stride_takes_every_nth_frame():
    assert sampling.window(4, 50, 4, 3) == [4, 7, 10, 13]


def test_tiling_with_a_stride_walks_the_repeated_video():
    assert sampling.window(0, 5, 4, 2) == [0, 2, 4, 1]


def test_windows_are_spread_from_the_first_to_the_last():
    assert sampling.linspace_offsets(100, 16, 1, 4) == [0, 28, 56, 84]


@pytest.mark.parametrize(
    "size, target, expected",
    [
        ((240, 320), (128, 128), (128, 171)),
        ((320, 240), (64, 64), (85, 64)),
        ((64, 64), (64, 64), (64, 64)),
        ((10, 10), (64, 64), (64, 64)),
        ((240, 320), (64, 128), (96, 128)),
    ],
)
def test_frames_are_scaled_until_they_just_cover_the_crop(size, target, expected):
    assert sampling.covering_size(size, target) == expected


def test_random_crops_reach_every_corner():
    rng = np.random.default_rng(0)
    corners = {sampling.random_corner(rng, (5, 6), (4, 4)) for _ in range(200)}
    assert corners == {(top, left) for top in range(2) for left in range(3)}


def test_crop_cuts_at_the_corner():
    clip = np.arange(36).reshape(1, 6, 6, 1)
    assert sampling.crop(clip, (1, 2), (2, 3))[0, :, :, 0].tolist() == [[8, 9, 10], [14, 15, 16]]


def test_flip_mirrors_left_and_right():
    clip = np.arange(3).reshape(1, 1, 3, 1)
    assert sampling.flip(clip).ravel().tolist() == [2, 1, 0]


def test_three_crops_are_the_start_the_middle_and_the_end_of_the_longer_side():
    assert sampling.spread_corners((128, 171), (128, 128), 3) == [(0, 0), (0, 21), (0, 43)]
    assert sampling.spread_corners((171, 128), (128, 128), 3) == [(0, 0), (21, 0), (43, 0)]


def test_one_crop_is_that_in_the_middle():
    assert sampling.spread_corners((128, 171), (128, 128), 1) == [(0, 21)]


@pytest.mark.parametrize("rate", [12, 25, 30, 23.976])
@pytest.mark.parametrize("fps", [6, 10, 12.5, 24, 60])
def test_frames_at_another_rate_are_the_nearest_in_time(rate, fps):
    times, clock = np.round(np.arange(100) * 1000 / rate).astype(int).tolist(), 1e-3
    count = sampling.resampled_length(times, clock, fps)
    assert abs(count / fps - 100 / rate) < 1 / fps
    found = sampling.nearest_frames(times, clock, fps, range(count))
    for number, index in enumerate(found):
        distances = np.abs(np.array(times) * clock - number / fps)
        assert distances[index] == pytest.approx(distances.min(), abs=1e-9)


def test_a_video_of_the_wanted_rate_stays_as_it_is():
    times = [0, 42, 83, 125, 167, 208]  # 24 fps in milliseconds
    assert sampling.nearest_frames(times, 1e-3, 24, range(6)) == list(range(6))
    assert sampling.resampled_length(times, 1e-3, 24) == 6
    assert sampling.nearest_frames([7], 1.0, 24, [0, 0]) == [0, 0]
