"""The tables and curves of docs/model_zoo.md for the models of 16x64x64, from what was noted when they were shipped.

    python scripts/write_model_zoo.py

Reads `magvit_keras/presets/shipped/*/training.json`; writes between the marks of the page and
`docs/images/training_curves.png`.
"""

import json
import pathlib
import re

import matplotlib.pyplot as plt

from magvit_keras.presets.listing import list_presets

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "magvit_keras" / "presets" / "shipped"
PAGE = ROOT / "docs" / "model_zoo.md"
CURVES = ROOT / "docs" / "images" / "training_curves.png"
NAMES = (
    "2dvq_fast_natural",
    "3dvq_fast_natural",
    "2dvq_tiny_moving_shapes",
    "3dvq_tiny_moving_shapes",
    "3dvq_grid_shapes",
    "magvit_tiny_natural",
    "magvit_tiny_moving_shapes",
)
OVERVIEW, HISTORY = "overview", "history"  # the marks of the first table, and of what stands last
PHOTOGRAPHS = "photographs"  # the mark of their table


def mark(name: str) -> tuple[str, str]:
    """The lines between which the table of a model stands."""
    return f"<!-- {name}: scripts/write_model_zoo.py -->", f"<!-- end of {name} -->"


def table(told: dict) -> str:
    """What is known of a model, a row each; the scores of the tasks, where there are any, in a table of their own."""
    rows = []
    if "psnr_db" in told:
        rows += [(f"PSNR, {told['held_out']}", f"{told['psnr_db']} dB"), ("Codes used on them", told["codes_used"])]
    for means, found in told.get("psnr_of_means_db", {}).items():
        rows.append((f"For comparison: the mean colour of {means}", f"{found} dB"))
    rows.append(("Licence", told["licence"]))
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines + (["", *scores(told)] if "tasks" in told else []))


