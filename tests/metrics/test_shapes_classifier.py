"""The classifier of Moving Shapes: what is said of it holds, and so do the scores through it."""

import importlib.util
import json
import pathlib
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.data import MovingShapes
from magvit_keras.demo import DEMO_SHAPES
from magvit_keras.metrics import (
    ShapesClassifier,
    clip_features,
    expected_bias,
    frechet_distance,
    kernel_video_distance,
    shapes_accuracy,
    shapes_classifier,
    shapes_fvd,
)
from magvit_keras.presets import shipped

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = shipped.SHIPPED / "shapes_classifier"


def told():
    return json.loads((FOLDER / "training.json").read_text())


@pytest.fixture(scope="module")
def network():
    return shapes_classifier()


@pytest.fixture(scope="module")
def held_out():
    return {split: MovingShapes(144, 8, 32, split=split).arrays() for split in ("validation", "test")}


@pytest.fixture(scope="module")
def features(network, held_out):
    return {split: clip_features(clips["video"], network.features)[0] for split, clips in held_out.items()}


def test_its_outputs_are_the_same_on_every_backend(network):
    clips = MovingShapes(4, split="test").arrays()["video"]
    expected = np.load(pathlib.Path(__file__).with_name("shapes_classifier_outputs.npz"))
    features = ops.convert_to_numpy(network.features(clips))
    assert features.dtype == "float32"
    np.testing.assert_allclose(features, expected["features"], atol=1e-4 * np.abs(expected["features"]).max())
    np.testing.assert_allclose(
        ops.convert_to_numpy(network(clips)), expected["logits"], atol=1e-4 * np.abs(expected["logits"]).max()
    )


@pytest.mark.once
def test_it_knows_the_classes_of_clips_that_it_did_not_see():
    clips = MovingShapes(144, split="test").arrays()
    score = shapes_accuracy(clips["video"], clips["label"])
    assert score.name == "shapes class accuracy"
    assert score.value >= 0.95
    assert score.made_by["weights"]["network"]["sha256"] == (FOLDER / "checksum.txt").read_text().strip()


@pytest.mark.once
def test_classes_of_a_source_with_some_of_the_shapes():
    source = MovingShapes(72, 8, 32, split="test", **DEMO_SHAPES)
    clips = source.arrays()
    assert float(shapes_accuracy(clips["video"], clips["label"], source.class_names)) >= 0.9
    assert float(shapes_accuracy(clips["video"], (clips["label"] + 1) % 18, source.class_names)) <= 0.05


@pytest.mark.once
def test_scores_through_it_say_that_they_compare_with_none_published(network, held_out, features):
    one, two = (held_out[split]["video"] for split in ("validation", "test"))
    score = shapes_fvd(one, two)
    assert score.name == "shapes-FVD (not comparable with published FVD)"
    assert score.value == pytest.approx(frechet_distance(features["validation"], features["test"]), rel=1e-4)
    assert score.made_by["resize_rule"] == "half_pixel"
    score = kernel_video_distance(one, two, network.features)
    assert score.name == "shapes-KVD (not comparable with published KVD)"
    json.dumps(score.made_by)


@pytest.mark.once
def test_other_sizes_one_after_another(network):
    """TensorFlow's second and third graph no longer know the sizes beforehand."""
    for size in ((32, 32), (64, 64), (48, 96)):
        clips = MovingShapes(2, 9, size, split="test").arrays()["video"]
        direct = ops.convert_to_numpy(network.features(clips.astype("float32") / 255))
        np.testing.assert_allclose(clip_features(clips, network.features)[0], direct, atol=1e-4 * direct.max())
    with pytest.raises(ValueError, match=r"at least 8 frames of 8 x 8; received the shape \(1, 7, 64, 64, 3\)"):
        network(np.zeros((1, 7, 64, 64, 3), "float32"))


@pytest.mark.once
def test_a_file_keeps_it(tmp_path):
    network = ShapesClassifier(filters=(4, 4, 4, 4), feature_dim=5, shapes=("circle", "star"), motions=("spin",))
    network.parts[0].bias.assign([1.0, 2.0])
    network.save(tmp_path / "it.keras")
    loaded = keras.saving.load_model(tmp_path / "it.keras")
    assert loaded.get_config() == network.get_config()
    clip = np.random.default_rng(0).random((1, 8, 16, 16, 3), "float32")
    np.testing.assert_allclose(*(ops.convert_to_numpy(x(clip)) for x in (network, loaded)), rtol=1e-5)


@pytest.fixture(scope="module")
def sanity():
    """benchmarks/fvd_sanity.py as a module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location("fvd_sanity", ROOT / "benchmarks" / "fvd_sanity.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return module


@pytest.mark.once
@pytest.mark.parametrize(
    ("damage", "strengths"),
    [("noise", (0.1, 0.3)), ("blur", (1, 3)), ("shuffle", (0.25, 1.0)), ("freeze", (0.5, 0.9375))],
)
def test_damage_raises_the_distance(network, held_out, features, sanity, damage, strengths):
    reference, undamaged = features["validation"], features["test"]
    clips = held_out["test"]["video"].astype("float32") / 255
    distances = sanity.damaged_distances(network.features, reference, clips, getattr(sanity, damage), strengths, 0)
    start = frechet_distance(reference, undamaged)
    assert start < distances[0] < distances[1]


@pytest.mark.once
def test_a_set_has_no_distance_to_itself_and_halves_little(features, sanity):
    both = np.concatenate(list(features.values()))
    assert frechet_distance(both, both) <= 1e-6 * np.trace(np.cov(both, rowvar=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the smallest halves have fewer clips than features
        rows = sanity.halves(both, seed=0, repeats=5)
    n, distance, _ = rows[-1]
    assert n == 144
    assert rows[-2][1] == pytest.approx(2 * distance, rel=0.2)
    assert distance == pytest.approx(expected_bias(both[:n], both[n:]), rel=0.3)


@pytest.mark.once
def test_arguments_that_do_not_do(held_out):
    video, label = held_out["test"]["video"][:4], held_out["test"]["label"][:4]
    with pytest.raises(ValueError, match=r"from 0 to 35; received int64.*from 36 to 39"):
        shapes_accuracy(video, np.arange(36, 40))
    with pytest.raises(ValueError, match="4 clips need as many labels; received 3"):
        shapes_accuracy(video, label[:3])
    with pytest.raises(ValueError, match="class_names holds tree_orbit"):
        shapes_accuracy(video, label, ["tree_orbit"])
    with pytest.raises(ValueError, match="filters must hold 4 widths"):
        ShapesClassifier(filters=(1, 2))


@pytest.mark.once
def test_its_classes_are_those_of_moving_shapes():
    assert ShapesClassifier(filters=(1, 1, 1, 1)).class_names == MovingShapes(1).class_names


@pytest.mark.once
def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="this installation has no weights of 'shapes_classifier'"):
        shapes_classifier()


@pytest.mark.once
def test_it_is_small_and_the_page_says_what_was_measured():
    assert shipped.shipped_weights("shapes_classifier").stat().st_size < 2e6
    page = (ROOT / "docs" / "model_zoo.md").read_text()
    about = told()
    for value in about["accuracy"].values():
        assert f"| {100 * value:.1f}% |" in page
    assert about["accuracy"]["default, 16x64x64"] >= 0.97
    assert about["command"] in page and about["date"] in page and f"| {about['steps']} " in page
