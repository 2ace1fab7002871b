"""Data sets turned into tokens, by `write_tokens` and by the command."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import magvit_keras as mk
from magvit_keras.checks import check_video
from magvit_keras.cli import app
from magvit_keras.data import MovingShapes, Subset, TokenBatches, WebVideos, open_source, read_shards, write_sample
from magvit_keras.evaluation.models import describe_model
from magvit_keras.training.tokens import fingerprint, write_tokens

# The encoder is tested on every backend; here is what becomes of its tokens.
pytestmark = pytest.mark.once

TASKS = ["frame_prediction", "central_inpainting", "class_conditional_generation"]
SETTINGS = {"batch_size": 2, "shard_clips": 2, "verbose": 0}


class Averages:
    """Stands for a tokenizer, and costs nothing: a token is the mean of 2x2x2 pixels in 32 steps, plus an offset."""

    codebook_size, downsampling = 32, (2, 2, 2)

    def __init__(self, offset=0):
        self.offset = offset

    def latent_shape(self, shape):
        return tuple(size // 2 for size in shape)

    def check_pixels(self, video):
        check_video(video, self.downsampling)

    def encode(self, clips):
        b, t, h, w, c = clips.shape
        means = np.asarray(clips).reshape(b, t // 2, 2, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4, 6, 7))
        return ((means * 31.99 + self.offset) % 32).astype("int32")

    def get_config(self):
        return {"name": f"averages_{id(self)}"}

    @property
    def weights(self):
        return [np.array([self.offset])]


@pytest.fixture(scope="module")
def tokenizer():
    return Averages()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    MovingShapes(5, 6, (24, 24), shapes=["circle", "star"], motions=["orbit"]).write_videos(folder)
    return folder


@pytest.fixture(scope="module")
def source(videos):
    return mk.data.VideoFolder(videos, num_frames=4, size=(8, 8), horizontal_flip=True)


@pytest.fixture(scope="module")
def written(source, tokenizer, tmp_path_factory):
    return write_tokens(source, tokenizer, TASKS, tmp_path_factory.mktemp("tokens"), passes=2, **SETTINGS)


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_tokens_are_those_of_the_clips_of_each_pass(written, source, tokenizer):
    tokens = written.read()
    assert tokens["tokens"].shape == (10, 2, 4, 4) and tokens["condition_tokens"].shape == (10, 3, 2, 4, 4)
    for row, clip in ((3, (3, 0)), (8, (3, 1))):
        video = source.sample(*clip)[0]["video"]
        clips = video[None] / np.float32(255)
        np.testing.assert_array_equal(tokens["tokens"][row], tokenizer.encode(clips)[0])
        still = np.repeat(clips[:, :1], 4, axis=1)
        np.testing.assert_array_equal(tokens["condition_tokens"][row, 0], tokenizer.encode(still)[0])
    assert tokens["label"].tolist() == source.labels.tolist() * 2


def test_tokens_are_stored_narrow_and_come_as_int32(written):
    tokens = written.read()
    assert tokens["tokens"].dtype == "uint16"
    assert TokenBatches(tokens, 4)[0]["tokens"].dtype == "int32"


def test_condition_tokens_of_some_tasks_in_the_order_of_a_model(written):
    whole, chosen = written.read(), read_shards(written.folder, tasks=[TASKS[2], TASKS[0]])
    np.testing.assert_array_equal(chosen["condition_tokens"], whole["condition_tokens"][:, [2, 0]])
    np.testing.assert_array_equal(chosen["tokens"], whole["tokens"])
    with pytest.raises(ValueError, match="holds no tokens of frame_interpolation; it holds frame_prediction"):
        read_shards(written.folder, tasks=["frame_interpolation"])


def test_started_again_nothing_is_made_twice(written, source, tokenizer):
    before = files(written.folder)
    write_tokens(source, tokenizer, TASKS, written.folder, passes=2, **SETTINGS)
    assert files(written.folder) == before


def test_what_is_damaged_or_missing_is_made_anew_the_same(written, source, tokenizer):
    expected, before = written.read(), files(written.folder)
    half = written.folder / "pass-00000-000001.npz"
    half.write_bytes(half.read_bytes()[:500])
    (written.folder / "pass-00001-000002.npz").unlink()
    write_tokens(source, tokenizer, TASKS, written.folder, passes=2, **SETTINGS)
    after = written.read()
    assert all(np.array_equal(expected[name], after[name]) for name in expected)
    changed = {name for name, time in files(written.folder).items() if before[name] != time}
    assert {name.split(".")[0] for name in changed} == {"pass-00000-000001", "pass-00001-000002"}


def test_a_pass_is_appended(source, tokenizer, tmp_path):
    write_tokens(source, tokenizer, TASKS[:1], tmp_path, passes=1, **SETTINGS)
    before = files(tmp_path)
    assert len(write_tokens(source, tokenizer, TASKS[:1], tmp_path, passes=2, **SETTINGS).read()["tokens"]) == 10
    assert all(files(tmp_path)[name] == time for name, time in before.items() if name != "cache.json")


def test_processes_share_the_work(source, tokenizer, tmp_path, written):
    shards = write_tokens(source, tokenizer, TASKS, tmp_path, passes=2, process=(0, 2), **SETTINGS)
    assert len(shards.missing()) == 3
    write_tokens(source, tokenizer, TASKS, tmp_path, passes=2, process=(1, 2), **SETTINGS)
    np.testing.assert_array_equal(shards.read()["tokens"], written.read()["tokens"])


def test_workers_make_the_same_tokens(source, tokenizer, tmp_path, written):
    shards = write_tokens(source, tokenizer, TASKS, tmp_path, passes=2, workers=1, **SETTINGS)
    np.testing.assert_array_equal(shards.read()["condition_tokens"], written.read()["condition_tokens"])


def test_a_tokenizer_in_another_precision_has_the_same_fingerprint():
    """A run that goes on in another precision keeps its tokens."""
    full, half = (
        mk.VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64, dtype=dtype)
        for dtype in ("float32", "mixed_bfloat16")
    )
    half.set_weights(full.get_weights())
    assert fingerprint(half) == fingerprint(full)
    # Features of what they make are kept apart.
    assert describe_model(half) == {**describe_model(full), "precision": "mixed_bfloat16"}


def test_a_copy_of_a_tokenizer_has_the_same_fingerprint(tokenizer):
    assert fingerprint(Averages()) == fingerprint(tokenizer)


def test_tokens_of_something_else_are_not_mixed_in(written, source, videos, tokenizer):
    assert fingerprint(Averages(1)) != fingerprint(tokenizer)
    with pytest.raises(ValueError, match=r"holds tokens of something else \(tokenizer was"):
        write_tokens(source, Averages(1), TASKS, written.folder, passes=2, **SETTINGS)
    with pytest.raises(
        ValueError,
        match=r"\(source\.frame_stride was 1 and is now 2; source\.horizontal_flip was true and is now false\)",
    ):
        strided = mk.data.VideoFolder(videos, num_frames=4, size=(8, 8), frame_stride=2)
        write_tokens(strided, tokenizer, TASKS, written.folder, passes=2, **SETTINGS)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("bair", {}, {"camera": "image_main"}),
        ("bair", {"split": "train", "training": False}, {"split": "test"}),
        ("nuscenes", {"video_frames": 32}, {"video_frames": None}),
        ("tfds", {}, {"label": None}),
        ("ucf101_tfds", {"fold": 1}, {"fold": 2}),
    ],
)
def test_clips_of_the_same_names_are_told_apart_by_the_settings_of_their_reader(name, one, other, tmp_path):
    folder = write_sample(name, tmp_path, 2)
    first, second, again = (open_source(name, folder, **options).description() for options in (one, other, one))
    assert first == again != second and first["names"] == second["names"]


@pytest.mark.parametrize("changes", [{"look": "plain"}, {"texture": 0.5}, {"occlusion": 0.0}])
def test_other_moving_shapes_are_described_otherwise(changes):
    assert MovingShapes(4).description() != MovingShapes(4, **changes).description()


def test_the_decoder_is_part_of_the_description(source):
    assert source.description()["decoder"] == "pyav"


def test_a_description_survives_json(source):
    described = source.take(3).description()
    assert described == json.loads(json.dumps(described)) | {"size": (8, 8)}


def test_what_is_no_plain_data_is_left_out_of_the_description(source):
    held = MovingShapes(2)
    held.video = np.zeros((2, 4, 8, 8, 3), "uint8")
    assert held.description() == MovingShapes(2).description()


def test_of_a_part_of_the_clips_their_own_labels_are_described(videos):
    several = mk.data.VideoFolder(videos, num_frames=4, size=8).for_evaluation(windows=2)
    parts = [Subset(Subset(several, [9, 0, 1, 8]), [0, i]).description()["labels"] for i in (1, 2, 3)]
    assert parts[0] == parts[1] != parts[2]


def test_tokens_under_other_labels_are_refused(videos, tokenizer, tmp_path):
    names = [path.relative_to(videos).as_posix() for path in sorted(videos.rglob("*.mp4"))[:2]]

    def write(labels):
        rows = (f"{name},{label}\n" for name, label in zip(names, labels, strict=True))
        (videos / "labels.csv").write_text("path,label\n" + "".join(rows))
        clips = WebVideos(videos, "labels.csv", label="label", num_frames=4, size=8)
        return write_tokens(clips, tokenizer, TASKS[:1], tmp_path, **SETTINGS)

    write("ab")
    write("ab")
    with pytest.raises(ValueError, match=r"holds tokens of something else \(source\.labels was"):
        write("ba")


def test_clips_that_do_not_fit_are_refused_before_anything_is_written(videos, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="not a multiple of 2"):
        odd = mk.data.VideoFolder(videos, num_frames=5, size=(8, 8))
        write_tokens(odd, tokenizer, TASKS, tmp_path / "tokens", **SETTINGS)
    assert not (tmp_path / "tokens").exists()


@pytest.mark.parametrize(
    "arguments", [{"passes": 0}, {"process": (2, 2)}, {"shard_clips": 0}, {"tasks": []}, {"tasks": ["painting"]}]
)
def test_wrong_arguments_are_named(source, tokenizer, tmp_path, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))[:4]):
        write_tokens(source, tokenizer, **{"tasks": TASKS, "folder": tmp_path / "t", **SETTINGS, **arguments})


# --- the command ---


def tokenize(*arguments):
    return CliRunner().invoke(app, ["tokenize", *map(str, arguments)])


@pytest.fixture
def preset(tmp_path, monkeypatch):
    """Presets have tests of their own."""
    monkeypatch.setattr(mk.VideoTokenizer, "from_preset", lambda folder: Averages())
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "config.json").write_text("{}")
    return tmp_path / "tokenizer"


@pytest.fixture
def options(videos, preset, tmp_path):
    pairs = {"data": videos, "tokenizer": preset, "out": tmp_path / "tokens", "frames": 4, "size": 8, "workers": 0}
    return [text for name, value in pairs.items() for text in (f"--{name}", value)]


def test_the_command_writes_tokens_of_all_ten_tasks(options, videos, tmp_path):
    names = [path.relative_to(videos).as_posix() for path in sorted(videos.rglob("*.mp4"))]
    (videos / "list.csv").write_text("file\n" + "\n".join(names[:2]) + "\n")
    reader = ("--format", "web", "--reader", "table=list.csv", "--reader", "path=file")
    result = tokenize(*options, *reader, "--flip", "--batch-size", 2, "--verbose", 0)
    assert result.exit_code == 0, result.output
    assert "The tokens are in" in result.output
    assert read_shards(tmp_path / "tokens")["condition_tokens"].shape == (2, 10, 2, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "avi"), "Unknown format 'avi'; expected one of folder, ucf101"),
        (("--reader", "fold=1"), "The format folder has no fold; expected some of num_frames, size"),
        (("--reader", "fold"), "--reader must be name=value"),
        (("--format", "ucf101"), "classInd.txt"),
        (("--format", "web"), "The format web needs table"),
        (("--process", "3"), "--process must be a number out of a count"),
        (("--tokenizer", "3dvq_tiny"), "The preset 3dvq_tiny is an architecture without weights"),
        (("--tokenizer", "missing"), "missing is not the folder of a run or of a trained VideoTokenizer"),
        (("--frames", "5"), "not a multiple of 2"),
    ],
)
def test_the_command_refuses_before_any_work(options, tmp_path, arguments, message):
    result = tokenize(*options, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output.replace("\n", " ")
    assert not (tmp_path / "tokens").exists()


def test_the_order_of_cached_tokens_is_drawn_once_a_pass(monkeypatch):
    """And not for each row of each batch."""
    drawn = []
    batches = TokenBatches({"tokens": np.arange(10)}, 4, seed=0, steps_per_epoch=5)
    expected = np.concatenate([np.random.default_rng([0, number]).permutation(10) for number in range(2)])
    generator = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda key: drawn.append(key) or generator(key))
    np.testing.assert_array_equal(np.concatenate([batches[step]["tokens"] for step in range(5)]), expected)
    assert drawn == [[0, 0], [0, 1]]


def test_bad_numbers_of_processes_and_values_of_readers_are_named(tmp_path):
    with pytest.raises(ValueError, match="workers=-1: expected a number of processes"):
        write_tokens(MovingShapes(2, num_frames=4, size=(8, 8)), Averages(), TASKS, tmp_path, workers=-1)
    MovingShapes(2, num_frames=4, size=(8, 8)).write_videos(tmp_path / "videos")
    with pytest.raises(ValueError, match=r"'folder' cannot be read with .*decoder"):
        open_source("folder", tmp_path / "videos", num_frames=4, size=8, decoder=["a"])
