import builtins
import shutil

import numpy as np
import pytest

from magvit_keras.data import MovingShapes, UnreadableVideo, read_clip, read_video, write_video
from magvit_keras.data.files import decode

pytestmark = pytest.mark.once

CLIP = MovingShapes(1, 40, (24, 32))[0]["video"]
FORMATS = ("mp4", "mov", "mkv", "avi", "webm", "gif")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {extension: write_video(folder / f"clip.{extension}", CLIP, fps=10) for extension in FORMATS}


@pytest.mark.parametrize("extension", FORMATS)
def test_written_videos_read_back(files, psnr, extension):
    video = read_video(files[extension])
    assert video.shape == CLIP.shape and psnr(video, CLIP) > 26  # 4:2:0 colour costs the most


@pytest.mark.parametrize("extension", FORMATS)
def test_frames_are_counted_exactly(files, extension):
    # The headers of webm and mkv say 0.
    assert decode.probe(files[extension]).num_frames == 40


@pytest.mark.parametrize("extension", FORMATS)
def test_seeking_finds_the_very_frame(files, extension):
    info, whole = decode.probe(files[extension]), read_video(files[extension])
    for start in (0, 1, 11, 12, 13, 30, 38):
        np.testing.assert_array_equal(decode.read_frames(info, [start, start + 1]), whole[[start, start + 1]])


def test_frames_come_in_the_order_asked_for(files):
    info, whole = decode.probe(files["mp4"]), read_video(files["mp4"])
    np.testing.assert_array_equal(decode.read_frames(info, [7, 3, 7]), whole[[7, 3, 7]])


def test_frames_are_scaled_while_they_are_decoded(files, psnr):
    frames = decode.read_frames(decode.probe(files["mp4"]), [0, 5], size=(12, 16))
    small = CLIP[[0, 5]].reshape(2, 12, 2, 16, 2, 3).mean((2, 4))
    assert frames.shape == (2, 12, 16, 3) and psnr(frames, small) > 24


@pytest.mark.parametrize("extension", ["mp4", "avi", "webm", "gif"])
def test_odd_sizes_are_kept(tmp_path, extension):
    assert read_video(write_video(tmp_path / f"odd.{extension}", CLIP[:3, :23, :31])).shape == (3, 23, 31, 3)


@pytest.mark.parametrize("extension", ["mp4", "avi", "webm", "gif"])
def test_one_frame_is_a_video(tmp_path, extension):
    assert len(read_video(write_video(tmp_path / f"one.{extension}", CLIP[:1]))) == 1


@pytest.mark.parametrize("extension", FORMATS)
def test_truncated_files_are_unreadable(files, tmp_path, extension):
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(files[extension].read_bytes()[: files[extension].stat().st_size // 2])
    with pytest.raises(UnreadableVideo, match=rf"cut\.{extension}"):
        decode.probe(path)


@pytest.mark.parametrize("content", [b"", b"not a video", b"RIFF\0\0\0\0AVI LIST", b"GIF89a"])
def test_other_content_is_unreadable(tmp_path, content):
    path = tmp_path / "bad.avi"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo, match=r"bad\.avi"):
        decode.probe(path)


def test_a_missing_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableVideo, match="No such file"):
        decode.probe(tmp_path / "gone.mp4")


@pytest.mark.parametrize("extension", ["mp4", "webm", "gif"])
def test_too_large_frames_are_refused_before_decoding(files, extension):
    with pytest.raises(UnreadableVideo, match="at most 500 are read"):
        decode.probe(files[extension], max_pixels=500)


def test_a_gif_that_claims_gigabytes_is_refused(files, tmp_path):
    content = bytearray(files["gif"].read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"  # 65535 x 65535
    (tmp_path / "huge.gif").write_bytes(content)
    with pytest.raises(UnreadableVideo, match="frames"):
        decode.probe(tmp_path / "huge.gif")


def test_the_rotation_that_phones_store_is_applied(files, tmp_path):
    # The matrix of the track header, set to a quarter turn clockwise.
    content, one = bytearray(files["mov"].read_bytes()), (1 << 16).to_bytes(4, "big")
    matrix = content.index(b"tkhd") + 4 + 40
    zero, minus = bytes(4), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    content[matrix : matrix + 36] = (
        zero + one + zero + minus + zero + zero + (24 << 16).to_bytes(4, "big") + zero + (1 << 30).to_bytes(4, "big")
    )
    (tmp_path / "phone.mov").write_bytes(content)
    info = decode.probe(tmp_path / "phone.mov")
    assert (info.height, info.width) == (32, 24)
    upright = read_video(files["mov"])
    np.testing.assert_array_equal(read_video(tmp_path / "phone.mov"), np.rot90(upright, -1, axes=(1, 2)))


def test_frames_beyond_the_end_are_an_error(files):
    with pytest.raises(IndexError, match="frames 0 to 39"):
        decode.read_frames(decode.probe(files["mp4"]), [40])


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("magvit_keras.data.files.encode.gif_bytes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_video(tmp_path / "clip.gif", CLIP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clip", [CLIP[0], CLIP.astype(np.float32), CLIP[..., :1], CLIP[:0]])
def test_only_uint8_clips_are_written(tmp_path, clip):
    with pytest.raises(ValueError, match=r"expected uint8 \(T, H, W, 3\)"):
        write_video(tmp_path / "clip.mp4", clip)


def test_an_unknown_format_names_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write \.wmv.*mp4"):
        write_video(tmp_path / "clip.wmv", CLIP)


def test_avi_is_xvid_as_in_ucf101(files):
    assert b"XVID" in files["avi"].read_bytes()[:512]


def test_without_pyav_the_extra_is_named(monkeypatch, files):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "av":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'magvit-keras\[video\]'"):
        decode.probe(files["mp4"])


def test_a_path_with_spaces_and_accents_is_read(files, tmp_path):
    path = tmp_path / "Ä 100% #1.mp4"
    shutil.copy(files["mp4"], path)
    assert decode.probe(path).num_frames == 40


@pytest.mark.parametrize("wrong", [{"start": -1}, {"start": 1.5}, {"frame_stride": 0}])
def test_a_clip_of_a_file_starts_and_steps_by_whole_numbers(files, wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}: expected a whole number"):
        read_clip(files["mp4"], 4, (16, 16), **wrong)
