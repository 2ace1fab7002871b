"""What `fit` and `evaluate` are given, looked at before Keras is handed it."""

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from magvit_keras.backend.replicas import chosen, even_arrays
from magvit_keras.backend.tf_data import is_tf_dataset, looked_at
from magvit_keras.checks import described


class InputCheck:
    """The look at the data of one call of `fit`, `evaluate` or `predict`.

    Args:
        model: whose `check_batch` knows what fits.
        read: another method in its place.
    """

    def __init__(self, model: Any, read: Callable[[Any], Any] | None = None):
        self.model, self._read = model, read or model.check_batch
        self._errors: list[ValueError] = []
        # Known to the thread that calls `fit`, not to those of pipelines and workers.
        self._parts = chosen.batch_parts() // chosen.process()[1]

    def data(self, name: str, x: Any, y: Any = None, batch_size: int | None = None) -> tuple[Any, Any]:
        """`x` and `y` as Keras is to have them; `name` is what messages call them."""
        x, y = self._looked_at(name, x, y)
        if _are_arrays(x):
            x = self._padded(x) if name == "predict" else even_arrays(x, name, repeat=name != "fit")
            self._check_shares(name, min(batch_size or 32, len(keras.tree.flatten(x)[0])))
        return x, y

    @contextlib.contextmanager
    def said(self) -> Iterator[None]:
        """An error of a look comes as it was raised: pipelines wrap it in their own."""
        try:
            yield
        except Exception as error:
            if not self._errors or error is self._errors[0]:
                raise
            raise self._errors[0] from None

    def _looked_at(self, name: str, x: Any, y: Any) -> tuple[Any, Any]:
        if x is None:
            raise ValueError(f"{name} needs data: arrays, a data set or a loader; received None.")
        if y is not None or _are_arrays(x):
            return self._look(name, x if y is None else (x, y)), None
        if callable(getattr(x, "loader", None)):
            raise ValueError(
                f"{name} reads batches; received a {type(x).__name__} of single clips. Give "
                f"{name}(source.loader(batch_size=8)), or its clips in memory: {name}(source.arrays())."
            )
        if isinstance(x, keras.utils.PyDataset):
            whole = getattr(x, "arrays", None)
            if isinstance(whole, dict) and "tokens" in whole:  # cached tokens are checked as a whole
                self._look(name, whole)
            self._look(name, x[0], fixed=True)
            self.model.check_classes(getattr(x, "class_names", None))
            return (x if x.use_multiprocessing else _Looked(x, lambda batch: self._look(name, batch, fixed=True))), None
        if is_tf_dataset(x):
            self._look(name, next(iter(x), None), fixed=True)
            return looked_at(x, lambda batch: self._look(name, batch, fixed=True)), None
        if hasattr(x, "__next__"):  # a generator can be read once only, so what was looked at is put back
            first = self._look(name, next(x, None), fixed=False)
            return _batches(first, (self._look(name, batch, fixed=False) for batch in x)), None
        if isinstance(x, str | bytes | type) or not hasattr(x, "__iter__"):
            hint = f" A function of batches is called first: {name}({x.__name__}())." if _is_function(x) else ""
            hint = f" Its arrays are what its read() returns: {name}(x.read())." if hasattr(x, "read") else hint
            raise ValueError(f"{name} reads arrays, data sets and loaders; received {described(x)}.{hint}")
        self._look(name, next(iter(x), None), fixed=True)
        return _looked_at_loader(x, lambda batch: self._look(name, batch, fixed=True)), None

    def _look(self, name: str, batch: Any, fixed: bool | None = None) -> Any:
        """The batch as the model reads it; where it is `fixed`, Keras gets it as it came; None is of all arrays."""
        try:
            if batch is None:
                raise ValueError("there is not a single batch.")
            if isinstance(batch, tuple | list) and len(batch) > 2 and np.ndim(batch[2]) < 3:
                self.model._refuse_weights({"sample_weight": batch[2]})
            read = self._read(batch)
            if fixed is not None:
                self._check_shares("a batch of the data set", keras.tree.flatten(read)[0].shape[0])
            if fixed:
                self._check_fixed(batch, read)
            return read
        except ValueError as error:
            if name in ("validation_data", "evaluate"):
                error = ValueError(f"{name}: {error}")
            self._errors.append(error)
            raise error from None

    def _check_fixed(self, batch: Any, read: Any) -> None:
        first = keras.tree.flatten(read)[0]
        for path, value in _entries(batch):
            if getattr(value.dtype, "kind", "V") in "OSUT" or "string" in str(value.dtype):
                raise ValueError(
                    f"{path} of the data set holds texts, which no model reads. Give numbers, or leave it out."
                )
        if isinstance(batch, dict) and isinstance(read, dict) and "label" in read:
            shape = tuple(batch["label"].shape)
            if shape not in ((first.shape[0],), (first.shape[0], 1)):
                raise ValueError(f"label of a data set must be numbers (batch,); received the shape {shape}.")

    def _padded(self, x: Any) -> Any:
        """The last example once more until devices can share them evenly."""
        more = -len(keras.tree.flatten(x)[0]) % self._parts
        return keras.tree.map_structure(lambda a: np.concatenate([a, *[a[-1:]] * more]), x) if more else x

    def check_split(self, x: Any, part: float) -> None:
        """Raises ValueError where what `validation_split` holds out, or the rest, cannot be shared evenly."""
        size, parts = len(keras.tree.flatten(x)[0]), self._parts
        kept = math.floor(size * (1 - part))
        if kept % parts or size % parts:
            raise ValueError(
                f"validation_split={part} makes {kept} and {size - kept} examples, which {parts} devices cannot share "
                "evenly. Split them before, and give the held-out ones as validation_data."
            )

    def _check_shares(self, name: str, size: int) -> None:
        if size % self._parts:
            raise ValueError(
                f"{name}: batches of {size} cannot be shared evenly by {self._parts} devices. Choose a batch_size that "
                f"is a multiple of {self._parts}, and leave out a smaller last batch."
            )


