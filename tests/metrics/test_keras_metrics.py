"""The Keras metrics give the numbers of the pure functions, in `fit` and `evaluate`, on each backend."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend, metrics
from magvit_keras.metrics import frechet_distance, inception_score, kernel_distance


def rows(seed=0, n=40, d=4):
    return (np.random.default_rng(seed).normal(size=(n, d)) + 3).astype("float32")


def identity(*shape):
    """A trainable model that starts as the identity, so that its outputs are known."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Dense(shape[-1], kernel_initializer="identity")(inputs))
    return model


def clips(seed=0, n=6):
    return np.random.default_rng(seed).random((n, 3, 16, 16, 3), "float32")


def flat_features(d=3):
    """Mean colour of a clip: features that a test can work out."""
    inputs = keras.Input((3, 16, 16, d))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(inputs))


def test_distributions_in_evaluate():
    x, y = rows(0), rows(1) * 1.5
    model = identity(4)
    model.compile(
        loss="mse",
        metrics=[metrics.FrechetDistance(4), metrics.KernelDistance(), metrics.InceptionScore(4)],
    )
    for _ in range(2):  # the second time: nothing is left of the first
        logs = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["frechet_distance"], frechet_distance(y, x), rtol=1e-4)
    np.testing.assert_allclose(logs["inception_score"], inception_score(x), rtol=1e-4)
    parts = [slice(0, 16), slice(16, 32), slice(32, 40)]
    expected = np.mean([kernel_distance(y[part], x[part]) for part in parts])
    np.testing.assert_allclose(logs["kernel_distance"], expected, rtol=1e-3)


def test_frames_in_fit_and_evaluate():
    clean, noisy = clips(0), clips(1)
    model = identity(3, 16, 16, 3)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse", metrics=[metrics.PSNR(), metrics.SSIM()])
    history = model.fit(noisy, clean, validation_data=(noisy, clean), batch_size=4, verbose=0).history
    expected = {name: np.mean(ops.convert_to_numpy(getattr(metrics, name)(clean, noisy))) for name in ("psnr", "ssim")}
    for name, value in expected.items():
        np.testing.assert_allclose(history[name], [value], rtol=1e-4)
        np.testing.assert_allclose(history[f"val_{name}"], [value], rtol=1e-4)


def test_splits_in_evaluate():
    """Batches need not end where splits do."""
    x = rows(0) * 2
    model = identity(4)
    model.compile(loss="mse", metrics=[metrics.InceptionScore(4, splits=3, num_samples=40)])
    found = model.evaluate(x, x, batch_size=16, verbose=0, return_dict=True)["inception_score"]
    np.testing.assert_allclose(found, inception_score(x, splits=3), rtol=1e-4)


@pytest.mark.parametrize("settings", [metrics.JEDI, {"kernel": "gaussian", "bandwidth": 2.0}])
def test_other_kernels(settings):
    x, y = rows(0), rows(1) * 1.5
    found = float(metrics.KernelDistance(**settings)(x, y))
    np.testing.assert_allclose(found, kernel_distance(x, y, **settings), rtol=1e-3)


def test_fewer_samples_than_features_warn_of_the_bias_once():
    metric = metrics.FrechetDistance(4)
    metric.update_state(rows(n=3), rows(1, n=3))
    with pytest.warns(UserWarning, match=r"Only 3 samples for 4 features.*Chance alone would give about \d"):
        metric.result()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        metric.result()


def test_neighbouring_frames_in_evaluate():
    clean, noisy = clips(0), clips(1)
    model = identity(3, 16, 16, 3)
    both = [metrics.Interframe(metrics.PSNR()), metrics.Interframe(metrics.PSNR(), of="real", name="real_psnr")]
    model.compile(loss="mse", metrics=both)
    logs = model.evaluate(noisy, clean, batch_size=4, verbose=0, return_dict=True)
    for name, x in (("interframe_psnr", noisy), ("real_psnr", clean)):
        expected = np.mean(ops.convert_to_numpy(metrics.interframe(metrics.psnr, x)))
        np.testing.assert_allclose(logs[name], expected, rtol=1e-4)


class Difference(keras.layers.Layer):
    """A distance of frames, in the place of LPIPS."""

    def call(self, real, generated):
        return ops.mean(ops.abs(real - generated), axis=(-3, -2, -1))


