"""Natural mistakes on the command line: each is answered at once, before Keras is loaded, by what to do instead."""

import json
import os
import subprocess
import sys

import pytest

from magvit_keras.data import MovingShapes

pytestmark = pytest.mark.once

MODEL = "magvit_tiny_moving_shapes"
MISTAKES = [
    ("train --data nowhere --out RUN", "--data: the folder nowhere does not exist"),
    ("train FILE --out RUN", "is a file; expected a folder of videos"),
    ("train EMPTY --out RUN", "is empty; expected videos"),
    ("train VIDEOS --out FILE", "--out must be a folder"),
    ("train VIDEOS --out RUN --frames 10", "frames 10: use 8 or 12"),
    ("train VIDEOS --out RUN --size 60", "height 60: use 56 or 64"),
    ("train VIDEOS --out RUN --size 64*64", "--size must be HxW or one number"),
    ("train VIDEOS --out RUN --task frame_predicton", "did you mean frame_prediction?"),
    ("train VIDEOS --out RUN --tokenizer 3dvq_tinny", "did you mean 3dvq_tiny?"),
    ("train VIDEOS --out RUN --from magvit_base_ucf101_cg", "an architecture without weights"),
    ("train VIDEOS --out RUN --batch-size 0", "--batch-size must be an integer of at least 1"),
    ("train VIDEOS --out RUN --learning-rate nan", "--learning-rate must be a number"),
    ("train VIDEOS --out RUN --held-out 0", "--held-out must be a number above 0"),
    ("train VIDEOS --out RUN --minutes 5 --tokenizer-steps 9", "--minutes chooses the steps; leave --tokenizer-steps"),
    ("train VIDEOS --out RUN --format youtube", "Unknown format 'youtube'"),
    ("train VIDEOS --out RUN --epochs 5", "--tokenizer-steps and --transformer-steps, or --minutes"),
    ("train VIDEOS --out RUN --precision half", "expected one of float32, bfloat16"),
    ("train --recipe ucf101-3dvq-bas --data VIDEOS", "did you mean ucf101-3dvq-base?"),
    ("train --recipe ucf101-3dvq-base --data VIDEOS --set filters=16", "use 32, or set norm_groups"),
    ("train --recipe ucf101-cg-base --data VIDEOS", "needs --tokenizer, the folder of a trained tokenizer"),
    ("generate --run nowhere --out a.mp4", "nowhere is not the folder of a run"),
    ("generate --run magvit_base_ucf101_cg --out a.mp4", "an architecture without weights"),
    (f"generate --run {MODEL} --out a.txt", "--out must end in one of .gif"),
    (f"generate --run {MODEL} --out a.mp4", "starts from a video: add --video FILE"),
    (f"generate --run {MODEL} --out a.mp4 --video nowhere.mp4", "there is no file nowhere.mp4"),
    (f"generate --run {MODEL} --out a.mp4 --task outpainting", "did you mean"),
    (f"generate --run {MODEL} --out a.mp4 --task class_conditional_generation", "add --label NAME"),
    (
        f"generate --run {MODEL} --out a.mp4 --task class_conditional_generation --label star_orbitt",
        "did you mean star_orbit?",
    ),
    (f"generate --run {MODEL} --out a.mp4 --video FILE --fps 0", "--fps must be a number above 0"),
    ("evaluate --run RUN --out a --recipe ucf101-cg-bas", "did you mean ucf101-cg-base?"),
    ("tokenize --out a --tokenizer 3dvq_tiny --data VIDEOS", "an architecture without weights"),
]
# A process answers all of them, and says of each whether Keras was there.
PROGRAM = """
import json, sys, time
from typer.testing import CliRunner
from magvit_keras.cli import app
found = []
for arguments in json.load(sys.stdin):
    start = time.process_time()
    result = CliRunner().invoke(app, arguments)
    seconds = time.process_time() - start
    found.append((result.exit_code, " ".join(result.output.split()), "keras" in sys.modules, seconds))
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    root = tmp_path_factory.mktemp("mistakes")
    (root / "empty").mkdir()
    (root / "file").write_text("")
    MovingShapes(2, 6, (16, 16)).write_videos(root / "videos")
    places = {"FILE": "file", "EMPTY": "empty", "VIDEOS": "videos", "RUN": "run"}
    asked = [[str(root / places[word]) if word in places else word for word in line.split()] for line, _ in MISTAKES]
    environment = {**os.environ, "COLUMNS": "1000", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr
    return {line: answer for (line, _), answer in zip(MISTAKES, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize(("line", "message"), MISTAKES)
def test_a_mistake_is_answered_at_once(answers, line, message):
    code, output, keras, seconds = answers[line]
    assert code == 2 and message in output, output
    assert not keras and seconds < 2  # of a processor, whatever else runs


def test_a_backend_that_is_spelt_otherwise_is_answered_in_a_line():
    environment = {**os.environ, "KERAS_BACKEND": "pytorch"}
    command = [sys.executable, "-m", "magvit_keras", "presets"]
    done = subprocess.run(command, text=True, capture_output=True, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("magvit-keras: KERAS_BACKEND is 'pytorch'")
    assert "did you mean torch?" in done.stderr and len(done.stderr.splitlines()) == 1
