import shutil

import numpy as np
import pytest

from magvit_keras.data import (
    MovingShapes,
    UnreadableVideo,
    UnreadableVideoWarning,
    VideoFolder,
    read_video,
    write_video,
)

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
    with pytest.raises(FileNotFoundError, match=r"none of its 1 files \(\.txt\) ends in .*avi, .*mpg"):
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


def test_scan_names_twenty_and_counts_the_rest(tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02}.mp4").write_bytes(b"no video")
        (tmp_path / f"{number:02}.txt").write_bytes(b"a note")
    text = str(VideoFolder(tmp_path, 4, 16).scan())
    assert "0 readable videos, 50 unreadable" in text and "50 other files, not read: 00.txt, 01.txt" in text
    assert text.count(".mp4") == 20 and text.count(".txt") == 20 and text.count("and 30 more") == 2


def test_scan_names_what_is_not_read_and_what_is_short(tmp_path, videos):
    shutil.copytree(videos, tmp_path / "v")
    (tmp_path / "v/notes.txt").write_text("x")
    (tmp_path / "v/circle_diagonal/still.jpg").write_text("x")
    (tmp_path / "v/.hidden").write_text("x")
    report = VideoFolder(tmp_path / "v", 16, 16, frame_stride=2).scan()
    assert report.other == ["circle_diagonal/still.jpg", "notes.txt"]
    assert len(report.short) == 10 and "10 shorter than a clip, and repeated" in str(report)
    assert not VideoFolder(tmp_path / "v", 16, 16).scan().short


# --- frame rates ---


def test_mixed_frame_rates_become_one(tmp_path):
    """Grey that brightens by 60 a second, in files of 12, 25 and 30 frames per second."""
    for rate in (12, 25, 30):
        seconds = np.arange(3 * rate) / rate
        clip = np.broadcast_to((40 + 60 * seconds)[:, None, None, None], (3 * rate, 32, 32, 3)).astype(np.uint8)
        write_video(tmp_path / f"{rate}.mp4", clip, fps=rate)
    for fps in (5, 12, 30):
        clips = VideoFolder(tmp_path, num_frames=2 * fps, size=16, fps=fps).for_evaluation(windows="first")
        wanted = 40 + 60 * np.arange(2 * fps) / fps
        for clip, rate in zip(clips, (12, 25, 30), strict=True):
            brightness = clip["video"].mean((1, 2, 3))
            assert abs(brightness - wanted).max() <= 60 * 0.5 / rate + 3  # half a frame, and the codec
    lengths = [clips.open_video(video).num_frames for video in range(3)]
    assert lengths == [90, 90, 90] and clips.description()["fps"] == 30


def test_without_a_rate_frames_are_those_of_the_file(videos):
    folder = VideoFolder(videos, 4, 16)
    assert folder.fps is None and folder.open_video(0).num_frames == 20


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "24", True])
def test_a_frame_rate_is_a_number(videos, fps):
    with pytest.raises(ValueError, match=r"fps=.*a number from 0\.01 to 1000"):
        VideoFolder(videos, fps=fps)


# --- any data loader ---


def test_index_access_draws_anew_each_time(videos):
    folder = VideoFolder(videos, 4, (16, 16))
    first = [folder[0]["video"] for _ in range(5)]
    for epoch, clip in enumerate(first):
        np.testing.assert_array_equal(clip, folder.sample(0, epoch)[0]["video"])
    held_out = folder.for_evaluation()
    np.testing.assert_array_equal(held_out[0]["video"], held_out[0]["video"])
    np.testing.assert_array_equal(VideoFolder(videos, 4, (16, 16))[0]["video"], first[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pytorch_data_loader_sees_other_crops_in_each_epoch(videos, workers):
    data = pytest.importorskip("torch").utils.data
    loader = data.DataLoader(VideoFolder(videos, 4, (16, 16)).take(2), batch_size=2, num_workers=workers)
    seen = {batch["video"][0].numpy().tobytes() for _ in range(4) for batch in loader}
    assert len(seen) >= 3


def test_too_large_frames_count_as_unreadable(videos):
    report = VideoFolder(videos, 4, 16, max_pixels=100).scan()
    assert report.readable == [] and len(report.unreadable) == 10


def test_held_out_clips_are_cut_from_the_middle(videos):
    kept, held = VideoFolder(videos, 4, 16, horizontal_flip=True).split(0.3)
    assert kept.source.training and not held.source.training and not held.source.horizontal_flip
    a, b = held.sample(0, epoch=0)[0], held.sample(0, epoch=1)[0]
    np.testing.assert_array_equal(a["video"], b["video"])
