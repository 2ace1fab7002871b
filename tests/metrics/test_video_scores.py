"""FVD and its like on any network: values, what a score says of itself, and input that does not do."""

import json

import keras
import numpy as np
import pytest

from magvit_keras.metrics import (
    C3D,
    I3D,
    JEDI,
    ClipEncoder,
    FeatureStatistics,
    VideoScore,
    clip_features,
    frechet_distance,
    fvd,
    inception_score,
    kernel_distance,
    kernel_video_distance,
    over_folds,
    video_inception_score,
)


def clips(seed=0, n=10, frames=4):
    return np.random.default_rng(seed).random((n, frames, 8, 8, 3), "float32")


@pytest.fixture(scope="module")
def colours():
    """Mean colour of a clip."""
    return keras.Sequential([keras.Input((None, 8, 8, 3)), keras.layers.GlobalAveragePooling3D()], name="colours")


def means(x):
    return x.mean(axis=(1, 2, 3)).astype("float64")


def test_distances_are_those_of_the_features(colours):
    real, generated = clips(0), clips(1, 12) ** 2
    found = fvd(real, generated, colours, batch_size=5)
    np.testing.assert_allclose(found.value, frechet_distance(means(real), means(generated)), rtol=1e-4)
    found = kernel_video_distance(real, generated, colours, batch_size=4, degree=2)
    np.testing.assert_allclose(found.value, kernel_distance(means(real), means(generated), degree=2), rtol=1e-3)
    assert found.made_by["degree"] == 2


def test_folds(colours):
    real, generated = clips(0, 20), clips(1, 20) ** 2
    found = fvd(real, generated, colours, folds=4)
    expected = over_folds(frechet_distance, 4, means(real), means(generated))
    np.testing.assert_allclose([found.value, found.std], [expected.mean, expected.std], rtol=1e-3)
    score = video_inception_score(generated, colours, folds=2)
    expected = over_folds(inception_score, 2, means(generated))
    np.testing.assert_allclose([score.value, score.std], [expected.mean, expected.std], rtol=1e-3, atol=1e-9)


def test_splits(colours):
    """Within the only fold, with the deviation over them; or within each of several folds."""
    generated = clips(1, 20) ** 2
    score = video_inception_score(generated, colours, splits=5)
    expected = over_folds(inception_score, 5, means(generated))
    np.testing.assert_allclose([score.value, score.std], [expected.mean, expected.std], rtol=1e-3, atol=1e-9)
    assert score.made_by["splits"] == 5
    assert "over 5 splits" in str(score)
    both = video_inception_score(generated, colours, folds=2, splits=5)
    halves = [inception_score(means(generated)[part], splits=5) for part in (slice(0, 10), slice(10, 20))]
    np.testing.assert_allclose([both.value, both.std], [np.mean(halves), np.std(halves)], rtol=1e-3, atol=1e-9)
    assert "over 2 folds" in str(both)


def test_jedi_settings(colours):
    real, generated = clips(0), clips(1, 12) ** 2
    score = kernel_video_distance(real, generated, colours, **JEDI)
    np.testing.assert_allclose(score.value, kernel_distance(means(real), means(generated), **JEDI), rtol=1e-3)
    assert JEDI.items() <= score.made_by.items()


def test_a_set_has_no_distance_to_itself(colours):
    x = clips(0)
    assert float(fvd(x, x, colours)) <= 1e-6 * np.trace(np.cov(means(x), rowvar=False))


def test_batches_dicts_bytes_and_statistics_give_the_same(colours):
    real, generated = (np.round(255 * clips(i)) for i in range(2))
    expected = fvd(real / 255, generated / 255, colours).value
    batches = ({"video": generated[i : i + 4].astype("uint8")} for i in range(0, 10, 4))
    found = fvd(real.astype("uint8"), batches, colours)
    np.testing.assert_allclose(found.value, expected, rtol=1e-3)
    assert (found.made_by["real_clips"], found.made_by["generated_clips"]) == (10, 10)
    statistics = FeatureStatistics(clip_features(real / 255, colours)[0])
    found = fvd(statistics, generated / 255, colours)
    np.testing.assert_allclose(found.value, expected, rtol=1e-6)
    assert "do not say" in found.made_by["real_from"] and "generated_from" not in found.made_by