class _Looked(keras.utils.PyDataset):
    """A PyDataset each of whose batches is looked at on its way."""

    def __init__(self, dataset: keras.utils.PyDataset, look: Callable[[Any], Any]):
        super().__init__(workers=dataset.workers, max_queue_size=dataset.max_queue_size)
        self.dataset, self.look = dataset, look

    @property
    def num_batches(self) -> int | None:
        return self.dataset.num_batches

    def __getitem__(self, index: int) -> Any:
        batch = self.dataset[index]
        self.look(batch)
        return batch

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()


def _looked_at_loader(loader: Any, look: Callable[[Any], Any]) -> Any:
    """A loader of PyTorch or a data set of Grain whose batches `look` sees in this process, on their way to Keras."""

    def seen(batch: Any) -> tuple:
        look(batch)
        return _in_tuple(batch)

    if callable(getattr(loader, "map", None)):  # Grain's data sets; Keras takes none but theirs
        return loader.map(seen)

    class Looked(type(loader)):  # Keras knows them by their class
        def __iter__(self) -> Iterator[Any]:
            return map(seen, super().__iter__())

    result = copy.copy(loader)
    result.__class__ = Looked
    return result


def _entries(batch: Any) -> Iterator[tuple[str, Any]]:
    """Arrays of a batch with what messages call them."""
    if isinstance(batch, dict):
        for name, value in batch.items():
            if hasattr(value, "dtype"):
                yield f"{name!r}", value
    elif isinstance(batch, tuple | list):
        for part in batch:
            yield from _entries(part)
    elif hasattr(batch, "dtype"):
        yield "an array", batch


def _are_arrays(x: Any) -> bool:
    return isinstance(x, dict | tuple | list) or hasattr(x, "shape")


def _is_function(x: Any) -> bool:
    return callable(x) and hasattr(x, "__name__")


def _in_tuple(batch: Any) -> tuple:
    """As Keras takes batches of generators and of PyTorch's loaders, whose dicts it would read as their keys."""
    return tuple(batch) if isinstance(batch, tuple | list) else (batch,)


def _batches(first: Any, rest: Iterator) -> Iterator[tuple]:
    for batch in itertools.chain([first], rest):
        yield _in_tuple(batch)
