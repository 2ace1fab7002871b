"""Readers of data sets in record files, arrays and single images: each format is written and read back."""

import json
import pickle

import numpy as np
import pytest

from magvit_keras.data import (
    BAIR,
    MovingMNIST,
    MovingShapes,
    NuScenes,
    PreparedUCF101,
    PreparedVideos,
    RecordError,
    UnreadableVideo,
    UnreadableVideoWarning,
    make_example,
    write_records,
)
from magvit_keras.data.files.images import ImageVideo, encode_image

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def clips():
    return MovingShapes(3, 30, (64, 64)).arrays()["video"]


# --- BAIR ---


def raw_example(clip, other=None):
    features = {}
    for time, frame in enumerate(clip):
        features[f"{time}/image_main/encoded"] = [(255 - frame).tobytes()]
        features[f"{time}/image_aux1/encoded"] = [frame.tobytes()]
        features[f"{time}/action"] = [0.1, 0.2, 0.3, 0.4]
        features[f"{time}/endeffector_pos"] = [0.5, 0.6, 0.7]
    return make_example({**features, **(other or {})})


@pytest.fixture
def raw(tmp_path, clips):
    """The second file comes first in the order of names."""
    folder = tmp_path / "softmotion30_44k/train"
    folder.mkdir(parents=True)
    write_records(folder / "traj_256_to_511.tfrecords", [raw_example(clips[1]), raw_example(clips[2])])
    write_records(folder / "traj_1024_to_1279.tfrecords", [raw_example(clips[0])])
    return tmp_path


@pytest.fixture
def prepared(tmp_path, clips):
    folder = tmp_path / "bair_robot_pushing_small/2.0.0"
    folder.mkdir(parents=True)
    for shard, part in enumerate((clips[:2], clips[2:])):
        examples = [
            make_example(
                {
                    "image_aux1": [encode_image(frame) for frame in clip],
                    "image_main": [encode_image(255 - frame) for frame in clip],
                    "action": [0.0] * 120,
                }
            )
            for clip in part
        ]
        write_records(folder / f"bair_robot_pushing_small-test.tfrecord-0000{shard}-of-00002", examples)
    return tmp_path


def test_bair_raw_pixels_come_back_exactly(raw, clips):
    source = BAIR(raw).for_evaluation(windows="first")
    videos = source.arrays()["video"]
    np.testing.assert_array_equal(videos, clips[[1, 2, 0], :16])
    assert source.name(2) == "traj_1024_to_1279.tfrecords[0]"


def test_bair_prepared_frames_come_back_exactly(prepared, clips):
    source = BAIR(prepared, "test").for_evaluation(windows="first")
    np.testing.assert_array_equal(source.arrays()["video"], clips[:, :16])


def test_bair_has_another_camera(raw, clips):
    video = BAIR(raw, camera="image_main").for_evaluation(windows="first")[0]["video"]
    np.testing.assert_array_equal(video, 255 - clips[1, :16])


def test_bair_debiased_takes_all_fifteen_windows(prepared, clips):
    source = BAIR(prepared, "test").for_evaluation(windows=15)
    assert len(source) == 45
    for window in (0, 7, 14):
        np.testing.assert_array_equal(source[15 + window]["video"], clips[1, window : window + 16])


def test_a_corrupt_record_is_skipped_or_raises(raw, clips):
    path = raw / "softmotion30_44k/train/traj_256_to_511.tfrecords"
    data = bytearray(path.read_bytes())
    data[5000] ^= 255
    path.write_bytes(data)
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 3 videos(.|\n)*511\.tfrecords\[0\]: record 0 does not have"):
        video = BAIR(raw).for_evaluation(windows="first")[0]["video"]
    np.testing.assert_array_equal(video, clips[2, :16])
    with pytest.raises(UnreadableVideo, match="does not have the checksum"):
        BAIR(raw, on_error="raise")[0]


def test_a_truncated_file_is_counted_or_raises(raw):
    path = raw / "softmotion30_44k/train/traj_256_to_511.tfrecords"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 2 record files(.|\n)*511\.tfrecords"):
        source = BAIR(raw)
    assert source.arrays()["video"].shape == (2, 16, 64, 64, 3)
    with pytest.raises(RecordError, match="511"):
        BAIR(raw, on_error="raise")


def test_a_frame_of_another_size_is_unreadable(raw, clips):
    other = raw_example(clips[0], {"7/image_aux1/encoded": [b"x" * 100]})
    write_records(raw / "softmotion30_44k/train/traj_1024_to_1279.tfrecords", [other])
    with pytest.raises(UnreadableVideo, match="7/image_aux1/encoded: expected 12288 bytes, found 100"):
        BAIR(raw, on_error="raise")[2]


def test_bair_travels_to_workers(raw):
    source = BAIR(raw)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[1]["video"], source[1]["video"])


