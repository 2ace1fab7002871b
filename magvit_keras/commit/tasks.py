"""The ten tasks (Sec. 3.2 and App. B.1): what is given, and how the rest of the condition clip is filled."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

# The region of the clip that a task talks about, in space. "all" is the whole frame.
REGIONS = ("all", "central", "vertical", "horizontal", "moving_vertical", "moving_central")
_IN_WORDS = {
    "central": "a box in the middle",
    "vertical": "an upright strip of half the width",
    "horizontal": "a band of half the height",
    "moving_vertical": "an upright strip that moves from left to right",
    "moving_central": "a box that moves from left to right",
}
# How the pixels that are not given are filled before the condition clip is tokenized.
PADDINGS = ("replicate", "interpolate", "edge", "zero")


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: which pixels are given, and how the rest of the condition clip is padded (App. B.1).

    A task is data, not code: `conditions.condition_plan` turns it into index tables, so that a
    compiled program takes any task, and any mix of tasks in a batch, without a new trace.

    Args:
        name: the name that users type, also the name of its prompt in the `Vocabulary`.
        region: one of `REGIONS`, the part of each frame that is meant; "vertical" is a strip of half the
            width, "horizontal" of half the height, "central" a box of half of both; the "moving" ones
            travel from the left edge to the right edge during the clip.
        inside: True if the pixels inside the region are given (outpainting), False if those outside
            are (inpainting).
        padding: one of `PADDINGS`.
        num_condition_frames: frames given at the start of the clip; 0 if the task gives no whole frames.
        num_final_frames: frames given at the end of the clip.
        needs_class: whether the class label is part of the condition.
        mask_share: share of the tokens that are `[MASK]` at mask ratio 1, for a clip of the paper's shape.

    Example:
        >>> from magvit_keras.commit.tasks import TASKS
        >>> TASKS["frame_prediction"].with_frames(5).num_condition_frames
        5

    Reference: Sec. 3.2 "Task prompts", App. B.1, Fig. 9.
    """

    name: str
    region: str = "all"
    inside: bool = True
    padding: str = "zero"
    num_condition_frames: int = 0
    num_final_frames: int = 0
    needs_class: bool = False
    mask_share: float = 1.0

    def __post_init__(self):
        """Refuses unknown regions and paddings."""
        if self.region not in REGIONS:
            raise ValueError(f"Unknown region {self.region!r}; known regions: {', '.join(REGIONS)}.")
        if self.padding not in PADDINGS:
            raise ValueError(f"Unknown padding {self.padding!r}; known paddings: {', '.join(PADDINGS)}.")

    @property
    def is_unconditional(self) -> bool:
        """True if no pixel is given: only the class, if any, steers the clip."""
        return self.region == "all" and self.num_condition_frames == 0 and self.num_final_frames == 0

    def in_words(self, num_frames: int) -> str:
        """One sentence on what is given and what is made, for a clip of this many frames.

        Example:
            >>> from magvit_keras.commit.tasks import TASKS
            >>> TASKS["frame_interpolation"].in_words(16)
            'The first frame and the last frame are given, the other 14 frames are made.'
        """
        if self.region != "all":
            where = _IN_WORDS[self.region]
            if self.inside:
                return f"{where[0].upper()}{where[1:]} is given, the rest is made."
            return f"Everything is given but {where}, which is made."
        frames = {"first": self.num_condition_frames, "last": self.num_final_frames}
        given = ["the class"] * self.needs_class
        given += [
            f"the {name} {f'{count} frames' if count > 1 else 'frame'}" for name, count in frames.items() if count
        ]
        made = num_frames - sum(frames.values())
        text = " and ".join(given) or "nothing"
        verb = "are" if len(given) > 1 or frames["first"] > 1 else "is"
        rest = f"all {made}" if made == num_frames else f"the other {made}"
        return f"{text[0].upper()}{text[1:]} {verb} given, {rest} frames are made."

    def with_frames(self, num_condition_frames: int, num_final_frames: int | None = None) -> "Task":
        """The same task with another number of given frames (1 on BAIR, 5 on Kinetics-600).

        Args:
            num_condition_frames: frames given at the start, at least 1.
            num_final_frames: frames given at the end; by default as many as at the start
                if the task gives final frames at all.

        Returns:
            A new `Task` of the same name.

        Raises:
            ValueError: the task gives no whole frames, or the number is below 1.
        """
        if self.num_condition_frames == 0:
            raise ValueError(f"The task {self.name!r} gives no whole frames; it has no number of them to change.")
        if num_final_frames is None:
            num_final_frames = num_condition_frames if self.num_final_frames else 0
        if num_condition_frames < 1 or num_final_frames < 0:
            raise ValueError(f"Expected at least 1 given frame, received {num_condition_frames}, {num_final_frames}.")
        return dataclasses.replace(self, num_condition_frames=num_condition_frames, num_final_frames=num_final_frames)


