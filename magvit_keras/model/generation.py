"""Clips from a trained `Magvit`: condition, tokens, Algorithm 1, pixels, as one compiled program."""

import math
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from magvit_keras import backend
from magvit_keras.checks import check_numbers, check_positive, to_float, to_numpy
from magvit_keras.commit.conditions import ConditionPlan, apply_plan
from magvit_keras.commit.tasks import Task
from magvit_keras.decoding.autoregressive import decode_autoregressive
from magvit_keras.decoding.commit_decoding import DecodingSteps, decode
from magvit_keras.decoding.halton import halton_order
from magvit_keras.decoding.noise import clip_seeds
from magvit_keras.decoding.sampling import check_filters
from magvit_keras.decoding.schedules import get_schedule
from magvit_keras.model.details import put_back
from magvit_keras.model.generation_inputs import (
    as_clips,
    check_guidance,
    class_rows,
    given_clips,
    number_of_clips,
    task_and_plan,
)

#: How tokens are decoded; the first three from the same trained weights.
DECODERS = {
    "commit": "Algorithm 1: condition tokens are refined with the rest (the paper)",
    "maskgit": "MaskGIT: condition tokens are kept as they are",
    "halton": "Algorithm 1, but tokens become known in the order of a Halton sequence instead of by confidence",
    "autoregressive": "token by token, with a causal transformer",
}


class Generation(NamedTuple):
    """What `generate(..., return_details=True)` returns; K steps.

    Attributes:
        video: (B, T, H, W, 3) float32 in [0, 1].
        tokens: (B, t, h, w) int32.
        condition_video: (B, T, H, W, 3) float32, the padded condition clip; zeros where nothing is given.
        ispad: (B, t, h, w) bool, True where the condition token shows padding only.
        steps: `DecodingSteps`; each field (K, B, t, h, w).
    """

    video: np.ndarray
    tokens: np.ndarray
    condition_video: np.ndarray
    ispad: np.ndarray
    steps: DecodingSteps


class GenerationStep(NamedTuple):
    """What `generate(..., on_step=...)` hands over after each decoding step.

    Attributes:
        video: (B, T, H, W, 3) float32 in [0, 1], the tokens of this step as pixels.
        tokens: (B, t, h, w) int32.
        unknown: (B, t, h, w) bool, True where the next step predicts the token again.
        number: of this step, from 1.
        count: of all steps.
    """

    video: np.ndarray
    tokens: np.ndarray
    unknown: np.ndarray
    number: int
    count: int