@pytest.mark.parametrize("arguments", [{"split": "validation"}, {"camera": "left"}])
def test_bair_refuses(raw, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BAIR(raw, **arguments)


def test_bair_elsewhere_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither softmotion30_44k/train/"):
        BAIR(tmp_path)


# --- prepared data sets ---


@pytest.fixture
def ucf(tmp_path, clips):
    folder = tmp_path / "ucf101/ucf101_1/2.0.0"
    folder.mkdir(parents=True)
    (folder / "label.labels.txt").write_text("ApplyEyeMakeup\nArchery\n")
    examples = [
        make_example({"video": [encode_image(frame, "JPEG") for frame in clip[:20]], "label": [label]})
        for clip, label in zip(clips, (1, 0, 5), strict=True)
    ]
    write_records(folder / "ucf101-train.tfrecord-00000-of-00001", examples)
    return tmp_path


def test_prepared_ucf101_has_jpegs_and_classes_from_zero(ucf, clips, psnr):
    source = PreparedUCF101(ucf, size=(64, 64)).for_evaluation()
    assert source.class_names == ["ApplyEyeMakeup", "Archery"] and [source[i]["label"] for i in (0, 1)] == [1, 0]
    assert psnr(source[0]["video"], clips[0, 2:18]) > 26


def test_a_label_that_has_no_name_is_unreadable(ucf):
    with pytest.raises(UnreadableVideo, match=r"'label' is \[5\]; expected one number from 0 to 1"):
        PreparedUCF101(ucf, on_error="raise")[2]


def test_missing_files_of_a_split_are_counted_or_raise(prepared):
    folder = prepared / "bair_robot_pushing_small/2.0.0"
    (folder / "bair_robot_pushing_small-test.tfrecord-00000-of-00002").unlink()
    with pytest.warns(UnreadableVideoWarning, match="1 of the 2 files of the split test"):
        assert len(BAIR(prepared, "test")) == 1
    with pytest.raises(FileNotFoundError, match="1 of the 2 files"):
        BAIR(prepared, "test", on_error="raise")


def test_any_prepared_data_set_is_read(prepared, clips):
    folder = prepared / "bair_robot_pushing_small/2.0.0"
    source = PreparedVideos(folder, "test", "image_main", label=None, size=32).for_evaluation()
    assert source[0]["video"].shape == (16, 32, 32, 3) and source.class_names == ["video"]


def test_a_wrong_feature_is_named(prepared):
    source = PreparedVideos(prepared / "bair_robot_pushing_small/2.0.0", "test", label=None, on_error="raise")
    with pytest.raises(UnreadableVideo, match="no images in the feature 'video'"):
        source[0]


def test_too_large_images_are_refused_before_they_are_decoded():
    picture = encode_image(np.zeros((100, 200, 3), np.uint8))
    with pytest.raises(UnreadableVideo, match="200 x 100 pixels; at most 1000"):
        ImageVideo([picture], max_pixels=1000)


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(50), b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_bytes_that_are_no_picture_are_unreadable(data):
    with pytest.raises(UnreadableVideo, match="image 0"):
        ImageVideo([data])


def test_a_picture_cut_in_half_is_unreadable(clips):
    whole, half = encode_image(clips[0, 0]), encode_image(clips[0, 1])
    with pytest.raises(UnreadableVideo, match="image 1"):
        ImageVideo([whole, half[: len(half) // 2]]).read([0, 1], (64, 64))


# --- Moving MNIST ---


def test_moving_mnist_is_read_from_its_array(tmp_path, clips):
    grey = clips[:, :20, :, :, 0]  # (N, T, H, W)
    np.save(tmp_path / "mnist_test_seq.npy", grey.swapaxes(0, 1))
    source = MovingMNIST(tmp_path, num_frames=20).for_evaluation()
    np.testing.assert_array_equal(source.arrays()["video"], np.repeat(grey[..., None], 3, axis=-1))
    assert len(pickle.dumps(source)) < 2000  # the array is mapped anew, not sent


def test_moving_mnist_is_read_as_it_is_prepared(tmp_path, clips):
    folder = tmp_path / "moving_mnist/1.0.0"
    folder.mkdir(parents=True)
    frames = [encode_image(frame[..., :1]) for frame in clips[0, :20]]
    write_records(folder / "moving_mnist-test.tfrecord-00000-of-00001", [make_example({"image_sequence": frames})])
    video = MovingMNIST(tmp_path, num_frames=20).for_evaluation()[0]["video"]
    np.testing.assert_array_equal(video, np.repeat(clips[0, :20, :, :, :1], 3, axis=-1))


@pytest.mark.parametrize("array", [np.zeros((20, 2, 64, 64)), np.zeros((20, 64, 64), np.uint8)])
def test_arrays_of_another_kind_are_refused(tmp_path, array):
    np.save(tmp_path / "mnist_test_seq.npy", array)
    with pytest.raises(ValueError, match="expected uint8"):
        MovingMNIST(tmp_path)


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"[Pp]ickle|object"):
        MovingMNIST(tmp_path)


def test_an_array_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "mnist_test_seq.npy"
    np.save(path, np.zeros((20, 2, 64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged"):
        MovingMNIST(tmp_path)


def test_what_is_no_array_is_refused(tmp_path):
    (tmp_path / "mnist_test_seq.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{")
    with pytest.raises(ValueError, match=r"no \.npy file of version 1\.0"):
        MovingMNIST(tmp_path)


# --- nuScenes ---


def rows_of(drive, pictures, camera="CAM_FRONT"):
    """Every sixth picture is a key frame and lies in `samples`."""
    names = [f"{'sweeps' if i % 6 else 'samples'}/{camera}/{drive}__{i:03}.jpg" for i in range(pictures)]
    tokens = ["", *(f"{drive}{camera}{i}" for i in range(pictures)), ""]
    return [
        {
            "token": tokens[i + 1],
            "filename": name,
            "timestamp": 1000 * i,
            "is_key_frame": i % 6 == 0,
            "prev": tokens[i],
            "next": tokens[i + 2],
            "calibrated_sensor_token": "c",
        }
        for i, name in enumerate(names)
    ]


@pytest.fixture
def nuscenes(put):
    rows = [row for drive in ("n1", "n2", "n3") for row in reversed(rows_of(drive, 10))]
    rows += rows_of("n1", 10, "CAM_FRONT_LEFT")
    files = {
        row["filename"]: encode_image(np.full((90, 160, 3), 10 * (i % 10), np.uint8), "JPEG")
        for i, row in enumerate(rows)
    }
    return put({"v1.0-mini/sample_data.json": json.dumps(rows, indent=0), **files})


def test_drives_follow_next_through_both_folders(nuscenes):
    source = NuScenes(nuscenes, "all", video_frames=4, num_frames=4, size=(24, 40)).for_evaluation()
    assert len(source) == 6  # three drives of ten pictures, of which two are left over
    video = source[1]["video"].astype(int).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(video, [50, 40, 30, 20], atol=2)
    assert source.name(1).startswith("sweeps/CAM_FRONT/") and source.name(0).startswith("samples/CAM_FRONT/")


def test_no_drive_is_on_both_sides(nuscenes):
    options = {"video_frames": 4, "num_frames": 4, "size": (24, 40)}
    train, held = NuScenes(nuscenes, **options), NuScenes(nuscenes, "validation", **options)
    names = [{source.name(i).split("/")[-1][:2] for i in range(len(source))} for source in (train, held)]
    assert len(train) == 4 and len(held) == 2 and not names[0] & names[1]


def test_a_missing_picture_is_counted_or_raises(nuscenes):
    next((nuscenes / "sweeps/CAM_FRONT").glob("n2__001.jpg")).unlink()
    options = {"video_frames": 4, "num_frames": 4, "size": (24, 40)}
    with pytest.warns(UnreadableVideoWarning, match=r"1 of 6 videos(.|\n)*n2__001\.jpg"):
        assert len(NuScenes(nuscenes, "all", **options)) == 5
    with pytest.raises(FileNotFoundError, match=r"n2__001\.jpg"):
        NuScenes(nuscenes, "all", on_error="raise", **options)


def test_a_table_that_leads_out_is_refused(nuscenes, put):
    rows = rows_of("n1", 4)
    rows[2]["filename"] = "sweeps/CAM_FRONT/../../../secret.jpg"
    put({"v1.0-mini/sample_data.json": json.dumps(rows)})
    with pytest.raises(ValueError, match="leads out"):
        NuScenes(nuscenes, "all")


def test_rows_without_what_is_needed_are_counted_or_raise(nuscenes, put):
    rows = rows_of("n1", 6)
    put({"v1.0-mini/sample_data.json": json.dumps([*rows, {**rows[0], "token": None}, {"filename": "x"}])})
    with pytest.warns(UnreadableVideoWarning, match="1 of 7 rows(.|\n)*no token, or of another kind"):
        assert len(NuScenes(nuscenes, "all", video_frames=6)) == 1
    with pytest.raises(ValueError, match="no token"):
        NuScenes(nuscenes, "all", video_frames=6, on_error="raise")


def test_a_table_that_goes_round_ends(nuscenes, put):
    rows = rows_of("n1", 6)
    rows[-1]["next"] = rows[2]["token"]
    put({"v1.0-mini/sample_data.json": json.dumps(rows)})
    assert len(NuScenes(nuscenes, "all", video_frames=6)) == 1


def test_too_short_drives_say_so(nuscenes):
    with pytest.raises(ValueError, match="none of the 3 drives"):
        NuScenes(nuscenes, "all")
