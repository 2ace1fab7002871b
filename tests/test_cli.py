"""The command line, end to end: 60 video files, a training that is killed, clips out."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import magvit_keras
from magvit_keras.cli import app
from magvit_keras.cli.generate import _writer
from magvit_keras.cli.options import errors_in_one_line
from magvit_keras.data import MovingShapes, UnreadableVideoWarning, read_video

TOKENIZER = {
    "filters": 32,
    "channel_multipliers": [1, 1],
    "temporal_downsample": [True],
    "num_res_blocks": 1,
    "embedding_dim": 8,
    "codebook_size": 64,
}
TRANSFORMER = {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "mlp_dim": 64}
STEPS = {"tokenizer": 12, "transformer": 30}
EPOCH = 3


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_version_names_package_keras_and_the_backend():
    shown = invoke("--version").stdout
    assert shown.startswith(f"magvit_keras {magvit_keras.__version__}, Python ")
    assert f"keras {keras.__version__}" in shown and f"backend {keras.config.backend()}" in shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    shapes = MovingShapes(60, num_frames=6, size=(24, 24), shapes=("circle", "star"), motions=("orbit",))
    shapes.write_videos(root, extension=("mp4", "avi", "webm"))
    (root / "circle_orbit" / "broken.mp4").write_bytes(b"not a video")
    return root


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    root = tmp_path_factory.mktemp("settings")
    (root / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    (root / "transformer.json").write_text(json.dumps(TRANSFORMER))
    pairs = {
        "frames": 4,
        "size": "16",
        "tokenizer": root / "tokenizer.json",
        "tokenizer-steps": STEPS["tokenizer"],
        "transformer-steps": STEPS["transformer"],
        "batch-size": 4,
        "workers": 0,
        "verbose": 0,
    }
    sets = {"transformer": root / "transformer.json", "checkpoint_steps": EPOCH, "transformer.batch_size": 8}
    return [text for name, value in pairs.items() for text in (f"--{name}", str(value))] + [
        text for name, value in {**sets, "token_passes": 1}.items() for text in ("--set", f"{name}={value}")
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder, options):
    """A run whose first process got SIGKILL after a checkpoint, and whose second one finished it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    command = [sys.executable, "-m", "magvit_keras", "train", "--data", str(folder), "--out", str(out), *options]
    process = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}, stderr=subprocess.PIPE)
    state = out / "checkpoints" / "tokenizer" / "state.json"
    while not state.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    before = json.loads(state.read_text())
    result = invoke("train", "--data", folder, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return out, before


@pytest.mark.slow
def test_a_killed_run_goes_on(run):
    out, before = run
    history = json.loads((out / "history.json").read_text())["tokenizer"]["loss"]
    assert 0 < before["epoch"] < len(history) == STEPS["tokenizer"] // EPOCH
    assert history[: before["epoch"]] == before["history"]["loss"]


@pytest.mark.slow
def test_a_run_notes_the_videos_that_it_left_out(run):
    noted = json.loads((run[0] / "settings.json").read_text())["found"]
    assert noted["left_out"] == ["circle_orbit/broken.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), [("tokenizer", "reconstruction_loss"), ("transformer", "loss")])
def test_training_lowers_both_losses(run, stage, name):
    losses = json.loads((run[0] / "history.json").read_text())[stage][name]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_generate_continues_a_video(run, folder, tmp_path):
    video = next((folder / "star_orbit").glob("*.webm"))
    result = invoke("generate", "--run", run[0], "--video", video, "--out", tmp_path / "out.mp4", "--num-steps", 2)
    assert result.exit_code == 0, result.output
    assert read_video(tmp_path / "out.mp4").shape == (4, 16, 16, 3)


@pytest.mark.once
def test_warnings_of_the_library_are_one_line():
    with errors_in_one_line():
        own = warnings.formatwarning("2 of 9 videos", UnreadableVideoWarning, "source.py", 7)
        other = warnings.formatwarning("2 of 9 videos", DeprecationWarning, "source.py", 7)
    assert own == "magvit-keras: 2 of 9 videos\n" and "source.py:7" in other
    assert "source.py:7" in warnings.formatwarning("2 of 9 videos", UnreadableVideoWarning, "source.py", 7)


@pytest.mark.once
@pytest.mark.parametrize("extension", ["mp4", "webm", "avi", "mov", "mkv", "gif"])
def test_every_kind_of_file_that_generate_promises(tmp_path, extension):
    path = tmp_path / "new" / f"out.{extension}"
    _writer(path)(path, np.random.default_rng(0).random((1, 4, 16, 16, 3), "float32"), 8.0)
    assert read_video(path).shape == (4, 16, 16, 3)


@pytest.mark.slow
def test_generate_from_a_class(run, tmp_path):
    task = "class_conditional_generation"
    arguments = ("generate", "--run", run[0], "--task", task, "--label", "star_orbit", "--num-steps", 2)
    result = invoke(*arguments, "--num-clips", 2, "--out", tmp_path / "out.gif")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.gif").stat().st_size > 0


@pytest.mark.slow
def test_started_again_a_finished_run_is_left_as_it_is(run, folder, options):
    card = run[0] / "magvit" / "README.md"
    card.write_text(card.read_text().replace("| Licence | not stated |", "| Licence | cc-by-4.0 |"))
    results = [path for name in ("magvit", "tokenizer") for path in (run[0] / name).rglob("*") if path.is_file()]
    before = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in results]
    assert invoke("train", "--data", folder, "--out", run[0], *options).exit_code == 0
    # A stage does not become shorter, and a length that is not given stays.
    shorter = [*options[: options.index("--transformer-steps")], *options[options.index("--transformer-steps") + 2 :]]
    assert invoke("train", "--data", folder, "--out", run[0], *shorter).exit_code == 0
    shorter = ("train", "--data", folder, "--out", run[0], *shorter, "--transformer-steps", 1)
    assert invoke(*shorter).exit_code == 0
    assert len(before) > 4
    assert [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in results] == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--label", "square", "--task", "class_conditional_generation"),
            "Unknown label 'square'. Known: circle_orbit, star_orbit",
        ),
        (("--task", "frame_prediction"), "add --video FILE"),
        (("--task", "outpainting"), "Unknown task 'outpainting'"),
    ],
)
def test_generate_refuses(run, tmp_path, arguments, message):
    result = invoke("generate", "--run", run[0], "--out", tmp_path / "out.mp4", *arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.slow
def test_a_run_goes_on_with_the_settings_that_it_finds(run):
    before = (run[0] / "settings.json").read_text()
    result = invoke("train", "--out", run[0], "--workers", 0)
    assert result.exit_code == 0, result.output
    assert (run[0] / "settings.json").read_text() == before


@pytest.mark.slow
def test_other_settings_are_refused(run, folder, options):
    result = invoke("train", "--data", folder, "--out", run[0], *options, "--seed", 7)
    assert result.exit_code == 2
    assert "seed was 0 and is now 7" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "64*64"), "--size must be HxW"),
        (("--task", "prediction"), "Unknown task 'prediction'; did you mean frame_prediction?"),
        (("--tokenizer", "3dvq_tini"), "did you mean 3dvq_tiny?"),
        (("--set", "transformer=giant"), "Unknown size 'giant'"),
        (("--frames", "6"), "frames 6: use 4 or 8"),
        (("--batch-size", "0"), "--batch-size must be an integer of at least 1"),
        (("--format", "youtube"), "Unknown format 'youtube'"),
        (("--reader", "fold=1"), "The format folder has no fold"),
        (("--distribution", "pipeline"), "expected one of none, data, model"),
    ],
)
def test_train_refuses_before_any_work(folder, tmp_path, arguments, message):
    result = invoke("train", "--data", folder, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_train_refuses_an_empty_folder(tmp_path):
    (tmp_path / "videos").mkdir()
    result = invoke("train", "--data", tmp_path / "videos", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "videos" in result.output


def test_train_refuses_a_folder_of_broken_videos(tmp_path):
    (tmp_path / "videos").mkdir()
    for i in range(3):
        (tmp_path / "videos" / f"{i}.mp4").write_bytes(b"junk")
    result = invoke("train", "--data", tmp_path / "videos", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "None of the 3 videos can be read" in result.output


def test_generate_refuses_an_unknown_ending_and_no_run(tmp_path):
    result = invoke("generate", "--run", tmp_path, "--out", tmp_path / "out.txt")
    assert (result.exit_code, "must end in" in result.output) == (2, True)
    result = invoke("generate", "--run", tmp_path, "--out", tmp_path / "out.mp4")
    assert (result.exit_code, "not the folder of a run" in result.output) == (2, True)


@pytest.mark.once
@pytest.mark.parametrize(
    ("environment", "arguments", "process"),
    [
        ({}, (), (0, 1)),
        ({"RANK": "2", "WORLD_SIZE": "8"}, (), (2, 8)),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, (), (3, 8)),
        ({"RANK": "2", "WORLD_SIZE": "8"}, ("--process", "1/4"), (1, 4)),
    ],
)
def test_evaluate_is_told_its_part_and_takes_a_device_before_a_model(
    monkeypatch, tmp_path, environment, arguments, process
):
    found = []
    devices = magvit_keras.devices.distribution.backend.distribution
    monkeypatch.setattr(devices, "use_own_device", lambda: found.append("device"))
    monkeypatch.setattr(magvit_keras.evaluation, "load_model", lambda *about: found.append("model"))
    monkeypatch.setattr(magvit_keras.evaluation, "evaluate", lambda *about, process, **more: found.append(process))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = ("--protocol", "moving_shapes_mt10", "--run", "none", "--out", tmp_path, *arguments)
    result = invoke("evaluate", *options)
    assert result.exit_code == 0, result.output
    taken = ["device"] if environment and not arguments else []
    assert found == [*taken, "model", process]
    assert "the last one writes the report" in result.output


@pytest.mark.once
def test_evaluate_has_the_distributions_of_the_other_commands(tmp_path):
    options = ("--protocol", "moving_shapes_mt10", "--run", "none", "--out", tmp_path)
    result = invoke("evaluate", *options, "--distribution", "pipeline")
    assert result.exit_code == 2 and "expected one of none, data, model" in result.output


@pytest.mark.once
def test_the_precision_is_set_before_models_are_made(tmp_path):
    before = keras.config.dtype_policy()
    try:
        result = invoke("tokenize", "--precision", "bfloat16", "--tokenizer", tmp_path / "none", "--out", tmp_path)
        assert result.exit_code == 2 and keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    refused = invoke("generate", "--precision", "half", "--run", "x", "--out", "y.gif")
    assert refused.exit_code == 2 and "bfloat16" in refused.output
