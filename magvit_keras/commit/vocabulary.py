"""One vocabulary for visual tokens, classes and task prompts (Sec. 3.2)."""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from magvit_keras.commit.tasks import CUSTOM_TASK, TASKS

# Slots of the special rows, counted from the end of the vocabulary. -15 is the authors' padding token.
MASK, SEP, PAD = -1, -2, -15

# Every task has its own prompt: a model then knows which of two tasks with like conditions is asked.
_DISTINCT_SLOTS = {
    "class_conditional_generation": -3,
    "frame_prediction": -4,
    "frame_interpolation": -5,
    "central_outpainting": -6,
    "central_inpainting": -7,
    "vertical_outpainting": -8,
    "horizontal_outpainting": -9,
    "dynamic_outpainting": -10,
    "dynamic_inpainting": -11,
    "class_conditional_frame_prediction": -12,
    CUSTOM_TASK: -13,
}
# What the released models were trained with: one slot for all out- and inpaintings.
_OFFICIAL_SLOTS = {
    name: -3
    if name == "class_conditional_generation"
    else -4
    if name.endswith("frame_prediction")
    else -5
    if name == "frame_interpolation"
    else -6
    for name in (*TASKS, CUSTOM_TASK)
}
LAYOUTS = {"distinct": _DISTINCT_SLOTS, "official": _OFFICIAL_SLOTS}


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Rows of the token embedding: visual codes, then classes, "no class", and the special tokens.

    All ids are rows counted from 0; nothing negative or out of range reaches an embedding.

    Args:
        codebook_size: number of visual tokens, ids [0, codebook_size).
        num_classes: number of class labels, at least 0; one more row stands for "no class".
        num_special_tokens: rows at the end: 16, or 1 (`[MASK]` only) for the authors' single-task models.
        layout: "distinct" gives each task its own prompt, "official" shares them as the authors' weights do.

    Raises:
        ValueError: a size is out of range, or the layout is unknown.

    Example:
        >>> from magvit_keras.commit.vocabulary import Vocabulary
        >>> vocabulary = Vocabulary(codebook_size=1024, num_classes=101)
        >>> vocabulary.size, vocabulary.mask_id, vocabulary.no_class_id
        (1142, 1141, 1125)

    Reference: Sec. 3.2 "Task prompts" of the MAGVIT paper.
    """

    codebook_size: int
    num_classes: int
    num_special_tokens: int = 16
    layout: str = "distinct"

    def __post_init__(self):
        """Refuses sizes out of range and unknown layouts."""
        if self.codebook_size < 1 or self.num_classes < 0:
            raise ValueError(
                f"Expected codebook_size >= 1 and num_classes >= 0, received {self.codebook_size}, {self.num_classes}."
            )
        if self.num_special_tokens not in (1, 16):
            raise ValueError(
                f"Expected num_special_tokens of 16, or 1 for [MASK] only; received {self.num_special_tokens}."
            )
        if self.layout not in LAYOUTS:
            raise ValueError(f"Unknown layout {self.layout!r}; known layouts: {', '.join(LAYOUTS)}.")

    @property
    def size(self) -> int:
        """Rows of the embedding: codes + classes + "no class" + special tokens."""
        return self.codebook_size + self.num_classes + 1 + self.num_special_tokens

    @property
    def mask_id(self) -> int:
        """Row of `[MASK]`, the last one."""
        return self.size + MASK

    @property
    def no_class_id(self) -> int:
        """Row that stands where a class would: tasks without one, and guidance."""
        return self.codebook_size + self.num_classes

    @property
    def prefix_length(self) -> int:
        """Tokens before the latents: task prompt and class, or the class alone without prompts."""
        return 2 if self.num_special_tokens == 16 else 1

    def prompt_id(self, task_name: str) -> int:
        """Row of the prompt of a task.

        Args:
            task_name: a name in `TASKS`, or "custom" for a region that the user drew.

        Raises:
            ValueError: no such task, or this vocabulary has no prompts.
        """
        slots = LAYOUTS[self.layout]
        if task_name not in slots:
            raise ValueError(f"Unknown task {task_name!r}; known tasks: {', '.join(slots)}.")
        if self.num_special_tokens == 1:
            raise ValueError("This vocabulary holds [MASK] only (num_special_tokens=1): it has no task prompts.")
        return self.size + slots[task_name]

    def class_ids(self, labels: Any) -> Any:
        """Rows of class labels.

        Args:
            labels: an int or ints of any shape, in [0, num_classes); -1 stands for "no class".

        Returns:
            int32 tensor of the same shape. Values that are known only when a compiled program runs
            cannot raise; those out of range become "no class".

        Raises:
            ValueError: a label is out of range, or no whole number.

        Example:
            >>> from magvit_keras.commit.vocabulary import Vocabulary
            >>> [int(row) for row in Vocabulary(1024, 101).class_ids([0, 100, -1])]
            [1024, 1124, 1125]
        """
        values = _concrete(labels)
        if values is not None and values.size and (values.min() < -1 or values.max() >= self.num_classes):
            raise ValueError(
                f"Expected labels in [0, {self.num_classes}), or -1 for no class; "
                f"received {values.min()} to {values.max()}."
            )
        labels = ops.cast(ops.convert_to_tensor(labels if values is None else values), "int32")
        in_range = ops.logical_and(labels >= 0, labels < self.num_classes)
        return ops.where(in_range, labels + self.codebook_size, self.no_class_id)

    def prefix(self, prompt_ids: Any, class_ids: Any) -> Any:
        """The tokens before the latents: [task prompt, class], or [class] where there are no prompts.

        Args:
            prompt_ids: (B,) int32 rows of `prompt_id`; ignored where the vocabulary has no prompts.
            class_ids: (B,) int32 rows of `class_ids`.

        Returns:
            (B, prefix_length) int32.
        """
        columns = [class_ids] if self.prefix_length == 1 else [prompt_ids, class_ids]
        return ops.stack([ops.cast(column, "int32") for column in columns], axis=1)

    def with_condition(self, prefix: Any, condition_ids: Any, ispad: Any) -> Any:
        """The prefix with the condition's tokens after it, the baseline "prefix condition" of Table 5.

        Args:
            prefix: (B, prefix_length) int32.
            condition_ids: (B,N) int32 tokens of the condition clip.
            ispad: (B,N) bool, True where they show padding only; `[PAD]` stands there.

        Returns:
            (B, prefix_length + N) int32.

        Raises:
            ValueError: the vocabulary holds `[MASK]` only.

        Example:
            >>> from magvit_keras.commit.vocabulary import Vocabulary
            >>> vocabulary = Vocabulary(codebook_size=8, num_classes=0)
            >>> np.asarray(vocabulary.with_condition([[21, 8]], [[5, 3]], [[False, True]])).tolist()
            [[21, 8, 5, 10]]
        """
        if self.num_special_tokens == 1:
            raise ValueError("This vocabulary holds [MASK] only (num_special_tokens=1): it has no [PAD].")
        ispad = ops.convert_to_tensor(ispad, "bool")
        shown = ops.where(ispad, self.size + PAD, ops.cast(condition_ids, "int32"))
        return ops.concatenate([ops.cast(prefix, "int32"), shown], axis=1)


def _concrete(labels: Any) -> np.ndarray | None:
    """The values as whole numbers in a NumPy array, or None inside a compiled program, where there are none yet."""
    try:
        values = np.asarray(labels)
    except (TypeError, NotImplementedError, RuntimeError, ValueError):
        return None
    if values.dtype.kind == "f":  # as tables and text files hold them
        between = values[values != np.round(values)]
        if between.size:
            raise ValueError(f"Expected labels that are whole numbers; received {between[0]}.")
        return values.astype("int64")
    return values if values.dtype.kind in "iub" else None