def test_best_of_in_evaluate():
    """The model makes three tries for each clip; `best_of` gives the same numbers one try after the other."""
    real, noise = clips(0), clips(1) * 0.2
    amounts = (0.5, 0.1, 0.9)
    inputs = keras.Input((3, 16, 16, 3))
    stack = keras.layers.Lambda(lambda x: ops.stack([x * a for a in amounts], axis=1), output_shape=(3, 3, 16, 16, 3))
    model = keras.Model(inputs, stack(inputs))
    network = Difference()
    made = [metrics.BestOf(metrics.PSNR()), metrics.BestOf(metrics.PerceptualDistance(network))]
    model.compile(loss=lambda y, p: ops.mean(p), metrics=made)
    logs = model.evaluate(noise, real, batch_size=4, verbose=0, return_dict=True)
    for name, function, largest in (("best_of_psnr", metrics.psnr, True), ("best_of_lpips", network, False)):
        expected, _ = metrics.best_of(function, real, [noise * a for a in amounts], largest=largest)
        np.testing.assert_allclose(logs[name], np.mean(expected), rtol=1e-4)


def test_distributions_in_fit():
    model = identity(4)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse", metrics=[metrics.FrechetDistance(4)])
    x, y = rows(0), rows(1)
    history = model.fit(x, y, batch_size=20, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["frechet_distance"], [frechet_distance(y, x)] * 2, rtol=1e-4)


def test_frechet_distance_over_batches_of_any_size_equals_the_reference(reference):
    ref = reference("metrics")
    metric = metrics.FrechetDistance(16)
    one, two = ref["fid/features_1"], ref["fid/features_2"]
    for start, end in ((0, 7), (7, 8), (8, 60)):
        metric.update_state(one[start:end], two[start:end])
    np.testing.assert_allclose(float(metric.result()), ref["fid/repeats1/mean"], rtol=2e-5)


def test_statistics_of_two_processes_merge():
    whole, parts = metrics.FrechetDistance(4), [metrics.FrechetDistance(4) for _ in range(2)]
    x, y = rows(0), rows(1) * 2
    whole.update_state(x, y)
    for part, cut in zip(parts, (slice(0, 10), slice(10, 40)), strict=True):
        part.update_state(x[cut], y[cut])
    (r1, g1), (r2, g2) = (part.statistics() for part in parts)
    np.testing.assert_allclose(frechet_distance(r1.merge(r2), g1.merge(g2)), float(whole.result()), rtol=1e-4)


def test_networks_turn_clips_into_features():
    real, generated = clips(0), clips(1) ** 2
    metric = metrics.FrechetDistance(3, network=flat_features())
    real = np.round(255 * real).astype("uint8")
    metric.update_state(real, generated)
    real = real / 255
    means = [x.mean(axis=(1, 2, 3)) for x in (real, generated)]
    np.testing.assert_allclose(float(metric.result()), frechet_distance(*means), rtol=1e-3)


def test_networks_inside_evaluate():
    """Their weights are read, and not moved, by the compiled step."""
    clip = keras.Input((3, 16, 16, 3))
    features = keras.layers.Conv3D(2, 3, activation="relu")(clip)
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(features))
    lpips = metrics.LPIPS(width=1 / 32)
    real, generated = clips(0), clips(1) ** 2
    model = identity(3, 16, 16, 3)
    model.compile(loss="mse", metrics=[metrics.FrechetDistance(2, network=network), metrics.PerceptualDistance(lpips)])
    before = network.get_weights()
    logs = model.evaluate(generated, real, batch_size=4, verbose=0, return_dict=True)
    expected = frechet_distance(*(network.predict(x, verbose=0) for x in (real, generated)))
    np.testing.assert_allclose(logs["frechet_distance"], expected, rtol=1e-3)
    distances = ops.convert_to_numpy(backend.run_compiled(lpips, "call", lambda a, b: lpips(a, b), real, generated))
    np.testing.assert_allclose(logs["lpips"], np.mean(distances), rtol=1e-3)
    for one, two in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_predictions_beyond_the_range_are_clipped():
    real = np.ones((1, 16, 16, 3), "float32")
    assert np.isinf(float(metrics.PSNR()(real, real * 1.5)))


def test_targets_outside_the_range_make_no_number():
    """An error where values are known; NaN inside a compiled step, which cannot raise."""
    real, generated = clips(0) * 255, clips(1)
    model = identity(3, 16, 16, 3)
    made = [metrics.PSNR(), metrics.FrechetDistance(3, network=flat_features())]
    model.compile(loss="mse", metrics=made)
    try:
        logs = model.evaluate(generated, real, batch_size=4, verbose=0, return_dict=True)
    except ValueError as error:
        assert "Divide by 255" in str(error)
        assert keras.backend.backend() == "torch"
    else:
        assert [np.isnan(logs[name]) for name in ("psnr", "frechet_distance")] == [True] * 2
    for metric in made:
        with pytest.raises(ValueError, match=r"must be in \[0, 1\].*Divide by 255"):
            metric.update_state(real, generated)


