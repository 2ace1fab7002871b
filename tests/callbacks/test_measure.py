"""The callback that measures while a model trains."""

import types

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.callbacks import Measure
from magvit_keras.metrics import fvd, psnr

CLIPS = np.zeros((3, 4, 16, 16, 3), "uint8")


def brighter(model):
    return np.full(CLIPS.shape, 0.1, "float32")


class Identity(keras.Model):
    """Stands for a tokenizer: it encodes and decodes nothing."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return self.scale * x

    def encode(self, x):
        return x

    def decode(self, x):
        return ops.convert_to_tensor(x) + 0.1


def test_scores_stand_in_the_history_of_fit():
    model = Identity()
    model.compile(optimizer="sgd", loss="mse")
    callback = Measure(CLIPS, {"psnr": psnr, "worst": lambda real, made: ops.min(psnr(real, made))}, every=2)
    x = np.zeros((4, 2), "float32")
    history = model.fit(x, x, epochs=4, verbose=0, callbacks=[callback]).history
    np.testing.assert_allclose(history["measured_psnr"], [20, 20], rtol=1e-5)
    np.testing.assert_allclose(history["measured_worst"], [20, 20], rtol=1e-5)
    assert len(history["loss"]) == 4


@pytest.mark.once
def test_clips_that_a_function_makes():
    callback, logs = Measure(CLIPS, {"psnr": psnr}, make=brighter), {}
    callback.set_model(types.SimpleNamespace())
    callback.on_epoch_end(0, logs)
    np.testing.assert_allclose(logs["measured_psnr"], 20, rtol=1e-5)


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:Only 3 samples")
def test_scores_of_sets():
    network = keras.Sequential([keras.Input((4, 16, 16, 3)), keras.layers.GlobalAveragePooling3D()])
    callback, logs = Measure(CLIPS, {"fvd": lambda real, made: fvd(real, made, network)}, make=brighter), {}
    callback.set_model(types.SimpleNamespace())
    callback.on_epoch_end(0, logs)
    np.testing.assert_allclose(logs["measured_fvd"], 3 * 0.1**2, rtol=1e-4)  # TensorFlow: 2e-5, others: 3e-7


@pytest.mark.once
@pytest.mark.parametrize(
    ("scores", "every", "message"),
    [({}, 1, "at least one function"), ({"psnr": psnr}, 0, "every must be an integer of at least 1")],
)
def test_bad_arguments(scores, every, message):
    with pytest.raises(ValueError, match=message):
        Measure(CLIPS, scores, every=every)
