import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from magvit_keras import visualize
from magvit_keras.data import MovingShapes, read_video

pytestmark = pytest.mark.once
CLIPS = MovingShapes(4, 6, 32, seed=2).arrays()["video"]


def test_floats_in_0_1_become_uint8():
    values = visualize.to_uint8(np.array([[0, 0.5, 1]], np.float16))
    assert values.tolist() == [[0, 128, 255]]


def test_what_a_decoder_puts_outside_is_clipped():
    assert visualize.to_uint8(np.array([[-0.1, 0.5, 1.1]])).tolist() == [[0, 128, 255]]


def test_uint8_stays():
    np.testing.assert_array_equal(visualize.to_uint8(CLIPS), CLIPS)


@pytest.mark.parametrize("scale, offset, seen", [(255, 0, "0 to 255"), (2, -1, "-1 to 1"), (1.5, 0, "0 to 1.5")])
def test_other_ranges_are_named(scale, offset, seen):
    ramp = np.linspace(0, 1, 12).reshape(1, 2, 2, 3) * scale + offset
    with pytest.raises(ValueError, match=seen):
        visualize.to_uint8(ramp)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="nan"):
        visualize.to_uint8(np.full((1, 2, 2, 3), np.nan))


def test_whole_numbers_other_than_uint8_are_refused():
    with pytest.raises(ValueError, match="received int64"):
        visualize.to_uint8(CLIPS.astype(np.int64))


def test_upscale_makes_squares():
    picture = visualize.upscale(np.arange(12).reshape(1, 2, 2, 3), 2)
    assert picture[0, :2, :2, 0].tolist() == [[0, 0], [0, 0]] and picture.shape == (1, 4, 4, 3)


def test_grid_puts_clips_in_rows():
    sheet = visualize.grid(CLIPS, columns=2)
    assert sheet.shape == (6, 68, 68, 3)
    np.testing.assert_array_equal(sheet[:, 36:, 36:], CLIPS[3])


def test_an_unfinished_row_is_paper():
    sheet = visualize.grid(CLIPS[:3], columns=2)
    assert (sheet[:, 36:, 36:] == 255).all()


def test_a_shorter_clip_holds_its_last_frame():
    sheet = visualize.grid([CLIPS[0], CLIPS[1][:2]], columns=2)
    np.testing.assert_array_equal(sheet[5, :, 36:], CLIPS[1][1])


def test_labels_are_drawn_above_each_clip():
    plain, named = visualize.grid(CLIPS, 2), visualize.grid(CLIPS, 2, labels=["a", "b", "c", ""])
    header = (named.shape[1] - plain.shape[1]) // 2
    assert (named[:, :header, :32] < 128).any() and (named[:, header + 36 : 2 * header + 36, 36:] == 255).all()
    np.testing.assert_array_equal(named[:, header : header + 32, :32], CLIPS[0])


def test_a_long_label_stays_within_its_clip():
    named = visualize.grid(CLIPS[:2], 2, labels=["a very long label indeed", ""])
    assert (named[:, :12, 32:] == 255).all()


def test_one_label_a_clip_is_wanted():
    with pytest.raises(ValueError, match="expected 4, one for each clip; received 1"):
        visualize.grid(CLIPS, labels=["a"])


def test_frames_of_different_sizes_are_named():
    with pytest.raises(ValueError, match=r"\(16, 32\), \(32, 32\)"):
        visualize.grid([CLIPS[0], CLIPS[0][:, :16]])


def test_a_strip_shows_first_and_last_frame():
    picture = visualize.strip(CLIPS, max_frames=3)
    assert picture.shape == (4 * 36 - 4, 3 * 36 - 4, 3)
    np.testing.assert_array_equal(picture[36:68, :32], CLIPS[1][0])
    np.testing.assert_array_equal(picture[36:68, 72:], CLIPS[1][-1])


def test_every_token_has_its_own_colour():
    colours = visualize.token_map(np.arange(1024), 1024)
    assert len({tuple(colour) for colour in colours.tolist()}) == 1024


def test_a_token_keeps_its_colour_in_every_codebook():
    np.testing.assert_array_equal(visualize.token_map([5, 900], 1024), visualize.token_map([5, 900], 4096))


def test_no_token_is_grey():
    colours = visualize.token_map(np.arange(16384), 16384).astype(int)
    assert np.ptp(colours, axis=1).min() > 15


@pytest.mark.parametrize("ids, message", [([0, 8], "0 to 8"), ([-1], "-1 to -1"), ([0.5], "float64")])
def test_ids_outside_the_codebook_are_named(ids, message):
    with pytest.raises(ValueError, match=message):
        visualize.token_map(ids, 8)


def test_masked_tokens_are_grey_and_others_coloured():
    tokens = np.full((2, 1, 1, 2), 3)
    tokens[0, 0, 0, 0] = -1  # at a masked place anything may stand
    masks = np.zeros((2, 1, 1, 2), bool)
    masks[0, 0, 0, 0] = True
    steps = visualize.decoding_steps(tokens, masks, 8)
    assert steps[0, 0, 0, 0].tolist() == [128, 128, 128]
    assert steps[1, 0, 0, 0].tolist() == visualize.token_map(3, 8).tolist()


