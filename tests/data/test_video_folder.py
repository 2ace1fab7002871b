import shutil

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, UnreadableVideo, UnreadableVideoWarning, VideoFolder, read_video

pytestmark = pytest.mark.once


def test_sub_folders_are_the_classes(videos):
    folder = VideoFolder(videos, 4, 16)
    assert folder.class_names == ["circle_diagonal", "star_diagonal"]
    assert np.bincount(folder.labels).tolist() == [5, 5]


def test_every_format_decodes_to_the_clip_that_was_written(videos, psnr):
    written = {source.name(i): source[i]["video"] for source in [_written()] for i in range(10)}
    folder = VideoFolder(videos, 20, (24, 32), training=False)
    endings = set()
    for index in range(10):
        stem, ending = folder.name(index).rsplit(".", 1)
        endings.add(ending)
        assert psnr(folder[index]["video"], written[stem]) > 26
    assert endings == {"mp4", "avi", "webm", "mov", "gif"}


def _written():
    return MovingShapes(10, 20, (24, 32), shapes=["circle", "star"], motions=["diagonal"])


def test_labels_match_the_written_classes(videos):
    folder = VideoFolder(videos, 4, 16)
    for index in range(10):
        assert folder.class_names[folder[index]["label"]] == folder.name(index).split("/")[0]


def test_evaluation_takes_the_middle_window_and_crop(videos):
    folder = VideoFolder(videos, 4, (24, 24), frame_stride=3, training=False)
    whole = read_video(folder.paths[0])
    np.testing.assert_array_equal(folder[0]["video"], whole[4:16:3, :, 4:28])


def test_training_windows_and_crops_vary_with_the_epoch(videos):
    folder = VideoFolder(videos, 4, (16, 16))
    clips = [folder.sample(0, epoch)[0]["video"] for epoch in range(8)]
    assert len({clip.tobytes() for clip in clips}) > 4


def test_a_training_clip_depends_on_seed_epoch_and_index_alone(videos):
    a, b = VideoFolder(videos, 4, 16, seed=1), VideoFolder(videos, 4, 16, seed=1)
    b.sample(2, epoch=0)
    np.testing.assert_array_equal(a.sample(5, epoch=3)[0]["video"], b.sample(5, epoch=3)[0]["video"])


def test_another_seed_draws_other_windows(videos):
    a, b = (VideoFolder(videos, 4, 16, seed=seed).arrays()["video"] for seed in (0, 1))
    assert (a != b).any()


def test_flips_are_off_by_default_and_mirror_half_of_the_clips(videos):
    size = (24, 32)  # the whole frame and video: only the flip is left to chance
    plain, flipped = VideoFolder(videos, 20, size), VideoFolder(videos, 20, size, horizontal_flip=True)
    mirrored = 0
    for epoch in range(8):
        a, b = plain.sample(0, epoch)[0]["video"], flipped.sample(0, epoch)[0]["video"]
        if (a != b).any():
            np.testing.assert_array_equal(a[:, :, ::-1], b)
            mirrored += 1
    assert 1 <= mirrored <= 7


def test_a_short_video_is_tiled(videos):
    clip = VideoFolder(videos, 50, (24, 32), training=False)[0]["video"]
    np.testing.assert_array_equal(clip[:10], clip[20:30])
    np.testing.assert_array_equal(clip[:10], clip[40:])


def test_a_flat_folder_is_one_class(tmp_path, videos):
    for path in (videos / "circle_diagonal").iterdir():
        shutil.copy(path, tmp_path)
    folder = VideoFolder(tmp_path, 4, 16)
    assert folder.class_names == ["video"] and set(folder.labels) == {0}


def test_extensions_are_read_in_any_case(tmp_path, videos):
    shutil.copy(next(videos.glob("*/*.mp4")), tmp_path / "A.MP4")
    shutil.copy(next(videos.glob("*/*.mov")), tmp_path / "b.MoV")
    assert len(VideoFolder(tmp_path, 4, 16)) == 2


def test_other_and_hidden_files_are_left_out(tmp_path, videos):
    shutil.copytree(videos, tmp_path / "v")
    (tmp_path / "v/circle_diagonal/notes.txt").write_text("x")
    (tmp_path / "v/circle_diagonal/._train.mp4").write_text("x")
    assert len(VideoFolder(tmp_path / "v", 4, 16)) == 10


def test_only_the_given_extensions_are_read(videos):
    folder = VideoFolder(videos, 4, 16, extensions=[".GIF"])
    assert {path.suffix for path in folder.paths} == {".gif"}


