"""Magvit: training and generation, each fact on a tiny model."""

import inspect
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from magvit_keras.commit.tasks import TASKS
from magvit_keras.model.magvit import Magvit
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.transformer.masked_transformer import MaskedTransformer

RNG = np.random.default_rng(0)
CLIPS = RNG.random((4, 4, 8, 8, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 0])
ALL = tuple(TASKS)
TWO = ("frame_prediction", "class_conditional_generation")


def build(tasks=TWO, **options):
    keras.utils.set_random_seed(0)
    tokenizer = VideoTokenizer(32, (1, 2), (True,), 1, embedding_dim=8, codebook_size=64)
    transformer = MaskedTransformer(
        64, num_classes=3, latent_shape=(2, 4, 4), num_layers=1, hidden_size=32, num_heads=2, mlp_dim=64, dropout=0.0
    )
    magvit = Magvit(tokenizer, transformer, tasks, **options)
    magvit.compile(optimizer=keras.optimizers.Adam(3e-3))
    return magvit


@pytest.fixture(scope="module")
def magvit():
    return build(ALL, class_dropout=0.1)


@pytest.fixture(scope="module")
def tokens(magvit):
    return magvit.tokenize({"video": CLIPS, "label": LABELS}, batch_size=3)


def test_fit_on_clips_logs_every_part(magvit):
    history = magvit.fit({"video": CLIPS, "label": LABELS}, batch_size=2, verbose=0).history
    assert set(history) == set(magvit.log_names) > set(Magvit.log_names)
    assert np.isfinite(history["loss"][0])


def test_fit_accepts_tuples(magvit):
    assert magvit.fit(CLIPS, LABELS, batch_size=2, verbose=0).history["loss"]


def test_fit_leaves_the_tokenizer_alone(magvit, tokens):
    before = magvit.tokenizer.get_weights()
    magvit.fit(tokens, batch_size=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, magvit.tokenizer.get_weights(), strict=True))


def test_tokenizer_can_still_be_trained_by_itself():
    magvit = build()
    assert magvit.tokenizer.trainable_variables
    assert not {id(v) for v in magvit.trainable_variables} & {id(v) for v in magvit.tokenizer.variables}


def test_fit_on_tokens_learns_them():
    magvit = build(("class_conditional_generation",))
    tokens = magvit.tokenize({"video": CLIPS[:2], "label": LABELS[:2]})
    history = magvit.fit(
        {k: np.repeat(v, 16, axis=0) for k, v in tokens.items()}, batch_size=16, epochs=50, verbose=0
    ).history
    assert history["mask_loss"][-1] < 0.5 * history["mask_loss"][0]


def test_fit_on_batches_of_cached_tokens_does_not_run_the_tokenizer(magvit, tokens, monkeypatch):
    from magvit_keras.data.token_cache import TokenBatches

    def refuse(*_):
        raise AssertionError("the tokenizer was run")

    for name in ("encode", "latents", "reconstruct"):
        monkeypatch.setattr(VideoTokenizer, name, refuse)
    batches = TokenBatches(tokens, batch_size=2, steps_per_epoch=2)
    assert np.isfinite(magvit.fit(batches, verbose=0).history["loss"][0])


def test_fit_on_a_loader(magvit):
    from magvit_keras.data import MovingShapes

    clips = MovingShapes(4, num_frames=4, size=(8, 8), shapes=("circle",), motions=("orbit", "spin", "pulse"))
    assert np.isfinite(magvit.fit(clips.loader(batch_size=2), verbose=0).history["loss"][0])


def test_tokens_are_those_of_the_tokenizer(magvit, tokens):
    np.testing.assert_array_equal(tokens["tokens"], ops.convert_to_numpy(magvit.tokenizer.encode(CLIPS)))
    assert tokens["condition_tokens"].shape == (4, len(TASKS), 2, 4, 4)


def test_frame_prediction_condition_tokens_repeat_the_first_frame(magvit, tokens):
    still = np.repeat(CLIPS[:, :1], 4, axis=1)
    expected = ops.convert_to_numpy(magvit.tokenizer.encode(still))
    np.testing.assert_array_equal(tokens["condition_tokens"][:, ALL.index("frame_prediction")], expected)