def test_masks_must_be_bool():
    with pytest.raises(ValueError, match="int64"):
        visualize.decoding_steps(np.zeros((1, 1, 1, 1), int), np.zeros((1, 1, 1, 1), int), 8)


def test_a_gif_reads_back(tmp_path):
    path = visualize.save_gif(tmp_path / "a.gif", CLIPS, fps=10, columns=2)
    video = read_video(path)
    assert video.shape == (6, 68, 68, 3)
    assert np.abs(video.astype(int) - visualize.grid(CLIPS, 2)).mean() < 3


def test_a_gif_loops_at_its_speed(tmp_path):
    with Image.open(visualize.save_gif(tmp_path / "a.gif", CLIPS[0], fps=8)) as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert image.info["loop"] == 0 and sum(durations) == 750  # six frames at 8 a second


def test_an_mp4_has_even_sizes(tmp_path):
    video = read_video(visualize.save_mp4(tmp_path / "a.mp4", CLIPS[0][:, :31, :29]))
    assert video.shape == (6, 32, 30, 3)


def test_scale_enlarges(tmp_path):
    assert read_video(visualize.save_mp4(tmp_path / "a.mp4", CLIPS[0], scale=3)).shape == (6, 96, 96, 3)


def test_a_png_strip_is_exact(tmp_path):
    path = visualize.save_png_strip(tmp_path / "new" / "a.png", CLIPS[0], max_frames=2)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), visualize.strip(CLIPS[0], 2))


@pytest.mark.parametrize("save", [visualize.save_gif, visualize.save_mp4, visualize.save_png_strip])
def test_another_ending_is_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"ends in \.(gif|mp4|png)"):
        save(tmp_path / "a.bin", CLIPS)


@pytest.mark.parametrize("save, ending", [(visualize.save_gif, "gif"), (visualize.save_png_strip, "png")])
def test_files_are_the_same_each_time(tmp_path, save, ending):
    paths = [save(tmp_path / f"{name}.{ending}", CLIPS, labels=list("abcd")) for name in "xy"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # nothing half-written stays behind


@pytest.fixture
def page(tmp_path):
    picture = visualize.save_png_strip(tmp_path / "strip.png", CLIPS)
    sections = [
        visualize.Section(
            "Input & <more>",
            "Four clips.",
            [
                visualize.Figure(CLIPS, "Clips.", labels=list("abcd")),
                (CLIPS[0], "One clip."),
                (visualize.strip(CLIPS), "A strip."),
                (picture, "A file."),
            ],
        ),
        ("Losses", "What training reached.", [({"loss": 0.123456, "<b>": 3},)]),
    ]
    return visualize.write_report(tmp_path / "report.html", sections, "A <run>").read_text()


def test_a_report_holds_every_figure_inside(page):
    assert page.count("data:image/gif;base64,") == 2 and page.count("data:image/png;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_a_report_escapes_its_text(page):
    assert "<h1>A &lt;run&gt;</h1>" in page and "Input &amp; &lt;more&gt;" in page and "<th>&lt;b&gt;</th>" in page


def test_a_report_shows_tables(page):
    assert "<th>loss</th><td>0.1235</td>" in page


def test_a_report_fits_phones_and_both_modes(page):
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page


def test_every_picture_of_a_report_has_a_text(page):
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', page)) == 4


def test_an_unknown_file_in_a_report_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"clip\.wmv"):
        visualize.write_report(tmp_path / "r.html", [("A", "", [("clip.wmv",)])], "A")


def test_an_interrupted_report_leaves_the_old_one(tmp_path):
    path = visualize.write_report(tmp_path / "r.html", [], "Old")
    with pytest.raises(ValueError, match="expected floats"):
        visualize.write_report(path, [("A", "", [(CLIPS * 1.0,)])], "New")
    assert "Old" in path.read_text() and os.listdir(tmp_path) == ["r.html"]


def test_examples_in_docstrings_run():
    modules = (
        "magvit_keras.visualize.clips magvit_keras.visualize.comparison magvit_keras.visualize.decoding "
        "magvit_keras.visualize.files magvit_keras.visualize.notebook magvit_keras.visualize.plots "
        "magvit_keras.visualize.report "
        "magvit_keras.data.shapes.moving_shapes magvit_keras.data.source "
        "magvit_keras.data.files.encode magvit_keras.data.files.decode "
        "magvit_keras.data.readers.video_folder magvit_keras.data.loader"
    )
    code = (
        "import doctest, importlib, sys\n"
        f"results = [doctest.testmod(importlib.import_module(m)) for m in '{modules}'.split()]\n"
        "print(sum(r.failed for r in results), all(r.attempted for r in results))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "0 True", output
