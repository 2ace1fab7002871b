"""Whole training steps equal the authors': from their weights, on their batches, under plain `fit`."""

import pathlib

import keras
import numpy as np
import pytest

from magvit_keras import backend
from magvit_keras.training.optimizers import KernelDecayAdamW

pytestmark = pytest.mark.slow

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def steps(monkeypatch):
    """`benchmarks/training_steps.py`, which trains both models."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_steps

    return training_steps


def test_five_adversarial_steps_have_the_authors_losses(reference, steps):
    ref = reference("train_vqgan")
    found = steps.vqgan_losses(ref, 5, backend.OptaxAdam)
    for name in steps.LOSSES:
        key = f"logs/{name}"
        np.testing.assert_allclose(found[name], ref[key][:5], rtol=0, atol=ref.atol(key), err_msg=name)


def test_ten_steps_of_a_transformer_have_the_authors_losses_and_logits(reference, steps):
    ref = reference("train_bert")
    losses, logits = steps.transformer_logits(ref, KernelDecayAdamW)
    ref.assert_close(losses, "logs/loss")
    ref.assert_close(logits, "after/logits")


@pytest.mark.once
def test_with_keras_own_epsilon_the_logits_would_not_be_the_authors(reference, steps):
    ref = reference("train_bert")
    _, logits = steps.transformer_logits(ref, keras.optimizers.AdamW)
    assert np.abs(logits - ref["after/logits"]).max() > 2 * ref.atol("after/logits")
