"""Protocols run on a small model and made data: the numbers, the parts, the kills."""

import numpy as np
import pytest
from keras import ops

import magvit_keras as mk
from magvit_keras.data import open_source
from magvit_keras.decoding.noise import clip_seeds, seed_from
from magvit_keras.evaluation import PROTOCOLS, evaluate
from magvit_keras.evaluation.clips import Draws
from magvit_keras.evaluation.measure import measured
from magvit_keras.evaluation.scores import best_of_tries

SHAPE = (8, 16, 16)
SHAPES = {"num_clips": 6, "shapes": ("circle", "star"), "motions": ("orbit",)}


def options(name, sample, networks, **other):
    """The arguments that make a protocol small."""
    protocol = PROTOCOLS[name]
    changes = {"video_shape": SHAPE, "samples": 4, "folds": min(2, protocol.folds), "batch_size": 4}
    if protocol.kind == "generation":
        changes["num_steps"] = 1
    if protocol.measured_size is not None:
        changes["measured_size"] = (8, 8)
    if protocol.data_format == "moving_shapes":
        changes["reader"] = SHAPES
    else:
        changes["data"] = sample(protocol.data_format)
    if protocol.data_format == "web":
        changes["reader"] = {"table": "list.csv"}
    return {**changes, "networks": networks, "verbose": 0, **other}


@pytest.mark.once
@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_runs_as_it_says(name, magvit, sample, networks, tmp_path):
    protocol = PROTOCOLS[name]
    report = evaluate(magvit, name, tmp_path, **options(name, sample, networks))
    tasks = protocol.tasks or ("reconstruction",)
    for metric in protocol.metrics:
        entries = {entry["task"]: entry for entry in report["scores"] if entry["metric"] == metric}
        expected = {task for task in tasks if metric != "accuracy" or "class" in task or task == "reconstruction"}
        assert entries.keys() - {"mean of the tasks"} == expected
        assert all(len(entry["folds"]) == min(2, protocol.folds) for entry in entries.values())
        assert all(np.isfinite(entry["folds"]).all() for entry in entries.values())
        if len(expected) > 1:
            mean = np.mean([entries[task]["folds"] for task in expected], axis=0)
            np.testing.assert_allclose(entries["mean of the tasks"]["folds"], mean)
    clips = report["choices"]["real_clips"]["clips"]
    if protocol.data_format != "moving_shapes":
        random = protocol.clips.windows == "random"
        assert clips["training"] == random
        assert clips["horizontal_flip"] is False
        assert random or (clips["windows"], clips["crops"]) == (protocol.clips.windows, protocol.clips.crops)
    assert f"samples 4 instead of {protocol.samples or 'one for each real clip'}" in report["deviations"]
    assert not any(entry.get("comparable") for entry in report["scores"])


# --- what the numbers are ---


def test_the_distance_is_that_of_the_clips_and_their_conditions(magvit, sample, networks, colours, tmp_path):
    settings = options("bair_fp", sample, networks, metrics=["fvd", "psnr"], samples=5, folds=1)
    report = evaluate(magvit, "bair_fp", tmp_path, **settings, seed=3, shard_clips=4)
    source = open_source("bair", sample("bair"), split="test", num_frames=8, size=(16, 16))
    real = source.for_evaluation(windows="first").arrays()["video"]
    rows = Draws(2, 5, 1, seed=3, random_windows=False).rows[0]
    kept = [path for path in (tmp_path / "features").glob("made-*") if path.is_dir()]
    made = mk.data.read_shards(kept[0])
    np.testing.assert_array_equal(made["row"], rows)
    features = ops.convert_to_numpy(colours(real / np.float32(255)))
    scores = {entry["metric"]: entry for entry in report["scores"]}
    distance = mk.metrics.frechet_distance(features[rows], made["features"])
    np.testing.assert_allclose(scores["fvd"]["mean"], distance, rtol=1e-4, atol=1e-7)
    assert scores["fvd"]["name"] == "Frechet distance of colours"


