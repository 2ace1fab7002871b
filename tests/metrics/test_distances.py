"""Frechet distance, kernel distance and Inception Score: equal to the reference, SciPy and closed forms."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.special

from magvit_keras.metrics import (
    JEDI,
    STYLEGAN_V_INCEPTION,
    FeatureStatistics,
    expected_bias,
    frechet_distance,
    inception_score,
    kernel_distance,
    over_folds,
)

pytestmark = pytest.mark.once


def rows(seed=0, n=200, d=6, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ np.diag(np.linspace(0.2, 2, d)) * scale


# --- Frechet distance ---


@pytest.mark.parametrize("folds", [1, 2])
def test_frechet_distance_equals_the_reference(reference, folds):
    ref = reference("metrics")
    found = over_folds(frechet_distance, folds, ref["fid/features_1"], ref["fid/features_2"])
    ref.assert_close(found.mean, f"fid/repeats{folds}/mean")
    ref.assert_close(found.std, f"fid/repeats{folds}/std")


def test_fewer_samples_than_features_equals_the_reference_and_warns_of_the_bias(reference):
    ref = reference("metrics")
    with pytest.warns(UserWarning, match=r"Only 8 samples for 16 features.*Chance alone would give about \d"):
        found = frechet_distance(ref["fid/few_1"], ref["fid/few_2"])
    ref.assert_close(found, "fid/few")


def test_the_distance_of_the_reference_to_itself_is_nought(reference):
    ref = reference("metrics")
    ref.assert_close(frechet_distance(ref["fid/features_1"], ref["fid/features_1"]), "fid/self")


@pytest.mark.filterwarnings("ignore:Only")
@pytest.mark.parametrize("n", [5, 400])
def test_a_set_has_no_distance_to_itself(n):
    x = 1e3 * rows(n=n, d=20) + 1e5
    assert frechet_distance(x, x) <= 1e-9 * np.trace(np.cov(x, rowvar=False))


def test_frechet_distance_of_given_gaussians_is_the_closed_form():
    """Samples with exactly the wanted mean and covariance; commuting covariances: (sqrt s1 - sqrt s2)^2 a direction."""
    x = rows(n=500, d=3)
    x = x - x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    one = white * [1, 2, 3] @ turn.T
    two = white * [2, 2, 0.5] @ turn.T + [1, -1, 0.5]
    np.testing.assert_allclose(frechet_distance(one, two), (1 + 0 + 2.5**2) + (1 + 1 + 0.25), rtol=1e-10)


def test_frechet_distance_of_gaussians_that_do_not_commute_is_the_closed_form():
    """In two dimensions the trace of the root of a matrix M is sqrt(tr M + 2 sqrt(det M))."""
    x = rows(n=500, d=2)
    white = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    s, t = np.array([[2.0, 0.7], [0.7, 1.0]]), np.array([[0.5, -0.3], [-0.3, 3.0]])
    one, two = white @ np.linalg.cholesky(s).T, white @ np.linalg.cholesky(t).T + [3, -1]
    root = np.sqrt(np.trace(s @ t) + 2 * np.sqrt(np.linalg.det(s @ t)))
    np.testing.assert_allclose(frechet_distance(one, two), 10 + np.trace(s) + np.trace(t) - 2 * root, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_frechet_distance_equals_scipy(scale):
    x, y = rows(0, scale=scale), rows(1, scale=1.5 * scale) + 0.3 * scale
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)
    np.testing.assert_allclose(frechet_distance(x, y), expected, rtol=1e-9)


def test_expected_bias_is_what_chance_gives():
    distances = [frechet_distance(rows(2 * i), rows(2 * i + 1)) for i in range(100)]
    np.testing.assert_allclose(np.mean(distances), expected_bias(rows(0), rows(1)), rtol=0.1)


def test_distance_of_two_halves_falls_as_one_over_n():
    means = [np.mean([frechet_distance(rows(i, n), rows(i + 500, n)) for i in range(40)]) for n in (100, 400)]
    assert 3.2 < means[0] / means[1] < 5


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), "real has 3 features and generated 2"),
        (np.zeros((4, 3, 1)), np.zeros((4, 3)), r"received the shape \(4, 3, 1\)"),
        (np.full((4, 3), np.nan), np.zeros((4, 3)), "NaN or infinity in 4 of 4 rows, the first one row 0"),
        (np.zeros((1, 3)), np.zeros((4, 3)), "at least 2 samples on each side"),
    ],
)
@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_features_that_do_not_do(distance, real, generated, message):
    with pytest.raises(ValueError, match=message):
        distance(real, generated)


# --- statistics ---


def test_statistics_of_batches_and_processes_are_those_of_all_rows():
    x = rows(n=100) + 1e4
    parts = [FeatureStatistics(x[:10]).update(x[10:11]), FeatureStatistics(), FeatureStatistics(x[11:])]
    whole = FeatureStatistics.merged(pickle.loads(pickle.dumps(part)) for part in parts)
    assert whole.count == 100
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(whole.covariance, np.cov(x, rowvar=False), rtol=1e-7, atol=1e-9)
    assert frechet_distance(whole, x) < 1e-9


GATHER = """
import sys, numpy as np
from magvit_keras.metrics.statistics import FeatureStatistics
start, end, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rows = np.random.default_rng(7).normal(size=(100, 6)) + 1e4
gathered = FeatureStatistics()
for i in range(start, end, 8):
    gathered.update(rows[i : min(i + 8, end)])
