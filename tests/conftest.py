"""Shared fixtures: the reference arrays (see tests/reference/) and small made data."""

import json
import pathlib

import numpy as np
import pytest

REFERENCE = pathlib.Path(__file__).parent / "reference"


class Reference:
    """One case of the reference arrays: `ref["key"]` is an array, `ref.atol("key")` its tolerance."""

    def __init__(self, name: str):
        index = json.loads((REFERENCE / "index.json").read_text())
        self.case = next(case for case in index["cases"] if case["name"] == name)
        self.config = json.loads(self.case["config"]) if isinstance(self.case["config"], str) else self.case["config"]
        self._arrays = np.load(REFERENCE / self.case["file"])

    def __getitem__(self, key: str) -> np.ndarray:
        return self._arrays[key]

    def __iter__(self):
        return iter(self._arrays)

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def atol(self, key: str) -> float:
        return self.case["arrays"][key]["atol"]

    def params(self, prefix: str = "params/") -> dict[str, np.ndarray]:
        """The parameters as a flat dict of Flax paths."""
        return {k.removeprefix(prefix): self._arrays[k] for k in self._arrays if k.startswith(prefix)}

    def assert_close(self, actual, key: str) -> None:
        """Within the tolerance that index.json gives for this array."""
        expected = self[key]
        actual = np.asarray(actual)
        assert actual.shape == expected.shape, f"{key}: shape {actual.shape}, expected {expected.shape}"
        np.testing.assert_allclose(actual, expected, rtol=0, atol=self.atol(key), err_msg=key)


@pytest.fixture(scope="session")
def reference():
    cache: dict[str, Reference] = {}

    def load(name: str) -> Reference:
        if name not in cache:
            cache[name] = Reference(name)
        return cache[name]

    return load