class Generates:
    """The part of `Magvit` that makes clips."""

    def condition(self, task: str | Task, video: Any, fill: float | None = 0.5) -> np.ndarray:
        """What a task is given of clips.

        Args:
            task: a task name or `Task`.
            video: (B, T, H, W, 3), uint8 or floats in [0, 1], as for `generate`.
            fill: the value of pixels that are not given, grey by default; None for the task's own padding, which the
                model is shown.

        Returns:
            (B, T, H, W, 3) float32 in [0, 1].

        Raises:
            ValueError: unknown task, or a clip that does not fit.
        """
        task, plan = task_and_plan(self, task, None, None)
        clips = given_clips(self, task, as_clips(video), drawn=False)
        if fill is None:
            return to_numpy(apply_plan(clips, plan))
        return np.where(plan.is_condition[..., None], clips, np.float32(fill))

    def generate(
        self,
        task: str | Task | None = None,
        *,
        video: Any = None,
        label: Any = None,
        num_clips: int | None = None,
        condition_mask: Any = None,
        num_condition_frames: int | None = None,
        decoder: str | None = None,
        num_steps: int = 12,
        num_revisions: int = 0,
        temperature: float = 4.5,
        schedule: str = "cosine",
        guidance_scale: float = 0.0,
        token_temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        keep_condition: bool | str = False,
        return_details: bool = False,
        max_batch_size: int = 16,
        verbose: int = 0,
        on_step: Callable[[GenerationStep], Any] | None = None,
    ) -> np.ndarray | Generation:
        """Makes clips for a task by non-autoregressive decoding (Algorithm 1).

        Args:
            task: a task name or `Task`; may be left out with `condition_mask`, or if the model has one task only.
            video: (B, T, H, W, 3), uint8 or floats in [0, 1]: what the task's condition is cut from. Frame prediction
                needs the given frames only, so a shorter clip will do there.
            label: classes, needed by the tasks with one: (B,), or one for all, as numbers or as names of `class_names`;
                or rows (B, classes) with a single 1.
            num_clips: how many clips to make where neither `video` nor a list of labels says it.
            condition_mask: (T, H, W) or (B, T, H, W), 1 where a pixel is given: a region that the user drew. The
                transformer sees tokens all of whose pixels are given.
            num_condition_frames: given frames, for tasks that give whole frames; not with `condition_mask`.
            decoder: one of `DECODERS`; by default the one that the model was trained for.
            num_steps: decoding steps K; autoregressive decoding takes as many as there are tokens, whatever this says.
            num_revisions: rounds after these steps that predict the tokens again, half of them from the other half and
                the other way round: two steps more each. What was drawn at once and does not fit together is mended; 0
                is Algorithm 1 as it stands. Not for autoregressive decoding.
            temperature: of the noise on the confidence of the tokens, at least 0.
            schedule: mask schedule, see `decoding.schedules`.
            guidance_scale: classifier-free guidance; 0 is off. The model must have been trained with `class_dropout`.
            token_temperature: of the token draws; 0 takes the most likely token.
            top_k: draw from the k most likely tokens only.
            top_p: draw from the most likely tokens of this total probability only.
            seed: an int. The same seed gives the same clip on every backend, in every batch.
            keep_condition: True puts the given pixels back into the result; "details" also carries what the tokens lose
                of them on to other frames, where the clip stands still.
            return_details: also return tokens, condition and every decoding step.
            max_batch_size: larger batches are split.
            verbose: 1 shows a progress bar.
            on_step: called with a `GenerationStep` after each decoding step, to watch how clips come about; what it
                raises stops the work. The result is the same. Not with `return_details`, nor autoregressive decoding.

        Returns:
            (B, T, H, W, 3) float32 in [0, 1], or a `Generation`.

        Raises:
            ValueError: unknown task, label or clip missing or not fitting; before anything is compiled.

        Reference:
            MAGVIT (arXiv 2212.05199), Algorithm 1; revisions: Draft-and-Revise (arXiv 2206.04452).
        """
        check_positive(num_steps=num_steps, max_batch_size=max_batch_size)
        check_numbers(0, temperature=temperature, token_temperature=token_temperature, guidance_scale=guidance_scale)
        check_filters(top_k, top_p)
        get_schedule(schedule)
        if not isinstance(keep_condition, bool | np.bool_) and keep_condition != "details":
            raise ValueError(f'keep_condition must be True, False or "details"; received {keep_condition!r}.')
        decoder = _decoder(self, decoder)
        whole = isinstance(num_revisions, int | np.integer)
        if not whole or num_revisions < 0 or (num_revisions and decoder == "autoregressive"):
            raise ValueError(
                "num_revisions must be 0 with autoregressive decoding, and at least 0 with others; "
                f"received {num_revisions} for {decoder!r}."
            )
        if on_step is not None and (return_details or decoder == "autoregressive"):
            raise ValueError("on_step goes neither with return_details nor with autoregressive decoding.")
        task, plan = task_and_plan(self, task, condition_mask, num_condition_frames)
        video = None if video is None else as_clips(video)
        reads_pixels = bool(np.any(plan.is_condition))
        size = number_of_clips(video, label, num_clips, condition_mask)
        clips = given_clips(self, task, video, condition_mask is not None) if reads_pixels else None
        classes = class_rows(self, task, label, size)
        check_guidance(self, task, guidance_scale)
        vocabulary = self.vocabulary
        prompt = vocabulary.prompt_id(task.name) if vocabulary.prefix_length == 2 else 0
        if plan.rows.ndim == 1:
            plan = ConditionPlan(*(np.broadcast_to(table, (size, *table.shape)) for table in plan))
        rows = {
            "seeds": to_numpy(clip_seeds(seed, size)),
            "prefix": to_numpy(vocabulary.prefix(np.full(size, prompt, "int32"), classes)),
            "plan": plan,
            **({"video": clips} if reads_pixels else {}),
        }
        scalars = {
            "temperature": np.float32(temperature),
            "token_temperature": np.float32(token_temperature),
            "guidance_scale": np.float32(guidance_scale),
        }
        static = (decoder, num_steps, num_revisions, schedule, top_k, top_p, bool(guidance_scale), return_details)
        reference = weakref.ref(self)  # the compiled program is cached by the model and must not keep it alive

        def program(rows: dict, scalars: dict) -> dict:
            return _generate_batch(reference(), rows, scalars, *static)

        results, progress = [], keras.utils.Progbar(size, verbose=verbose, unit_name="clip")
        for start in range(0, size, max_batch_size):
            chosen = np.arange(start, min(start + max_batch_size, size))
            # A split batch is filled up, so that all parts have one shape and run one program.
            filled = np.resize(chosen, max_batch_size) if size > max_batch_size else chosen
            part = keras.tree.map_structure(lambda table, filled=filled: table[filled], rows)
            if on_step is None:
                made = backend.run_compiled(self, ("generate", static, reads_pixels), program, part, scalars)
            else:
                made = _step_by_step(self, part, scalars, static, len(chosen), bool(keep_condition), on_step)
            made = {k: to_numpy(v) for k, v in made.items()}
            results.append({k: v.take(np.arange(len(chosen)), axis=_clip_axis(k)) for k, v in made.items()})
            progress.update(chosen[-1] + 1)
        made = {k: np.concatenate([r[k] for r in results], axis=_clip_axis(k)) for k in results[0]}
        if keep_condition and reads_pixels:
            made["video"] = put_back(made["video"], clips, plan.is_condition, keep_condition == "details")
        if not return_details:
            return made["video"]
        return _details(self, made, plan)


