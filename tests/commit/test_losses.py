import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.commit import losses

CASES = [
    (case, columns, weights, smoothing)
    for case in ("bert_multitask", "bert_single")
    for columns in ("full_vocab", "codebook_only")
    for weights in ("weights", "weights_with_empty_row")
    for smoothing in ("0", "0.0001", "0.1")
]


def cut(ref, columns):
    return ref["logits"] if columns == "full_vocab" else ref["logits"][..., : ref.config["codebook_size"]]


@pytest.mark.parametrize(("case", "columns", "weights", "smoothing"), CASES)
def test_loss_equals_the_reference(reference, case, columns, weights, smoothing):
    ref = reference(case)
    values = losses.cross_entropy(cut(ref, columns), ref["loss/labels"], float(smoothing))
    mean = losses.weighted_mean(values, ref[f"loss/{weights}"])
    ref.assert_close(mean, f"loss/{columns}/{weights}/smoothing_{smoothing}")


class LogitsAsWeights(keras.Model):
    """The loss as a function of its logits, so that one step of plain descent shows the gradient."""

    def __init__(self, logits, labels, weights):
        super().__init__()
        self.labels, self.loss_weights = np.array(labels), np.array(weights)
        self.logits = self.add_weight(shape=logits.shape, name="logits")
        self.logits.assign(logits)
        self.built = True

    def call(self, x):
        return ops.sum(x) + ops.sum(self.logits)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return losses.weighted_mean(losses.cross_entropy(self.logits * 1.0, self.labels, 1e-4), self.loss_weights)


@pytest.mark.parametrize("case", ["bert_multitask", "bert_single"])
@pytest.mark.parametrize("columns", ["full_vocab", "codebook_only"])
def test_gradient_equals_the_reference(reference, case, columns):
    ref = reference(case)
    before = cut(ref, columns)
    model = LogitsAsWeights(before, ref["loss/labels"], ref["loss/weights"])
    # A large rate, so that rounding the new logits does not hide the gradient.
    model.compile(optimizer=keras.optimizers.SGD(1e4), jit_compile=False)
    model.train_on_batch(np.zeros((1, 1), "float32"), np.zeros((1, 1), "float32"))
    gradient = (before - ops.convert_to_numpy(model.logits)) / 1e4
    ref.assert_close(gradient, f"loss/{columns}/grad_logits")


def test_parts_sum_to_the_loss():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 7, 11)).astype("float32")
    targets, parts = rng.integers(0, 11, (3, 7)), rng.integers(0, 3, (3, 7))
    out = losses.commit_loss(logits, targets, parts, np.ones((3, 7), "float32"))
    np.testing.assert_allclose(np.sum(np.asarray(out.part_sums)) / 21, float(out.loss), rtol=1e-6)
    assert np.asarray(out.part_counts).tolist() == [(parts == part).sum() for part in range(3)]
    correct = logits.argmax(-1) == targets
    assert np.asarray(out.part_correct).tolist() == [(correct & (parts == part)).sum() for part in range(3)]


def test_loss_of_half_precision_logits_is_float32():
    logits = ops.cast(np.full((1, 2, 8), 300.0), "float16")
    values = losses.cross_entropy(logits, np.zeros((1, 2)))
    np.testing.assert_allclose(np.asarray(values), np.log(8), rtol=1e-4)