def test_a_task_of_weight_zero_is_never_drawn():
    magvit = build(TWO, task_weights=(1, 0))
    task = ops.convert_to_numpy(magvit._draw_tasks(64))
    assert set(task.tolist()) == {0}


def test_all_tasks_are_drawn(magvit):
    assert set(ops.convert_to_numpy(magvit._draw_tasks(400)).tolist()) == set(range(10))


@pytest.mark.parametrize("task", ALL)
def test_generate_every_task(magvit, task):
    video = magvit.generate(task, video=CLIPS[:2], label=LABELS[:2], num_steps=2)
    assert video.shape == (2, 4, 8, 8, 3)
    assert video.dtype == np.float32
    assert 0 <= video.min() <= video.max() <= 1


def test_same_seed_same_clip_and_other_seed_another(magvit):
    first, again, other = (
        magvit.generate("class_conditional_generation", label=1, num_clips=2, num_steps=2, seed=s) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_split_batch_gives_the_same_clips(magvit):
    whole = magvit.generate("frame_prediction", video=CLIPS[:3], num_steps=2)
    split = magvit.generate("frame_prediction", video=CLIPS[:3], num_steps=2, max_batch_size=2)
    np.testing.assert_allclose(split, whole, atol=1e-4)


def test_frame_prediction_needs_the_given_frames_only(magvit):
    whole = magvit.generate("frame_prediction", video=CLIPS[:1], num_steps=2)
    np.testing.assert_allclose(magvit.generate("frame_prediction", video=CLIPS[:1, :1], num_steps=2), whole, atol=1e-5)


def test_keep_condition_puts_the_given_pixels_back(magvit):
    video = magvit.generate("frame_prediction", video=CLIPS[:1], num_steps=2, keep_condition=True)
    np.testing.assert_array_equal(video[:, 0], CLIPS[:1, 0])


def test_keep_condition_refuses_what_it_does_not_know(magvit):
    with pytest.raises(ValueError, match="keep_condition must be True, False or \"details\"; received 'all'"):
        magvit.generate("frame_prediction", video=CLIPS[:1], keep_condition="all")


def test_details_show_every_step(magvit):
    made = magvit.generate("frame_prediction", video=CLIPS[:2], num_steps=3, return_details=True)
    unknown = made.steps.unknown.reshape(3, 2, -1).sum(-1)
    assert made.tokens.shape == (2, 2, 4, 4)
    assert (unknown[0] == 32).all() and (np.diff(unknown, axis=0) < 0).all()
    np.testing.assert_allclose(made.condition_video, np.repeat(CLIPS[:2, :1], 4, axis=1), atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"task": "dynamic_inpainting", "video": CLIPS[:2], "num_revisions": 1, "keep_condition": True},
        {"task": "class_conditional_generation", "label": [0, 1], "guidance_scale": 2.0, "decoder": "halton"},
        {"task": "frame_prediction", "video": CLIPS[:2], "decoder": "maskgit"},
    ],
)
def test_step_by_step_the_clip_is_the_same(magvit, given):
    seen = []
    made = magvit.generate(**given, num_steps=3, on_step=seen.append)
    np.testing.assert_allclose(made, magvit.generate(**given, num_steps=3), atol=1e-5)
    assert [step.number for step in seen] == list(range(1, seen[0].count + 1))
    assert seen[0].unknown.sum() > seen[1].unknown.sum() > 0
    assert not seen[-1].unknown.any() and seen[-1].tokens.shape == (2, *magvit.latent_shape)


def test_steps_are_handed_over_before_the_clip_is_done(magvit):
    def stop(step):
        raise KeyboardInterrupt(f"after {step.number}")

    with pytest.raises(KeyboardInterrupt, match="after 1"):
        magvit.generate("frame_prediction", video=CLIPS[:1], num_steps=3, on_step=stop)


def test_drawn_region(magvit):
    mask = np.zeros((4, 8, 8))
    mask[:, :, :4] = 1
    made = magvit.generate(video=CLIPS[:1], condition_mask=mask, num_steps=2, keep_condition=True, return_details=True)
    np.testing.assert_array_equal(made.video[..., :4, :], CLIPS[:1, ..., :4, :])
    assert not made.ispad[..., :2].any() and made.ispad[..., 2:].all()


