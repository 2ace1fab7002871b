"""Several devices, simulated on a CPU, train as one does: the same losses, and the same weights after them."""

import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from magvit_keras import distribution

pytestmark = [pytest.mark.slow, pytest.mark.once]
WORKER = pathlib.Path(__file__).parent / "distributed_steps.py"
PROCESSES = {"jax": 1, "tensorflow": 1, "torch": 2}
KINDS = [("jax", "data", 4), ("jax", "model", 2), ("tensorflow", "data", 2), ("torch", "data", 2)]
SEPARATE = ("tensorflow", "torch")
_RESULTS: dict[str, list[dict]] = {}


def results(name):
    """What each process of the backend printed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name not in _RESULTS:
        _RESULTS[name] = run(name)
    return _RESULTS[name]


def run(name):
    environment = {**os.environ, "KERAS_BACKEND": name}
    # Four devices of one process, and light compiling.
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = []
    for rank in range(PROCESSES[name]):
        if PROCESSES[name] > 1:
            environment |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES[name])}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, WORKER], env=environment, cwd=WORKER.parents[1], **pipes))
    found = []
    try:
        for process in running:
            output, errors = process.communicate()
            assert process.returncode == 0, errors[-3000:]
            found.append(json.loads(output.splitlines()[-1]))
    finally:
        for process in running:
            process.kill()
    return found


TRAININGS = [
    (name, kind, model)
    for name, kind, _ in KINDS
    for model in ("vqgan", "magvit", "tokenizer")
    if model == "magvit" or (kind == "data" and (model == "vqgan" or name in SEPARATE))
]


@pytest.mark.parametrize(("name", "kind", "devices"), KINDS)
def test_all_devices_share_a_batch(name, kind, devices):
    assert results(name)[0][kind]["devices"] == devices


@pytest.mark.parametrize(("name", "kind", "model"), TRAININGS)
def test_five_steps_are_those_of_one_device(name, kind, model):
    found = results(name)[0]
    several, one = found[kind][model], found["none"][model]
    assert len(one["steps"]) == 5
    for a, b in zip(several["steps"], one["steps"], strict=True):
        assert set(a) == set(b)
        for log, value in b.items():
            np.testing.assert_allclose(a[log], value, rtol=0, atol=1e-4, err_msg=log)
    np.testing.assert_allclose(several["weights"], one["weights"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PROCESSES)
def test_training_leaves_the_arrays_as_they_were(name):
    arrays = results(name)[0]["arrays"]
    assert arrays["left"] == arrays["given"]


@pytest.mark.parametrize("name", SEPARATE)
def test_all_replicas_skip_a_step_that_is_not_finite_on_one(name):
    found = results(name)[0]
    assert np.isfinite(found["data"]["tokenizer"]["weights"]).all()
    assert found["data"]["scale"] == found["none"]["scale"] == 4.0  # half of the first


@pytest.mark.parametrize("name", PROCESSES)
def test_tokens_are_those_of_one_device(name):
    found = results(name)[0]
    assert found["data"]["ids"] == found["none"]["ids"]


@pytest.mark.parametrize("model", ["vqgan", "magvit", "tokenizer"])
def test_processes_end_with_the_same_weights(model):
    first, second = results("torch")
    assert first["data"][model]["weights"] == second["data"][model]["weights"]


@pytest.mark.parametrize("name", SEPARATE)
def test_replicas_draw_the_parts_of_one_devices_numbers(name):
    noise = results(name)[0]["noise"]
    np.testing.assert_array_equal(noise["uniform"], noise["whole"])


@pytest.mark.parametrize("name", SEPARATE)
def test_replicas_drop_different_units(name):
    for first, second in results(name)[0]["noise"]["dropped"]:
        kept = np.mean(np.array(first) > 0), np.mean(np.array(second) > 0)
        assert min(kept) > 0.2 and max(kept) < 0.8
        assert first != second


@pytest.mark.parametrize("name", PROCESSES)
def test_statistics_of_all_processes_are_merged(name):
    for found in results(name):
        assert found["statistics"]["count"] == 7
        np.testing.assert_allclose(found["statistics"]["covariance"], found["statistics"]["of_all"], atol=1e-12)


def test_devices_share_the_transformers_weights_and_their_moments():
    layouts = results("jax")[0]["layouts"]
    expected = {
        "query/kernel": [None, "model", None],
        "attention/out/kernel": ["model", None, None],
        "mlp_in/kernel": [None, "model"],
        "mlp_out/kernel": ["model", None],
        "embedding/tokens": [None, "model"],
        "mlp_out/bias": [None],
    }
    for end, axes in expected.items():
        assert [spec for path, spec in layouts.items() if path.endswith(end)] == [axes], end
    moments = [spec for path, spec in layouts.items() if "mlp_in_kernel" in path]
    assert moments == [[None, "model"]] * 2


# --- without other devices ---


def test_unknown_kind():
    with pytest.raises(ValueError, match="expected one of none, data, model"):
        distribution.start("pipeline")


def test_several_processes_need_a_kind(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="--distribution data"):
        distribution.start("none")
    assert distribution.process() == (1, 2)


@pytest.mark.parametrize(("tasks", "expected"), [("4", (3, 4)), (None, (0, 1))])
def test_slurm_tells_the_process_within_a_step_only(monkeypatch, tasks, expected):
    """A batch script runs once, and Slurm tells it of the number of tasks and of a task 0 all the same."""
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    if tasks:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", tasks)
    assert distribution.process() == expected


@pytest.mark.parametrize("name", SEPARATE)
def test_model_kind_says_what_is_possible(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    code = "import magvit_keras as mk; mk.distribution.start('model')"
    environment = {**os.environ, "KERAS_BACKEND": name}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert 'only "data" is possible; "model" needs the JAX backend' in done.stderr


def test_batch_sizes_must_be_shared_evenly():
    with pytest.raises(ValueError, match="transformer_batch_size=6 cannot be shared evenly by 4 devices"):
        distribution.Distribution("data", batch_parts=4).check_batch_size(batch_size=8, transformer_batch_size=6)