@pytest.mark.once
def test_a_score_says_how_it_was_made(colours):
    score = fvd(clips(0), clips(1), colours)
    assert isinstance(score, VideoScore)
    assert score.name == "Frechet distance of colours"
    assert score.made_by["clip_shape"] == (4, 8, 8, 3)
    assert score.made_by["weights"].startswith("unknown")
    encoder = ClipEncoder(colours, input_size=6, mean=(0.5, 0.5, 0.4))
    assert fvd(clips(0), clips(1), encoder).made_by["settings"] == {
        "input_size": 6,
        "mean": [0.5, 0.5, 0.4],
        "std": 1.0,
    }
    assert {"keras", "magvit-keras"} <= score.made_by["versions"].keys()
    json.dumps(score.made_by)
    assert "real_clips 10" in str(score)


class Known(I3D):
    """Of the published size as far as the name of a score can tell, without its cost."""

    is_published = True

    def call(self, video):
        return keras.ops.mean(video, axis=(1, 2, 3))


@pytest.mark.once
def test_only_loaded_i3d_is_called_fvd():
    network = Known(width=1 / 32, resize_rule="half_pixel")
    assert fvd(clips(0), clips(1), network).name == "Frechet distance of i3d"
    network.weights_source = {"network": {"file": "w.npz", "sha256": "0"}}
    score = fvd(clips(0), clips(1), network)
    assert score.name == "FVD"
    assert (score.made_by["resize_rule"], score.made_by["crop"]) == ("half_pixel", False)
    assert score.made_by["weights"] == network.weights_source
    assert not I3D(width=1 / 32).is_published


@pytest.mark.once
def test_fewer_clips_than_features_warn_of_the_bias():
    wide = keras.Sequential([keras.Input((4, 8, 8, 3)), keras.layers.Flatten()])
    with pytest.warns(UserWarning, match=r"Only 10 samples for 768 features.*about \d"):
        fvd(clips(0), clips(1), wide)


def broken(seed=0):
    x = clips(seed)
    x[7, 2, 3] = np.nan
    return x


@pytest.mark.once
@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (clips(), broken(), r"generated, from clip 4.*not finite"),
        (clips(), clips() * 255, r"must be in \[0, 1\].*Divide by 255"),
        (clips(), clips() * 2 - 1, r"From \[-1, 1\] it is"),
        (clips(), clips(frames=5), r"one shape; received \(4, 8, 8, 3\) and \(5, 8, 8, 3\)"),
        (clips(), iter([clips(frames=5)]), r"clips are \(5, 8, 8, 3\), but those before them \(4, 8, 8, 3\)"),
        (clips()[..., :1], clips()[..., :1], "channels last"),
        (clips()[0], clips()[0], r"received the shape \(4, 8, 8, 3\)"),
        (clips(), iter([]), "generated holds no clip"),
        (clips().astype("int32"), clips(), "must be uint8, or floats"),
        (None, clips(), "iterable of batches of them; received NoneType"),
        (clips(), "clips.npy", "iterable of batches of them; received str"),
    ],
)
def test_clips_that_do_not_do(colours, real, generated, message):
    with pytest.raises(ValueError, match=message):
        fvd(real, generated, colours, batch_size=4)


@pytest.mark.once
def test_networks_that_do_not_do(colours):
    with pytest.raises(ValueError, match="at least 9 frames"):
        fvd(clips(), clips(), I3D(width=1 / 32, input_size=32))
    with pytest.raises(ValueError, match="16, height, width"):
        video_inception_score(clips(), C3D(filters=(1, 1, 1, 1), hidden_size=1))
    with pytest.raises(ValueError, match=r"keras.Model.*load_i3d"):
        fvd(clips(), clips(), means)
    maps = keras.Sequential([keras.Input((4, 8, 8, 3)), keras.layers.Activation("relu")])
    with pytest.raises(ValueError, match=r"must return features \(batch, D\)"):
        fvd(clips(), clips(), maps)
    with pytest.raises(ValueError, match="one fold only"):
        fvd(FeatureStatistics(means(clips())), clips(), colours, folds=2)
