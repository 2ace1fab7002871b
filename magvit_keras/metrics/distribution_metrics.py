"""Frechet distance, kernel distance and Inception Score as Keras metrics, for `compile(metrics=[...])`."""

from typing import Any

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_positive, to_float
from magvit_keras.metrics.frames import checked
from magvit_keras.metrics.frechet import of_statistics, warn_of_bias
from magvit_keras.metrics.kernel import kernel_of_products
from magvit_keras.metrics.network_holder import NetworkHolder
from magvit_keras.metrics.statistics import FeatureStatistics


class _FeatureMetric(NetworkHolder, keras.metrics.Metric):
    """Takes features, or clips where it has a network that makes features of them."""

    def __init__(self, network: keras.Model | None, name: str, dtype: Any):
        super().__init__(name=name, dtype=dtype)
        self._hold(network)

    def _features(self, x: Any, sample_weight: Any = None, real: bool = False) -> Any:
        if sample_weight is not None:
            raise ValueError(f"{self.name} measures sets of samples and takes no sample_weight.")
        self._check_weights()
        if self._network is not None:
            x = checked(x, "y_true") if real else x  # what a decoder gives may leave the range, data may not
            x = self._network(ops.clip(to_float(x), 0.0, 1.0), training=False)
        if len(x.shape) != 2:
            raise ValueError(f"{self.name} takes features (batch, dimensions); received the shape {tuple(x.shape)}.")
        return ops.cast(x, "float32")

    def _pair(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Both as tensors; clips, which a network sees, are of one shape."""
        real, generated = (ops.convert_to_tensor(x) for x in (y_true, y_pred))
        shapes = [tuple(x.shape)[1:] for x in (real, generated)]
        alike = len({len(shape) for shape in shapes}) == 1 and all(
            None in sizes or sizes[0] == sizes[1] for sizes in zip(*shapes, strict=True)
        )
        if self._network is not None and not alike:
            raise ValueError(f"{self.name} takes targets and predictions of one shape; received clips of {shapes}.")
        return real, generated


@keras.saving.register_keras_serializable("magvit_keras")
class FrechetDistance(_FeatureMetric):
    """Frechet distance between targets and predictions over all batches; see `frechet_distance`.

    Means and covariances are gathered in float32 and merged without loss of digits; the distance is computed from them
    in float64. Inside a compiled step the value shown is the part of the means only, a lower bound: the rest costs more
    than a training step. What `fit` logs for an epoch and what `evaluate` returns is the whole distance. How much of it
    is chance: `expected_bias(*metric.statistics())`.

    Args:
        feature_dim: number of features.
        network: a model that turns clips into features (batch, feature_dim), with its weights; None if targets and
            predictions are features. Clips may be uint8; predictions beyond [0, 1], as decoders give them, are
            clipped. On JAX the weights become constants of the compiled step.
        name: of the metric in logs.
        dtype: of the result.

    Raises:
        ValueError: bad arguments, features of another width, or targets outside [0, 1]; inside a compiled step such
            targets make the metric NaN.

    Warns:
        UserWarning: once, where a whole distance is read after no more samples than features.

    Example:
        >>> metric = FrechetDistance(feature_dim=3)
        >>> rows = np.random.default_rng(0).normal(size=(100, 3))
        >>> metric.update_state(rows, rows + [1, 0, 0])
        >>> round(float(metric.result()), 3)
        1.0

    Reference:
        FVD (arXiv 1812.01717).
    """

    def __init__(
        self, feature_dim: int, network: keras.Model | None = None, name: str = "frechet_distance", dtype: Any = None
    ):
        check_positive(feature_dim=feature_dim)
        super().__init__(network, name, dtype)
        self.feature_dim = int(feature_dim)
        self._has_warned = False
        self._sides = [self._side("real"), self._side("generated")]

    def _side(self, name: str) -> tuple:
        d = self.feature_dim
        shapes = {"count": (), "mean": (d,), "scatter": (d, d)}
        return tuple(
            self.add_variable(shape, initializer="zeros", dtype="float32", name=f"{name}_{key}")
            for key, shape in shapes.items()
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of real and of generated clips, or features; the two may differ in number."""
        for x, side, real in zip(self._pair(y_true, y_pred), self._sides, (True, False), strict=True):
            count, mean, scatter = (variable.value for variable in side)
            rows = self._features(x, sample_weight, real)
            if rows.shape[1] != self.feature_dim:
                raise ValueError(f"{self.name} expects {self.feature_dim} features; received {rows.shape[1]}.")
            n = ops.cast(ops.shape(rows)[0], "float32")
            of_batch = ops.mean(rows, axis=0)
            centred = rows - of_batch
            step, whole = of_batch - mean, count + n
            between = ops.outer(step, step) * (count * n / whole)
            moved = (
                whole,
                mean + step * (n / whole),
                scatter + backend.exact_matmul(ops.transpose(centred), centred) + between,
            )
            for variable, value in zip(side, moved, strict=True):
                variable.assign(value)

    def result(self) -> Any:
        """The distance; 0 before two samples of each side, NaN after features that are not finite."""
        real, generated = (mean.value for _, mean, _ in self._sides)
        if backend.is_traced(real):
            return ops.sum(ops.square(real - generated))
        one, two = self.statistics()
        if min(one.count, two.count) < 2:
            return ops.convert_to_tensor(0.0, dtype="float32")
        if not all(np.isfinite(side.scatter).all() for side in (one, two)):
            return ops.convert_to_tensor(np.nan, dtype="float32")
        # Once: PyTorch's `fit` reads the result after every batch, and the first ones are always few.
        self._has_warned = self._has_warned or warn_of_bias(one, two)
        return ops.convert_to_tensor(of_statistics(one, two), dtype="float32")

    def statistics(self) -> tuple[FeatureStatistics, FeatureStatistics]:
        """Those of the real and of the generated samples, for merging with other processes' or for saving."""
        sides = []
        for variables in self._sides:
            side = FeatureStatistics()
            count, side.mean, side.scatter = (np.asarray(ops.convert_to_numpy(v.value), "float64") for v in variables)
            side.count = round(float(count))
            sides.append(side)
        return tuple(sides)

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {**super().get_config(), "feature_dim": self.feature_dim}


@keras.saving.register_keras_serializable("magvit_keras")
class KernelDistance(_FeatureMetric):
    """Mean over batches of the kernel distance within a batch; see `kernel_distance`.

    Every batch is one subset, as in the kernel inception distance. Unbiased, the expected value does not depend on the
    batch size; the spread does. Batches with fewer than 2 samples add nothing.

    Args:
        degree: of the polynomial kernel.
        network: a model that turns clips into features, with its weights; None if features come in.
        name: of the metric in logs.
        dtype: of the result.
        kernel: "polynomial" or "gaussian".
        gamma: as for `kernel_distance`, and so the five after it.
        coefficient: of the polynomial.
        bandwidth: of the Gaussian.
        unbiased: if False the value depends on the batch size.
        scale: factor on the result.

    Raises:
        ValueError: bad arguments, or features of unlike width.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(64, 3))
        >>> float(KernelDistance()(rows, rows + 2.0)) > 1
        True

    Reference:
        Demystifying MMD GANs (arXiv 1801.01401).
    """

    def __init__(
        self,
        degree: int = 3,
        network: keras.Model | None = None,
        name: str = "kernel_distance",
        dtype: Any = None,
        kernel: str = "polynomial",
        gamma: float | None = None,
        coefficient: float = 1.0,
        bandwidth: float = 10.0,
        unbiased: bool = True,
        scale: float = 1.0,
    ):
        check_positive(degree=degree)
        kernel_of_products(kernel, degree, gamma, coefficient, bandwidth, 1, ops.exp)  # an unknown one raises here
        super().__init__(network, name, dtype)
        self.degree, self.kernel, self.gamma, self.coefficient = int(degree), kernel, gamma, coefficient
        self.bandwidth, self.unbiased, self.scale = bandwidth, bool(unbiased), scale
        self._mean = keras.metrics.Mean(dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds the distance within a batch of real and generated clips, or features."""
        real, generated = self._pair(y_true, y_pred)
        x, y = self._features(real, sample_weight, real=True), self._features(generated, sample_weight)
        if x.shape[1] != y.shape[1]:
            raise ValueError(f"Targets have {x.shape[1]} features and predictions {y.shape[1]}.")
        n, m = (ops.cast(ops.shape(rows)[0], "float32") for rows in (x, y))
        value = kernel_of_products(
            self.kernel, self.degree, self.gamma, self.coefficient, self.bandwidth, x.shape[1], ops.exp
        )

        def lengths(rows: Any) -> Any:
            return ops.sum(ops.square(rows), axis=1)

        def pairs(a: Any, b: Any) -> Any:
            products = backend.exact_matmul(a, ops.transpose(b))
            return value(products, ops.maximum(lengths(a)[:, None] + lengths(b) - 2.0 * products, 0.0))

        def within(rows: Any, count: Any) -> Any:
            if not self.unbiased:
                return ops.mean(pairs(rows, rows))
            own = value(lengths(rows), ops.zeros_like(lengths(rows)))
            return (ops.sum(pairs(rows, rows)) - ops.sum(own)) / ops.maximum(count * (count - 1.0), 1.0)

        distance = self.scale * (within(x, n) + within(y, m) - 2.0 * ops.mean(pairs(x, y)))
        enough = ops.cast(ops.minimum(n, m) >= 2.0, "float32")
        self._mean.update_state(distance * enough, enough)

    def result(self) -> Any:
        """The mean over the batches so far."""
        return self._mean.result()

    def reset_state(self) -> None:
        """Forgets all batches."""
        self._mean.reset_state()

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("degree", "kernel", "gamma", "coefficient", "bandwidth", "unbiased", "scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("magvit_keras")
class InceptionScore(_FeatureMetric):
    """Inception Score of the predictions over all batches; see `inception_score`. Targets are not looked at.

    Args:
        num_classes: number of logits.
        network: a classifier of clips that returns logits, with its weights; None if logits come in.
        name: of the metric in logs.
        dtype: of the result.
        splits: consecutive parts of `num_samples` samples that are scored by themselves; the result is the mean of
            their scores. StyleGAN-V takes 10 of 2,048 samples.
        num_samples: how many samples will come in all; needed only for splits.

    Raises:
        ValueError: bad arguments, or another number of logits.

    Example:
        >>> metric = InceptionScore(num_classes=4)
        >>> round(float(metric(None, 100 * np.eye(4))), 4)
        4.0

    Reference:
        Salimans et al. (arXiv 1606.03498).
    """

    def __init__(
        self,
        num_classes: int,
        network: keras.Model | None = None,
        name: str = "inception_score",
        dtype: Any = None,
        splits: int = 1,
        num_samples: int | None = None,
    ):
        check_positive(num_classes=num_classes, splits=splits)
        if splits > 1 and (num_samples is None or num_samples < splits):
            raise ValueError(
                f"{splits} splits need num_samples, the number of samples that will come in all, at least {splits}; "
                f"received {num_samples}."
            )
        super().__init__(network, name, dtype)
        self.num_classes, self.splits, self.num_samples = int(num_classes), int(splits), num_samples
        shapes = {"count": (splits,), "probabilities": (splits, self.num_classes), "negative_entropy": (splits,)}
        self._count, self._sum, self._negentropy = (
            self.add_variable(shape, initializer="zeros", dtype="float32", name=key) for key, shape in shapes.items()
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of generated clips, or logits."""
        logits = self._features(ops.convert_to_tensor(y_pred), sample_weight)
        if logits.shape[1] != self.num_classes:
            raise ValueError(f"{self.name} expects {self.num_classes} logits; received {logits.shape[1]}.")
        log_p = ops.log_softmax(logits, axis=-1)
        p = ops.exp(log_p)
        member = self._members(ops.shape(logits)[0])
        self._count.assign_add(ops.sum(member, axis=1))
        self._sum.assign_add(backend.exact_matmul(member, p))
        self._negentropy.assign_add(backend.exact_matmul(member, ops.sum(p * log_p, axis=1, keepdims=True))[:, 0])

    def _members(self, batch: Any) -> Any:
        """(splits, batch): 1 where a sample belongs to a split. Split i is [i n // splits, (i + 1) n // splits)."""
        if self.splits == 1:
            return ops.ones((1, batch), "float32")
        starts = [i * self.num_samples // self.splits for i in range(self.splits)]
        ends = [*starts[1:], np.inf]  # samples beyond those announced go to the last
        at = ops.sum(self._count.value) + ops.cast(ops.arange(batch), "float32")
        starts, ends = (ops.convert_to_tensor(np.array(x, "float32")[:, None]) for x in (starts, ends))
        return ops.cast(ops.logical_and(at >= starts, at < ends), "float32")

    def result(self) -> Any:
        """The score of all samples so far, the mean over the splits that have any; 1 before the first."""
        count = ops.maximum(self._count, 1.0)
        marginal = self._sum / count[:, None]
        entropy = ops.sum(marginal * ops.log(ops.maximum(marginal, 1e-30)), axis=1)
        scores, begun = ops.exp(self._negentropy / count - entropy), ops.cast(self._count.value > 0, "float32")
        begun = ops.maximum(begun, ops.cast(ops.sum(begun) == 0, "float32"))
        return ops.sum(scores * begun) / ops.sum(begun)

    def get_config(self) -> dict:
        """Every constructor argument."""
        names = ("num_classes", "splits", "num_samples")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
