"""What every trainable model gets from the backend room: gradients, optimizer steps, seeds in saved files."""

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras import backend


@keras.saving.register_keras_serializable("magvit_keras_tests")
class Noisy(backend.SteppedModel):
    """A dense layer behind a random mask, trained towards zero.

    The mask is drawn here: on PyTorch Keras' Dropout draws from the global generator and not from its own seed.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(3)
        self.dense = keras.layers.Dense(1)
        self.dense.build((None, 8))
        self.built = True

    def call(self, x, training=False):
        if training:
            x = x * ops.cast(keras.random.uniform((2, 8), seed=self.seed_generator) < 0.5, "float32")
        return self.dense(x)

    def losses_and_logs(self, data, training):
        loss = ops.mean(ops.square(self(data, training=training)))
        return loss, {"loss": loss}


def fit(model, epochs):
    x = np.ones((4, 8), "float32")
    return model.fit(x, batch_size=2, epochs=epochs, shuffle=False, verbose=0).history["loss"]


def compiled(**kwargs):
    keras.utils.set_random_seed(1)
    model = Noisy()
    model.compile(optimizer=keras.optimizers.Adam(0.1), **kwargs)
    return model


def test_a_loaded_model_draws_what_the_saved_one_would(tmp_path):
    model = compiled()
    fit(model, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(fit(loaded, 2), fit(model, 2), rtol=1e-6)


def test_weights_without_seeds_still_load(tmp_path):
    model = compiled()
    plain = keras.Model.save_own_variables
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend.SteppedModel, "save_own_variables", plain)
        model.save_weights(tmp_path / "old.weights.h5")
    other = compiled()
    other.load_weights(tmp_path / "old.weights.h5")
    np.testing.assert_array_equal(other.dense.get_weights()[0], model.dense.get_weights()[0])


def test_saved_optimizer_names_no_backend():
    config = compiled().get_compile_config()
    assert config["optimizer"]["module"] == "keras.optimizers"
    assert config["jit_compile"] == "auto"


def test_neutral_config_rewrites_torch_optimizers():
    config = {"inner": [{"module": "keras.src.backend.torch.optimizers.torch_adam", "registered_name": "Adam"}]}
    assert backend.neutral_config(config) == {"inner": [{"module": "keras.optimizers", "registered_name": None}]}


def test_loss_scaling_changes_no_step():
    """The scale doubles every second step here; a stale one would leave the gradients wrong by as much."""
    scaled, plain = compiled(), compiled()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 2.0, dynamic_growth_steps=2)
    scaled.compile(optimizer=optimizer, auto_scale_loss=False)
    plain.compile(optimizer=keras.optimizers.SGD(0.1))
    np.testing.assert_allclose(fit(scaled, 3), fit(plain, 3), rtol=1e-5)
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) > 2


def test_input_gradient_of_a_cubic():
    x = np.array([[1.0, 2.0]], "float32")
    outputs, gradient = backend.input_gradient(lambda v: ops.sum(v**3, axis=1), x)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.stop_gradient(outputs)), [9.0])
    np.testing.assert_allclose(ops.convert_to_numpy(ops.stop_gradient(gradient)), 3 * x**2, rtol=1e-6)


def test_input_gradient_differentiates_again():
    x = np.array([[1.0, 2.0]], "float32")
    weight = keras.Variable(np.float32(3.0))

    def loss():
        _, gradient = backend.input_gradient(lambda v: ops.sum(weight * v**2, axis=1), x)
        return ops.sum(gradient**2), ()  # 4 w^2 x^2

    _, _, (gradient,) = backend.value_and_gradients(loss, [weight], [])
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), 8 * 3.0 * (x**2).sum(), rtol=1e-6)


@pytest.mark.parametrize("when", [False, True])
def test_apply_gradients_when(when):
    variable = keras.Variable(np.float32(1.0))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build([variable])
    backend.apply_gradients(optimizer, [ops.ones(())], [variable], when=ops.convert_to_tensor(when))
    assert float(ops.convert_to_numpy(variable)) == (0.5 if when else 1.0)
    assert int(ops.convert_to_numpy(optimizer.iterations)) == int(when)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_a_smaller_last_batch_counts_less(size):
    """What `evaluate` says does not depend on the batch size."""
    model = compiled()
    x = np.random.default_rng(0).standard_normal((5, 8)).astype("float32")
    x[4] *= 10
    expected = np.square(ops.convert_to_numpy(model(x))).mean()
    found = model.evaluate(x, batch_size=size, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("given", [{"sample_weight": np.zeros(4)}, {"class_weight": {0: 0.5}}])
def test_weights_that_no_loss_reads_are_refused(given):
    with pytest.raises(ValueError, match=f"weighs all examples alike; leave {next(iter(given))} off"):
        compiled().fit(np.ones((4, 8), "float32"), verbose=0, **given)


def test_weights_in_the_batches_of_a_data_set_are_refused():
    """The third of a tuple is Keras' place for them."""
    batches = iter([(np.ones((2, 8), "float32"), np.ones(2), np.ones(2))])
    with pytest.raises(ValueError, match="leave sample_weight off"):
        compiled().evaluate(batches, verbose=0)
