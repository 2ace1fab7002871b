"""What is measured of the shipped model on held-out clips.

    KERAS_BACKEND=torch python scripts/shipped_scores.py

measures again how often clips that are made from a class are recognised, on more clips than the other tasks have.
"""

import json

import numpy as np
from shipped_parts import CLIP

from magvit_keras.data import MovingShapes
from magvit_keras.devices.hardware import keep_memory
from magvit_keras.files import write_text
from magvit_keras.metrics.shapes_scores import shapes_accuracy, shapes_fvd
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.shipped import SHIPPED

MODEL, LOOK = "magvit_tiny_moving_shapes", "grid"
#: Settings of class-conditional generation that are measured on more clips.
FROM_A_CLASS = ({}, {"num_revisions": 1})
CLASS_CLIPS = 144


def a_prediction(magvit: Magvit, look: str) -> list:
    """Tokens that a test compares on every backend."""
    sample = MovingShapes(1, CLIP[0], CLIP[1:], split="validation", look=look)[0]
    found = magvit.generate("frame_prediction", video=sample["video"][None], seed=0, return_details=True)
    return np.asarray(found.tokens)[0].tolist()


def scores(magvit: Magvit, count: int, look: str) -> dict:
    """Class accuracy of made clips, and for each task the PSNR to the true clip beside that of what it was given."""
    source = MovingShapes(count, CLIP[0], CLIP[1:], split="validation", look=look)
    clips = source.arrays()
    video, label = clips["video"].astype("float32") / 255, clips["label"]
    result: dict = {"held_out": f"{count} clips of the split 'validation'", "tasks": {}}
    for task in magvit.tasks.values():
        made, given = [], []
        for i in range(0, count, 12):
            options = {"label": label[i : i + 12]} if task.needs_class else {}
            options |= {} if task.name == "class_conditional_generation" else {"video": video[i : i + 12]}
            found = magvit.generate(task.name, **options, return_details=True, seed=i)
            made.append(found.video)
            given.append(found.condition_video)
        made = np.concatenate(made)
        entry = quality(made, video, label)
        if task.name != "class_conditional_generation":
            found = {"psnr_db": psnr(video, made), "condition_psnr_db": psnr(video, np.concatenate(given))}
            entry |= {name: round(value, 3) for name, value in found.items()}
        result["tasks"][task.name] = entry
        print(task.name, result["tasks"][task.name], flush=True)
        if task.name == "frame_prediction":
            result["rivals"] = against_rivals(video, made, task.num_condition_frames)
            print(result["rivals"], flush=True)
    return {**result, "from_a_class": from_a_class(magvit, look)}


def from_a_class(magvit: Magvit, look: str) -> dict:
    """Class-conditional generation for the classes of CLASS_CLIPS held-out clips, by several settings."""
    clips = MovingShapes(CLASS_CLIPS, CLIP[0], CLIP[1:], split="validation", look=look).arrays()
    video, label, found = clips["video"].astype("float32") / 255, clips["label"], []
    for settings in FROM_A_CLASS:
        made = [
            magvit.generate("class_conditional_generation", label=label[i : i + 12], seed=1000 + i, **settings)
            for i in range(0, CLASS_CLIPS, 12)
        ]
        found.append({"settings": settings, **quality(np.concatenate(made), video, label)})
        print(found[-1], flush=True)
    return {"clips": CLASS_CLIPS, "found": found}


def quality(made: np.ndarray, video: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """How many of the clips are recognised as their class, and how far they are from true ones."""
    found = {"accuracy": shapes_accuracy(made, label), "shapes_fvd": shapes_fvd(video, made)}
    return {name: round(float(value), 3) for name, value in found.items()}


def against_rivals(video: np.ndarray, made: np.ndarray, given: int) -> dict[str, dict[str, float]]:
    """PSNR of the frames after the given ones, and shapes-FVD of given and made frames, beside two simple ways."""
    last, before = video[:, given - 1 : given], video[:, given - 2 : given - 1]
    ahead = np.arange(1, video.shape[1] - given + 1, dtype="float32").reshape(1, -1, 1, 1, 1)
    ways = {
        "this model": made[:, given:],
        "repeating the last frame": np.repeat(last, ahead.size, axis=1),
        "linear extrapolation": np.clip(last + ahead * (last - before), 0, 1),
    }
    result = {}
    for name, frames in ways.items():
        whole = np.concatenate([video[:, :given], frames], axis=1)
        entry = {"psnr_db": psnr(video[:, given:], frames), "shapes_fvd": float(shapes_fvd(video, whole))}
        result[name] = {key: round(value, 3) for key, value in entry.items()}
    return result


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of the error of all clips together: where a shape stays in the given part, a padded plain clip has no error."""
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def main() -> None:
    keep_memory()
    path = SHIPPED / MODEL / "training.json"
    told = json.loads(path.read_text())
    told["from_a_class"] = from_a_class(Magvit.from_preset(MODEL), LOOK)
    write_text(path, json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