def test_a_sample_does_not_depend_on_its_shard(magvit, sample, networks, tmp_path):
    settings = options("ucf101_cg", sample, networks, samples=5, folds=2)
    scores = [
        evaluate(magvit, "ucf101_cg", tmp_path / str(size), **settings, shard_clips=size)["scores"] for size in (2, 5)
    ]
    for one, two in zip(*scores, strict=True):
        np.testing.assert_allclose(one["folds"], two["folds"], rtol=1e-4, atol=1e-7)
    first, second = scores[0][0]["folds"]
    assert first != second  # a fold has samples of its own


def test_a_seed_starts_anywhere():
    later, all_of_them = (ops.convert_to_numpy(clip_seeds(*a)) for a in ((seed_from(2**40 + 5, 3), 2), (2**40 + 5, 5)))
    np.testing.assert_array_equal(later, all_of_them[3:])


def test_the_best_of_several_tries_counts(magvit, sample, networks, tmp_path):
    settings = options("bair_fp", sample, networks, metrics=["psnr"], tries=3, samples=6, folds=1)
    report = evaluate(magvit, "bair_fp", tmp_path, **settings)
    assert report["scores"][0]["tries"] == 3 and "tries 3 instead of 100" in report["deviations"]
    made = mk.data.read_shards(next((tmp_path / "features").glob("made-*")))
    by_clip = [made["psnr"][made["row"] == row] for row in (0, 1)]
    assert [len(values) for values in by_clip] == [3, 3]
    np.testing.assert_allclose(report["scores"][0]["mean"], np.mean([values.max() for values in by_clip]))


@pytest.mark.once
def test_best_of_tries_is_that_of_the_metrics():
    rng = np.random.default_rng(0)
    real, tries = rng.random((3, 2, 16, 16, 3), "float32"), rng.random((4, 3, 2, 16, 16, 3), "float32")
    expected, _ = mk.metrics.best_of(mk.metrics.psnr, real, list(tries[:2]))
    values = np.concatenate([np.mean(ops.convert_to_numpy(mk.metrics.psnr(real, made)), axis=1) for made in tries])
    best = best_of_tries(np.tile(np.arange(3), 4), values, tries=2, largest=True)
    np.testing.assert_allclose(best, expected, rtol=1e-5)


def test_half_the_size_is_the_mean_of_four_pixels():
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), "uint8")
    protocol = PROTOCOLS["k600_fp"]
    small = measured(clips, type(protocol)(**{**vars(protocol), "measured_size": (8, 8)}))
    expected = clips.reshape(2, 3, 8, 2, 8, 2, 3).mean(axis=(3, 5)) / 255
    np.testing.assert_allclose(small, expected, atol=1e-6)


@pytest.mark.once
def test_each_turn_takes_every_clip_once_and_random_windows_are_new_each_time():
    fixed, random = (Draws(3, 7, 2, seed=0, random_windows=flag) for flag in (False, True))
    assert len(fixed.pairs) == 3 and len(random.pairs) == 14
    for rows in fixed.rows:
        assert np.bincount(rows).tolist() in ([3, 2, 2], [2, 3, 2], [2, 2, 3])
        assert sorted(rows[:3]) == [0, 1, 2]


# --- parts, and kills ---


@pytest.mark.once
def test_two_processes_give_the_numbers_of_one(magvit, sample, networks, tmp_path):
    settings = options("bair_mt8", sample, networks, samples=5, shard_clips=2)
    alone = evaluate(magvit, "bair_mt8", tmp_path / "one", **settings)
    assert evaluate(magvit, "bair_mt8", tmp_path / "two", **settings, process=(0, 2)) is None
    assert not (tmp_path / "two" / "report.json").exists()
    together = evaluate(magvit, "bair_mt8", tmp_path / "two", **settings, process=(1, 2))
    assert together["scores"] == alone["scores"]


