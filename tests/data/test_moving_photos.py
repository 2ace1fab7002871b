import pickle
import time

import numpy as np
import pytest
from PIL import Image

from magvit_keras.data import MovingPhotos, UnreadableVideo
from magvit_keras.data.photos.camera import MOVES, camera, layer

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of smooth noise: three of seas, three of woods, each kind with colours of its own."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for kind, colour in (("sea", (40, 90, 160)), ("wood", (60, 120, 50))):
        (root / kind).mkdir()
        for number in range(3):
            noise = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).resize((320, 240))
            Image.blend(noise, Image.new("RGB", noise.size, colour), 0.6).save(root / kind / f"{number}.png")
    return root


@pytest.mark.parametrize("frames, size", [(1, (8, 8)), (3, (24, 40)), (5, (33, 17)), (16, (64, 64))])
def test_clips_have_the_shape_that_was_asked_for(folder, frames, size):
    clip = MovingPhotos(folder, 2, frames, size)[1]["video"]
    assert clip.shape == (frames, *size, 3) and clip.dtype == np.uint8


def test_sub_folders_are_classes(folder):
    clips = MovingPhotos(folder, 6, 2, 16)
    assert clips.class_names == ["sea", "wood"]
    assert [clips[i]["label"] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert clips.name(4).endswith("wood/1.png")


def test_a_folder_without_sub_folders_is_one_class(folder):
    assert MovingPhotos(folder / "sea").class_names == ["video"]


def test_training_clips_are_new_in_each_epoch_and_evaluation_clips_are_not(folder):
    clips = MovingPhotos(folder, 6, 4, 16)
    assert not np.array_equal(clips.read(2, 0)["video"], clips.read(2, 1)["video"])
    held = clips.for_evaluation()
    np.testing.assert_array_equal(held.read(2, 0)["video"], held.read(2, 1)["video"])
    assert not np.array_equal(held.read(2, 0)["video"], clips.read(2, 0)["video"])


def test_a_clip_depends_on_seed_and_index_alone(folder):
    few, many = MovingPhotos(folder, 6, 4, 16, seed=3), MovingPhotos(folder, 60, 4, 16, seed=3)
    np.testing.assert_array_equal(few[5]["video"], many[5]["video"])
    assert not np.array_equal(few[5]["video"], MovingPhotos(folder, 6, 4, 16, seed=4)[5]["video"])


def test_a_short_clip_is_the_start_of_a_long_one(folder):
    for index in range(12):
        short = MovingPhotos(folder, 12, 5, 24, cuts=0.5)[index]["video"]
        long = MovingPhotos(folder, 12, 20, 24, cuts=0.5)[index]["video"]
        np.testing.assert_array_equal(short, long[:5])


def test_a_camera_that_stands_still_shows_one_picture(folder):
    clip = MovingPhotos(folder, 1, 8, 32, camera="still", layers=0, light=0, cuts=0)[0]["video"]
    assert (clip == clip[:1]).all()


@pytest.mark.parametrize("move", ["pan", "zoom", "turn", "shake"])
def test_each_move_moves_the_picture(folder, move):
    clips = MovingPhotos(folder, 12, 8, 32, camera=move, layers=0, light=0, cuts=0)
    moved = [np.abs(np.diff(clips[i]["video"].astype(int), axis=0)).mean() > 0.05 for i in range(12)]
    assert 2 <= sum(moved) <= 11  # each move is in half of the scenes


def test_layers_pass_in_front(folder):
    still = {"camera": "still", "light": 0, "cuts": 0}
    bare = MovingPhotos(folder, 12, 4, 32, layers=0, **still)
    full = MovingPhotos(folder, 12, 4, 32, layers=3, **still)
    changed = [not np.array_equal(bare[i]["video"], full[i]["video"]) for i in range(12)]
    assert sum(changed) >= 6


def test_light_changes_brightness_and_nothing_else_moves(folder):
    clips = MovingPhotos(folder, 20, 8, 16, camera="still", layers=0, light=2, cuts=0)
    spread = [np.ptp(clips[i]["video"].mean((1, 2, 3))) for i in range(20)]
    assert max(spread) > 5 and min(spread) < 1


def test_every_clip_has_a_cut_where_cuts_are_certain(folder):
    clips = MovingPhotos(folder, 10, 64, 16, camera="still", layers=0, light=0, cuts=1)
    assert all(np.abs(np.diff(clips[i]["video"].astype(int), axis=0)).mean((1, 2, 3)).max() > 2 for i in range(10))


def test_the_camera_never_sees_past_the_border():
    times = np.arange(0, 40, 0.5)
    for seed in range(200):
        view = camera(np.random.default_rng(seed), times, (320, 240), (64, 48), MOVES)
        cos, sin = np.cos(view.angle), np.sin(view.angle)
        for x, y in ((-32, -24), (32, -24), (-32, 24), (32, 24)):
            corner = view.centre + view.step[:, None] * np.stack([cos * x - sin * y, sin * x + cos * y], -1)
            assert (corner >= -1e-6).all() and (corner <= np.asarray([320, 240]) + 1e-6).all()


def test_what_fills_a_layer_moves_with_it():
    """The point of the picture in the middle of the outline is the same at all times."""
    times = np.arange(16.0)
    for seed in range(50):
        body = layer(np.random.default_rng(seed), times, (320, 240), (64, 64))
        middle = body.outlines.mean(1)
        cos, sin = np.cos(body.view.angle), np.sin(body.view.angle)
        x, y = (middle - 32).T
        seen = body.view.centre + body.view.step[:, None] * np.stack([cos * x - sin * y, sin * x + cos * y], -1)
        assert np.ptp(seen, axis=0).max() < 0.35 * np.ptp(body.outlines[0], axis=0).max() * body.view.step.max()


def test_a_split_shares_no_picture(folder):
    kept, out = MovingPhotos(folder, 60, 2, 16).split(1 / 3)
    assert not set(kept.pictures) & set(out.pictures) and len(kept.pictures) == 4
    assert (len(kept), len(out)) == (40, 20)
    np.testing.assert_array_equal(out.read(3, 0)["video"], out.read(3, 9)["video"])


def test_a_broken_picture_is_skipped_with_a_warning(folder, tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    clips = MovingPhotos(tmp_path, 2, 2, 16)
    with pytest.warns(UserWarning, match="a.png"):
        assert clips[0]["video"].shape == (2, 16, 16, 3)
    with pytest.raises(UnreadableVideo, match=r"a\.png"):
        MovingPhotos(tmp_path, 2, 2, 16, on_error="raise")[0]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_grey_transparent_and_indexed_pictures_are_read(tmp_path, mode):
    Image.new("RGB", (40, 30), (200, 10, 10)).convert(mode).save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"))
    assert MovingPhotos(tmp_path, 1, 2, 16)[0]["video"].std() >= 0


def test_a_picture_smaller_than_a_frame_fills_it(tmp_path):
    Image.new("RGB", (9, 7), (200, 200, 200)).save(tmp_path / "a.png")
    assert MovingPhotos(tmp_path, 1, 2, 32, light=0)[0]["video"].min() > 190


def test_workers_read_the_same_clips(folder):
    clips = MovingPhotos(folder, 6, 4, 16)
    clips[0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clips))[1]["video"], clips[1]["video"])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"camera": "fly"}, "still, pan, zoom, turn, shake"),
        ({"camera": ()}, "some of still"),
        ({"layers": 9}, "layers=9"),
        ({"layers": 0.5}, "layers=0.5"),
        ({"light": -1}, "light=-1"),
        ({"cuts": 2}, "cuts=2"),
        ({"seed": -1}, "seed=-1"),
        ({"num_clips": 0}, "num_clips=0"),
        ({"size": 4}, "at least 8"),
    ],
)
def test_bad_arguments_are_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        MovingPhotos(folder, **options)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected pictures"):
        MovingPhotos(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no picture in"):
        MovingPhotos(tmp_path)


def test_a_clip_takes_little_time(folder):
    clips = MovingPhotos(folder, 60)
    clips.arrays(6)
    start = time.process_time()
    clips.arrays(20)
    assert (time.process_time() - start) / 20 < 0.2
