"""MAGVIT: a tokenizer and a masked transformer in one model, on one page (Sec. 3, Fig. 2).

clips -> tokens z -> condition tokens z~ of the task -> multivariate mask z-bar (Eq. 2)
      -> transformer -> refine + mask + reconstruct loss (Eq. 3-4)          `fit`
      -> non-autoregressive decoding (Algorithm 1) -> clips                `generate`
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import (
    batch_of,
    check_array,
    check_numbers,
    check_positive,
    check_video,
    described,
    to_float,
    to_numpy,
)
from magvit_keras.commit.conditions import apply_plan, condition_plan, stack_plans, take_plan
from magvit_keras.commit.losses import commit_loss
from magvit_keras.commit.masking import MaskedTokens, multivariate_mask
from magvit_keras.commit.tasks import TASKS, Task, check_task_weights, named_tasks
from magvit_keras.commit.vocabulary import Vocabulary
from magvit_keras.decoding.schedules import get_schedule, mask_ratio
from magvit_keras.model.generation import Generates
from magvit_keras.model.labels import class_numbers
from magvit_keras.model.longer import Lengthens
from magvit_keras.model.tokenizing import fingerprint, tokenize
from magvit_keras.presets.preset_mixin import PresetMixin
from magvit_keras.presets.transformers import MAGVITS
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

_PARTS = ("refine", "mask", "reconstruct")


@keras.saving.register_keras_serializable("magvit_keras")
class Magvit(Generates, Lengthens, PresetMixin, backend.SteppedModel):
    """Masked generative video transformer: `fit` trains the transformer, `generate` makes clips.

    The tokenizer is frozen: train it first. Batches are dicts: "video" (B, T, H, W, 3), uint8 or floats in [0, 1],
    or cached "tokens" and "condition_tokens" of `tokenize`; and "label" (B,) where a task needs a class. A tuple
    (video, label) is accepted too.

    Args:
        tokenizer: a trained `VideoTokenizer`.
        transformer: a `MaskedTransformer` over the tokenizer's codebook and latent shape.
        tasks: names in `TASKS`, or `Task` objects, that `fit` trains; each example draws one.
        task_weights: how often each task is drawn, relative to the others; equally by default.
        schedule: mask schedule gamma; the mask ratio of an example is gamma(u), u uniform in [0, 1).
        label_smoothing: of the cross-entropy.
        class_dropout: share of the examples that lose their class, which guidance needs.
        condition_mode: "commit" (the paper), or a rival of Tables 5 and 6, see `commit.masking.CONDITION_MODES`;
            "autoregressive" needs a causal transformer.
        loss_parts: parts of the loss that count (Table 5 switches them off).
        prompts: "distinct" gives each task its own prompt; "official" is the layout of the authors' weights.
        class_names: names of the classes in the order of their numbers, for `generate(label="waves")`; at most
            `num_classes` of the transformer.

    Raises:
        ValueError: unknown task, sizes that do not fit each other, or bad data; the message says what was received.

    Example:
        >>> tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
        >>> transformer = MaskedTransformer(64, num_classes=2, latent_shape=(2, 4, 4), num_layers=1,
        ...                                 hidden_size=32, num_heads=2, mlp_dim=64)
        >>> magvit = Magvit(tokenizer, transformer, tasks=["frame_prediction"])
        >>> clip = np.random.default_rng(0).random((1, 4, 8, 8, 3), "float32")
        >>> magvit.generate("frame_prediction", video=clip, num_steps=2).shape
        (1, 4, 8, 8, 3)

    Reference:
        MAGVIT (arXiv 2212.05199), Sec. 3.2, Eq. 2-4, Algorithm 1.
    """

    log_names = ("loss", *(f"{part}_loss" for part in _PARTS), *(f"{part}_accuracy" for part in _PARTS))
    presets: ClassVar = {name: entry["description"] for name, entry in MAGVITS.items()}
    _preset_table: ClassVar = MAGVITS

    def __init__(
        self,
        tokenizer: VideoTokenizer,
        transformer: MaskedTransformer,
        tasks: Iterable[str | Task] = tuple(TASKS),
        task_weights: Sequence[float] | None = None,
        schedule: str = "cosine",
        label_smoothing: float = 1e-4,
        class_dropout: float = 0.0,
        condition_mode: str = "commit",
        loss_parts: Sequence[str] = _PARTS,
        prompts: str = "distinct",
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if transformer.codebook_size != tokenizer.codebook_size:
            raise ValueError(
                f"The transformer predicts {transformer.codebook_size} codes and the tokenizer has "
                f"{tokenizer.codebook_size}; codebook_size must be equal."
            )
        get_schedule(schedule)
        self.tasks = named_tasks([tasks] if isinstance(tasks, str) else tasks)
        if task_weights is not None:
            check_task_weights(task_weights, len(self.tasks))
        if transformer.causal != (condition_mode == "autoregressive"):
            raise ValueError(
                'condition_mode="autoregressive" and a transformer with causal=True belong together; '
                f"received {condition_mode!r} and causal={transformer.causal}."
            )
        check_numbers(0, 1, label_smoothing=label_smoothing)
        if not 0 <= class_dropout < 1:
            raise ValueError(f"class_dropout must be in [0, 1); received {class_dropout}.")
        self.tokenizer = tokenizer
        self.transformer = transformer
        self.task_weights = None if task_weights is None else [float(w) for w in task_weights]
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.class_dropout = class_dropout
        self.condition_mode = condition_mode
        self.loss_parts = tuple(loss_parts)
        self.prompts = prompts
        self.class_names = self._checked_names(class_names)
        self.vocabulary = Vocabulary(
            transformer.codebook_size, transformer.num_classes, transformer.num_special_tokens, prompts
        )
        # Table 5's "prefix condition": a transformer whose prefix has room for the condition's tokens.
        more = transformer.prefix_length - self.vocabulary.prefix_length
        self._reads_condition = condition_mode == "prefix" and more == transformer.num_latents
        if more and not self._reads_condition:
            raise ValueError(
                f"prefix_length={transformer.prefix_length} does not fit: expected {self.vocabulary.prefix_length}, or "
                f'with condition_mode="prefix" also {self.vocabulary.prefix_length + transformer.num_latents}.'
            )
        self.seed_generator = keras.random.SeedGenerator()
        # The tables of all tasks, stacked: which task an example trains is data, not a new trace.
        if len(self.tasks) > 1:
            self.set_log_names([*type(self).log_names, *(f"{t}_{n}" for t in self.tasks for n in ("loss", "accuracy"))])
        self._plans = stack_plans(
            [condition_plan(task, self.video_shape, self.latent_shape) for task in self.tasks.values()]
        )
        self.built = True

    def _checked_names(self, names: Sequence[str] | None) -> list[str] | None:
        if names is None:
            return None
        names, classes = list(names), self.transformer.num_classes
        if len(names) > classes or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
            raise ValueError(f"class_names must be at most {classes} different texts; received {names}.")
        return names

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Tokens (t, h, w) of a clip."""
        return tuple(self.transformer.latent_shape)

    @property
    def video_shape(self) -> tuple[int, int, int]:
        """Pixels (T, H, W) of a clip."""
        return tuple(n * by for n, by in zip(self.latent_shape, self.tokenizer.downsampling, strict=True))

    @property
    def needs_labels(self) -> bool:
        """Whether a task in training needs a class."""
        return any(task.needs_class for task in self.tasks.values())

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Those of the transformer: the tokenizer is frozen here, and can still be trained by its own `fit`."""
        return self.transformer.trainable_variables if self.trainable else []

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """The same, for `summary`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        """All other weights."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) not in trained]

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All other variables."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    def call(self, token_ids: Any, training: bool = False) -> Any:
        """Logits over the codebook of an input sequence (B, prefix + t*h*w) -> (B, t*h*w, codebook_size)."""
        return self.transformer.codebook_logits(token_ids, training=training)

    def losses_and_logs(self, data: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Draws task, mask ratio and scores for each example; the three-part loss of Eq. 3-4."""
        prefix, masked, task = self._masked(batch_of(data))
        sequence = ops.concatenate([prefix, masked.ids], axis=1)  # z-bar
        return self._loss_and_logs(self.transformer.codebook_logits(sequence, training=training), masked, task)

    def _masked(self, batch: dict) -> tuple[Any, MaskedTokens, Any]:
        """Prefix, masked tokens, and the tasks (B,) that were drawn."""
        size = ops.shape(batch["tokens" if "tokens" in batch else "video"])[0]
        task = self._draw_tasks(size)  # (B,)
        ids, condition_ids = self._tokens(batch, task, size)  # (B, N), (B, N)
        ispad = ops.reshape(take_plan(self._plans, task).ispad, (size, -1))
        masked = multivariate_mask(
            ids,
            condition_ids,
            ispad,
            ratio=mask_ratio(self._uniform((size,)), ids.shape[1], self.schedule),
            score=self._uniform((size, ids.shape[1])),
            mask_id=self.vocabulary.mask_id,
            condition_mode=self.condition_mode,
            loss_parts=self.loss_parts,
        )
        return self.full_prefix(self._prefix(batch, task, size), condition_ids, ispad), masked, task

    def _loss_and_logs(self, logits: Any, masked: MaskedTokens, task: Any) -> tuple[Any, dict[str, Any]]:
        loss = commit_loss(
            logits,
            masked.targets,
            masked.parts,
            masked.weights,
            self.label_smoothing,
            self.transformer.codebook_factors,
        )
        logs = {"loss": loss.loss}
        for i, part in enumerate(_PARTS):
            logs[f"{part}_loss"] = (loss.part_sums[i], loss.part_counts[i])
            logs[f"{part}_accuracy"] = (loss.part_correct[i], loss.part_counts[i])
        return loss.loss, logs | (self._logs_of_tasks(loss, task) if len(self.tasks) > 1 else {})

    def full_prefix(self, prefix: Any, condition_ids: Any, ispad: Any) -> Any:
        """What comes before the clip: prompt, class, and for "prefix condition" (Table 5) the condition's tokens."""
        return self.vocabulary.with_condition(prefix, condition_ids, ispad) if self._reads_condition else prefix

    def _logs_of_tasks(self, loss: Any, task: Any) -> dict[str, tuple[Any, Any]]:
        """Loss and accuracy over the examples that drew each task, as pairs of sum and count."""
        logs = {}
        for i, name in enumerate(self.tasks):
            drew = ops.cast(task == i, "float32")  # (B,)
            count = ops.sum(drew)
            logs[f"{name}_loss"] = (ops.sum(drew * loss.example_loss), count)
            logs[f"{name}_accuracy"] = (ops.sum(drew * loss.example_accuracy), count)
        return logs

    def _draw_tasks(self, size: Any) -> Any:
        weights = np.array(self.task_weights or [1.0] * len(self.tasks))
        edges = np.cumsum(weights / weights.sum())[:-1].astype("float32")  # of the tasks' intervals in [0, 1)
        return ops.sum(ops.cast(self._uniform((size, 1)) >= ops.convert_to_tensor(edges[None]), "int32"), axis=1)

    def _uniform(self, shape: tuple) -> Any:
        return backend.uniform(shape, seed=self.seed_generator)

    def _tokens(self, batch: dict, task: Any, size: Any) -> tuple[Any, Any]:
        """Tokens z of the clips and z~ of the condition clips of the drawn tasks."""
        length = math.prod(self.latent_shape)  # N
        if "tokens" in batch:
            # Reshaped to what `check_batch` has seen: TensorFlow's data sets may hide the sizes of a batch.
            ids = ops.cast(batch["tokens"], "int32")
            conditions = ops.reshape(ops.cast(batch["condition_tokens"], "int32"), (size, len(self.tasks), length))
            chosen = ops.broadcast_to(ops.reshape(task, (-1, 1, 1)), (size, 1, length))
            conditions = ops.take_along_axis(conditions, chosen, axis=1)
        else:
            video = ops.reshape(to_float(batch["video"]), (size, *self.video_shape, 3))
            ids = self.tokenizer.encode(video, check=False)
            conditions = self.tokenizer.encode(apply_plan(video, take_plan(self._plans, task)), check=False)
        return ops.reshape(ids, (size, length)), ops.reshape(conditions, (size, length))

    def _prefix(self, batch: dict, task: Any, size: Any) -> Any:
        vocabulary, tasks = self.vocabulary, self.tasks.values()
        classes = ops.full((size,), vocabulary.no_class_id, dtype="int32")
        if self.needs_labels:
            needs_class = ops.take(np.array([t.needs_class for t in tasks]), task)
            kept = self._uniform((size,)) >= self.class_dropout
            labels = vocabulary.class_ids(ops.reshape(batch["label"], (size,)))
            classes = ops.where(ops.logical_and(needs_class, kept), labels, classes)
        if vocabulary.prefix_length == 1:
            return vocabulary.prefix(None, classes)
        prompts = ops.take(np.array([vocabulary.prompt_id(t.name) for t in tasks], "int32"), task)
        return vocabulary.prefix(prompts, classes)

    def tokenize(self, data: Any, batch_size: int = 8, verbose: int = 0) -> dict[str, np.ndarray]:
        """Tokens of clips and of their condition clips for every task, so that `fit` need not tokenize again.

        Args:
            data: clips (N, T, H, W, 3), or a dict with "video" and, if there are labels, "label".
            batch_size: clips encoded at a time.
            verbose: 1 shows a progress bar.

        Returns:
            "tokens" (N, t, h, w) int32, "condition_tokens" (N, tasks, t, h, w) int32, and "label" if given.
        """
        check_positive(batch_size=batch_size)
        batch = batch_of(data)
        if "video" not in batch:
            raise ValueError(f"tokenize reads clips; received {described(data)}.")
        self._check_clips(batch["video"])
        label = batch.get("label")
        if label is not None and self.transformer.num_classes:
            label = self._class_numbers(label, len(batch["video"]))
        result = tokenize(self.tokenizer, self.tasks, batch["video"], batch_size, verbose)
        return result if label is None else {**result, "label": np.asarray(label)}

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Gives the transformer 8-bit weights, see `MaskedTransformer.quantize`; the tokenizer stays as it is."""
        self.transformer.quantize(*args, **kwargs)

    def check_batch(self, batch: Any) -> dict[str, Any]:
        """What `fit` reads of a batch: clips of `video_shape`, or tokens of `latent_shape`, and the labels needed."""
        made_by = getattr(batch, "tokenizer", None)
        if isinstance(made_by, str) and made_by != fingerprint(self.tokenizer):
            raise ValueError(
                "These tokens are of another tokenizer than this model's: another architecture, or other weights. Make "
                "them with this one, `tokenize` or magvit-keras tokenize."
            )
        batch = batch_of(batch)
        if "tokens" in batch:
            read = {name: batch[name] for name in ("tokens", "condition_tokens") if name in batch}
            expected = (len(self.tasks), *self.latent_shape)
            for name, ids in read.items():
                check_array(ids, name, "token ids, as `tokenize` makes them")
            shape = tuple(batch["condition_tokens"].shape[1:]) if "condition_tokens" in batch else None
            if tuple(batch["tokens"].shape[1:]) != self.latent_shape or shape != expected:
                raise ValueError(
                    f'"tokens" must be (batch, {self.latent_shape}) and "condition_tokens" (batch, {expected}); '
                    f"received {tuple(batch['tokens'].shape)} and {shape}. Made by `tokenize` of this model?"
                )
            for name, ids in read.items():
                self._check_ids(ids, name)
            if len({len(ids) for ids in read.values()}) > 1:
                raise ValueError(f"tokens are of {len(read['tokens'])} clips, condition_tokens of another number.")
        else:
            read = {"video": batch["video"]}
            self._check_clips(batch["video"])
        if self.needs_labels:
            if "label" not in batch:
                needing = [task.name for task in self.tasks.values() if task.needs_class]
                raise ValueError(f'The tasks {", ".join(needing)} need labels: give a dict with "video" and "label".')
            count = next(iter(read.values())).shape[0]
            read["label"] = self._class_numbers(batch["label"], count)
        return read

    def check_classes(self, names: Sequence[str] | None) -> None:
        """Raises ValueError where a loader's number of a class is another class here."""
        if names is None or self.class_names is None or not self.needs_labels:
            return
        wrong = [pair for pair in zip(names, self.class_names, strict=False) if pair[0] != pair[1]]
        if wrong:
            there, here = wrong[0]
            raise ValueError(
                f"The loader's classes are {', '.join(names)}, the model's {', '.join(self.class_names)}: {there!r} "
                f"would be trained as {here!r}. Give the source the model's class_names, or make a model for its."
            )

    def _class_numbers(self, label: Any, count: int) -> np.ndarray:
        return class_numbers(label, self.transformer.num_classes, self.class_names, count)

    def _check_ids(self, ids: Any, name: str) -> None:
        ids, size = to_numpy(ids), self.tokenizer.codebook_size
        if ids.dtype.kind not in "iu":
            raise ValueError(f"{name} must be integers; received {ids.dtype}.")
        if ids.size and not 0 <= ids.min() <= ids.max() < size:
            raise ValueError(
                f"{name} must be in [0, {size}), the tokenizer's codebook; received {ids.min()} to {ids.max()}. "
                "Made by `tokenize` of this model?"
            )

    def _check_clips(self, video: Any) -> None:
        check_video(video, self.tokenizer.downsampling)
        if tuple(video.shape[1:4]) != self.video_shape:
            raise ValueError(
                f"This model makes clips of (time, height, width) {self.video_shape}; "
                f"received {tuple(video.shape[1:4])}."
            )

    def get_config(self) -> dict:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "transformer": keras.saving.serialize_keras_object(self.transformer),
            "tasks": [dataclasses.asdict(task) for task in self.tasks.values()],
            "task_weights": self.task_weights,
            "schedule": self.schedule,
            "label_smoothing": self.label_smoothing,
            "class_dropout": self.class_dropout,
            "condition_mode": self.condition_mode,
            "loss_parts": list(self.loss_parts),
            "prompts": self.prompts,
            "class_names": None if self.class_names is None else list(self.class_names),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "Magvit":
        """The inverse of `get_config`."""
        parts = {k: keras.saving.deserialize_keras_object(config[k]) for k in ("tokenizer", "transformer")}
        tasks = [t if isinstance(t, str | Task) else Task(**t) for t in config["tasks"]]
        return cls(**{**config, **parts, "tasks": tasks})