def test_pixels_of_a_region_without_a_whole_token_are_kept_with_a_warning(magvit):
    mask = np.zeros((4, 8, 8))
    mask[::2] = 1  # every other frame, of tokens of two frames
    with pytest.warns(UserWarning, match=r"no whole token \(2x2x2 pixels\)"):
        made = magvit.generate(video=CLIPS[:1], condition_mask=mask, num_steps=2, keep_condition=True)
    np.testing.assert_array_equal(made[:, ::2], CLIPS[:1, ::2])


def test_generate_from_uint8_equals_floats(magvit):
    clip = (CLIPS[:1] * 255).astype("uint8")
    from_uint8 = magvit.generate("frame_prediction", video=clip, num_steps=2)
    np.testing.assert_allclose(
        from_uint8, magvit.generate("frame_prediction", video=clip.astype("float32") / 255, num_steps=2), atol=1e-5
    )


def test_another_task_seed_or_temperature_is_no_new_trace(magvit, monkeypatch):
    from magvit_keras.model import generation

    traces = []
    original = generation._generate_batch
    monkeypatch.setattr(generation, "_generate_batch", lambda *args: traces.append(1) or original(*args))
    for i, task in enumerate(("frame_prediction", "central_inpainting", "dynamic_outpainting")):
        magvit.generate(task, video=CLIPS[:1], num_steps=5, temperature=1.0 + i, seed=i)
    # PyTorch runs the program itself each time; the others run what they traced once.
    assert len(traces) == (3 if keras.config.backend() == "torch" else 1)


def test_preset_folder_round_trip(magvit, tmp_path):
    magvit.save_to_preset(tmp_path / "preset")
    loaded = Magvit.from_preset(tmp_path / "preset")
    options = {"video": CLIPS[:1], "num_steps": 2}
    np.testing.assert_array_equal(
        loaded.generate("frame_prediction", **options), magvit.generate("frame_prediction", **options)
    )


def test_a_preset_is_loaded_in_the_precision_that_is_set_now(magvit, tmp_path):
    """Whatever it was saved in, and all its parts."""
    magvit.save_to_preset(tmp_path / "preset")

    def precisions(**options):
        made = Magvit.from_preset(tmp_path / "preset", **options)
        return {part.dtype_policy.name for part in (made, made.tokenizer.encoder, made.transformer)}

    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        assert precisions() == {"mixed_bfloat16"}
        Magvit.from_preset(tmp_path / "preset").save_to_preset(tmp_path / "half")
    finally:
        keras.config.set_dtype_policy(before)
    half = Magvit.from_preset(tmp_path / "half")
    assert half.tokenizer.dtype_policy.name == "float32"
    assert precisions() == {"float32"} and precisions(dtype="mixed_bfloat16") == {"mixed_bfloat16"}


def test_tokens_of_pixels_that_are_not_looked_at_are_the_same(magvit, monkeypatch):
    """On PyTorch a look would copy them from the device to the host."""
    expected = ops.convert_to_numpy(magvit.tokenizer.encode(CLIPS))
    pixels = ops.convert_to_numpy(magvit.tokenizer.decode(expected))
    monkeypatch.setattr(magvit.tokenizer, "check_pixels", None)
    np.testing.assert_array_equal(ops.convert_to_numpy(magvit.tokenizer.encode(CLIPS, check=False)), expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(magvit.tokenizer.decode(expected, check=False)), pixels)


def test_keras_file_round_trip(magvit, tmp_path):
    magvit.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    options = {"video": CLIPS[:1], "num_steps": 2}
    np.testing.assert_array_equal(
        loaded.generate("frame_prediction", **options), magvit.generate("frame_prediction", **options)
    )


