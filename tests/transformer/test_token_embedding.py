import keras
import numpy as np
from keras import ops

from magvit_keras.layers.token_embedding import lookup


class Table(keras.Model):
    """A weighted sum of looked-up rows, whose gradient is known."""

    def __init__(self):
        super().__init__()
        self.table = self.add_weight(shape=(5, 3), initializer="ones", name="table")
        self.built = True

    def call(self, inputs):
        return ops.sum(lookup(self.table, inputs["ids"]) * inputs["scale"][..., None], axis=(1, 2))


def test_adam_sums_repeated_ids():
    """One Adam step on ids that repeat, as `[MASK]` does, equals the step of the dense gradient."""
    ids = np.array([[0, 2, 2, 2, 2, 4, 2, 0]], "int32")
    scale = np.array([[0.5, 1.0, -2.0, 0.25, 3.0, 1.5, -1.0, 2.0]], "float32")
    model = Table()
    model.compile(
        optimizer=keras.optimizers.Adam(0.1, epsilon=1.0), loss=lambda y, y_pred: ops.mean(y_pred), jit_compile=False
    )
    model.train_on_batch({"ids": ids, "scale": scale}, np.zeros((1,), "float32"))
    gradient = np.zeros(5)
    np.add.at(gradient, ids[0], scale[0])
    # Adam's first step: both moments are those of this gradient, and Keras adds epsilon before the bias correction.
    slope = np.sqrt(1 - 0.999) * gradient
    expected = 1 - 0.1 * slope / (np.abs(slope) + 1.0)
    moved = ops.convert_to_numpy(model.table)
    np.testing.assert_allclose(moved, np.tile(expected[:, None], (1, 3)), atol=1e-6)