@pytest.mark.once
def test_workers_read_the_same_clips(magvit, sample, networks, tmp_path):
    settings = options("ucf101_reconstruction", sample, networks, metrics=["psnr"], samples=3, folds=1, shard_clips=2)
    one, two = (
        evaluate(magvit, "ucf101_reconstruction", tmp_path / str(n), **settings, workers=n)["scores"] for n in (0, 1)
    )
    assert one == two


@pytest.mark.once
def test_what_was_cut_off_is_made_anew_the_same_and_nothing_else(magvit, sample, networks, tmp_path):
    settings = options("objectron_fi", sample, networks, samples=6, shard_clips=2)
    before = evaluate(magvit, "objectron_fi", tmp_path, **settings)
    files = sorted((tmp_path / "features").rglob("*.npz"))
    times = {path: path.stat().st_mtime_ns for path in files}
    cut, gone = files[0], files[-1]
    cut.write_bytes(cut.read_bytes()[:200])
    gone.with_suffix(".json").unlink()
    after = evaluate(magvit, "objectron_fi", tmp_path, **settings)
    assert after["scores"] == before["scores"]
    assert {path for path in files if path.stat().st_mtime_ns != times[path]} == {cut, gone}


@pytest.mark.once
def test_other_samples_are_kept_apart_and_real_clips_are_shared(magvit, sample, networks, tmp_path):
    settings = options("bair_fp_debiased", sample, networks, cache=tmp_path / "kept")
    for out, other in (("a", {}), ("b", {"temperature": 2.0}), ("c", {"seed": 1})):
        evaluate(magvit, "bair_fp_debiased", tmp_path / out, **{**settings, **other})
    names = [path.name.split("-")[0] for path in (tmp_path / "kept").iterdir()]
    assert sorted(names) == ["made"] * 3 + ["real"] * 2  # another seed takes other real clips


@pytest.mark.once
def test_clips_of_one_name_that_look_otherwise_are_kept_apart(magvit, sample, networks, tmp_path):
    settings = options("moving_shapes_reconstruction", sample, networks, metrics=["fvd"], cache=tmp_path / "kept")
    for texture in (0.0, 1.0):
        reader = {**SHAPES, "texture": texture}
        evaluate(magvit, "moving_shapes_reconstruction", tmp_path / "out", **{**settings, "reader": reader})
    assert len(list((tmp_path / "kept").glob("real-*"))) == 2


@pytest.mark.once
def test_clips_of_another_camera_are_kept_apart(magvit, sample, networks, tmp_path):
    settings = options("bair_reconstruction", sample, networks, metrics=["fvd"])
    for camera in ("image_aux1", "image_main", "image_main"):
        evaluate(magvit, "bair_reconstruction", tmp_path, **settings, reader={"camera": camera})
    assert len(list((tmp_path / "features").glob("real-*"))) == 2


@pytest.mark.once
def test_the_clips_are_of_the_split_that_the_reader_is_told(magvit, sample, networks, tmp_path):
    settings = options("bair_reconstruction", sample, networks, metrics=["psnr"], reader={"split": "train"})
    report = evaluate(magvit, "bair_reconstruction", tmp_path, **settings)
    assert report["choices"]["real_clips"]["clips"]["split"] == report["choices"]["split"] == "train"
    assert "split train instead of test" in report["deviations"]


@pytest.mark.once
def test_features_of_an_encoder_with_other_settings_are_kept_apart(magvit, sample, networks, colours, tmp_path):
    settings = options("moving_shapes_reconstruction", sample, networks, metrics=["fvd"])
    about = []
    for mean in (0.0, 0.5, 0.5):
        network = mk.metrics.ClipEncoder(colours, mean=mean)
        given = {**settings, "networks": {"distance": network}}
        report = evaluate(magvit, "moving_shapes_reconstruction", tmp_path, **given)
        about.append(report["choices"]["networks"]["distance"])
    assert about[0] != about[1] == about[2] and about[1]["settings"]["mean"] == 0.5
    assert len(list((tmp_path / "features").glob("real-*"))) == 2