def test_builtin_preset_has_the_papers_shapes():
    config = Magvit._preset_table["magvit_base_bair_fp"]["config"]
    assert config["transformer"]["config"]["num_layers"] == 12
    assert "BAIR" in Magvit.presets["magvit_base_bair_fp"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "frame_predition"}, "Unknown task 'frame_predition'; known tasks"),
        ({"task": "frame_prediction"}, "continues a clip: give video"),
        ({"task": "frame_prediction", "video": CLIPS[0]}, r"received the shape \(4, 8, 8, 3\)"),
        ({"task": "frame_prediction", "video": CLIPS * 255}, "Divide by 255"),
        (
            {"task": "frame_prediction", "video": CLIPS[:, :, :4]},
            "1 to 4 frames of 8x8; received 4 frames of 4x8",
        ),
        ({"task": "frame_interpolation", "video": CLIPS[:, :2]}, "needs 4 frames of 8x8; received 2"),
        ({"task": "frame_prediction", "video": CLIPS, "num_condition_frames": 4}, "needs at least one more to make"),
        ({"task": "class_conditional_generation"}, "needs label="),
        ({"task": "class_conditional_generation", "label": 3}, r"in \[0, 3\)"),
        ({"task": "class_conditional_generation", "label": -1}, "received -1"),
        ({"task": "class_conditional_generation", "label": "star"}, "a number: this model names no classes"),
        ({"task": "class_conditional_generation", "label": [0, 1], "num_clips": 3}, "batch sizes differ"),
        ({"task": "class_conditional_generation", "label": 0, "schedule": "cosinus"}, "Unknown mask schedule"),
        ({"task": "class_conditional_generation", "label": 0, "num_steps": 0}, "at least 1; received 0"),
        ({"task": "frame_prediction", "video": CLIPS, "guidance_scale": 1.0}, "needs a task with a class"),
        ({"video": CLIPS, "condition_mask": np.ones((4, 8, 9))}, r"received \(4, 8, 9\)"),
        ({"video": CLIPS, "condition_mask": np.ones((4, 8, 8)), "num_condition_frames": 1}, "both say what is given"),
        (
            {"task": "frame_prediction", "video": CLIPS[:, :1], "condition_mask": np.ones((4, 8, 8))},
            "needs 4 frames of 8x8; received 1",
        ),
        ({"task": "class_conditional_generation", "label": np.array([3.0])}, r"in \[0, 3\)"),
        ({}, "Say which task"),
        ({"task": "frame_prediction", "video": CLIPS[:0]}, "nothing to generate: video of length 0"),
        ({"task": "class_conditional_generation", "label": []}, "nothing to generate: label of length 0"),
        ({"task": "class_conditional_generation", "label": 0, "seed": 1.5}, "A seed must be a whole number"),
    ],
)
def test_bad_input_to_generate(magvit, options, message):
    with pytest.raises(ValueError, match=message):
        magvit.generate(**options)


def test_a_class_may_be_named(magvit, tmp_path):
    call = {"task": "class_conditional_generation", "num_steps": 2}
    by_number = magvit.generate(label=[2, 0], **call)
    magvit.class_names = ["waves", "clouds", "rain"]
    try:
        magvit.save_to_preset(tmp_path / "named")
        named = Magvit.from_preset(tmp_path / "named")
        np.testing.assert_allclose(named.generate(label=["rain", "waves"], **call), by_number, atol=1e-5)
        with pytest.raises(ValueError, match="one of waves, clouds, rain, or its number; received 'snow'"):
            named.generate(label="snow", **call)
    finally:
        magvit.class_names = None


def test_names_may_come_from_a_table():
    named = build(class_names=["waves", "clouds", "rain"])
    call = {"task": "class_conditional_generation", "num_steps": 1}
    column = np.array(["rain", "waves"], dtype=object)
    np.testing.assert_array_equal(named.generate(label=column, **call), named.generate(label=[2, 0], **call))


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "c", "d"], [1, 2]])
def test_names_must_fit_the_classes(names):
    with pytest.raises(ValueError, match="class_names must be at most 3 different texts"):
        build(class_names=names)


def test_a_quantized_model_is_saved_and_loaded(tmp_path):
    magvit = build()
    magvit.quantize("int8")
    magvit.save_to_preset(tmp_path / "int8")
    call = {"task": "class_conditional_generation", "label": [1], "num_steps": 2}
    loaded = Magvit.from_preset(tmp_path / "int8")
    assert loaded.transformer.quantized == "int8"
    np.testing.assert_allclose(loaded.generate(**call), magvit.generate(**call), atol=1e-5)


