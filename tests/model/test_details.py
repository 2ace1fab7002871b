"""What tokens lose of given pixels, carried on to frames that are made."""

import numpy as np
import pytest

from magvit_keras.model.details import put_back

pytestmark = pytest.mark.once
RNG = np.random.default_rng(0)
DETAIL = RNG.uniform(-0.2, 0.2, (1, 1, 4, 4, 3)).astype("float32")
MADE = np.full((1, 5, 4, 4, 3), 0.5, "float32")  # a still clip, blurred by its tokens
GIVEN = MADE + DETAIL
FIRST = np.zeros((5, 4, 4), bool)
FIRST[0] = True


def test_where_the_clip_stands_still_all_frames_get_the_details_of_the_given_one():
    np.testing.assert_allclose(put_back(MADE, GIVEN, FIRST, details=True), GIVEN, atol=1e-6)


def test_without_details_only_the_given_frame_changes():
    clip = put_back(MADE, GIVEN, FIRST, details=False)
    np.testing.assert_array_equal(clip[:, 0], GIVEN[:, 0])
    np.testing.assert_array_equal(clip[:, 1:], MADE[:, 1:])


def test_what_moves_gets_no_details():
    moved = MADE.copy()
    moved[:, 2:] += 0.4
    np.testing.assert_allclose(put_back(moved, GIVEN, FIRST, details=True)[:, 2:], moved[:, 2:], atol=1e-6)


def test_between_two_given_frames_the_nearer_one_counts_more():
    ends, given = FIRST.copy(), MADE.copy()
    ends[-1], given[:, -1] = True, 0.9
    np.testing.assert_allclose(
        put_back(MADE, given, ends, details=True)[0, :, 0, 0, 0], [0.5, 0.6, 0.7, 0.8, 0.9], atol=1e-6
    )


def test_a_hole_that_moves_gets_the_details_of_frames_that_show_the_place():
    shown = np.ones((5, 4, 4), bool)
    for frame in range(5):
        shown[frame, frame % 4] = False
    np.testing.assert_allclose(put_back(MADE, GIVEN, shown, details=True), GIVEN, atol=1e-6)
