"""The three backends against each other: the same steps from the same weights, and one file for all."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.once]
BACKENDS = [name for name in ("torch", "tensorflow", "jax") if importlib.util.find_spec(name)]
WORKER = pathlib.Path(__file__).parent / "vqgan_steps.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each installed backend printed; the first one makes the files."""
    if len(BACKENDS) < 2:
        pytest.skip("needs two backends")
    folder = tmp_path_factory.mktemp("backends")
    found = {}
    for name in BACKENDS:
        done = subprocess.run(
            [sys.executable, str(WORKER), str(folder)],
            env={**os.environ, "KERAS_BACKEND": name},
            cwd=WORKER.parents[2],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[name] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_within(actual, expected, rtol):
    """Losses are of size 1e-4 and more here; a logit near 0 and the accuracy of one have no relative error."""
    for name, values in expected.items():
        if "accuracy" not in name:
            np.testing.assert_allclose(actual[name], values, rtol=rtol, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_five_steps_are_those_of_the_first_backend(results, name):
    assert_within(results[name]["steps"], results[BACKENDS[0]]["steps"], rtol=1e-3)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_a_run_saved_on_the_first_backend_goes_on(results, name):
    assert_within(results[name]["resumed"], results[BACKENDS[0]]["resumed"], rtol=1e-3)


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_averaged_weights_load_elsewhere(results, name):
    np.testing.assert_allclose(results[name]["average"], results[BACKENDS[0]]["average"], rtol=1e-6)