def _generate_batch(
    magvit: Any,
    rows: dict,
    scalars: dict,
    decoder: str,
    num_steps: int,
    num_revisions: int,
    schedule: str,
    top_k: int | None,
    top_p: float | None,
    guided: bool,
    return_details: bool,
    at: tuple | None = None,
) -> dict:
    """The compiled part: rows of one batch in, pixels (and details) out; or with `at` those of a single step."""
    size = rows["prefix"].shape[0]
    plan = ConditionPlan(*rows["plan"])
    tokenizer, transformer, vocabulary = magvit.tokenizer, magvit.transformer, magvit.vocabulary
    ispad = ops.reshape(plan.ispad, (size, -1))  # (B, N)
    condition_video, condition_ids = None, rows.get("condition_ids")
    if condition_ids is None:
        condition_video, condition_ids = _condition(magvit, rows)

    def predictor(prefix: Any) -> Any:
        before = magvit.full_prefix(prefix, condition_ids, ispad)
        return lambda ids: transformer.codebook_logits(ops.concatenate([before, ids], axis=1))

    no_class = ops.full((size,), vocabulary.no_class_id, dtype="int32")
    blind = vocabulary.prefix(rows["prefix"][:, 0], no_class)
    options = {
        "mask_id": vocabulary.mask_id,
        "token_temperature": scalars["token_temperature"],
        "top_k": top_k,
        "top_p": top_p,
        "guidance_scale": scalars["guidance_scale"],
        "seed": rows["seeds"],
        "codebook_factors": transformer.codebook_factors,
        "return_steps": return_details,
    }
    if decoder == "autoregressive":
        made = decode_autoregressive(
            transformer.next_logits,
            transformer.empty_cache(size),
            rows["prefix"],
            condition_ids,
            ops.logical_not(ispad),
            unconditional_prefix=blind if guided else None,
            unconditional_cache=transformer.empty_cache(size) if guided else None,
            **options,
        )
    else:
        made = decode(
            predictor(rows["prefix"]),
            condition_ids,
            ispad,
            num_steps=num_steps,
            num_revisions=num_revisions,
            schedule=schedule,
            temperature=scalars["temperature"],
            predict_unconditional=predictor(blind) if guided else None,
            condition_mode="latent" if decoder == "maskgit" else magvit.condition_mode,
            order=halton_order(magvit.latent_shape) if decoder == "halton" else None,
            at=at,
            **options,
        )
    ids = made.ids if return_details else made if at is None else made[0]
    video = tokenizer.decode(ops.reshape(ids, (size, *magvit.latent_shape)), check=False)
    result = {"video": video}
    if at is not None:
        return result | {"ids": ids, "unknown": made[1]}
    if return_details:
        if condition_video is None:
            condition_video = ops.zeros_like(result["video"])
        result |= {"condition_video": condition_video, **made._asdict()}
    return result


