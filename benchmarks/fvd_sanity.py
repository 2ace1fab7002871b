"""Does a Frechet distance of videos measure what it should? Damage of growing strength, halves of growing size, itself.

    KERAS_BACKEND=jax python benchmarks/fvd_sanity.py [--clips 256] [--i3d PATH | --network FILE.keras]

Moving Shapes clips are damaged by noise, blur, shuffled frames and frozen frames, and measured against other clean
clips: each kind should raise the distance, more with more strength. Distances of two clean halves should fall as one
over their size, and a set should have none to itself. Exit status 1 where one of these does not hold.

By default features are those of the classifier of Moving Shapes that comes with the package: the distances are
shapes-FVD, which has nothing to do with published FVD. With `--i3d` and the public weights they are FVD, of these
clips.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable

import keras
import numpy as np
from heading import heading

from magvit_keras import convert
from magvit_keras.data import MovingShapes
from magvit_keras.metrics import clip_features, expected_bias, frechet_distance, shapes_classifier

FRAMES, SIZE = 16, 64


def noise(clips: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of that standard deviation."""
    return np.clip(clips + strength * rng.standard_normal(clips.shape, "float32"), 0, 1)


def blur(clips: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A box of 2 strength + 1 pixels in both directions."""
    k = int(strength)
    for axis in (2, 3):
        pad = [(k, k) if i == axis else (0, 0) for i in range(5)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(clips, pad, mode="edge"), 2 * k + 1, axis)
        clips = windows.mean(axis=-1)
    return clips


def shuffle(clips: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """That part of the frames changes places."""
    out, count = clips.copy(), round(strength * clips.shape[1])
    for i, clip in enumerate(clips):
        places = rng.choice(len(clip), count, replace=False)
        out[i, places] = clip[np.roll(places, 1)]
    return out


def freeze(clips: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """After 1 - strength of the frames the clip stands still."""
    last = max(1, round((1 - strength) * clips.shape[1]))
    return np.concatenate([clips[:, :last], np.repeat(clips[:, last - 1 : last], clips.shape[1] - last, axis=1)], 1)


DAMAGE = {
    noise: (0.05, 0.1, 0.2, 0.4),
    blur: (1, 2, 3, 4),
    shuffle: (0.125, 0.25, 0.5, 1.0),
    freeze: (0.25, 0.5, 0.75, 0.9375),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--clips", type=int, default=256, help="clips in each of the two sets that damage is measured with"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--i3d", help="public weights of I3D, for real FVD")
    parser.add_argument("--network", help="a .keras file: any model of clips -> features")
    options = parser.parse_args()
    if options.i3d:
        network = convert.load_i3d(options.i3d)
    else:
        network = keras.saving.load_model(options.network) if options.network else shapes_classifier().features
    # Two sets that have no clip in common with each other, nor with those that the classifier learned from.
    # The halves take twice as many: the law of 1/n needs more clips than features.
    count = options.clips
    sources = (MovingShapes(2 * count, FRAMES, SIZE, options.seed, split) for split in ("validation", "test"))
    clean, other = (source.arrays()["video"].astype("float32") / 255 for source in sources)
    reference, _ = clip_features(clean, network)
    undamaged, _ = clip_features(other, network)
    print(heading(f"network {network.name}", f"2 x {count} Moving Shapes clips of {FRAMES}x{SIZE}x{SIZE}"))
    wrong: list[str] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only")  # of fewer samples than features; the chance column says it
        damage_table(network, reference[:count], undamaged[:count], other[:count], options.seed, wrong)
        halves_table(np.concatenate([reference, undamaged]), options.seed, wrong)
        scale = float(np.trace(np.cov(reference, rowvar=False)))
        itself = frechet_distance(reference, reference)
    print(f"\nA set against itself: {itself:.3g} (the features' total variance is {scale:.3g}).")
    if itself > 1e-6 * scale:
        wrong.append("a set has a distance to itself")
    print("\n" + ("Wrong: " + "; ".join(wrong) if wrong else "All as it should be."))
    return 1 if wrong else 0


def damage_table(
    network: keras.Model, reference: np.ndarray, undamaged: np.ndarray, clips: np.ndarray, seed: int, wrong: list[str]
) -> None:
    """Distances to the reference of clips with more and more damage."""
    start = frechet_distance(reference, undamaged)
    chance = expected_bias(reference, undamaged)
    print(f"\nFrechet distance to clean clips. Undamaged ones have {start:.4g}. Two random samples would have about")
    print(f"{chance:.4g}, but these two hold each class equally often.\n")
    print("| damage | strength: distance | | | |\n|---|---|---|---|---|")
    for function, strengths in DAMAGE.items():
        distances = [start, *damaged_distances(network, reference, clips, function, strengths, seed)]
        cells = [f"{s:g}: {d:.4g}" for s, d in zip(strengths, distances[1:], strict=True)]
        print(f"| {function.__name__} | {' | '.join(cells)} |", flush=True)
        if sorted(distances) != distances:
            wrong.append(f"{function.__name__} does not raise the distance with every step")


def damaged_distances(
    network: keras.Model, reference: np.ndarray, clips: np.ndarray, function: Callable, strengths: tuple, seed: int
) -> list[float]:
    """The distance from the reference's features to those of the clips, damaged at each strength."""
    distances = []
    for strength in strengths:
        damaged = function(clips, strength, np.random.default_rng(seed)).astype("float32")
        distances.append(frechet_distance(reference, clip_features(damaged, network)[0]))
    return distances


def halves_table(features: np.ndarray, seed: int, wrong: list[str], repeats: int = 20) -> None:
    """Distances of two halves of n clips each, over random halves: n times the distance should stay."""
    print(f"\n| clips n in each half | distance of the halves, mean of {repeats} | times n | expected by chance |")
    print("|---|---|---|---|")
    rows = halves(features, seed, repeats)
    for n, distance, expected in rows:
        print(f"| {n} | {distance:.4g} | {n * distance:.4g} | {expected:.4g} |")
    exponent = fitted_exponent(rows, features.shape[1])
    print(f"\nThe distance goes with n to the power {exponent:.3f}, fitted where clips are twice as many as features.")
    if not -1.15 < exponent < -0.85:
        wrong.append("the distance of two halves does not fall as one over their size")


def halves(features: np.ndarray, seed: int, repeats: int) -> list[tuple[int, float, float]]:
    """Clips n in each half, mean distance of random halves, and what chance makes it, for growing n."""
    rng, rows, n = np.random.default_rng(seed), [], len(features) // 16
    while 2 * n <= len(features):
        distances, expected = [], []
        for _ in range(repeats):
            chosen = features[rng.permutation(len(features))[: 2 * n]]
            distances.append(frechet_distance(chosen[:n], chosen[n:]))
            expected.append(expected_bias(chosen[:n], chosen[n:]))
        rows.append((n, statistics.mean(distances), statistics.mean(expected)))
        n *= 2
    return rows


def fitted_exponent(rows: list[tuple[int, float, float]], dim: int) -> float:
    """The slope of log distance over log n. With fewer clips, covariances are too poor for the law to hold."""
    n, distance = np.array([row[:2] for row in rows if row[0] >= 2 * dim] or [row[:2] for row in rows]).T
    return float(np.polyfit(np.log(n), np.log(distance), 1)[0]) if len(n) > 1 else float("nan")


if __name__ == "__main__":
    sys.exit(main())
