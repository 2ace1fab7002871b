"""The programs that `tpu_compile.py` compiles, as functions of arrays, and the chips it compiles them for."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Chip:
    """One TPU device as the compiler sees it: rates of its data sheet."""

    topology: str
    accelerator: str
    flops: float  # bfloat16 operations a second
    bandwidth: float  # bytes a second
    memory: float  # bytes


CHIPS = {
    "v5e": Chip("v5e:2x2", "v5litepod-4", 197e12, 819e9, 16e9),
    # A device of JAX is one of the two cores of a v2 chip.
    "v2": Chip("v2:2x2", "v2-8", 23e12, 350e9, 8e9),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A program of one size on one chip."""

    size: str
    program: str
    dtype: str
    batch: int
    remat: str
    chip: str

    @property
    def name(self) -> str:
        """What the command calls it."""
        return f"{self.size} {self.program} {self.dtype} batch {self.batch} remat {self.remat} {self.chip}"


#: Decoding steps of `generate`.
STEPS = 12
PROGRAMS = ("encode", "decode", "transformer", "generate", "train tokenizer", "train transformer")
_LIST = [
    *(Row("B", program, "mixed_bfloat16", 8, "none", "v5e") for program in PROGRAMS[:4]),
    *(Row("B", program, "mixed_bfloat16", 8, remat, "v5e") for program in PROGRAMS[4:] for remat in ("blocks", "none")),
    *(Row("B", program, "float32", 8, "none", "v5e") for program in PROGRAMS[:3]),
    *(Row("L", program, "mixed_bfloat16", 8, "none", "v5e") for program in PROGRAMS[:4]),
    *(Row("L", program, "mixed_bfloat16", batch, "full", "v5e") for program in PROGRAMS[4:] for batch in (8, 4)),
    *(Row("B", program, "mixed_bfloat16", 8, "none", "v2") for program in PROGRAMS[:4]),
    *(Row("B", program, "mixed_bfloat16", 4, "full", "v2") for program in PROGRAMS[4:]),
]
ROWS = {row.name: row for row in _LIST}


def program_of(row: Row) -> tuple[Callable, tuple, bool]:
    """A pure function, its arguments, and whether the first of these may be overwritten."""
    import keras

    keras.config.set_dtype_policy(row.dtype)
    return _MAKERS[row.program](row)


def _tokenizer(row: Row) -> Any:
    import magvit_keras as mk

    name = {"B": "3dvq_base_ucf101", "L": "3dvq_large_ucf101"}[row.size]
    return mk.VideoTokenizer.from_preset(name, load_weights=False, remat=row.remat)


def _transformer(row: Row) -> Any:
    import magvit_keras as mk

    name = {"B": "transformer_base_ucf101", "L": "transformer_large_ucf101"}[row.size]
    return mk.MaskedTransformer.from_preset(name, load_weights=False, remat=row.remat)


def _of_variables(model: Any, call: Callable) -> Callable:
    """`call(*arrays)` as a function of the values of the model's variables, too."""
    import keras

    def pure(values: list, *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return call(*arrays)

    return pure


def _zeros(*shape: int, dtype: str = "float32") -> Any:
    import jax

    return jax.ShapeDtypeStruct(shape, dtype)


def _values(model: Any) -> list:
    return [v.value for v in model.variables]


def _encode(row: Row) -> tuple:
    model = _tokenizer(row)
    return _of_variables(model, model._encode), (_values(model), _zeros(row.batch, 16, 128, 128, 3)), False


def _decode(row: Row) -> tuple:
    model = _tokenizer(row)
    return _of_variables(model, model._decode), (_values(model), _zeros(row.batch, 4, 16, 16, dtype="int32")), False


def _forward(row: Row) -> tuple:
    model = _transformer(row)
    ids = _zeros(row.batch, model.sequence_length, dtype="int32")
    return _of_variables(model, model), (_values(model), ids), False


class _Caught(Exception):
    """Carries the program out of `generate`, which would run it."""


def _generate(row: Row) -> tuple:
    import numpy as np

    import magvit_keras as mk
    from magvit_keras.model import generation

    model = mk.Magvit(_tokenizer(row), _transformer(row), tasks=["frame_prediction"])

    def catch(owner: Any, key: Any, fn: Callable, *arrays: Any) -> Any:
        raise _Caught(fn, arrays)

    whole, generation.backend.run_compiled = generation.backend.run_compiled, catch
    try:
        clips = np.zeros((row.batch, *model.video_shape, 3), "uint8")
        model.generate("frame_prediction", video=clips, num_steps=STEPS, max_batch_size=row.batch)
    except _Caught as caught:
        program, arrays = caught.args
    finally:
        generation.backend.run_compiled = whole
    import jax
    import jax.numpy as jnp

    return _of_variables(model, program), (_values(model), *jax.tree.map(jnp.asarray, arrays)), False


def _step(model: Any, batch: Any) -> tuple:
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    return model.train_step, (tuple([v.value for v in group] for group in groups), batch), True


def _train_tokenizer(row: Row) -> tuple:
    import magvit_keras as mk
    from magvit_keras.training.optimizers import tokenizer_optimizer

    discriminator = {"B": "discriminator_base_128", "L": "discriminator_large_128"}[row.size]
    discriminator = mk.VideoDiscriminator.from_preset(discriminator, remat=row.remat)
    vqgan = mk.VQGAN(_tokenizer(row), discriminator, perceptual_loss=None)
    vqgan.compile(tokenizer_optimizer(1000), tokenizer_optimizer(1000))
    return _step(vqgan, _zeros(row.batch, 16, 128, 128, 3))


def _train_transformer(row: Row) -> tuple:
    """On clips, so that the frozen tokenizer is part of the step."""
    import magvit_keras as mk
    from magvit_keras.training.optimizers import transformer_optimizer

    model = mk.Magvit(_tokenizer(row), _transformer(row), tasks=["class_conditional_generation"])
    model.compile(optimizer=transformer_optimizer(1000))
    model.optimizer.build(model.trainable_variables)
    return _step(model, {"video": _zeros(row.batch, 16, 128, 128, 3), "label": _zeros(row.batch, dtype="int32")})


_MAKERS: dict[str, Callable[[Row], tuple]] = {
    "encode": _encode,
    "decode": _decode,
    "transformer": _forward,
    "generate": _generate,
    "train tokenizer": _train_tokenizer,
    "train transformer": _train_transformer,
}
