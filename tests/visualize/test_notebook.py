"""`mk.show`: what a notebook gets, read back as a browser would."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import magvit_keras as mk
from magvit_keras import visualize
from magvit_keras.data import MovingShapes

pytestmark = pytest.mark.once
CLIPS = MovingShapes(9, 16, 64, occlusion=0.0, texture=0.15, seed=1).arrays()["video"]


def pictures(shown) -> list[Image.Image]:
    sources = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', shown._repr_html_())
    return [Image.open(io.BytesIO(base64.b64decode(source))) for source in sources]


def test_a_clip_is_an_animation_that_loops_at_its_speed():
    picture = pictures(mk.show(CLIPS[0, :8], fps=4))[0]
    durations = []
    for number in range(picture.n_frames):
        picture.seek(number)
        picture.load()
        durations.append(picture.info["duration"])
    assert len(durations) == 8 and sum(durations) == 2000 and picture.info["loop"] == 0


def test_small_clips_are_enlarged_by_whole_factors():
    assert mk.show(CLIPS[0]).frames.shape == (16, 256, 256, 3)
    np.testing.assert_array_equal(mk.show(CLIPS[0]).frames, visualize.upscale(CLIPS[0], 4))


def test_scale_is_followed():
    assert mk.show(CLIPS[0], scale=2).frames.shape == (16, 128, 128, 3)


def test_colours_are_true():
    picture = pictures(mk.show(CLIPS[0, :1], scale=4))[0]
    error = np.asarray(picture.convert("RGB")).astype(float) - visualize.upscale(CLIPS[0, 0], 4)
    assert 10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)) > 33


def test_token_maps_are_exact():
    painted = visualize.token_map(np.arange(4 * 8 * 8).reshape(4, 8, 8), 1024)
    picture = pictures(mk.show(painted))[0]
    assert picture.format == "PNG"
    for number in range(4):
        picture.seek(number)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB"))[16::32, 16::32], painted[number])


def test_nine_clips_stay_small():
    assert len(mk.show(CLIPS)._repr_html_()) < 400_000


def test_nothing_comes_from_elsewhere():
    page = mk.show(CLIPS[0])._repr_html_()
    assert "script" not in page and "http" not in page and "<video" not in page


def test_the_film_strip_unfolds():
    page = mk.show(CLIPS[0])._repr_html_()
    assert re.search(r"<details><summary>Film strip</summary><img ", page)


def test_a_frame_stands_still_and_needs_no_strip():
    shown = mk.show(CLIPS[0, 0])
    assert shown.frames.shape[0] == 1 and "<details>" not in shown._repr_html_()


@pytest.mark.parametrize("options", [{"fps": 0}, {"labels": list("abcd")}])
def test_four_axes_are_frames_if_that_is_said(options):
    assert mk.show(CLIPS[:4, 0], **options).frames.shape[0] == 1


def test_four_axes_are_a_clip_otherwise():
    assert mk.show(CLIPS[0, :4]).frames.shape[0] == 4


def test_a_dict_is_shown_side_by_side():
    named = {"clip": CLIPS[0], "other": CLIPS[1]}
    np.testing.assert_array_equal(mk.show(named, scale=2).frames, visualize.side_by_side(named, scale=2))


def test_the_caption_is_escaped_and_below():
    page = mk.show(CLIPS[0, 0], caption="a <b> & c")._repr_html_()
    assert "<div>a &lt;b&gt; &amp; c</div>" in page and 'alt="a &lt;b&gt; &amp; c"' in page


def test_negative_speeds_are_refused():
    with pytest.raises(ValueError, match="fps=-1"):
        mk.show(CLIPS[0], fps=-1)


def test_other_ranges_are_named():
    with pytest.raises(ValueError, match="0 to 255"):
        mk.show(np.linspace(0, 255, 48).reshape(1, 4, 4, 3))


# --- side by side ---


def test_one_clip_a_name_makes_a_row():
    sheet = visualize.side_by_side({"a": CLIPS[0], "b": CLIPS[1]})
    np.testing.assert_array_equal(sheet[:, -64:, :64], CLIPS[0])
    np.testing.assert_array_equal(sheet[:, -64:, 68:], CLIPS[1])


def test_several_clips_a_name_make_a_row_for_each_name():
    sheet = visualize.side_by_side({"a": CLIPS[:3], "b": CLIPS[3:6]})
    np.testing.assert_array_equal(sheet[:, -64:, 68:132], CLIPS[4])
    assert sheet.shape[2] == 3 * 68 - 4


def test_more_clips_than_columns_go_into_further_rows():
    sheet = visualize.side_by_side({"a": CLIPS[:3], "b": CLIPS[3:6]}, columns=2)
    np.testing.assert_array_equal(sheet[:, -64:, :64], CLIPS[5])
    assert (sheet[:, -64:, 68:] == 255).all()


def test_small_maps_are_enlarged_to_the_clips():
    painted = visualize.token_map(np.arange(64).reshape(1, 8, 8), 64)
    sheet = visualize.side_by_side({"clip": CLIPS[0], "tokens": painted})
    np.testing.assert_array_equal(sheet[0, -64:, 68:], visualize.upscale(painted[0], 8))


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="'b' are 60x64"):
        visualize.side_by_side({"a": CLIPS[0], "b": CLIPS[0][:, :60]})


def test_different_numbers_of_clips_are_named():
    with pytest.raises(ValueError, match="'b': 2"):
        visualize.side_by_side({"a": CLIPS[:3], "b": CLIPS[:2]})


def test_tokens_fill_their_boxes_in_space_and_time():
    painted = visualize.token_map(np.arange(16).reshape(2, 2, 2, 2), 16)
    pixels = visualize.to_pixels(painted, (4, 6, 8))
    assert pixels.shape == (2, 4, 6, 8, 3)
    np.testing.assert_array_equal(pixels[1, 3, 2, 4], painted[1, 1, 0, 1])


def test_boxes_must_be_whole():
    with pytest.raises(ValueError, match=r"\(2, 2, 2\), received \(4, 5, 4\)"):
        visualize.to_pixels(np.zeros((2, 2, 2)), (4, 5, 4))
