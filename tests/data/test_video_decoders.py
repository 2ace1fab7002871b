"""Other decoders give the frames that PyAV gives.

Those that are not installed are skipped; the variable NEEDED names one that must be there.
"""

import os
import sys

import av
import numpy as np
import pytest

from magvit_keras.data import MovingShapes, UnreadableVideo, VideoFolder, open_source, write_video
from magvit_keras.data.files import decode, decoders, tensorflow_io
from magvit_keras.data.files.decoders import DECODERS, check_decoder, read_frames
from magvit_keras.data.readers.samples import write_sample

pytestmark = pytest.mark.once

CLIP = MovingShapes(1, 40, (48, 64))[0]["video"]
FORMATS = ("mp4", "mov", "mkv", "avi", "webm", "gif")
FILE_READERS = ("folder", "ucf101", "kinetics600", "ssv2", "objectron", "web")
OTHERS = [name for name in DECODERS if name != "pyav"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {extension: write_video(folder / f"clip.{extension}", CLIP, fps=10) for extension in FORMATS}


@pytest.fixture(params=OTHERS)
def other(request):
    try:
        return check_decoder(request.param)
    except ImportError as error:
        if os.environ.get("NEEDED") == request.param:
            raise
        pytest.skip(str(error))


@pytest.fixture
def without_pyav(monkeypatch):
    """From the call on, PyAV finds frames and decodes none: what is read, the other decoder has read."""

    def refused(*_):
        raise AssertionError("PyAV decoded")

    return lambda: monkeypatch.setattr(decode, "read_frames", refused)


def encode(path, codec, options=None, b_frames=0, **settings):
    """Writes CLIP with settings of the encoder that `write_video` does not have."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for frame in CLIP:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def quarter_turn(path, files):
    """Sets the matrix of the track header to a quarter turn clockwise, as phones do."""
    content, one = bytearray(files["mov"].read_bytes()), (1 << 16).to_bytes(4, "big")
    start = content.index(b"tkhd") + 4 + 40
    minus, last = (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    shift = (48 << 16).to_bytes(4, "big")
    content[start : start + 36] = bytes(4) + one + bytes(4) + minus + bytes(8) + shift + bytes(4) + last
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("extension", FORMATS)
def test_frames_are_those_of_pyav_to_the_bit(other, files, without_pyav, extension):
    info = decode.probe(files[extension])
    windows = [range(start, start + 3) for start in (0, 1, 11, 12, 25, 37)] + [[7, 3, 7]]
    expected = [decode.read_frames(info, window) for window in windows]
    without_pyav()
    for window, frames in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(read_frames(info, window, decoder=other), frames)


@pytest.mark.parametrize("extension", FORMATS)
def test_scaled_frames_are_close(other, files, without_pyav, psnr, extension):
    info = decode.probe(files[extension])
    expected = decode.read_frames(info, range(16), size=(24, 32))
    without_pyav()
    frames = read_frames(info, range(16), size=(24, 32), decoder=other)
    assert frames.shape == expected.shape and frames.dtype == np.uint8
    assert psnr(frames, expected) > 30 and abs(frames.astype(int) - expected).mean() < 3


def test_rotated_videos_are_upright(other, files, without_pyav, tmp_path):
    info = decode.probe(quarter_turn(tmp_path / "phone.mov", files))
    expected = decode.read_frames(info, [0, 9])
    without_pyav()
    np.testing.assert_array_equal(read_frames(info, [0, 9], decoder=other), expected)
    assert read_frames(info, [0, 9], (32, 24), decoder=other).shape == (2, 32, 24, 3)


def test_h264_with_b_frames_is_read_in_order(other, without_pyav, tmp_path):
    info = decode.probe(encode(tmp_path / "b.mp4", "libx264", {"bf": "3", "g": "12"}, 3))
    expected = decode.read_frames(info, range(40))
    without_pyav()
    np.testing.assert_array_equal(read_frames(info, range(13, 29), decoder=other), expected[13:29])


def test_avi_with_b_frames_is_read_in_order(other, tmp_path):
    # Its packets have no times, of which torchcodec knows no way out; PyAV does.
    info = decode.probe(encode(tmp_path / "b.avi", "mpeg4", {"q": "2"}, 2))
    np.testing.assert_array_equal(
        read_frames(info, range(13, 29), decoder=other), decode.read_frames(info, range(13, 29))
    )


@pytest.mark.parametrize("told", [{"colorspace": 1}, {"color_range": 2}], ids=["BT.709", "full range"])
def test_colours_are_converted_as_the_file_tells(other, tmp_path, told):
    info = decode.probe(encode(tmp_path / "colours.webm", "libvpx-vp9", {"deadline": "realtime"}, **told))
    assert (info.colour_matrix, info.full_range) == (told.get("colorspace", 2), "color_range" in told)
    np.testing.assert_array_equal(read_frames(info, [3, 20], decoder=other), decode.read_frames(info, [3, 20]))


def cut(path, out, first):
    """Cuts a video without encoding it again: what lies before the cut stays in the file and is not shown."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                shift = int(first / (10 * packet.time_base))
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    return out


def test_a_cut_video_begins_at_its_cut(files, tmp_path):
    info = decode.probe(cut(files["mp4"], tmp_path / "cut.mp4", 7))
    assert info.num_frames == 33
    whole = decode.read_video(files["mp4"])
    for start in (0, 4, 17):
        np.testing.assert_array_equal(decode.read_frames(info, [start, start + 15]), whole[[start + 7, start + 22]])


def test_a_cut_video_has_the_same_frames(other, files, tmp_path):
    info = decode.probe(cut(files["mp4"], tmp_path / "cut.mp4", 7))
    np.testing.assert_array_equal(
        read_frames(info, range(4, 20), decoder=other), decode.read_frames(info, range(4, 20))
    )


@pytest.mark.parametrize("content", [b"", b"not a video", "half"], ids=["empty", "text", "truncated"])
def test_broken_files_are_unreadable(other, files, tmp_path, content):
    whole = files["mp4"].read_bytes()
    (tmp_path / "bad.mp4").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(UnreadableVideo, match=r"bad\.mp4"):
        VideoFolder(tmp_path, 4, 16, on_error="raise", decoder=other)[0]


def test_a_file_that_is_cut_off_after_a_look_is_unreadable(other, files, tmp_path):
    (tmp_path / "v.webm").write_bytes(files["webm"].read_bytes())
    info = decode.probe(tmp_path / "v.webm")
    (tmp_path / "v.webm").write_bytes(files["webm"].read_bytes()[:600])
    with pytest.raises(UnreadableVideo, match=r"v\.webm"):
        read_frames(info, [39], decoder=other)


def test_too_large_frames_are_unreadable(other, videos):
    with pytest.raises(UnreadableVideo, match="at most 500 are read"):
        VideoFolder(videos, 4, 16, on_error="raise", max_pixels=500, decoder=other)[0]


def test_frames_beyond_the_end_are_an_error(other, files):
    with pytest.raises(IndexError, match="frames 0 to 39"):
        read_frames(decode.probe(files["mp4"]), [40], decoder=other)


def test_workers_decode_too(other, videos):
    clips = VideoFolder(videos, 4, (24, 32), decoder=other)
    loader = clips.loader(2, workers=1)
    np.testing.assert_array_equal(loader[0]["video"], clips.loader(2)[0]["video"])
    loader.close()


# --- without any other decoder ---


@pytest.fixture
def grey(monkeypatch):
    """A decoder that makes all frames grey."""

    def frames(info, wanted, size):
        return {index: np.full((*(size or (info.height, info.width)), 3), 128, np.uint8) for index in wanted}

    monkeypatch.setitem(DECODERS, "grey", decoders._Decoder(lambda: None, frames))


@pytest.mark.parametrize("name", FILE_READERS)
def test_every_reader_of_files_takes_a_decoder(grey, tmp_path, name):
    more = {"table": "list.csv"} if name == "web" else {}
    clip = open_source(name, write_sample(name, tmp_path, 2), size=16, num_frames=4, decoder="grey", **more)[0]
    assert clip["video"].shape == (4, 16, 16, 3) and (clip["video"] == 128).all()


def test_evaluation_clips_keep_the_decoder(grey, videos):
    assert (VideoFolder(videos, 4, 16, decoder="grey").for_evaluation(windows=2)[3]["video"] == 128).all()


@pytest.mark.parametrize("name", ["bair", "nuscenes", "moving_mnist", "tfds", "ucf101_tfds"])
def test_readers_of_other_formats_have_no_decoder(tmp_path, name):
    with pytest.raises(ValueError, match=f"The format {name} has no decoder"):
        open_source(name, tmp_path, decoder="pyav")


def test_an_unknown_decoder_names_the_known_ones(videos, files):
    message = "decoder='vlc': expected one of pyav, torchcodec, tensorflow_io"
    with pytest.raises(ValueError, match=message):
        VideoFolder(videos, decoder="vlc")
    with pytest.raises(ValueError, match=message):
        read_frames(decode.probe(files["mp4"]), [0], decoder="vlc")


def test_what_a_decoder_does_not_answer_for_is_read_by_pyav(monkeypatch, files):
    monkeypatch.setitem(DECODERS, "shy", decoders._Decoder(lambda: None, lambda *_: None))
    info = decode.probe(files["mp4"])
    frames = read_frames(info, [5, 2], size=(24, 32), decoder="shy")
    np.testing.assert_array_equal(frames, decode.read_frames(info, [5, 2], size=(24, 32)))


def test_torchcodec_that_is_missing_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    message = r"needs torchcodec 0\.11 or newer.*PyTorch.*FFmpeg.*pip install 'magvit-keras\[torchcodec\]'"
    with pytest.raises(ImportError, match=message):
        decoders._torchcodec.__wrapped__()


def test_tensorflow_io_that_is_missing_names_its_extra_and_versions(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    message = r"needs tensorflow-io 0\.37\.1.*TensorFlow 2\.16.*found .*pip install 'magvit-keras\[tfio\]'"
    with pytest.raises(ImportError, match=message):
        tensorflow_io.load.__wrapped__()


def test_a_missing_decoder_shows_when_the_reader_is_made(monkeypatch, videos):
    def missing():
        raise ImportError("no such decoder")

    monkeypatch.setitem(DECODERS, "gone", decoders._Decoder(missing, None))
    with pytest.raises(ImportError, match="no such decoder"):
        VideoFolder(videos, decoder="gone")


def test_the_command_line_names_a_decoder(grey, videos):
    from magvit_keras.cli.options import open_data

    def clips(decoder):
        return open_data("folder", videos, [f"decoder={decoder}"], 4, (16, 16), 1, False, 0)

    assert (clips("grey")[0]["video"] == 128).all()
    with pytest.raises(ValueError, match="decoder='vlc': expected one of"):
        clips("vlc")
