"""PSNR and SSIM: equal to the reference and to scikit-image."""

import keras
import numpy as np
import pytest
from keras import ops
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from magvit_keras.metrics import best_of, interframe, psnr, ssim, ssim_map


def pair():
    """Smooth moving patterns, and the same with noise; made of sines, so that no generator's version matters."""
    t, y, x, c = np.meshgrid(np.arange(3), np.arange(24), np.arange(28), np.arange(3), indexing="ij")
    clean = 0.5 + 0.3 * np.sin(0.3 * x + 0.5 * t + c) * np.cos(0.4 * y)
    noise = 0.1 * np.sin(12.9898 * x + 78.233 * y + 37.719 * c + 7.7 * t)
    return clean.astype("float32"), np.clip(clean + noise, 0, 1).astype("float32")


def value(x):
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize(("name", "metric"), [("psnr", psnr), ("ssim", ssim)])
def test_equal_to_the_reference(reference, name, metric):
    ref = reference("metrics")
    frames = value(metric(ref["quality/video_1"], ref["quality/video_2"]))
    ref.assert_close(frames, f"quality/{name}_frames")
    ref.assert_close(frames.mean(axis=1), f"quality/{name}_video")


def test_the_map_of_ssim_equals_the_reference(reference):
    ref = reference("metrics")
    found = value(ssim_map(ref["quality/video_1"][:1, :1], ref["quality/video_2"][:1, :1]))
    ref.assert_close(found[..., None], "quality/ssim_map")


def different(kind):
    """Pairs of frames that a generator might give."""
    clean, noisy = pair()
    black = np.zeros_like(clean)
    return {
        "noise": (clean, noisy),
        "brighter": (clean, np.clip(clean + 0.2, 0, 1)),
        "inverted": (clean, 1 - clean),
        "against black": (clean, black),
        "nearly black": (black, black + np.float32(1e-3)),
        "almost equal": (clean, np.clip(clean + np.float32(1e-4), 0, 1)),
        "odd sizes": (clean[:, :11, :17], noisy[:, :11, :17]),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "noise",
        "brighter",
        "inverted",
        "against black",
        "nearly black",
        "almost equal",
        pytest.param("odd sizes", marks=pytest.mark.once),
    ],
)
def test_equal_to_scikit_image(kind):
    a, b = different(kind)
    expected = [peak_signal_noise_ratio(x.astype("float64"), y, data_range=1) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(value(psnr(a, b)), expected, rtol=0, atol=1e-4)
    gray = [
        (x.astype("float64") @ [0.2125, 0.7154, 0.0721], y @ [0.2125, 0.7154, 0.0721])
        for x, y in zip(a, b, strict=True)
    ]
    settings = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [structural_similarity(x, y, **settings) for x, y in gray]
    np.testing.assert_allclose(value(ssim(a, b)), expected, rtol=0, atol=1e-4)


def test_equal_frames():
    clean, _ = pair()
    assert value(psnr(clean, clean)).tolist() == [np.inf] * 3
    np.testing.assert_allclose(value(ssim(clean, clean)), 1, atol=1e-6)


def test_uint8_is_scaled():
    clean, noisy = (np.round(255 * x) for x in pair())
    scaled = [np.float32(x / 255) for x in (clean, noisy)]
    for metric in (psnr, ssim):
        np.testing.assert_allclose(
            value(metric(clean.astype("uint8"), noisy.astype("uint8"))), value(metric(*scaled)), rtol=1e-4
        )


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_what_a_decoder_puts_outside_is_clipped(metric):
    clean, noisy = pair()
    raw = noisy + np.where(noisy > 0.75, 0.2, 0.0).astype("float32")  # to 1.1
    np.testing.assert_allclose(value(metric(clean, raw)), value(metric(clean, np.clip(raw, 0, 1))), atol=1e-6)
    with pytest.raises(ValueError, match=r"in \[0, 1\].* From \[-1, 1\] it is"):
        metric(clean, 2 * noisy - 1)
    with pytest.raises(ValueError, match=r"values from 0.6007 to 1.398\.$"):
        metric(clean, noisy + 0.5)


def test_gray_frames():
    gray = pair()[0][..., :1]
    coloured = np.repeat(gray, 3, axis=-1)
    np.testing.assert_allclose(value(ssim(gray, gray * 0.9)), value(ssim(coloured, coloured * 0.9)), atol=1e-5)


def test_interframe_compares_neighbours():
    clip = pair()[0][None]
    np.testing.assert_allclose(value(interframe(psnr, clip)), [value(psnr(clip[0, :2], clip[0, 1:]))], rtol=1e-5)


def test_best_of_takes_the_best_clip_not_the_best_frame():
    real = np.full((2, 2, 16, 16, 3), 0.5, "float32")
    first, second = real.copy(), real.copy()
    first[0] += 0.1  # 20 dB in both frames
    second[0] += np.array([0.01, 0.5], "float32")[:, None, None, None]  # 40 and 6 dB: 23 on average
    first[1] += 0.1
    second[1] += 0.2
    scores, count = best_of(psnr, real, iter([first, second]))
    np.testing.assert_allclose(scores, [(40 - 10 * np.log10(0.25)) / 2, 20], rtol=1e-3)
    assert count == 2
    worst, _ = best_of(psnr, real, [first, second], largest=False)
    np.testing.assert_allclose(worst, [20, -10 * np.log10(0.04)], rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: psnr(a, a[:, :-1]), "one shape"),
        (lambda a: psnr(a * 255, a), r"real must be in \[0, 1\].*Divide by 255"),
        (lambda a: ssim(a, a * np.nan), "generated holds values that are not finite"),
        (lambda a: ssim(a[:, :8], a[:, :8]), "at least 11 x 11"),
        (lambda a: interframe(psnr, a), "at least 2 frames"),
        (lambda a: best_of(psnr, a, []), "at least one try"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(pair()[0])


def test_functions_are_metrics_of_a_model_of_ones_own():
    """Inside a compiled step, which cannot raise, pixels outside [0, 1] make no number."""
    clean, noisy = pair()
    inputs = keras.Input(clean.shape[1:])
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss="mse", metrics=[psnr, ssim])
    logs = model.evaluate(noisy, clean, verbose=0, return_dict=True)
    for name, metric in (("psnr", psnr), ("ssim", ssim)):
        np.testing.assert_allclose(logs[name], np.mean(value(metric(clean, noisy))), rtol=1e-5)
    try:
        logs = model.evaluate(noisy, clean * 255, verbose=0, return_dict=True)
    except ValueError as error:
        assert "Divide by 255" in str(error) and keras.backend.backend() == "torch"
    else:
        assert np.isnan(logs["psnr"]) and np.isnan(logs["ssim"])