@pytest.mark.once
def test_a_warning_of_every_task_is_one_remark(magvit, sample, networks, tmp_path):
    settings = options("bair_mt8", sample, networks, samples=3, tasks=["frame_prediction", "frame_interpolation"])
    remarks = evaluate(magvit, "bair_mt8", tmp_path, **settings)["remarks"]
    few = [remark for remark in remarks if remark.startswith("Only 3 samples for 3 features")]
    assert len(few) == 1 and few[0].endswith("(So in 2 distances.)")


@pytest.mark.once
def test_an_unreadable_video_is_a_deviation(magvit, sample, networks, tmp_path):
    folder = mk.data.write_sample("folder", tmp_path / "videos", num_videos=4)
    sorted(folder.rglob("*.mp4"))[0].write_bytes(b"no video")
    settings = options(
        "web_mt8", sample, networks, data=folder, data_format="folder", reader={}, tasks=["frame_prediction"]
    )
    with pytest.warns(mk.data.UnreadableVideoWarning):
        report = evaluate(magvit, "web_mt8", tmp_path / "out", **settings)
    assert "1 samples from another clip than theirs, which cannot be read" in report["deviations"]


@pytest.mark.once
def test_classes_are_compared_by_name_where_the_model_knows_them(magvit, sample, networks, tmp_path, monkeypatch):
    settings = {**options("moving_shapes_mt10", sample, networks), "tasks": ["class_conditional_generation"]}
    settings["reader"] = {"num_clips": 2, "shapes": ("star",), "motions": ("orbit",)}
    settings["metrics"] = ["fvd"]

    def scores(*names):
        monkeypatch.setattr(magvit, "class_names", list(names), raising=False)
        return evaluate(magvit, "moving_shapes_mt10", tmp_path, **settings)["scores"]

    assert scores("star_orbit")  # a model with room for more classes than it was trained on
    for names, message in ((("ring",), "'ring', not 'star_orbit'"), (("star_orbit", "ring"), "'ring', not None")):
        with pytest.raises(ValueError, match=message):
            scores(*names)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bair_fp", {"video_shape": (16, 16, 16)}, "add --frames 8 --size 16x16"),
        ("bair_fp", {"data": None}, "needs --data"),
        ("moving_shapes_mt10", {"data": "videos"}, "leave --data out"),
        (
            "moving_shapes_mt10",
            {"metrics": ["fvd"], "reader": {"num_clips": 4, "motions": ("orbit", "spin")}},
            "classes: the data has 6 and the model 2",
        ),
        ("ucf101_cg", {"metrics": ["accuracy"]}, "classes of Moving Shapes alone; the data has CircleOrbit"),
        ("bair_fp", {"process": (2, 2)}, "index from 0 to count - 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    name, changes, message, magvit, sample, networks, tmp_path
):
    with pytest.raises(ValueError, match=message):
        evaluate(magvit, name, tmp_path / "out", **{**options(name, sample, networks), **changes})
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.once
def test_a_tokenizer_cannot_generate(magvit, tmp_path):
    with pytest.raises(ValueError, match="it needs a Magvit"):
        evaluate(magvit.tokenizer, "bair_fp", tmp_path)


@pytest.mark.once
@pytest.mark.parametrize(("metric", "network"), [("fvd", "I3D"), ("is", "C3D"), ("lpips", "LPIPS")])
def test_absent_weights_say_where_they_are_to_be_had(metric, network, monkeypatch):
    for name in ("I3D", "C3D", "LPIPS_VGG16"):
        monkeypatch.delenv(f"MAGVIT_KERAS_{name}", raising=False)
    with pytest.raises(FileNotFoundError, match=rf"No weights of {network}.*(?s:.)*--metric {metric}"):
        mk.evaluation.load_networks((metric, "psnr"))
