"""Continuation to any length, outpainting to any width."""

import keras
import numpy as np
import pytest

from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

CLIPS = np.random.default_rng(0).random((2, 4, 8, 8, 3)).astype("float32")
STEPS = {"num_steps": 2}


@pytest.fixture(scope="module")
def magvit():
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
    transformer = MaskedTransformer(64, 3, (2, 4, 4), 1, 32, 2, 64)
    return Magvit(tokenizer, transformer, ["frame_prediction", "vertical_outpainting"])


def test_a_clip_becomes_as_long_as_asked_and_keeps_its_start(magvit):
    long = magvit.continue_video(CLIPS[:, :2], 9, **STEPS)
    assert long.shape == (2, 9, 8, 8, 3)
    np.testing.assert_array_equal(long[:, :2], CLIPS[:, :2])


def test_each_round_is_the_models_frame_prediction_from_the_last_frames(magvit):
    long = magvit.continue_video(CLIPS[:, :2], 6, num_condition_frames=2, seed=5, **STEPS)
    first = magvit.generate("frame_prediction", video=CLIPS[:, :2], num_condition_frames=2, seed=5, **STEPS)
    np.testing.assert_array_equal(long[:, 2:4], first[:, 2:])
    again = magvit.continue_video(long[:, 2:4], 4, num_condition_frames=2, seed=5 + 1_000_003, **STEPS)
    np.testing.assert_array_equal(long[:, 4:], again[:, 2:])


def test_a_shorter_length_is_a_cut(magvit):
    np.testing.assert_array_equal(magvit.continue_video(CLIPS, 3), CLIPS[:, :3])


@pytest.mark.parametrize("width", [8, 11, 20])
def test_a_clip_becomes_as_wide_as_asked_around_the_given_columns(magvit, width):
    wide = magvit.outpaint(CLIPS, width, **STEPS)
    assert wide.shape == (2, 4, 8, width, 3)
    start = (width - 8) // 2
    np.testing.assert_array_equal(wide[:, :, :, start : start + 8], CLIPS)
    assert 0 <= wide.min() <= wide.max() <= 1


def test_a_narrow_strip_is_enough(magvit):
    assert magvit.outpaint(CLIPS[:, :, :, :4], 8, **STEPS).shape == (2, 4, 8, 8, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.continue_video(CLIPS[0], 8), "received the shape"),
        (lambda m: m.continue_video(CLIPS[:, :1], 8, num_condition_frames=2), "given 2 frames; received clips of 1"),
        (lambda m: m.continue_video(CLIPS, 8, task="central_inpainting"), "gives its first frames"),
        (lambda m: m.continue_video(CLIPS * 200, 8), "Divide by 255"),
        (lambda m: m.outpaint(CLIPS[:, :, :, :3], 8), "at least 4 columns"),
        (lambda m: m.continue_video(CLIPS, 8, num_condition_frames=4), "given 4 frames and the model makes clips of 4"),
        (lambda m: m.outpaint(CLIPS, 12, return_details=True), "return_details cannot be given here"),
        (lambda m: m.outpaint(CLIPS, 12, condition_mask=np.ones((4, 8, 8))), "condition_mask cannot be given here"),
        (lambda m: m.outpaint(CLIPS, 7), "width=7"),
        (lambda m: m.outpaint(CLIPS[:, :2], 12), "received 2 frames"),
    ],
)
def test_what_does_not_fit_is_refused(magvit, call, message):
    with pytest.raises(ValueError, match=message):
        call(magvit)