def _condition(magvit: Any, rows: dict) -> tuple[Any, Any]:
    """The condition clips (None where no pixel is given) and their tokens z~ (B, N)."""
    plan = ConditionPlan(*rows["plan"])
    size = plan.ispad.shape[0]
    if "video" not in rows:
        return None, ops.zeros((size, math.prod(magvit.latent_shape)), dtype="int32")
    clips = apply_plan(to_float(rows["video"]), plan)
    return clips, ops.reshape(magvit.tokenizer.encode(clips, check=False), (size, -1))


def _step_by_step(
    magvit: Any, rows: dict, scalars: dict, static: tuple, size: int, keep_condition: bool, on_step: Callable
) -> dict:
    """A batch as `_generate_batch` makes it, by two small programs: the condition once, then step after step."""
    reference = weakref.ref(magvit)

    def condition(rows: dict) -> Any:
        return _condition(reference(), rows)[1]

    def one_step(rows: dict, scalars: dict, at: tuple) -> dict:
        return _generate_batch(reference(), rows, scalars, *static, at=at)

    condition_ids = backend.run_compiled(magvit, ("condition", "video" in rows), condition, rows)
    clips, keeps = rows.get("video"), rows["plan"].is_condition[..., None] & keep_condition
    rows = {**{k: v for k, v in rows.items() if k != "video"}, "condition_ids": condition_ids}
    _, num_steps, num_revisions, *_ = static
    count = num_steps + 2 * num_revisions
    ids, unknown = np.zeros(condition_ids.shape, "int32"), np.ones(condition_ids.shape, bool)
    for step in range(count):
        at = (np.int32(step), ids, unknown)
        made = backend.run_compiled(magvit, ("step", static), one_step, rows, scalars, at)
        ids, unknown = made["ids"], made["unknown"]
        shown = {name: to_numpy(value) for name, value in made.items()}
        video = shown["video"] if clips is None else np.where(keeps, clips, shown["video"])
        tokens, again = (shown[name].reshape(-1, *magvit.latent_shape)[:size] for name in ("ids", "unknown"))
        on_step(GenerationStep(video[:size], tokens, again & (step + 1 < count), step + 1, count))
    return {"video": made["video"]}


def _decoder(magvit: Any, decoder: str | None) -> str:
    causal = magvit.transformer.causal
    if decoder is None:
        return "autoregressive" if causal else "commit"
    if decoder not in DECODERS:
        raise ValueError(f"Unknown decoder {decoder!r}; expected one of {', '.join(DECODERS)}.")
    if causal != (decoder == "autoregressive"):
        kind = "causal" if causal else "masked"
        raise ValueError(f"The decoder {decoder!r} does not fit this model's {kind} transformer.")
    return decoder


def _clip_axis(name: str) -> int:
    """The axis of the clips: steps come before clips."""
    return 1 if name in DecodingSteps._fields and name != "ids" else 0


def _details(magvit: Any, made: dict, plan: ConditionPlan) -> Generation:
    steps = {k: made[k].reshape((*made[k].shape[:-1], *magvit.latent_shape)) for k in DecodingSteps._fields}
    return Generation(made["video"], steps["ids"], made["condition_video"], plan.ispad, DecodingSteps(**steps))
