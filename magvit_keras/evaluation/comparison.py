"""Reports side by side: ranked where they were made alike, refused where they were not."""

from collections.abc import Sequence
from typing import Any

from magvit_keras.data.token_shards import flat_entries
from magvit_keras.evaluation.report import number, score_title, table, whose_protocol


class UnlikeProtocols(ValueError):
    """Reports whose scores cannot be ranked.

    Args:
        differences: {choice: its value in each report}.
        names: of the reports.
    """

    def __init__(self, differences: dict[str, list[Any]], names: Sequence[str]):
        lines = [
            f"  {choice}: " + "; ".join(f"{value} in {name}" for name, value in zip(names, values, strict=True))
            for choice, values in differences.items()
        ]
        super().__init__("These reports were not made alike, and their scores cannot be ranked:\n" + "\n".join(lines))
        self.differences, self.names = differences, list(names)

    def __reduce__(self):
        return type(self), (self.differences, self.names)


def compare(reports: Sequence[dict[str, Any]], names: Sequence[str], vary: Sequence[str] = ()) -> str:
    """A table of the scores of several reports, the best first, and remarks on what differs.

    Model, seed, date, versions and backend may differ. Everything else decides about the scores and must agree.

    Args:
        reports: as `read_report` gives them, two or more.
        names: what the table calls them.
        vary: choices whose effect is in question, as "decoding.num_steps" or "decoding"; they become columns.

    Returns:
        Markdown.

    Raises:
        UnlikeProtocols: the message says which choices differ, and their values.
        ValueError: fewer than two reports, an unknown choice, or no score in common.

    Example:
        >>> made = {"date": "today", "backend": "jax", "precision": "float32", "versions": {}}
        >>> score = {"metric": "psnr", "task": "reconstruction", "name": "PSNR", "better": 1, "std": 0.0}
        >>> reports = [
        ...     {"choices": {"samples": 64}, "model": {"from": name, "fingerprint": {"tokenizer": name}}, "seed": 0,
        ...      "deviations": [], "made": made, "scores": [{**score, "mean": mean, "folds": [mean]}]}
        ...     for name, mean in (("a", 20.0), ("b", 21.5))
        ... ]
        >>> print(compare(reports, ["a", "b"]).splitlines()[4])
        | 1    | b      | 21.5  | one fold   |
    """
    if len(reports) < 2:
        raise ValueError(f"A comparison needs at least 2 reports; received {len(reports)}.")
    names = _different(names)
    choices = [_comparable_choices(report, reports) for report in reports]
    every = list(dict.fromkeys(name for entries in choices for name in entries))
    unknown = [name for name in vary if not any(_within(choice, [name]) for choice in every)]
    if unknown:
        raise ValueError(f"--vary {', '.join(unknown)}: no such choice; expected some of {', '.join(every)}.")
    values = {name: [entries.get(name, "not said") for entries in choices] for name in every}
    unlike = {name: found for name, found in values.items() if any(value != found[0] for value in found)}
    refused = {name: found for name, found in unlike.items() if not _within(name, vary)}
    if refused:
        raise UnlikeProtocols(refused, names)
    lines = _tables(reports, names, unlike)
    lines += ["What may differ, and does:", "", *_remarks(reports, names)]
    departs = ["; ".join(report["deviations"]) for report in reports]
    if len(set(departs)) > 1:
        departs = [f"{text or 'nothing'} ({name})" for name, text in zip(names, departs, strict=True)]
    if text := "; ".join(dict.fromkeys(departs)):
        lines += ["", f"Not {whose_protocol(reports[0])}: {text}."]
    return "\n".join(lines) + "\n"


def _tables(reports: Sequence[dict], names: Sequence[str], columns: dict[str, list[Any]]) -> list[str]:
    scores = [{(entry["metric"], entry["task"]): entry for entry in report["scores"]} for report in reports]
    shared = [key for key in scores[0] if all(key in entries for entries in scores)]
    if not shared:
        raise ValueError("The reports have no score in common.")
    lines = []
    for key in shared:
        entries = [found[key] for found in scores]
        better = entries[0]["better"]
        direction = "larger is better" if better > 0 else "smaller is better"
        order = sorted(range(len(entries)), key=lambda i, e=entries, b=better: _rank_key(e[i]["mean"], b))
        rows = [["Rank", "Report", "Value", "Over folds", *columns]]
        for place, i in enumerate(order, 1):
            spread = f"± {number(entries[i]['std'])}" if len(entries[i]["folds"]) > 1 else "one fold"
            rows.append([str(place), names[i], number(entries[i]["mean"]), spread, *(v[i] for v in columns.values())])
        lines += [f"{score_title(entries[0])}, {key[1]} ({direction})", "", *table(rows), ""]
        first, second = entries[order[0]], entries[order[1]]
        if None not in (first["mean"], second["mean"]):
            apart = abs(first["mean"] - second["mean"])
            if len(first["folds"]) > 1 and apart <= max(first["std"], second["std"]):
                lines += ["The first two are no further apart than folds of one of them.", ""]
    return lines


def _rank_key(value: float | None, better: int) -> tuple[bool, float]:
    return (value is None, 0.0 if value is None else -better * value)


def _remarks(reports: Sequence[dict], names: Sequence[str]) -> list[str]:
    found = {
        "model": [report["model"]["from"] for report in reports],
        "weights of the model": [_short_print(report["model"]["fingerprint"]) for report in reports],
        "seed": [report["seed"] for report in reports],
        "date": [report["made"]["date"] for report in reports],
        "backend": [report["made"]["backend"] for report in reports],
        "precision": [report["made"]["precision"] for report in reports],
    }
    packages = dict.fromkeys(name for report in reports for name in report["made"]["versions"])
    for package in packages:
        found[f"version of {package}"] = [report["made"]["versions"].get(package, "none") for report in reports]
    lines = [
        f"- {what}: " + "; ".join(f"{value} ({name})" for name, value in zip(names, values, strict=True))
        for what, values in found.items()
        if len({str(value) for value in values}) > 1
    ]
    prints = [str(report["model"]["fingerprint"]) for report in reports]
    if len(set(prints)) < len(prints):
        lines.append("- some reports are of the same weights: seeds, versions and rounding alone set them apart")
    return lines or ["- nothing"]


def _comparable_choices(report: dict, reports: Sequence[dict]) -> dict[str, Any]:
    """The choices as flat entries, without networks that not all reports have: their metrics are not in common."""
    shared = set.intersection(*(set(other["choices"].get("networks", {})) for other in reports))
    choices = dict(report["choices"])
    if "networks" in choices:
        choices["networks"] = {name: about for name, about in choices["networks"].items() if name in shared}
    return flat_entries(choices)


def _within(choice: str, names: Sequence[str]) -> bool:
    return any(choice == name or choice.startswith(f"{name}.") for name in names)


def _different(names: Sequence[str]) -> list[str]:
    """Names that tell the reports apart."""
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _short_print(fingerprint: dict[str, str]) -> str:
    return ", ".join(f"{part} {digest[:12]}" for part, digest in fingerprint.items())
