"""The examples in the docstrings run and print what they say: on each backend, the long ones on one."""

import doctest
import importlib
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops

import magvit_keras as mk

PACKAGE = pathlib.Path(mk.__file__).parent

LIGHT_PICTURES = ("clips", "comparison", "decoding", "files", "notebook", "plots", "report")
# Those need no backend, and tests/visualize/ and tests/data/test_examples.py run them once.
ELSEWHERE = {
    *(f"magvit_keras.visualize.{name}" for name in LIGHT_PICTURES),
    *(
        ".".join(["magvit_keras", *path.relative_to(PACKAGE).with_suffix("").parts])
        for path in (PACKAGE / "data").rglob("*.py")
    ),
}

# Those that compile a large model: their mathematics has tests of its own on each backend.
LONG = {
    "magvit_keras.convert.flax",
    "magvit_keras.model.magvit",
    "magvit_keras.tokenizer.discriminator",
    "magvit_keras.tokenizer.image_tokenizer",
    "magvit_keras.tokenizer.video_tokenizer",
    "magvit_keras.tokenizer.vqgan",
}


def modules_with_examples() -> list:
    """Dotted names, found by reading: nothing is imported before its test runs."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text()]
    names = [".".join(["magvit_keras", *path.relative_to(PACKAGE).with_suffix("").parts]) for path in files]
    names = [name.removesuffix(".__init__") for name in names if name not in ELSEWHERE]
    assert set(names) >= LONG, "a long example has moved"
    long = [pytest.mark.once, pytest.mark.slow]
    return [pytest.param(name, marks=long if name in LONG else []) for name in names]


class AnyShape(doctest.OutputChecker):
    """Shapes are tuples, whatever the backend calls them."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        got = re.sub(r"(?:TensorShape|torch\.Size)\(\[(\d+)\]\)", r"(\1,)", got)
        got = re.sub(r"(?:TensorShape|torch\.Size)\(\[([\d, ]*)\]\)", r"(\1)", got)
        return super().check_output(want, got, optionflags)


def names(module) -> dict:
    """What an example may use without an import: the module's own names, the public ones, and np, keras, ops, mk."""
    public = {name: getattr(mk, name) for name in mk.__all__}
    return {**public, "np": np, "keras": keras, "ops": ops, "mk": mk, **vars(module)}


@pytest.mark.once
def test_shapes_of_every_backend_are_tuples():
    for got in ("TensorShape([1, 2])\n", "torch.Size([1, 2])\n", "(1, 2)\n"):
        assert AnyShape().check_output("(1, 2)\n", got, 0)
    assert AnyShape().check_output("(3,)\n", "torch.Size([3])\n", 0)
    assert not AnyShape().check_output("(1, 2)\n", "TensorShape([1, 3])\n", 0)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_run(name):
    module = importlib.import_module(name)
    runner, told = doctest.DocTestRunner(checker=AnyShape(), verbose=False), []
    tests = [test for test in doctest.DocTestFinder().find(module, name, globs=names(module)) if test.examples]
    assert tests, f"{name} holds >>> outside of a docstring"
    for test in tests:
        runner.run(test, out=told.append)
    assert not told, "".join(told)