gathered.save(path)
"""


def test_processes_gather_their_own_parts(tmp_path):
    """Two processes at a time, each with batches of its part of the rows, through files."""
    cuts, files = [(0, 37), (37, 100)], [tmp_path / "0.npz", tmp_path / "1.npz"]
    running = [
        subprocess.Popen([sys.executable, "-c", GATHER, str(start), str(end), str(file)])
        for (start, end), file in zip(cuts, files, strict=True)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    whole = FeatureStatistics.merged(map(FeatureStatistics.load, files))
    x = np.random.default_rng(7).normal(size=(100, 6)) + 1e4
    assert whole.count == 100
    np.testing.assert_allclose(whole.covariance, np.cov(x, rowvar=False), rtol=1e-7, atol=1e-9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npz", "1.npz"]


def test_merging_leaves_the_merged_object_alone():
    part, whole = FeatureStatistics(rows()), FeatureStatistics()
    mean = part.mean.copy()
    whole.merge(part).update(rows(1) + 5)
    np.testing.assert_array_equal(part.mean, mean)


def test_statistics_are_saved(tmp_path):
    before = FeatureStatistics(rows())
    before.save(tmp_path / "real.npz")
    after = FeatureStatistics.load(tmp_path / "real.npz")
    assert after.count == before.count
    np.testing.assert_array_equal(after.covariance, before.covariance)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "is not a file that FeatureStatistics.save wrote"),
        ({"mean": np.zeros(3)}, r"holds \['mean'\]; expected count"),
        ({"count": 5, "mean": np.zeros(3), "scatter": np.zeros((2, 2))}, "received.*'scatter': \\(2, 2\\)"),
        ({"count": 5, "mean": np.full(2, np.nan), "scatter": np.zeros((2, 2))}, "finite numbers"),
    ],
)
def test_what_is_no_file_of_statistics_is_refused(arrays, message, tmp_path):
    path = tmp_path / "real.npz"
    path.write_text("text") if arrays is None else np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        FeatureStatistics.load(path)


def test_statistics_of_other_widths_do_not_merge():
    with pytest.raises(ValueError, match="6 and of 5 features"):
        FeatureStatistics(rows()).update(rows(d=5))


# --- kernel distance ---


def by_pairs(x, y, kernel):
    """The definition, pair by pair."""
    xx = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    return np.mean(xx) + np.mean(yy) - 2 * np.mean([kernel(a, b) for a in x for b in y])


@pytest.mark.parametrize(
    ("arguments", "kernel"),
    [
        ({}, lambda a, b: (a @ b / 6 + 1) ** 3),
        ({"degree": 2, "gamma": 0.5, "coefficient": 0}, lambda a, b: (a @ b / 2) ** 2),
        ({"degree": 2, "coefficient": 0.0, "scale": 100.0}, lambda a, b: 100 * (a @ b / 6) ** 2),
        ({"kernel": "gaussian", "bandwidth": 2}, lambda a, b: np.exp(-np.sum((a - b) ** 2) / 8)),
    ],
)
def test_kernel_distance_is_the_definition(arguments, kernel):
    x, y = rows(0, 12), rows(1, 9) + 0.5
    np.testing.assert_allclose(kernel_distance(x, y, **arguments), by_pairs(x, y, kernel), rtol=1e-10)


def test_jedi_is_a_hundred_times_the_biased_distance_of_second_moments():
    """Pairs of a sample with itself count; the mean of (x.y)^2 over all pairs is a product of second moments."""
    x, y = rows(0, 30) + 0.2, rows(1, 25) * 1.1
    second = x.T @ x / 30 - y.T @ y / 25
    np.testing.assert_allclose(kernel_distance(x, y, **JEDI), 100 * np.sum(second**2) / 6**2, rtol=1e-10)


def test_jedi_equals_what_its_code_says():
    """The numbers of the example at the end of its mmd_polynomial.py: with gamma of 1 / D, and of 1."""
    a, b = np.arange(1, 10).reshape(3, 3), np.array([[7, 6, 5], [4, 3, 2], [1, 1, 8], [0, 2, 5]])
    assert round(kernel_distance(a, b, **{**JEDI, "scale": 1.0}), 1) == 270.7
    assert round(kernel_distance(a, b, **{**JEDI, "scale": 1.0, "gamma": 1.0}), 1) == 2436.5


def test_kernel_distance_in_blocks(monkeypatch):
    x, y = rows(0, 50), rows(1, 40)
    whole = [kernel_distance(x, y, unbiased=unbiased) for unbiased in (True, False)]
    monkeypatch.setattr("magvit_keras.metrics.kernel._BLOCK", 16)
    np.testing.assert_allclose([kernel_distance(x, y, unbiased=unbiased) for unbiased in (True, False)], whole)


def test_unbiased_kernel_distance_is_nought_on_average():
    values = [kernel_distance(rows(2 * i, 20), rows(2 * i + 1, 20)) for i in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 200**0.5
    assert min(values) < 0


def test_unknown_kernel():
    with pytest.raises(ValueError, match="'rbf'; expected polynomial or gaussian"):
        kernel_distance(rows(), rows(), kernel="rbf")


# --- Inception Score ---


@pytest.mark.parametrize("folds", [1, 2])
def test_inception_score_equals_the_reference(reference, folds):
    ref = reference("metrics")
    found = over_folds(inception_score, folds, ref["is/logits"])
    ref.assert_close(found.mean, f"is/repeats{folds}/mean")
    ref.assert_close(found.std, f"is/repeats{folds}/std")


def test_inception_score_of_large_logits_is_finite():
    p = scipy.special.softmax(np.array([[3.0, 0, 0], [0, 1, 0]]), axis=1)
    expected = np.exp(np.mean(scipy.special.rel_entr(p, p.mean(axis=0)).sum(axis=1)))
    np.testing.assert_allclose(inception_score(np.log(p) + 1e6), expected, rtol=1e-8)
    assert inception_score([[1e5, 0, 0], [1e5, 0, 0]]) == 1.0


def test_splits_are_scored_by_themselves():
    """StyleGAN-V: the mean over 10 splits of 2,048 samples, each with a marginal of its own."""
    logits = np.random.default_rng(0).normal(size=(2048, 7)) * 3
    p = scipy.special.softmax(logits, axis=1)
    scores = []
    for i in range(10):
        part = p[i * 2048 // 10 : (i + 1) * 2048 // 10]
        scores.append(np.exp(np.mean(scipy.special.rel_entr(part, part.mean(axis=0)).sum(axis=1))))
    np.testing.assert_allclose(inception_score(logits, **STYLEGAN_V_INCEPTION), np.mean(scores), rtol=1e-10)
    assert inception_score(logits, splits=10) < inception_score(logits)


def test_more_splits_than_samples():
    with pytest.raises(ValueError, match=r"from 1 to the number of samples; received 5 for \[4\]"):
        inception_score(np.zeros((4, 2)), splits=5)


# --- folds ---


def test_splits_that_do_not_divide_the_samples():
    """StyleGAN-V's 2,048 samples in 10 splits: part i is [i n // 10, (i + 1) n // 10)."""
    assert over_folds(len, 10, np.zeros(2048)).scores == (204, 205, 205, 205, 205, 204, 205, 205, 205, 205)


@pytest.mark.parametrize("folds", [0, 5, True])
def test_bad_folds(folds):
    with pytest.raises(ValueError, match="from 1 to the number of samples"):
        over_folds(inception_score, folds, np.zeros((4, 2)))
