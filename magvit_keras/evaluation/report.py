"""The report of an evaluation: scores with every choice behind them, as JSON and as a page to read."""

import datetime
import json
import math
import os
import pathlib
import platform
from typing import Any

import keras
import numpy as np

from magvit_keras import backend
from magvit_keras.data.source import Source
from magvit_keras.data.token_shards import flat_entries
from magvit_keras.evaluation.networks import Networks
from magvit_keras.evaluation.scores import ALL_TASKS, METRICS
from magvit_keras.evaluation.settings import deviations
from magvit_keras.files import version, write_text
from magvit_keras.presets.protocols import Protocol

FORMAT = 1
JSON_FILE, PAGE_FILE = "report.json", "report.md"
_KEYS = ("protocol", "choices", "deviations", "model", "seed", "scores", "made")
_VERSIONED = ("magvit-keras", "keras", "numpy", "tensorflow", "jax", "torch", "av", "pillow")


def make_report(
    settled: Protocol,
    choices: dict[str, Any],
    scores: list[dict[str, Any]],
    networks: Networks,
    remarks: list[str],
    replaced: int,
    videos: Source,
    recipe: str | None,
    model: dict[str, Any],
    seed: int,
    made: dict[str, Any],
) -> dict[str, Any]:
    """The report as plain data; the scores get their names and the paper's scores beside them."""
    departs = deviations(settled)
    found = getattr(videos, "num_videos", None)
    if settled.videos is not None and found is not None and found != settled.videos:
        departs.append(f"videos {found} instead of {settled.videos}")
    if replaced:
        departs.append(f"{replaced} samples from another clip than theirs, which cannot be read")
    report = {
        "format": FORMAT,
        "protocol": settled.name,
        "recipe": recipe,
        "scores": [_named(entry, settled, networks, departs, recipe) for entry in scores],
        "deviations": departs,
        "remarks": remarks,
        "model": model,
        "seed": seed,
        "choices": choices,
        "made": {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **made,
            "backend": backend.name(),
            "precision": keras.config.dtype_policy().name,
            "versions": {name: found for name in _VERSIONED if (found := version(name))},
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
        },
    }
    return json.loads(json.dumps(_finite(report), allow_nan=False))


def write_report(folder: str | os.PathLike, report: dict[str, Any]) -> pathlib.Path:
    """Writes report.json and report.md; returns the path of the first."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PAGE_FILE, to_markdown(report))
    write_text(folder / JSON_FILE, json.dumps(report, indent=2) + "\n")
    return folder / JSON_FILE


def read_report(path: str | os.PathLike) -> dict[str, Any]:
    """A report that `write_report` wrote; the path of its JSON file, or of its folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not such a report, or one of another version.
    """
    path = pathlib.Path(path)
    path = path / JSON_FILE if path.is_dir() else path
    try:
        report = json.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no report {path}.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a report: {error}") from None
    missing = [key for key in _KEYS if not isinstance(report, dict) or key not in report]
    if missing or report.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a report of version {FORMAT}; it lacks {', '.join(missing) or 'that version'}."
        )
    return report


def to_markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    lines = [f"# {report['protocol']}", ""]
    if report["recipe"]:
        lines += [f"Recipe: {report['recipe']}", ""]
    if report["deviations"]:
        lines += [f"**Not {whose_protocol(report)}:**", "", *(f"- {text}" for text in report["deviations"]), ""]
    else:
        lines += [f"This is {whose_protocol(report)}, without deviations.", ""]
    rows = [["Score", "Task", "Value", "Over folds", "Each fold", "The paper"]]
    for entry in report["scores"]:
        folds = entry["folds"]
        spread = f"± {number(entry['std'])}" if len(folds) > 1 else "one fold"
        paper = "; ".join(f"{number(value)} ({name})" for name, value in entry.get("paper", {}).items())
        if paper:
            paper += "" if entry["comparable"] else ", not comparable"
        rows.append([score_title(entry), entry["task"], number(entry["mean"]), spread, _numbers(folds), paper or "-"])
    lines += [*table(rows), ""]
    reasons = {text: None for entry in report["scores"] for text in entry.get("not_comparable_because", ())}
    if reasons:
        lines += ["Why not comparable with the paper:", "", *(f"- {text}" for text in reasons), ""]
    if report["remarks"]:
        lines += ["Remarks:", "", *(f"- {text}" for text in report["remarks"]), ""]
    for title, part in (("Model", report["model"]), ("Choices", report["choices"]), ("Made", report["made"])):
        entries = {"seed": report["seed"]} if title == "Made" else {}
        entries |= flat_entries(part)
        lines += [f"## {title}", "", *table([["", ""], *([name, _text(value)] for name, value in entries.items())]), ""]
    return "\n".join(lines)


def whose_protocol(report: dict[str, Any]) -> str:
    """The paper has none for the built-in data set."""
    published = report["choices"].get("data_format") != "moving_shapes"
    return "the paper's protocol" if published else f"the protocol {report['protocol']}"


def table(rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is its head."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(cells[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]


def score_title(entry: dict[str, Any]) -> str:
    """What a score is called, and of how many tries it is the best."""
    return entry["name"] + (f", best of {entry['tries']}" if entry.get("tries", 1) > 1 else "")


def number(value: float | None) -> str:
    """A number with four digits; a dash for one that is not finite."""
    return "-" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _named(
    entry: dict[str, Any], settled: Protocol, networks: Networks, departs: list[str], recipe: str | None
) -> dict[str, Any]:
    metric = entry["metric"]
    title = networks.distance_name if metric == "fvd" else METRICS[metric].title
    named = {"metric": metric, "name": title, "better": METRICS[metric].better, **entry}
    paper = settled.paper_scores(metric) if entry["task"] == ALL_TASKS or len(settled.tasks) < 2 else {}
    paper = {name: value for name, value in paper.items() if recipe in (None, name)}
    if not paper:
        return named
    reasons = [*departs]
    if metric == "fvd" and not networks.is_published_i3d:
        reasons.append(f"the extractor is {networks.distance.name}, not I3D with the public weights")
    elif metric == "fvd" and networks.distance.resize_rule != "tf1":
        reasons.append(f"resize rule {networks.distance.resize_rule} instead of tf1")
    if metric == "is" and not hasattr(networks.inception, "weights_source"):
        reasons.append("the classifier is not C3D with the public weights")
    return {**named, "paper": paper, "comparable": not reasons, "not_comparable_because": reasons}


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: None stands for them. NumPy's numbers become Python's."""
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(values: list[float | None]) -> str:
    return ", ".join(map(number, values))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
