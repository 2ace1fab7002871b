"""From the kept features to scores: by task, over folds, of the best of several tries."""

import dataclasses
import warnings

import numpy as np

from magvit_keras.data.token_shards import TokenShards
from magvit_keras.metrics import frechet_distance, inception_score


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a measure is called, and which direction is better: 1 for larger, -1 for smaller, 0 for neither."""

    title: str
    better: int
    about: str


METRICS = {
    "fvd": Metric("Frechet distance", -1, "of the features of an extractor; FVD where that is I3D"),
    "is": Metric("Inception Score", 1, "of C3D's predictions"),
    "psnr": Metric("PSNR", 1, "in dB, mean over all frames"),
    "ssim": Metric("SSIM", 1, "mean over all frames"),
    "lpips": Metric("LPIPS", -1, "on VGG16, mean over all frames"),
    "accuracy": Metric("class accuracy", 1, "share of clips that the classifier of Moving Shapes recognizes"),
    "codebook_use": Metric("codebook use", 1, "share of the codes that occur"),
    "perplexity": Metric("perplexity of the codes", 1, "1 to the size of the codebook"),
}
PAIRED_METRICS = ("psnr", "ssim", "lpips")
ALL_TASKS = "mean of the tasks"


@dataclasses.dataclass(frozen=True)
class Group:
    """Tasks that share their real clips, and what is kept of them.

    Args:
        tasks: their names.
        rows: (folds, N), the real clip of each sample.
        real: shards of the real clips; None where no metric needs them.
        made: shards of the samples, a pass for each fold and task.
    """

    tasks: tuple[str, ...]
    rows: np.ndarray
    real: TokenShards | None
    made: TokenShards


def scores_of(groups: list[Group], metrics: tuple[str, ...], tries: int, codebook_size: int) -> tuple[list, list[str]]:
    """Scores of all metrics and tasks, and remarks on them.

    Args:
        groups: with no shard missing.
        metrics: names in `METRICS`.
        tries: of PSNR, SSIM and LPIPS the best of this many samples of a real clip counts.
        codebook_size: number of codes.

    Returns:
        [{"metric", "task", "mean", "std", "folds", "tries"}], and sentences.
    """
    found: dict[str, dict[str, list[float]]] = {metric: {} for metric in metrics}
    remarks: dict[str, None] = {}
    warned: dict[str, list[str]] = {}
    tried = {}
    for group in groups:
        real = None if group.real is None else _pass(group.real, 0)["features"]
        for fold, rows in enumerate(group.rows):
            for number, task in enumerate(group.tasks):
                arrays = _pass(group.made, fold * len(group.tasks) + number)
                tried[task] = max(1, min(tries, len(rows) // len(np.unique(rows))))
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    values = _of_fold(arrays, metrics, real, rows, tried[task], codebook_size)
                for message in dict.fromkeys(str(warning.message) for warning in caught):
                    # The same of every task and fold but for an estimate: said once.
                    warned.setdefault(message.partition(":")[0], []).append(message)
                for metric, value in values.items():
                    found[metric].setdefault(task, []).append(value)
        if real is not None and (distinct := len(np.unique(group.rows[0]))) <= real.shape[1]:
            remarks[
                f"{distinct} different real clips in a fold for {real.shape[1]} features: their covariance is singular."
            ] = None
    texts = [f"{said[0]}{f' (So in {len(said)} distances.)' if len(said) > 1 else ''}" for said in warned.values()]
    remarks = {**dict.fromkeys(texts), **remarks}
    entries = []
    for metric in metrics:
        tasks = found[metric]
        if len(tasks) > 1:
            tasks = {ALL_TASKS: np.mean(list(tasks.values()), axis=0).tolist(), **tasks}
        for task, folds in tasks.items():
            entry = {"metric": metric, "task": task, "mean": float(np.mean(folds)), "std": float(np.std(folds))}
            entries.append({**entry, "folds": folds})
            if metric in PAIRED_METRICS and task in tried:
                entries[-1]["tries"] = tried[task]
    return entries, list(remarks)


def best_of_tries(rows: np.ndarray, values: np.ndarray, tries: int, largest: bool) -> np.ndarray:
    """The best value of each real clip among its first `tries` samples.

    Args:
        rows: (N,), the real clip of each sample.
        values: (N,).
        tries: how many samples count.
        largest: whether large is good.

    Returns:
        One value for each different row, in the order of these.

    Example:
        >>> best_of_tries(np.array([0, 1, 0, 1]), np.array([1.0, 5.0, 3.0, 4.0]), tries=2, largest=True).tolist()
        [3.0, 5.0]
    """
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    parts = np.split(values[order], starts[1:])
    return np.array([(np.max if largest else np.min)(part[:tries]) for part in parts])


def _of_fold(
    arrays: dict, metrics: tuple[str, ...], real: np.ndarray | None, rows: np.ndarray, tries: int, codebook_size: int
) -> dict[str, float]:
    if not np.array_equal(arrays["row"], rows):
        raise ValueError("The kept features are of other clips: give another --out, or remove the folder of features.")
    values = {}
    for metric in metrics:
        if metric == "fvd":
            # As in the authors' code a real clip counts as often as samples are made from it.
            values[metric] = frechet_distance(real[rows], arrays["features"])
        elif metric == "is":
            values[metric] = inception_score(arrays["logits"])
        elif metric in PAIRED_METRICS:
            best = best_of_tries(rows, arrays[metric], tries, METRICS[metric].better > 0)
            values[metric] = float(best.mean())
        elif metric == "accuracy" and "correct" in arrays:
            values[metric] = float(arrays["correct"].mean())
        elif metric in ("codebook_use", "perplexity") and "tokens" in arrays:
            counts = np.bincount(arrays["tokens"].ravel(), minlength=codebook_size)
            share = counts[counts > 0] / counts.sum()
            use = (counts > 0).mean()
            values[metric] = float(use if metric == "codebook_use" else np.exp(-(share * np.log(share)).sum()))
    return values


def _pass(shards: TokenShards, number: int) -> dict[str, np.ndarray]:
    parts = [shards.load(number, n) for n in range(shards.description()["shards_per_pass"])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def replaced_clips(groups: list[Group]) -> int:
    """How many samples were made from another clip than they should, because theirs is unreadable."""
    return sum(
        int(_pass(group.made, number)["replaced"].sum())
        for group in groups
        for number in range(group.made.description()["passes"])
    )
