"""Every kind of file that people have, and damaged ones: frames found by their times are those read from the start."""

import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from magvit_keras.data import MovingShapes, UnreadableVideo, UnreadableVideoWarning, VideoFolder, read_video
from magvit_keras.data.files import decode
from magvit_keras.data.files.encode import address

av = pytest.importorskip("av")
pytestmark = pytest.mark.once

CLIP = MovingShapes(1, 60, (48, 64), texture=1.0)[0]["video"]
X264 = {"g": "12", "bf": "2", "threads": "1"}
MPEG = {"g": "12", "bf": "2", "b": "60000"}
HEVC = {"x265-params": "keyint=12:log-level=none:pools=none"}
# file: (container, codec, options, pixel format)
KINDS = {
    "a.mp4": ("mp4", "libx264", X264, "yuv420p"),
    "open-gop.mp4": ("mp4", "libx264", {**X264, "x264-params": "open-gop=1"}, "yuv420p"),
    "refresh.ts": ("mpegts", "libx264", {"x264-params": "intra-refresh=1:keyint=12", "threads": "1"}, "yuv420p"),
    "hevc.mp4": ("mp4", "libx265", HEVC, "yuv420p"),
    "hevc.mkv": ("matroska", "libx265", {"x265-params": HEVC["x265-params"] + ":open-gop=1"}, "yuv420p"),
    "a.ts": ("mpegts", "libx264", X264, "yuv420p"),
    "A.M2TS": ("mpegts", "libx264", X264, "yuv420p"),
    "a.MTS": ("mpegts", "mpeg2video", MPEG, "yuv420p"),
    "mpeg4.ts": ("mpegts", "mpeg4", MPEG, "yuv420p"),
    "a.3gp": ("3gp", "mpeg4", MPEG, "yuv420p"),
    "a.flv": ("flv", "libx264", X264, "yuv420p"),
    "a.mpg": ("mpeg", "mpeg1video", {**MPEG, "bf": "0"}, "yuv420p"),
    "b-frames.mpeg": ("mpeg", "mpeg1video", MPEG, "yuv420p"),
    "a.vob": ("vob", "mpeg2video", MPEG, "yuv420p"),
    "h264.mpg": ("vob", "libx264", X264, "yuv420p"),
    "a.wmv": ("asf", "wmv2", {"g": "12"}, "yuv420p"),
    "h264.WMV": ("asf", "libx264", X264, "yuv420p"),
    "h264.avi": ("avi", "libx264", X264, "yuv420p"),
    "mpeg4.avi": ("avi", "mpeg4", MPEG, "yuv420p"),
    "a.mxf": ("mxf", "mpeg2video", MPEG, "yuv420p"),
    "a.h264": ("h264", "libx264", X264, "yuv420p"),
    "a.m1v": ("mpeg1video", "mpeg1video", MPEG, "yuv420p"),
    "a.webm": ("webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}, "yuv420p"),
    "grey.mkv": ("matroska", "ffv1", {}, "gray"),
    "alpha.mov": ("mov", "qtrle", {}, "argb"),
    "a.apng": ("apng", "apng", {}, "rgb24"),
}


def write(path, clip=CLIP, container="mp4", codec="libx264", options=X264, pixels="yuv420p", rate=25, times=None):
    """A file; times of the frames are in milliseconds."""
    with address(path, "w") as file, av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(clip):
            made = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if times is not None:
                made.pts, made.time_base = times[number], Fraction(1, 1000)
            output.mux(stream.encode(made))
        output.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for name, (container, codec, options, pixels) in KINDS.items():
        write(folder / name, CLIP, container, codec, options, pixels)
    return folder


def from_the_start(path):
    with av.open(os.fspath(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [f.reformat(format="rgb24", interpolation="BILINEAR").to_ndarray() for f in container.decode(video=0)]


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_is_the_same_from_wherever_it_is_read(kinds, name):
    frames, info = from_the_start(kinds / name), decode.probe(kinds / name)
    assert info.num_frames == len(frames) == len(CLIP)
    for index in (0, 1, 11, 12, 13, 14, 23, 24, 25, 37, 58, 59):
        np.testing.assert_array_equal(decode.read_frames(info, [index])[0], frames[index])


def test_a_folder_reads_all_kinds(kinds, recwarn):
    folder = VideoFolder(kinds, 4, 16)
    assert len(folder) == len(KINDS) and not folder.scan().unreadable
    assert folder.arrays()["video"].shape == (len(KINDS), 4, 16, 16, 3) and not recwarn


def test_frames_at_irregular_times_are_found(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(10, 120, len(CLIP))).tolist()
    for name, container in (("a.mp4", "mp4"), ("a.mkv", "matroska")):
        path = write(tmp_path / name, container=container, times=times)
        frames, info = from_the_start(path), decode.probe(path)
        assert len(set(np.diff(info.timestamps))) > 20
        for index in range(0, 60, 7):
            np.testing.assert_array_equal(decode.read_frames(info, [index])[0], frames[index])


@pytest.mark.parametrize("name", ["a.ts", "a.MTS", "refresh.ts"])
def test_a_recording_that_begins_between_key_frames_is_read(kinds, tmp_path, name):
    content = (kinds / name).read_bytes()
    path = tmp_path / f"cut.{name.split('.')[1]}"
    path.write_bytes(content[len(content) // 3 // 188 * 188 :])
    frames, info = from_the_start(path), decode.probe(path)
    assert 10 < info.num_frames == len(frames) < len(CLIP)
    for index in range(0, len(frames), 5):
        np.testing.assert_array_equal(decode.read_frames(info, [index])[0], frames[index])


@pytest.mark.parametrize("name", ["a.ts", "a.vob"])
def test_recordings_that_were_put_together_are_read(kinds, tmp_path, name):
    path = tmp_path / name
    path.write_bytes((kinds / name).read_bytes() * 2)
    frames, info = from_the_start(path), decode.probe(path)
    assert info.num_frames == len(frames) == 120 and info.clock * info.timestamps[-1] == pytest.approx(119 / 25)
    for index in (0, 30, 59, 60, 61, 90, 119):
        np.testing.assert_array_equal(decode.read_frames(info, [index])[0], frames[index])


# --- damage ---


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_frames_that_the_decoder_doubts_are_not_used(tmp_path, seed):
    whole = read_video(write(tmp_path / "whole.mp4", options={"bf": "2", "threads": "1"}))
    content, rng = bytearray((tmp_path / "whole.mp4").read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(len(content) // 4, len(content) * 3 // 4, 12):
        content[place] ^= 1 << int(rng.integers(8))
    (tmp_path / "flipped.mp4").write_bytes(content)
    doubted, damaged = [], False
    with av.open(str(tmp_path / "flipped.mp4")) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            damaged = frame.is_corrupt or (damaged and not frame.key_frame)  # later frames refer to earlier ones
            doubted.append(damaged)
    info = decode.probe(tmp_path / "flipped.mp4")
    assert info.num_frames == len(doubted) and 10 < sum(doubted) < 60
    for index, bad in enumerate(doubted):
        if bad:
            with pytest.raises(UnreadableVideo, match=f"damaged: frame {index} "):
                decode.read_frames(info, [index])
        else:
            assert decode.read_frames(info, [index]).shape == (1, *whole.shape[1:])


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="this PyAV does not encode HEVC")
def test_checksums_of_pictures_are_compared(tmp_path):
    path = write(tmp_path / "a.mp4", codec="libx265", options={"x265-params": "hash=1:log-level=none"})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo):
        read_video(path)


def test_a_stream_of_an_unknown_codec(tmp_path):
    path = write(tmp_path / "a.webm", container="webm", codec="libvpx-vp9", options={})
    path.write_bytes(path.read_bytes().replace(b"V_VP9", b"V_XX9"))
    with pytest.raises(UnreadableVideo, match="its codec is not known"):
        read_video(path)


def test_a_damaged_file_is_skipped_and_counted(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.mp4", options={"bf": "2", "threads": "1"})
    content = bytearray((tmp_path / "b.mp4").read_bytes())
    for place in range(len(content) // 4, len(content) * 3 // 4, 97):
        content[place] ^= 8
    (tmp_path / "b.mp4").write_bytes(content)
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 3 videos(.|\n)*b\.mp4"):
        assert len(VideoFolder(tmp_path, 4, 16, training=False).arrays()["video"]) == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_picture_in_place_of_a_video_is_named(tmp_path, kind):
    write(tmp_path / "a.mp4")
    Image.fromarray(CLIP[0]).save(tmp_path / "b.mp4", kind)
    report = VideoFolder(tmp_path, 4, 16).scan()
    assert report.unreadable == {"b.mp4": "it is a picture, not a video"}


def test_a_list_of_other_files_is_no_video(kinds, tmp_path):
    (tmp_path / "a.mp4").write_text(f"#EXTM3U\n#EXTINF:5,\n{kinds / 'a.ts'}\n#EXT-X-ENDLIST\n")
    (tmp_path / "b.mp4").write_text(f"ffconcat version 1.0\nfile {kinds / 'a.ts'}\n")
    assert len(VideoFolder(tmp_path, 4, 16).scan().unreadable) == 2


# --- names ---


def test_names_that_look_like_addresses_are_files(kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "http:b%03d.mp4", "data:c.mp4"):
        write(name)
        np.testing.assert_array_equal(read_video(name)[3], read_video(kinds / "a.mp4")[3])


def test_names_that_are_not_utf_8_are_read_and_can_be_printed(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system has UTF-8 names alone")
    write(folder / os.fsdecode(b"caf\xe9.mp4"))
    (folder / os.fsdecode(b"bad\xff.mp4")).write_bytes(b"no video")
    clips = VideoFolder(tmp_path, 4, 16, training=False)
    report = clips.scan()
    assert report.readable == ["\\xe9t\\xe9/caf\\xe9.mp4"] and clips.class_names == ["\\xe9t\\xe9"]
    text = f"{report} {clips.unreadable} {clips.class_names} {clips.description()}"
    assert text.encode() and clips[1]["video"].shape == (4, 16, 16, 3)


def test_notes_in_a_file_that_are_not_utf_8_are_no_fault(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        output.metadata["title"] = "cafe1234"
        stream = output.add_stream("libx264", rate=25, options=X264)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in CLIP[:5]:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content.replace(b"cafe1234", b"caf\xe9\xe8234"))
    assert decode.probe(tmp_path / "a.mp4").num_frames == 5


# --- memory ---


def test_times_of_frames_take_little_memory(tmp_path):
    assert decode._compact(list(range(0, 18000 * 512, 512))) == range(0, 18000 * 512, 512)
    uneven = decode._compact(np.cumsum(np.arange(18000) % 3 + 41).tolist())
    assert len(uneven) * uneven.itemsize == 72_000
    assert decode._compact([0, 1, 2**40]).itemsize == 8 and list(decode._compact([5])) == [5]


def test_files_are_remembered_up_to_so_many_bytes(tmp_path, monkeypatch):
    from magvit_keras.data.readers import video_files

    for name in "abc":
        write(tmp_path / f"{name}.mkv", CLIP[:20], "matroska", times=[0, *range(7, 26)])
    monkeypatch.setattr(video_files, "_remembered", video_files._Remembered(2500))
    clips = VideoFolder(tmp_path, 4, 16, training=False)
    clips.arrays()
    kept = [os.path.basename(key[0]) for key in video_files._remembered.infos]
    assert kept == ["b.mkv", "c.mkv"] and video_files._remembered.num_bytes == 2 * (1024 + 80)