def overview() -> str:
    """A row for each model that comes with weights."""
    lines = ["| Name | What it is | Clips | Parameters | MB | PSNR on its clips |", "|---|---|---|---:|---:|---:|"]
    for row in list_presets(weights=True):
        what = row["description"].removeprefix("With weights: ")
        parameters = "" if row["parameters"] is None else f"{row['parameters'] / 1e6:.1f} M"
        score = "" if row["score"] is None else f"{row['score']:.1f} dB"
        cells = [f"[`{row['name']}`](#{row['name']})", what, row["clip"], parameters, f"{row['MB']}", score]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def history(name: str, told: dict) -> str:
    """How a model was trained, from what and by which commands."""
    rows = [
        ("Data", told["data"]),
        ("Steps", ", ".join(f"{stage} {count}" for stage, count in told["steps"].items())),
        ("Trained", f"{told['date']}, {told['hardware']}, seed {told['seed']}; shipped in float16"),
        *([("Plan", told["plan"])] if "plan" in told else []),
        ("Commands", "; ".join(f"`{command}`" for command in told["commands"].values())),
    ]
    lines = [f"### Of `{name}`", "", "| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows)]
    if "earlier" in told:
        said = "Earlier trainings, the last one first; `--from-shipped` started from the weights of the one below it:"
        lines += ["", said, "", *before(told["earlier"])]
    return "\n".join(lines)


def photographs(told: dict) -> str:
    """Source and licence of each picture, a row each."""
    lines = ["| Photograph | Author | Licence | Package |", "|---|---|---|---|"]
    for about in told["photographs"]:
        name = pathlib.PurePath(about["path"]).stem
        name = pathlib.PurePath(about["path"]).parts[3] if "wallpapers/" in about["path"] else name
        lines.append(f"| {name.replace('_', ' ')} | {about['author']} | {about['licence']} | {about['package']} |")
    return "\n".join(lines)


def before(earlier: dict) -> list[str]:
    """How the weights were made that the training started from, and those before them."""
    steps = ", ".join(f"{name} {count}" for name, count in earlier["steps"].items())
    plan = f" ({earlier['plan']})" if "plan" in earlier else ""
    lines = [f"- {earlier['date']}, {earlier['data']}: {steps}{plan}."]
    lines += [f"    - `{command}`" for command in earlier["commands"].values()]
    return [*lines, *before(earlier["earlier"])] if "earlier" in earlier else lines


def scores(told: dict) -> list[str]:
    """The scores of each task."""
    if "share_of_clips_ahead_of_the_fill" in next(iter(told["tasks"].values())):
        return beside_fills(told)
    lines = [
        f"Scores on {told['held_out']}, each made once in 12 steps by default settings. A share of so few clips has a "
        f"standard error of up to {0.5 / int(told['held_out'].split()[0]) ** 0.5:.0%}. PSNR is that of the mean "
        "squared error:",
        "",
        "| task | recognised as its class | shapes-FVD | PSNR, dB | PSNR of the padded condition, dB |",
        "|---|---:|---:|---:|---:|",
    ]
    for task, found in told["tasks"].items():
        quality = [f"{found[name]:.2f}" if name in found else "" for name in ("psnr_db", "condition_psnr_db")]
        cells = [task.replace("_", " "), f"{found['accuracy']:.0%}", f"{found['shapes_fvd']:.1f}", *quality]
        lines.append(f"| {' | '.join(cells)} |")
    if "from_a_class" in told:
        count, lines = told["from_a_class"]["clips"], [*lines, ""]
        lines += [f"Class-conditional generation on {count} clips, with other seeds:", ""]
        lines += ["| settings | recognised as its class | standard error | shapes-FVD |", "|---|---:|---:|---:|"]
        for found in told["from_a_class"]["found"]:
            settings = ", ".join(f"`{name}={value}`" for name, value in found["settings"].items()) or "as above"
            share = found["accuracy"]
            error = (share * (1 - share) / count) ** 0.5
            lines.append(f"| {settings} | {share:.0%} | {error:.1%} | {found['shapes_fvd']:.1f} |")
    if "rivals" in told:
        lines += [
            "",
            "Frame prediction on the same clips. PSNR is of the frames after the given ones; shapes-FVD is of whole "
            "clips with the true given frames put back, and so lower than above:",
            "",
            "| | PSNR, dB | shapes-FVD |",
        ]
        lines += ["|---|---:|---:|"]
        lines += [f"| {name} | {r['psnr_db']:.2f} | {r['shapes_fvd']:.1f} |" for name, r in told["rivals"].items()]
    return lines


def beside_fills(told: dict) -> list[str]:
    """What is made of real clips, beside what takes no learning."""
    fills = {"frame_prediction": "the last frame repeated", "central_inpainting": "colours diffused from the border"}
    lines = [
        f'On {told["held_out"]}, what was not given, each made once with `keep_condition="details"`. The distance '
        "is made as LPIPS is, in the features of EfficientNet-Lite0, all channels alike; less is better:",
        "",
        "| | PSNR, dB | distance | ahead of the fill in PSNR, of clips | in distance |",
        "|---|---:|---:|---:|---:|",
    ]
    for task, found in told["tasks"].items():
        shares = found["share_of_clips_ahead_of_the_fill"]
        for name in ("generated", "fill", "tokens of the clip"):
            title = (
                task.replace("_", " ")
                if name == "generated"
                else fills[task]
                if name == "fill"
                else "the clip's own tokens"
            )
            more = [f"{shares[key]:.0%}" for key in ("psnr", "distance")] if name == "generated" else ["", ""]
            cells = [title, f"{found[name]['psnr_db']:.2f}", f"{found[name]['distance']:.2f}", *more]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def draw(all_told: dict[str, dict]) -> None:
    """Losses by epoch: a panel for each stage that is noted, in the order of training."""
    stages, commands = {}, [told["commands"] for told in all_told.values()]
    for model, told in all_told.items():
        for part in (told.get("earlier", {}), told):  # the later training of a stage is shown
            if part is told or part.get("commands") not in commands:  # another model's own training stands there
                found = {f"{model}\n{name}": (part["steps"][name], c) for name, c in part.get("curves", {}).items()}
                stages |= found
    figure, axes = plt.subplots(3, -(-len(stages) // 3), figsize=(13.5, 7.5), layout="constrained")
    for panel in axes.flat:
        panel.set_visible(False)
    for panel, (stage, (steps, curves)) in zip(axes.flat, stages.items(), strict=False):
        panel.set_visible(True)
        name = "psnr" if "psnr" in curves else "mask_loss" if "mask_loss" in curves else "loss"
        values = curves[name]
        panel.plot(
            [steps * (i + 1) / len(values) for i in range(len(values))], values, marker="." if steps < 300 else ""
        )
        if name == "loss":
            panel.set_yscale("log")
        labels = {"psnr": "PSNR, dB", "loss": "squared error", "mask_loss": "loss of masked tokens"}
        panel.set_title(stage, fontsize=9)
        panel.set(xlabel="step", ylabel=labels[name])
    figure.savefig(CURVES, dpi=110)
    plt.close(figure)


def filled(page: str, name: str, text: str) -> str:
    """The page with another text between the marks of that name."""
    begin, end = mark(name)
    place = f"{re.escape(begin)}.*?{re.escape(end)}"
    if not re.search(place, page, re.DOTALL):
        raise ValueError(f"{PAGE} has no place {begin} ... {end}.")
    return re.sub(place, lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)


def main() -> None:
    """Writes page and picture; a model that has not been shipped yet is left out."""
    page, all_told = PAGE.read_text(), {}
    for name in NAMES:
        path = SHIPPED / name / "training.json"
        if not path.is_file():
            continue
        all_told[name] = json.loads(path.read_text())
        page = filled(page, name, table(all_told[name]))
        if "photographs" in all_told[name]:
            page = filled(page, PHOTOGRAPHS, photographs(all_told[name]))
    page = filled(page, OVERVIEW, overview())
    page = filled(page, HISTORY, "\n\n".join(history(name, told) for name, told in all_told.items()))
    PAGE.write_text(page)
    draw(all_told)


if __name__ == "__main__":
    main()