@pytest.mark.parametrize("given", [{"loss": "mse"}, {"metrics": ["mse"]}])
def test_losses_and_metrics_that_would_not_be_computed_are_refused(given):
    with pytest.raises(ValueError, match=f"compile received {next(iter(given))} as well"):
        build().compile(optimizer="adam", **given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"video": CLIPS}, "need labels"),
        (
            {"video": CLIPS[:, :2], "label": LABELS},
            r"clips of .* \(4, 8, 8\); received \(2, 8, 8\)",
        ),
        ({"clips": CLIPS}, 'needs the key "video" or "tokens"'),
        ({"tokens": np.zeros((4, 2, 4, 4), "int32"), "label": LABELS}, "Made by `tokenize` of this model"),
        (None, "received None"),
    ],
)
def test_bad_input_to_fit(magvit, data, message):
    with pytest.raises(ValueError, match=message):
        magvit.fit(data, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ()}, "tasks is empty"),
        ({"tasks": ("outpainting",)}, "Unknown task 'outpainting'"),
        ({"task_weights": (1,)}, "must be 2 numbers"),
        ({"task_weights": (0, 0)}, "not all of them 0"),
        ({"task_weights": (1, float("nan"))}, "received .1, nan."),
        ({"tasks": (TASKS["frame_prediction"], TASKS["frame_prediction"].with_frames(2))}, "Two tasks are called"),
        ({"class_dropout": 1.0}, r"in \[0, 1\); received 1.0"),
        ({"schedule": "linear"}, "Unknown mask schedule 'linear'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_codebooks_must_agree():
    with pytest.raises(ValueError, match="predicts 32 codes and the tokenizer has 64"):
        Magvit(
            VideoTokenizer(32, (1,), (), 1, embedding_dim=8, codebook_size=64),
            MaskedTransformer(32, 0, (2, 4, 4), num_layers=1, hidden_size=8, num_heads=1, mlp_dim=8),
        )


def test_no_warning_comes_from_the_library(magvit):
    """Not of NumPy either, whose users turn warnings into errors in their tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        magvit.tokenize({"video": CLIPS, "label": LABELS})
        magvit.generate("frame_prediction", video=CLIPS[:1], num_steps=1)
        magvit.generate("class_conditional_generation", label=[1], num_steps=1, return_details=True)


def test_the_condition_of_a_task_is_shown_in_grey(magvit):
    shown = magvit.condition("frame_prediction", CLIPS[:2])
    np.testing.assert_array_equal(shown[:, 0], CLIPS[:2, 0])
    assert (shown[:, 1:] == 0.5).all()
    still = magvit.condition("frame_prediction", CLIPS[:2], fill=None)
    np.testing.assert_allclose(still, np.repeat(CLIPS[:2, :1], 4, axis=1), atol=1e-6)


def test_the_summary_counts_the_tokenizer_as_frozen(magvit, capsys):
    magvit.summary(line_length=80)
    shown = capsys.readouterr().out
    assert f"Non-trainable params: {magvit.tokenizer.count_params():,}" in shown


def test_the_options_of_generate_can_be_seen(magvit):
    for method in (magvit.generate, magvit.continue_video):
        parameters = inspect.signature(method).parameters
        assert {"label", "num_steps", "temperature", "top_p", "max_batch_size"} <= set(parameters)
        assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def test_guidance_without_class_dropout_warns():
    magvit = build(("class_conditional_generation",))
    with pytest.warns(UserWarning, match="class_dropout=0"):
        magvit.generate(label=0, num_steps=1, guidance_scale=1.0)


@pytest.mark.slow
def test_trains_in_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        magvit = build()
        tokens = {
            "tokens": RNG.integers(0, 64, (4, 2, 4, 4)).astype("int32"),
            "condition_tokens": RNG.integers(0, 64, (4, 2, 2, 4, 4)).astype("int32"),
            "label": LABELS,
        }
        history = magvit.fit(tokens, batch_size=4, epochs=3, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.all(np.isfinite(history["loss"]))
