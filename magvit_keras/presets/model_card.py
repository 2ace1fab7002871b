"""Model cards: the README.md of a preset, which says what a model was made of and how good it is.

What is unknown is "not stated". A card that a person has written in stays: only the part between the two
marks is replaced.
"""

import dataclasses
import datetime
import json
import pathlib
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from magvit_keras.files import version

BEGIN = "<!-- magvit_keras: what stands between these two marks is written anew by save_to_preset; write outside -->"
END = "<!-- magvit_keras: end -->"
NOT_STATED = "not stated"

_TAGS = ["magvit", "magvit_keras", "video"]
# The hub's names for what a model does; none of them says "tokenizer" or "discriminator".
_PIPELINES = {"Magvit": "video-to-video"}


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What is known of a model; whatever is None is "not stated".

    Args:
        description: a sentence or a few.
        data: what it was trained on, and how much of it.
        steps: length of the training, in words or as a number of optimizer steps.
        scores: name of each score, with its protocol, -> value.
        licence: of the weights, best as the hub writes it: "apache-2.0", "cc-by-nc-4.0", ...
        command: that made the model.
        seed: of all random numbers.
        backend: "jax", "tensorflow" or "torch".
        versions: package -> version.
        date: of the training, year-month-day.

    Example:
        >>> card = ModelCard(data="UCF-101, 9537 videos", steps=20000, licence="apache-2.0")
        >>> "| Licence | apache-2.0 |" in card.text("VideoTokenizer", 1234, "my_tokenizer")
        True
    """

    description: str | None = None
    data: str | None = None
    steps: str | int | None = None
    scores: Mapping[str, Any] | None = None
    licence: str | None = None
    command: str | None = None
    seed: int | None = None
    backend: str | None = None
    versions: Mapping[str, str] | None = None
    date: str | None = None

    @classmethod
    def of(cls, card: "ModelCard | Mapping[str, Any] | None") -> "ModelCard":
        """A card from a card, from a dict of its arguments, or an empty one.

        Raises:
            ValueError: an unknown name.
        """
        if isinstance(card, ModelCard):
            return card
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in card or {} if name not in known]
        if unknown:
            raise ValueError(f"A model card has no {', '.join(map(str, unknown))}; known: {', '.join(known)}.")
        return cls(**(card or {}))

    def text(self, model: str, parameters: int, name: str, before: str | None = None) -> str:
        """The contents of the README.md.

        Args:
            model: class of the model.
            parameters: how many it has.
            name: of the folder.
            before: what the file holds already; all of it but the marked part is kept.
        """
        rows = {
            "Model": model,
            "Parameters": f"{parameters:,}",
            "Data": self.data,
            "Steps": f"{self.steps:,}" if isinstance(self.steps, int) else self.steps,
            "Seed": self.seed,
            "Backend": self.backend,
            "Versions": ", ".join(f"{k} {v}" for k, v in self.versions.items()) if self.versions else None,
            "Date": self.date,
            "Licence": self.licence,
        }
        table = [f"| {row} | {_cell(value)} |" for row, value in rows.items()]
        scores = [f"| {_cell(score)} | {_cell(value)} |" for score, value in (self.scores or {}).items()]
        parts = [
            BEGIN,
            self.description or f"A `{model}` of magvit_keras. Description: {NOT_STATED}.",
            "\n".join(["| | |", "|---|---|", *table]),
            "## Scores",
            "\n".join(["| Score | Value |", "|---|---|", *scores]) if scores else f"{NOT_STATED.capitalize()}.",
            "## Use",
            "```python\nimport magvit_keras as mk\n\n"
            f'model = mk.{model}.from_preset("FOLDER")  # or "hf://USER/REPOSITORY"\n```',
            "## Command",
            f"```text\n{self.command}\n```" if self.command else f"{NOT_STATED.capitalize()}.",
            END,
        ]
        part = "\n\n".join(parts) + "\n"
        if before is None:
            return f"{self._front_matter(model)}\n# {name}\n\n{part}"
        start, end = before.find(BEGIN), before.find(END)
        if 0 <= start < end:
            return before[:start] + part + before[end + len(END) :].removeprefix("\n")
        return before.rstrip("\n") + "\n\n" + part

    def _front_matter(self, model: str) -> str:
        """The YAML by which the hub finds a model; JSON's texts are YAML's."""
        lines = ["---", "library_name: keras"]
        if self.licence:
            plain = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.licence)
            lines += (
                [f"license: {self.licence}"]
                if plain
                else ["license: other", f"license_name: {json.dumps(self.licence)}"]
            )
        if model in _PIPELINES:
            lines.append(f"pipeline_tag: {_PIPELINES[model]}")
        return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in _TAGS), "---", ""])


def _cell(value: Any) -> str:
    return NOT_STATED if value is None else " ".join(str(value).replace("|", "\\|").split())


def card_of_run(
    run: pathlib.Path, stage: str, data: Any, steps: int, held_out: Any = None, scores: Any = None
) -> ModelCard:
    """The card of a model that a training run has made, from what the run knows.

    Args:
        run: its folder; settings.json is read.
        stage: "tokenizer" or "transformer".
        data: the source of the training clips, or what it is in words.
        steps: optimizer steps of that stage.
        held_out: the source that the scores are of.
        scores: what `evaluate` returned; PSNR is taken from it.
    """
    settings = json.loads((run / "settings.json").read_text())
    known = {}
    if scores and "psnr" in scores:
        known["Reconstruction PSNR of the tokenizer, held-out clips"] = f"{float(scores['psnr']):.2f} dB"
    elif stage == "transformer":
        known = card_in(run / "tokenizer").get("scores") or {}
    history = _history(run / "checkpoints" / stage / "state.json")
    for name in ("loss", "g_loss"):
        if history.get(name):
            known = {**known, f"Training loss of the {stage}, last epoch": f"{history[name][-1]:.4f}"}
    backend = settings.get("backend")
    return ModelCard(
        description=f"The {'tokenizer' if stage == 'tokenizer' else 'whole model'} of a training run of magvit_keras.",
        data=data if isinstance(data, str) else _describe(data, held_out, settings),
        steps=f"{steps:,} optimizer steps of the {stage}",
        scores=known or None,
        command=_command(),
        seed=settings.get("seed"),
        backend=backend,
        versions=_versions(backend),
        date=datetime.date.today().isoformat(),
    )


def card_in(folder: pathlib.Path) -> dict[str, Any]:
    """The card of a preset, as far as its folder has one."""
    try:
        return json.loads((folder / "config.json").read_text()).get("card") or {}
    except (OSError, ValueError):
        return {}


def _history(path: pathlib.Path) -> dict[str, list[float]]:
    try:
        return json.loads(path.read_text())["history"]
    except (OSError, ValueError, KeyError):
        return {}


def _describe(data: Any, held_out: Any, settings: Mapping[str, Any]) -> str:
    count, source = len(data), data
    while hasattr(source, "source"):  # a part of another source
        source = source.source
    sizes = settings.get("video_shape")
    clips = f" of {'x'.join(map(str, sizes))}" if sizes else ""
    held = f", {len(held_out)} held out" if held_out is not None else ""
    return f"{type(source).__name__}, {count} clips{clips} to train on{held}"


def _command() -> str | None:
    """The command line, where one was given; of paths outside the working folder only the last part."""
    if pathlib.Path(sys.argv[0]).name not in ("magvit-keras", "__main__.py"):
        return None
    return shlex.join(
        [
            "magvit-keras",
            *(re.sub(r"^((?:--)?[\w-]+=)?(?:~|\.\.)?/.*/(?=[^/]+/?$)", r"\1", text) for text in sys.argv[1:]),
        ]
    )


def _versions(backend: str | None) -> dict[str, str]:
    packages = ("magvit-keras", "keras", backend or "numpy")
    return {"python": platform.python_version(), **{name: found for name in packages if (found := version(name))}}