def test_features_that_are_not_finite_make_no_number():
    metric, x = metrics.FrechetDistance(4), rows(0)
    x[3, 2] = np.nan
    metric.update_state(rows(1), x)
    assert np.isnan(float(metric.result()))


def test_example_weights():
    real = np.zeros((2, 16, 16, 3), "float32")
    generated = np.stack([real[0] + 0.1, real[1] + 1.0])
    np.testing.assert_allclose(float(metrics.PSNR()(real, generated, sample_weight=[3, 1])), 15, rtol=1e-5)


ALL = [
    (metrics.PSNR, {}),
    (metrics.SSIM, {"name": "similarity"}),
    (metrics.FrechetDistance, {"feature_dim": 5}),
    (metrics.KernelDistance, {"degree": 2}),
    (metrics.KernelDistance, {"name": "jedi", **metrics.JEDI}),
    (metrics.InceptionScore, {"num_classes": 7, "splits": 2, "num_samples": 20}),
]


@pytest.mark.once
@pytest.mark.parametrize(("cls", "arguments"), ALL)
def test_config_round_trip(cls, arguments):
    metric = cls(**arguments)
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is cls
    assert again.get_config() == metric.get_config()
    assert all(again.get_config()[key] == value for key, value in arguments.items())


@pytest.mark.once
@pytest.mark.parametrize(("cls", "more"), [(metrics.Interframe, {"of": "real"}), (metrics.BestOf, {})])
def test_metrics_of_metrics_round_trip(cls, more):
    metric = cls(metrics.SSIM(name="alike"), name="of_ssim", **more)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is cls
    assert again.get_config() == metric.get_config()
    assert (again.name, again.metric.name) == ("of_ssim", "alike")


@pytest.mark.once
def test_a_network_from_a_config_has_no_weights_and_says_so():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metrics.FrechetDistance(2, network=network))
    )
    with pytest.raises(ValueError, match=r"without weights.*Set `metric.network`"):
        again.update_state(rows() / 10, rows() / 10)
    again.network = network
    again.update_state(rows() / 10, rows() / 10)


@pytest.mark.once
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.FrechetDistance(0), "feature_dim must be an integer of at least 1"),
        (lambda: metrics.FrechetDistance(3).update_state(rows(), rows()), "expects 3 features; received 4"),
        (lambda: metrics.FrechetDistance(3).update_state(clips(), clips()), r"takes features \(batch, dimensions\)"),
        (lambda: metrics.InceptionScore(3).update_state(None, rows()), "expects 3 logits; received 4"),
        (lambda: metrics.KernelDistance().update_state(rows(), rows(d=5)), "Targets have 4 features and predictions 5"),
        (lambda: metrics.KernelDistance(network=len), "must be a keras.Model"),
        (
            lambda: metrics.FrechetDistance(3, flat_features())(clips(), clips()[:, :, :8]),
            "of one shape; received clips",
        ),
        (
            lambda: metrics.KernelDistance(network=flat_features())(clips(), clips()[:, :2]),
            "of one shape; received clips",
        ),
        (lambda: metrics.PerceptualDistance(None), r"load_lpips\(path\)"),
        (lambda: metrics.KernelDistance().update_state(rows(), rows(), [1.0]), "takes no sample_weight"),
        (lambda: metrics.KernelDistance(kernel="rbf"), "'rbf'; expected polynomial or gaussian"),
        (lambda: metrics.InceptionScore(3, splits=4), "4 splits need num_samples.*at least 4; received None"),
        (lambda: metrics.Interframe(metrics.FrechetDistance(3)), "must be a PSNR, SSIM or PerceptualDistance"),
        (lambda: metrics.Interframe(metrics.PSNR(), of="both"), "'generated' or 'real'; received 'both'"),
        (lambda: metrics.Interframe(metrics.PSNR())(None, clips()[:, :1]), "at least 2 frames"),
        (lambda: metrics.BestOf(metrics.PSNR())(clips(), clips()), r"axis of tries, \(batch, tries, ...\)"),
        (lambda: metrics.PSNR()(clips(), clips() * np.nan), "not finite"),
        (lambda: metrics.PSNR()(clips() * 255, clips()), "Divide by 255"),
        (lambda: metrics.SSIM()(clips(), clips()[:, :2]), "one shape"),
        (lambda: metrics.PSNR().update_state(np.zeros((16, 16, 3)), np.zeros((16, 16, 3))), "takes batches"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
