"""Which backend a notebook gets on which hardware; the devices are stand-ins."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from magvit_keras import _select_backend
from magvit_keras.devices import hardware

pytestmark = pytest.mark.once


class Devices:
    """Stand-ins of the three backends, each seeing the given kinds of devices."""

    def __init__(self, jax=(), torch=(), tensorflow=()):
        self.asked = []
        devices = [SimpleNamespace(device_kind=kind, platform="cpu" if kind == "cpu" else "gpu") for kind in jax]
        self.jax = SimpleNamespace(devices=lambda: self.ask("jax") or devices)
        self.torch = SimpleNamespace(
            cuda=SimpleNamespace(
                device_count=lambda: self.ask("torch") or len(torch), get_device_name=torch.__getitem__
            )
        )
        listed = {"GPU": tensorflow, "TPU": ()}
        self.tensorflow = SimpleNamespace(
            config=SimpleNamespace(
                list_physical_devices=lambda kind: self.ask("tensorflow") or listed[kind],
                experimental=SimpleNamespace(get_device_details=lambda gpu: {"device_name": gpu}),
            )
        )

    def ask(self, name):
        self.asked.append(name)


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with a driver or without, on which nobody, or the user, has chosen a backend."""

    def make(driver=False, by_default=True, chosen="jax", **seen):
        devices = Devices(**seen)
        for name in _select_backend.BACKENDS:
            monkeypatch.setitem(sys.modules, name, getattr(devices, name))
        monkeypatch.delitem(sys.modules, "keras", raising=False)
        monkeypatch.setattr(_select_backend, "is_installed", lambda name: True)
        monkeypatch.setattr(_select_backend, "by_default", by_default)
        monkeypatch.setattr(hardware, "_nvidia_driver", lambda: driver)
        monkeypatch.setenv("KERAS_BACKEND", chosen)
        return devices

    return make


def test_cpu(machine):
    devices = machine(jax=["cpu"])
    assert hardware.choose_backend() == "jax on CPU"
    assert set(devices.asked) == {"jax"}, "the others load slowly and are left alone where there is no driver"


@pytest.mark.parametrize(("chosen", "kept"), [("torch", True), ("tensorflow", False)])
def test_pytorch_on_a_cpu_keeps_memory(machine, monkeypatch, chosen, kept):
    machine(chosen=chosen, by_default=False)
    calls = []
    monkeypatch.setattr(hardware, "keep_memory", lambda: calls.append(True))
    monkeypatch.setattr(_select_backend, "select_backend", lambda: chosen)
    hardware.choose_backend()
    assert bool(calls) is kept


def test_pytorch_on_a_gpu_does_not(machine, monkeypatch):
    machine(driver=True, chosen="torch", by_default=False, torch=["Tesla T4"])
    monkeypatch.setattr(hardware, "keep_memory", lambda: pytest.fail("called"))
    monkeypatch.setattr(_select_backend, "select_backend", lambda: "torch")
    assert hardware.choose_backend() == "torch on 1 x Tesla T4"


def test_tpu(machine):
    machine(jax=["TPU v5 lite"] * 8)
    assert hardware.choose_backend() == "jax on 8 x TPU v5 lite"


def test_gpu_that_jax_sees(machine):
    devices = machine(driver=True, jax=["Tesla T4"], torch=["Tesla T4"])
    assert hardware.choose_backend() == "jax on 1 x Tesla T4"
    assert "torch" not in devices.asked


@pytest.mark.parametrize("seeing", ["torch", "tensorflow"])
def test_gpu_that_jax_does_not_see(machine, seeing):
    machine(driver=True, jax=["cpu"], **{seeing: ["Tesla T4"]})
    assert hardware.choose_backend() == f"{seeing} on 1 x Tesla T4"
    assert os.environ["KERAS_BACKEND"] == seeing


def test_gpu_that_none_sees(machine):
    machine(driver=True, jax=["cpu"])
    assert hardware.choose_backend() == "jax on CPU"


def test_a_choice_is_kept(machine):
    machine(driver=True, by_default=False, chosen="torch", jax=["Tesla T4"])
    assert hardware.choose_backend() == "torch on CPU"
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_a_loaded_keras_is_kept(machine, monkeypatch):
    machine(jax=["Tesla T4"])
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch")))
    assert hardware.choose_backend() == "torch on CPU"


def test_platform_that_is_not_there(machine):
    devices = machine()

    def missing():
        raise RuntimeError("Unable to initialize backend 'tpu'")

    devices.jax.devices = missing
    assert hardware.choose_backend() == "jax on CPU"


FREE_AND_LOOK = """
import os
import pathlib
import numpy as np
from magvit_keras.devices import hardware

def resident():  # MiB
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

told = KEEP and hardware.keep_memory()
before = resident()
np.ones(2**26, "uint8")
print(told, resident() - before)
"""


@pytest.mark.parametrize("keep", [True, False])
def test_keep_memory_keeps_what_is_freed(keep):
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc can be told to keep memory")
    code = FREE_AND_LOOK.replace("KEEP", str(keep))
    told, kept = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told == str(keep)
    assert (float(kept) > 60) == keep  # of 64 MiB


def test_the_command_line_keeps_memory_on_pytorch_only(monkeypatch):
    from typer.testing import CliRunner

    from magvit_keras import cli

    called = []
    monkeypatch.setattr(cli, "keep_memory", lambda: called.append(os.environ["KERAS_BACKEND"]))
    for backend in ("jax", "tensorflow", "torch"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        assert CliRunner().invoke(cli.app, ["recipes"]).exit_code == 0
    assert called == ["torch"]
