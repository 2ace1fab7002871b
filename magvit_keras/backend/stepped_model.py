"""A keras.Model whose train step is written once, as plain stateful code, for all backends."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras

from magvit_keras.backend.input_check import InputCheck
from magvit_keras.backend.replicas import chosen, draw_apart, mean_logs
from magvit_keras.backend.saved_whole import SavedWhole
from magvit_keras.checks import check_numbers, check_positive, to_numpy

if keras.config.backend() == "jax":
    from magvit_keras.backend.jax import StepMixin, apply_gradients, value_and_gradients
elif keras.config.backend() == "tensorflow":
    from magvit_keras.backend.tensorflow import StepMixin, apply_gradients, value_and_gradients
else:
    from magvit_keras.backend.torch import StepMixin, apply_gradients, value_and_gradients

_SEED = "seed_state_"


class SteppedModel(SavedWhole, StepMixin, keras.Model):
    """Base of the trainable models: a subclass says what its losses are, `fit` and `evaluate` do the rest.

    A subclass implements `losses_and_logs(data, training)` and lists in `log_names` the values it logs. A model
    with other needs (two optimizers, say) overrides `training_step` instead.
    """

    #: Names of the values that `losses_and_logs` returns, in the order of the progress bar.
    log_names: Sequence[str] = ("loss",)

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.set_log_names(self.log_names)

    def set_log_names(self, names: Sequence[str]) -> None:
        """For a subclass whose logs depend on its arguments."""
        self.log_names = tuple(names)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self.log_names}

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **options: Any,
    ) -> None:
        """`keras.Model.compile`, of which the optimizer and the way to run are the caller's to choose.

        Raises:
            ValueError: a loss or a metric is given, which would never be computed.
        """
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        refused = [name for name, value in given.items() if value is not None]
        if refused:
            raise ValueError(
                f"{type(self).__name__} computes its own losses and logs ({', '.join(self.log_names)}); compile "
                f"received {', '.join(refused)} as well. Measure what the model makes with magvit_keras.metrics."
            )
        super().compile(optimizer, **options)

    def losses_and_logs(self, data: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Returns the scalar to minimise and a dict with one value, or (sum, count) pair, for each log name."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its losses are.")

    def training_step(self, data: Any) -> dict[str, Any]:
        """Gradients of `losses_and_logs`, one optimizer step, logs."""
        scale = self.optimizer.scale_loss(1.0)  # read outside of the loss, see `value_and_gradients`

        def scaled_loss() -> tuple[Any, dict[str, Any]]:
            loss, logs = self.losses_and_logs(data, training=True)
            return loss * scale, logs

        variables = self.trainable_variables
        _, logs, gradients = value_and_gradients(scaled_loss, variables, self.non_trainable_variables)
        apply_gradients(self.optimizer, gradients, variables)
        return self.track(logs, data)

    def evaluation_step(self, data: Any) -> dict[str, Any]:
        """The logs of `losses_and_logs`, without a step."""
        _, logs = self.losses_and_logs(data, training=False)
        return self.track(logs, data)

    def track(self, logs: dict[str, Any], data: Any) -> dict[str, Any]:
        """Adds the values to the running means of this epoch and returns the means of these names.

        A value counts as often as the batch has examples, so that a smaller last batch counts less.
        """
        size = keras.ops.cast(keras.ops.shape(keras.tree.flatten(data)[0])[0], "float32")
        for name, value in mean_logs(logs).items():
            if isinstance(value, tuple):
                total, count = value
                mean = total / keras.ops.maximum(count, 1e-8)
                self._trackers[name].update_state(mean, sample_weight=count)
            else:
                self._trackers[name].update_state(value, sample_weight=size)
        return {name: self._trackers[name].result() for name in self.log_names if name in logs}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The model's own running means; those of sub-models (which train apart) are left out."""
        return list(self._trackers.values())

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`, which checks the data, so that bad input fails before any long work.

        Arrays are checked as a whole, data sets batch by batch: the first one before the first step, the others
        before their own (of a `grain.DataLoader` the first alone). So are `validation_data`. An error, and
        Ctrl-C, leave the model as after its last finished step.

        Raises:
            ValueError: the data does not fit the model, or examples or classes have weights, which no loss reads.
        """
        try:
            given = inspect.signature(keras.Model.fit).bind(self, x, y, *args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"fit {error}.") from None
        options = {name: value for name, value in given.items() if name not in ("self", "x", "y")}
        self._refuse_weights(options)
        _check_counts(options)
        if self.compiled and not self.trainable_variables:
            raise ValueError(f"Nothing of this {type(self).__name__} trains: every layer is frozen (trainable=False).")
        check = InputCheck(self)
        x, y = check.data("fit", x, y, options.get("batch_size"))
        if options.get("validation_split"):
            check.check_split(x, options["validation_split"])
        held_out = options.get("validation_data")
        if held_out is not None:
            of_tuple = isinstance(held_out, tuple | list) and len(held_out) == 2
            x_, y_ = held_out if of_tuple else (held_out, None)
            size = options.get("validation_batch_size", options.get("batch_size"))
            options["validation_data"] = check.data("validation_data", x_, y_, size)
        if not isinstance(x, keras.utils.PyDataset | dict | tuple | list) and not hasattr(x, "shape"):
            options.setdefault("shuffle", False)  # which Keras would say that it cannot
        draw_apart(self)
        chosen.synchronize([*self.variables, *(self.optimizer.variables if self.compiled else ())])
        with check.said():
            return super().fit(x, y, **options)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.evaluate`, which checks the data in the same way; raises ValueError as `fit` does."""
        self._refuse_weights(kwargs)
        _check_counts({"batch_size": args[0] if args else None, **kwargs})
        check = InputCheck(self)
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has looked
            x, y = check.data("evaluate", x, y, kwargs.get("batch_size", args[0] if args else None))
        with check.said():
            return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.predict`, which looks at arrays, and at each batch of data sets and generators."""
        check, size = InputCheck(self, self._checked_input), len(x) if hasattr(x, "shape") else None
        x, _ = check.data("predict", x, None, kwargs.get("batch_size", args[0] if args else None))
        with check.said():
            return keras.tree.map_structure(lambda made: made[:size], super().predict(x, *args, **kwargs))

    def _checked_input(self, batch: Any) -> Any:
        alone = isinstance(batch, tuple) or (isinstance(batch, list) and len(batch) == 1)
        self.check_input(batch[0] if alone else batch)
        return batch

    def predict_on_batch(self, x: Any) -> Any:
        """`keras.Model.predict_on_batch`, of a batch that is checked first."""
        self.check_input(x)
        return super().predict_on_batch(x)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.train_on_batch`, of a batch that is checked first."""
        x, y = InputCheck(self).data("train_on_batch", x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.test_on_batch`, of a batch that is checked first."""
        x, y = InputCheck(self).data("test_on_batch", x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Adds the states of the random seeds, which Keras leaves out: a resumed run draws what the run would have."""
        super().save_own_variables(store)
        for i, state in enumerate(_seed_states(self)):
            store[f"{_SEED}{i}"] = to_numpy(state)

    def load_own_variables(self, store: Any) -> None:
        """Loads the states of the random seeds where the file has them."""
        saved = {key: store[key] for key in list(store.keys())}
        super().load_own_variables({key: value for key, value in saved.items() if not key.startswith(_SEED)})
        for i, state in enumerate(_seed_states(self)):
            if f"{_SEED}{i}" in saved:
                state.assign(saved[f"{_SEED}{i}"])

    def get_compile_config(self) -> dict:
        """What `compile` was given, in a form that every backend can read back."""
        config = neutral_config(super().get_compile_config())
        # What "auto" became here need not be possible where the file is loaded.
        return {**config, "jit_compile": "auto"} if "jit_compile" in config else config

    def compile_from_config(self, config: dict) -> None:
        """Compiles as before it was saved; Keras does so only for models whose `compile` is its own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def check_batch(self, batch: Any) -> Any:
        """The batch as the losses read it: only what they read, names as numbers.

        Raises:
            ValueError: it does not fit the model.
        """
        return batch

    def check_input(self, x: Any) -> None:
        """Raises ValueError where `predict` would compute nonsense."""

    def check_classes(self, names: Sequence[str] | None) -> None:
        """Raises ValueError where the classes of a loader, in the order of their numbers, are not the model's."""

    def _refuse_weights(self, options: dict[str, Any]) -> None:
        given = [name for name in ("sample_weight", "class_weight") if options.get(name) is not None]
        if given:
            raise ValueError(f"{type(self).__name__} weighs all examples alike; leave {' and '.join(given)} off.")


