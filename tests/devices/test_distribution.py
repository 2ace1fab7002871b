"""Several devices, simulated on a CPU, train as one does: the same losses, and the same weights after them."""

import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import types

import numpy as np
import pytest

from magvit_keras import evaluation
from magvit_keras.devices import distribution

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
        with tempfile.TemporaryDirectory() as reports:
            _RESULTS[name] = run(name, reports)
    return _RESULTS[name]


def run(name, reports):
    environment = {**os.environ, "KERAS_BACKEND": name, "REPORTS": reports}
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


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
@pytest.mark.parametrize("data", ["arrays", "held-out arrays", "split", "generator", "data set"])
def test_data_that_cannot_be_shared_evenly(name, data):
    assert results(name)[0]["uneven"][data].startswith("ValueError: ")
    assert "share" in results(name)[0]["uneven"][data]


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_predict_takes_any_number_of_clips(name):
    assert results(name)[0]["uneven"]["predicted"] == 3


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


@pytest.mark.parametrize("name", PROCESSES)
def test_scores_are_those_of_one_device_and_the_first_process_has_them(name):
    found, *others = results(name)
    assert set(found["none"]["scores"]) == {"fvd", "psnr", "lpips"}
    for metric, value in found["none"]["scores"].items():
        np.testing.assert_allclose(found["data"]["scores"][metric], value, rtol=1e-4, err_msg=metric)
    assert all(other["data"]["scores"] is None for other in others)


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


SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "4", "SLURM_LOCALID": "0", "SLURM_GPUS_ON_NODE": "8"}
EIGHT = ",".join(map(str, range(8)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, EIGHT),
        ({"CUDA_VISIBLE_DEVICES": "4,5"}, "0,1"),
        ({"JAX_LOCAL_DEVICE_IDS": "3"}, "3"),
        ({"SLURM_STEP_NUM_TASKS": "32", "SLURM_LOCALID": "5"}, None),  # JAX: GPU 5
        ({"SLURM_STEP_NUM_TASKS": "32", "SLURM_LOCALID": "5", "CUDA_VISIBLE_DEVICES": "5"}, "0"),
        ({"SLURM_GPUS_ON_NODE": ""}, None),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, None),
    ],
)
def test_the_only_task_of_a_machine_has_all_its_gpus(monkeypatch, changes, expected):
    pytest.importorskip("jax")
    from magvit_keras.backend import jax_distribution

    for name in ("CUDA_VISIBLE_DEVICES", "JAX_LOCAL_DEVICE_IDS"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in {**SLURM, **changes}.items():
        monkeypatch.setenv(name, value)
    jax_distribution._keep_devices_of_task()
    assert os.environ.get("JAX_LOCAL_DEVICE_IDS") == expected


def test_jax_follows_in_a_step_of_slurm():
    pytest.importorskip("jax")
    code = """
import jax
from jax._src import xla_bridge
from magvit_keras.backend import jax_distribution
jax_distribution.start("data", True, 1)
print(jax.process_count(), xla_bridge.CUDA_VISIBLE_DEVICES.value)"""
    names = ("CUDA_VISIBLE_DEVICES", "JAX_LOCAL_DEVICE_IDS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1", "KERAS_BACKEND": "jax"}
    environment |= {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        environment["JAX_COORDINATOR_PORT"] = str(free.getsockname()[1])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["1", EIGHT], done.stderr[-3000:]


@pytest.fixture
def two_gpus(monkeypatch):
    """PyTorch on a machine that would have two GPUs: the devices that were set, and how the group was joined."""
    torch = pytest.importorskip("torch")
    from magvit_keras.backend import torch_distribution

    done = types.SimpleNamespace(start=torch_distribution.start, use=torch_distribution.use_own_device, devices=[])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", done.devices.append)
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda kind, **options: vars(done).update(kind=kind, options=options)
    )
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    return done


def test_each_process_of_a_machine_takes_another_gpu(monkeypatch, two_gpus):
    two_gpus.use()
    monkeypatch.setenv("SLURM_LOCALID", "3")
    two_gpus.use()
    monkeypatch.setenv("LOCAL_RANK", "0")  # torchrun, started by srun
    two_gpus.use()
    assert two_gpus.devices == [0, 1, 0]
    import torch

    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 8)  # of a model, which stays where it is
    two_gpus.use()
    assert two_gpus.devices == [0, 1, 0]


def test_processes_wait_for_each_other_for_hours(monkeypatch, two_gpus):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    two_gpus.start("data", True, 2)
    assert (two_gpus.devices, two_gpus.kind) == ([1], "nccl")
    assert two_gpus.options["timeout"].total_seconds() > 3600


def test_several_processes_take_their_devices(monkeypatch):
    taken = []
    monkeypatch.setattr(distribution.backend.distribution, "use_own_device", lambda: taken.append(1))
    assert distribution.process() == (0, 1) and not taken
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distribution.process() == (1, 2) and taken


@pytest.mark.parametrize(
    ("devices", "process", "replicas", "message"),
    [
        (("data", 0, 1, 4), None, 1, "batch_size=6 cannot be shared evenly by 4 devices"),
        (("data", 1, 2, 8), None, 1, "leave --distribution out"),
        (("data", 1, 2, 2), (0, 2), 2, "leave --process out"),
    ],
)
def test_measuring_refuses_devices_that_cannot_share_it(monkeypatch, tmp_path, devices, process, replicas, message):
    monkeypatch.setattr(distribution, "_CURRENT", distribution.Distribution(*devices))
    monkeypatch.setattr(distribution.backend.distribution, "num_replicas", lambda: replicas)
    with pytest.raises(ValueError, match=message):
        evaluation.evaluate(None, "bair_fp", tmp_path, process=process, batch_size=6)


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