def _table(*tasks: Task) -> dict[str, Task]:
    return {task.name: task for task in tasks}


# In the order of App. B.1: eight without a class (BAIR multi-task), then the two with one (SSv2: all ten).
TASKS: dict[str, Task] = _table(
    Task("frame_prediction", padding="replicate", num_condition_frames=1, mask_share=0.75),
    Task("frame_interpolation", padding="interpolate", num_condition_frames=1, num_final_frames=1, mask_share=0.5),
    Task("central_outpainting", region="central", padding="edge", mask_share=0.75),
    Task("vertical_outpainting", region="vertical", padding="edge", mask_share=0.5),
    Task("horizontal_outpainting", region="horizontal", padding="edge", mask_share=0.5),
    Task("dynamic_outpainting", region="moving_vertical", mask_share=0.5),
    Task("central_inpainting", region="central", inside=False, mask_share=0.25),
    Task("dynamic_inpainting", region="moving_central", inside=False, mask_share=0.25),
    Task("class_conditional_generation", needs_class=True),
    Task(
        "class_conditional_frame_prediction",
        padding="replicate",
        num_condition_frames=1,
        needs_class=True,
        mask_share=0.75,
    ),
)

# The name under which a region that the user drew has its prompt; it is no row of TASKS.
CUSTOM_TASK = "custom"


def named_tasks(tasks: Iterable[str | Task]) -> dict[str, Task]:
    """Tasks by name.

    Raises:
        ValueError: there is none, no task has a name, or two different ones have the same.

    Example:
        >>> from magvit_keras.commit.tasks import named_tasks
        >>> list(named_tasks(["frame_prediction", "central_inpainting"]))
        ['frame_prediction', 'central_inpainting']
    """
    found: dict[str, Task] = {}
    for task in map(get_task, tasks):
        if found.get(task.name, task) != task:
            raise ValueError(f"Two tasks are called {task.name!r}; dataclasses.replace(task, name=...) renames one.")
        found[task.name] = task
    if not found:
        raise ValueError(f"tasks is empty; expected names among {', '.join(TASKS)}.")
    return found


def check_task_weights(weights: Sequence[float], count: int) -> None:
    """Raises ValueError unless these are `count` finite numbers of at least 0, one of them above."""
    if len(weights) != count or not all(0 <= weight < math.inf for weight in weights) or not sum(weights):
        raise ValueError(
            f"task_weights must be {count} numbers of at least 0, not all of them 0; received {list(weights)}."
        )


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

    Args:
        task: one of the names in `TASKS`, or a `Task`.

    Raises:
        ValueError: no task has this name; the message lists the known ones.

    Example:
        >>> from magvit_keras.commit.tasks import get_task
        >>> get_task("central_inpainting").padding
        'zero'
    """
    if isinstance(task, Task):
        return task
    if not isinstance(task, str) or task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; known tasks: {', '.join(TASKS)}.")
    return TASKS[task]