def test_class_names_can_be_given(videos):
    folder = VideoFolder(videos, 4, 16, class_names=["other", "star_diagonal", "circle_diagonal"])
    assert set(folder.labels) == {1, 2}


def test_an_unknown_class_is_named(videos):
    with pytest.raises(ValueError, match="star_diagonal"):
        VideoFolder(videos, 4, 16, class_names=["circle_diagonal"])


def test_loose_videos_beside_classes_are_an_error(tmp_path, videos):
    shutil.copytree(videos, tmp_path / "v")
    shutil.copy(next(videos.glob("*/*.mp4")), tmp_path / "v/loose.mp4")
    with pytest.raises(ValueError, match=r"1 videos without a class.*loose\.mp4"):
        VideoFolder(tmp_path / "v", 4, 16)


def test_links_out_of_the_folder_are_not_followed(tmp_path, videos):
    shutil.copytree(videos / "circle_diagonal", tmp_path / "v/a")
    (tmp_path / "v/b").symlink_to(videos / "star_diagonal")
    (tmp_path / "v/a/link.mp4").symlink_to(next(videos.glob("*/*.mp4")))
    with pytest.warns(UserWarning, match="2 links"):
        folder = VideoFolder(tmp_path / "v", 4, 16)
    assert folder.class_names == ["a"] and len(folder) == 5


def test_the_folder_itself_may_be_a_link(tmp_path, videos):
    (tmp_path / "link").symlink_to(videos)
    assert len(VideoFolder(tmp_path / "link", 4, 16)) == 10


def test_a_missing_folder_fails_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        VideoFolder(tmp_path / "missing")


def test_an_empty_folder_fails_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="is empty"):
        VideoFolder(tmp_path)


def test_a_folder_without_videos_names_the_endings(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="none of its 1 files ends in avi, gif"):
        VideoFolder(tmp_path)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "a.mp4").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        VideoFolder(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_frames": 0}, "num_frames=0"),
        ({"size": (4, 4)}, "at least 8 x 8"),
        ({"frame_stride": 0}, "frame_stride=0"),
        ({"seed": -1}, "seed=-1"),
        ({"on_error": "ignore"}, "one of skip, raise"),
    ],
)
def test_wrong_arguments_say_what_is_expected(videos, arguments, message):
    with pytest.raises(ValueError, match=message):
        VideoFolder(videos, **arguments)


def test_unreadable_videos_are_replaced_with_one_warning(broken):
    with pytest.warns(UnreadableVideoWarning, match=r"2 of 6 videos(.|\n)*00001\.mp4(.|\n)*00003\.mp4") as caught:
        arrays = VideoFolder(broken, 4, 16, training=False).arrays()
    assert len(caught) == 1
    np.testing.assert_array_equal(arrays["video"][1], arrays["video"][2])
    np.testing.assert_array_equal(arrays["video"][3], arrays["video"][4])


def test_on_error_raise_names_the_file(broken):
    with pytest.raises(UnreadableVideo, match=r"00001\.mp4"):
        VideoFolder(broken, 4, 16, on_error="raise").arrays()


def test_a_file_that_vanishes_counts_as_unreadable(tmp_path, videos):
    shutil.copytree(videos, tmp_path / "v")
    folder = VideoFolder(tmp_path / "v", 4, 16)
    folder.paths[0].unlink()
    with pytest.warns(UnreadableVideoWarning, match="No such file"):
        assert folder[0]["video"].shape == (4, 16, 16, 3)


def test_scan_finds_the_unreadable_before_a_run(broken, recwarn):
    folder = VideoFolder(broken, 4, 16)
    report = folder.scan()
    assert len(report.readable) == 4
    assert [path[-9:] for path in report.unreadable] == ["00001.mp4", "00003.mp4"]
    assert "4 readable videos, 2 unreadable" in str(report)
    folder.arrays()
    assert len(recwarn) == 0  # the report has named them


def test_too_large_frames_count_as_unreadable(videos):
    report = VideoFolder(videos, 4, 16, max_pixels=100).scan()
    assert report.readable == [] and len(report.unreadable) == 10


def test_held_out_clips_are_cut_from_the_middle(videos):
    kept, held = VideoFolder(videos, 4, 16, horizontal_flip=True).split(0.3)
    assert kept.source.training and not held.source.training and not held.source.horizontal_flip
    a, b = held.sample(0, epoch=0)[0], held.sample(0, epoch=1)[0]
    np.testing.assert_array_equal(a["video"], b["video"])
