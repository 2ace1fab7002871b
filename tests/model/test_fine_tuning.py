"""Training that starts from a trained model: other classes, the same tasks, and the command for it."""

import json

import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

import magvit_keras as mk
from magvit_keras.cli import app
from magvit_keras.commit.tasks import get_task
from magvit_keras.data import MovingShapes
from magvit_keras.model.fine_tuning import train_further, with_other_classes

SHAPE = (4, 8, 8)


def transformer(num_classes, **options):
    sizes = {"latent_shape": (2, 4, 4), "num_layers": 1, "hidden_size": 8, "num_heads": 2, "mlp_dim": 8, "dropout": 0.0}
    return mk.MaskedTransformer(16, num_classes=num_classes, **{**sizes, **options})


def learned_model(num_classes=3, names=("a", "b", "c"), **options):
    tokenizer = mk.VideoTokenizer(8, (1, 1), (True,), 1, embedding_dim=4, codebook_size=16, norm_groups=1)
    tasks = [get_task("frame_prediction").with_frames(2), "class_conditional_generation"]
    return mk.Magvit(tokenizer, transformer(num_classes, **options), tasks, class_names=list(names))


def table(model):
    return ops.convert_to_numpy(model.embedding.tokens)


@pytest.mark.once
def test_codes_and_special_tokens_keep_their_rows():
    learned = transformer(3)
    made = with_other_classes(learned, 5)
    np.testing.assert_array_equal(table(made)[:16], table(learned)[:16])
    np.testing.assert_array_equal(table(made)[-17:], table(learned)[-17:])


def test_a_class_of_the_same_name_keeps_its_row_and_a_new_one_starts_as_no_class():
    learned = transformer(3)
    made = with_other_classes(learned, 2, ["new", "b"], ["a", "b", "c"])
    np.testing.assert_array_equal(table(made)[16:18], table(learned)[[16 + 3, 16 + 1]])


def test_logits_without_a_class_are_those_of_the_learned_model():
    learned = transformer(3)
    made = with_other_classes(learned, 6)
    rng = np.random.default_rng(0)
    latents = rng.integers(0, 16, (2, 32))

    def logits(model):
        prefix = np.tile([model.vocabulary_size - 4, 16 + model.num_classes], (2, 1))
        return ops.convert_to_numpy(model.codebook_logits(np.concatenate([prefix, latents], 1).astype("int32")))

    np.testing.assert_allclose(logits(made), logits(learned), atol=1e-6)


@pytest.mark.once
def test_factored_codes_keep_their_rows():
    learned = transformer(1, codebook_factors=(4, 4))
    made = with_other_classes(learned, 3)
    assert made.embedding.rows == 4 + 4 + 3 + 17
    np.testing.assert_array_equal(table(made)[:8], table(learned)[:8])


@pytest.mark.once
def test_a_quantized_transformer_is_refused():
    learned = transformer(1)
    learned.quantize("int8")
    with pytest.raises(ValueError, match="start from its original"):
        with_other_classes(learned, 2)


@pytest.mark.once
def test_tasks_keep_their_frames_and_the_tokenizer_its_weights():
    learned = learned_model()
    made = train_further(learned, MovingShapes(4, *SHAPE[:1], SHAPE[1:], shapes=["star"]))
    assert made.tasks == learned.tasks and made.tasks["frame_prediction"].num_condition_frames == 2
    for ours, theirs in zip(made.tokenizer.get_weights(), learned.tokenizer.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.once
def test_it_is_trained_as_the_learned_model_was():
    told = {"condition_mode": "latent", "loss_parts": ("mask",), "task_weights": [3.0, 1.0], "label_smoothing": 0.1}
    learned = learned_model()
    learned = mk.Magvit(learned.tokenizer, learned.transformer, learned.tasks.values(), **told)
    made = train_further(learned, MovingShapes(4, *SHAPE[:1], SHAPE[1:], shapes=["star"]))
    assert {name: getattr(made, name) for name in told} == told


@pytest.mark.once
def test_clips_of_another_size_are_refused():
    with pytest.raises(ValueError, match="4x8x8; the training asks for 8x8x8"):
        train_further(learned_model(), MovingShapes(4, 8, (8, 8)))


@pytest.mark.once
def test_the_command_goes_on_from_a_preset_with_the_classes_of_the_folder(tmp_path):
    learned_model().save_to_preset(tmp_path / "learned")
    MovingShapes(12, 4, (8, 8), shapes=["star"]).write_videos(tmp_path / "videos", "avi")
    steps = ["--tokenizer-steps", "1", "--transformer-steps", "1", "--workers", "0"]
    sizes = ["--frames", "4", "--size", "8x8", "--batch-size", "2", "--set", "transformer.batch_size=2"]
    folders = ["--data", str(tmp_path / "videos"), "--out", str(tmp_path / "run")]
    command = ["train", *folders, "--from", str(tmp_path / "learned"), *sizes, *steps, "--set", "token_passes=1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    made = mk.Magvit.from_preset(tmp_path / "run" / "magvit")
    assert made.class_names[0] == "star_diagonal" and list(made.tasks) == list(learned_model().tasks)
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]["start_from"] == str(
        tmp_path / "learned"
    )


@pytest.mark.once
def test_a_model_to_start_from_and_sizes_of_another_are_refused(tmp_path):
    done = CliRunner().invoke(
        app,
        ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--from", "x", "--set", "transformer=base"],
    )
    assert done.exit_code and "--from brings tokenizer and transformer" in done.output