def _check_counts(options: dict[str, Any]) -> None:
    """Raises ValueError where a number of `fit` or `evaluate` is one that Keras takes for another, or fails at."""
    for name in ("batch_size", "validation_batch_size", "steps_per_epoch", "validation_steps", "epochs", "steps"):
        if options.get(name) is not None and (name, options[name]) != ("epochs", 0):
            check_positive(**{name: options[name]})
    check_numbers(0, 1, validation_split=options.get("validation_split") or 0.0)


def neutral_config(config: Any) -> Any:
    """Rewrites the modules of serialized optimizers: PyTorch's classes live where no other backend looks."""
    if isinstance(config, dict):
        config = {key: neutral_config(value) for key, value in config.items()}
        if str(config.get("module", "")).startswith("keras.src.backend.torch.optimizers"):
            config.update(module="keras.optimizers", registered_name=None)
        return config
    if isinstance(config, list | tuple):
        return type(config)(neutral_config(value) for value in config)
    return config


def _seed_states(layer: keras.Layer) -> list[keras.Variable]:
    """Seed states of a layer and of its sublayers; a `SteppedModel` inside saves its own."""
    states = [generator.state for generator in layer._seed_generators]
    for sublayer in layer._flatten_layers(include_self=False, recursive=False):
        if not isinstance(sublayer, SteppedModel):
            states += _seed_states(sublayer)
    return states
