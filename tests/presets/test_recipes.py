"""The recipes as a table: the paper's rows, their numbers, and what they cost."""

import json
import pathlib
import runpy

import pytest
import typer
from typer.testing import CliRunner

from magvit_keras.cli import app
from magvit_keras.cli.options import name_or_json, named_values, reader_options
from magvit_keras.commit.tasks import TASKS
from magvit_keras.data.readers.formats import FORMATS
from magvit_keras.decoding.schedules import SCHEDULES
from magvit_keras.model.magvit import Magvit
from magvit_keras.presets.discriminators import IMAGE_DISCRIMINATORS, VIDEO_DISCRIMINATORS
from magvit_keras.presets.estimates import discriminator_cost, estimate, tokenizer_cost, transformer_cost
from magvit_keras.presets.protocols import PROTOCOLS
from magvit_keras.presets.recipes import RECIPES, Decoding, get_recipe
from magvit_keras.tokenizer.discriminator import ImageDiscriminator, VideoDiscriminator
from magvit_keras.tokenizer.image_tokenizer import ImageTokenizer
from magvit_keras.tokenizer.video_tokenizer import VideoTokenizer
from magvit_keras.training.recipe import changed_recipe
from magvit_keras.transformer.masked_transformer import MaskedTransformer

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EIGHT = [task.name for task in TASKS.values() if not task.needs_class]
FIVE = TASKS["frame_prediction"].with_frames(5)

# The authors' two tables, and App. B.2: epochs of B and L.
TOKENIZERS = {"bair": (400, 800), "ucf101": (500, 2000), "k600": (45, 180), "ssv2": (135, 400)}
TRANSFORMERS = {
    "ucf101-cg": ((2000, 2000), (159, 76)),
    "bair-fp": ((400, 800), (76, 62)),
    "k600-fp": ((180, 360), (24.5, 9.9)),
    "bair-mt8": ((1200, 1600), (32.8, 22.8)),
    "ssv2-mt10": ((720, 1440), (43.4, 27.3)),
}


@pytest.mark.parametrize("data", TOKENIZERS)
def test_rows_of_the_tokenizers(data):
    base, large = get_recipe(f"{data}-3dvq-base"), get_recipe(f"{data}-3dvq-large")
    assert (base.epochs, large.epochs) == TOKENIZERS[data]
    assert (base.batch_size, large.batch_size) == (128, 256)
    assert base.video_shape == large.video_shape == ((16, 64, 64) if data == "bair" else (16, 128, 128))
    assert (base.learning_rate, base.beta_1, base.beta_2, base.ema_decay) == (1e-4, 0.0, 0.99, 0.999)
    assert base.warmup == base.steps_per_epoch == base.examples // 128
    assert (base.losses["adversarial_weight"], base.losses["perceptual_weight"]) == (0.1, 0.1)
    assert (base.losses["r1_weight"], base.losses["entropy_loss_weight"]) == (10.0, 0.1)


@pytest.mark.parametrize("row", TRANSFORMERS)
def test_rows_of_the_transformers(row):
    recipes = get_recipe(f"{row}-base"), get_recipe(f"{row}-large")
    epochs, scores = TRANSFORMERS[row]
    for recipe, length, score, size in zip(recipes, epochs, scores, ("base", "large"), strict=True):
        assert (recipe.epochs, recipe.score["fvd"], recipe.batch_size) == (length, score, 256)
        assert (recipe.learning_rate, recipe.beta_1, recipe.beta_2, recipe.warmup) == (1e-4, 0.9, 0.96, 5000)
        assert (recipe.weight_decay, recipe.clip_norm, recipe.losses) == (0.045, 1.0, {"label_smoothing": 1e-4})
        assert recipe.tokenizer == f"{row.split('-')[0]}-3dvq-{size}"


def test_tasks_and_decoding():
    tasks = {row: get_recipe(f"{row}-base").trained_tasks for row in TRANSFORMERS}
    assert [task.name for task in tasks["bair-mt8"]] == EIGHT
    assert [task.name for task in tasks["ssv2-mt10"]] == list(TASKS)
    assert tasks["k600-fp"] == [FIVE]
    assert tasks["bair-fp"] == [TASKS["frame_prediction"]]
    decoding = {row: get_recipe(f"{row}-large").decoding for row in TRANSFORMERS}
    assert decoding["bair-fp"] == Decoding(12, "exp", 400.0)
    assert decoding["k600-fp"] == Decoding(12, "uniform", 7.5)
    assert {decoding[row] for row in ("ucf101-cg", "bair-mt8", "ssv2-mt10")} == {Decoding(12, "cosine", 4.5)}


def test_what_recipes_name_is_there():
    for recipe in RECIPES.values():
        model = {"image_tokenizer": ImageTokenizer, "tokenizer": VideoTokenizer, "transformer": Magvit}[recipe.kind]
        assert recipe.preset in model.presets
        assert recipe.tokenizer is None or recipe.tokenizer in RECIPES
        critics = {"image_tokenizer": IMAGE_DISCRIMINATORS, "tokenizer": VIDEO_DISCRIMINATORS}.get(recipe.kind, {None})
        assert recipe.discriminator in critics
        if recipe.decoding is not None:
            assert recipe.decoding.schedule in SCHEDULES
            config = Magvit._preset_table[recipe.preset]["config"]
            assert config["transformer"]["config"]["num_classes"] == recipe.num_classes
            tokenizer = VideoTokenizer._preset_table[get_recipe(recipe.tokenizer).preset]["config"]
            assert config["tokenizer"]["config"] == tokenizer


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown recipe 'ucf101'; did you mean .* Known: ucf101-3dvq-base, "):
        get_recipe("ucf101")


# --- what they cost ---


@pytest.mark.parametrize(
    ("name", "parameters", "discriminator"),
    [
        ("ucf101-3dvq-base", 40_579_843, 15_339_457),
        ("k600-3dvq-large", 157_811_971, 61_341_569),
        ("ucf101-2dvq-base", 13_809_667, None),
        ("ucf101-2dvq-large", 53_104_387, None),
        ("ucf101-cg-base", 87_314_294, 0),
        ("ucf101-cg-large", 305_584_246, 0),
    ],
)
def test_parameters_are_the_papers(name, parameters, discriminator):
    cost = estimate(get_recipe(name))
    assert cost.parameters == parameters
    assert discriminator is None or cost.discriminator_parameters == discriminator


def test_the_huge_transformer_has_634_million_parameters():
    assert round(estimate(get_recipe("ucf101-cg-huge")).parameters / 1e6) == 634


SIZES = {
    "filters": 8,
    "channel_multipliers": (1, 2, 3),
    "num_res_blocks": 2,
    "embedding_dim": 6,
    "codebook_size": 10,
    "norm_groups": 2,
}


@pytest.mark.parametrize("rank", [2, 3])
def test_counted_parameters_are_those_of_built_models(rank):
    if rank == 3:
        sizes = {**SIZES, "temporal_downsample": (True, False)}
        tokenizer, shape = VideoTokenizer(**sizes), (5, 8, 12)
        critic = {"filters": 4, "channel_multipliers": (2, 3), "video_shape": shape}
        discriminator = VideoDiscriminator(**critic)
    else:
        sizes, shape = SIZES, (8, 12)
        tokenizer = ImageTokenizer(**sizes)
        critic = {"filters": 4, "channel_multipliers": (2, 3), "image_shape": shape}
        discriminator = ImageDiscriminator(**critic)
    assert tokenizer_cost(sizes, shape).parameters == tokenizer.count_params()
    assert discriminator_cost(critic).parameters == discriminator.count_params()


def test_counted_parameters_are_those_of_a_built_transformer():
    sizes = {"codebook_size": 10, "num_classes": 3, "latent_shape": (2, 3, 4)}
    sizes |= {"num_layers": 2, "hidden_size": 8, "num_heads": 2, "mlp_dim": 12}
    assert transformer_cost(sizes).parameters == MaskedTransformer(**sizes).count_params()


def test_a_convolution_and_a_dense_layer_are_counted_by_hand():
    # One level, one block of one width: conv_in, 2 + 2 + 2 + 2 residual convolutions, 1x1, codes, conv_in, conv_out.
    sizes = {**SIZES, "filters": 1, "channel_multipliers": (1,), "num_res_blocks": 1, "embedding_dim": 1}
    cells, codes = 2 * 2, 10
    macs = cells * (9 * 3 + 8 * 9 + 1 + 2 * codes + 9 + 9 * 3)
    assert tokenizer_cost(sizes, (2, 2)).macs == macs


def test_time_follows_from_operations():
    base = get_recipe("bair-fp-base")
    cost, double = estimate(base), estimate(changed_recipe(base, {"epochs": 2 * base.epochs}).recipe)
    assert double.seconds == 2 * cost.seconds
    assert cost.run_operations == base.total_steps * cost.step_operations
    # Six operations for each parameter of the layers and each token, and attention besides.
    assert cost.step_operations > 6 * 85e6 * 1026 * 256


# --- changes ---


def parse_changes(*texts):
    return named_values("--set", texts, "filters=32")


def test_changes_go_where_they_belong():
    changes = parse_changes("batch_size=4", "video_shape=[4,16,16]", "r1_weight=1", "filters=8", "padding=same")
    changed = changed_recipe(get_recipe("ucf101-3dvq-base"), {**changes, "discriminator.filters": 2})
    assert (changed.recipe.batch_size, changed.recipe.video_shape) == (4, (4, 16, 16))
    assert changed.recipe.losses["r1_weight"] == 1
    assert changed.architecture == {"filters": 8, "padding": "same"}
    assert changed.discriminator == {"filters": 2}
    assert get_recipe("ucf101-3dvq-base").batch_size == 128


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "ucf101-3dvq-base",
            "width=4",
            "ucf101-3dvq-base cannot change it. Unknown name 'width'. Known: examples, epochs",
        ),
        ("ucf101-3dvq-base", "tasks=[]", "Unknown name 'tasks'"),
        ("ucf101-cg-base", "codebook_size=4", "Unknown name 'codebook_size'"),
        ("ucf101-cg-base", "discriminator.filters=4", "Unknown name 'discriminator.filters'"),
        ("ucf101-cg-base", "batch_size=0", "batch_size must be an integer of at least 1"),
        ("ucf101-cg-base", "batch_size=many", 'batch_size must be like 256; received "many"'),
        ("ucf101-cg-base", "horizontal_flip=1", "horizontal_flip must be like true; received 1"),
        ("ucf101-cg-base", "video_shape=[16,64]", r"video_shape must be like \[16, 128, 128\]"),
        ("ucf101-cg-base", "learning_rate=-1", "learning_rate must be like 0.0001; received -1"),
        ("bair-mt8-base", 'tasks=["painting"]', "Unknown task 'painting'"),
        ("bair-mt8-base", "filters", "--set must be name=value"),
    ],
)
def test_changes_that_make_no_sense_are_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        changed_recipe(get_recipe(name), parse_changes(change))


def test_arguments_of_readers_are_of_any_kind():
    texts = ["fold=2", "texture=0.5", "horizontal_flip=false", "label=null", 'class_names=["a"]', "split=test"]
    read = {"fold": 2, "texture": 0.5, "horizontal_flip": False, "label": None, "class_names": ["a"], "split": "test"}
    assert reader_options(texts) == read
    with pytest.raises(ValueError, match="--reader names fold twice"):
        reader_options(["fold=1", "fold=2"])


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[1]", "must hold a JSON object")])
def test_files_of_sizes_that_are_none_are_named(tmp_path, text, message):
    path = tmp_path / "sizes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"sizes.json {message}"):
        name_or_json(str(path))


# --- the command ---


def recipes(*arguments):
    return CliRunner().invoke(app, ["recipes", *arguments], env={"COLUMNS": "80"})


def test_the_list_has_every_recipe_and_says_what_it_assumes():
    result = recipes()
    assert result.exit_code == 0, result.output
    assert all(f" {name} " in result.output for name in RECIPES)
    assert "A100 in TF32" in result.output and "76 (48)" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_one_recipe_comes_with_its_commands_in_order():
    output = recipes("bair-fp-base").output
    commands = [line.strip() for line in output.splitlines() if line.startswith("  magvit-keras train")]
    assert [line.split()[3] for line in commands] == ["bair-2dvq-base", "bair-3dvq-base", "bair-fp-base"]
    assert commands[-1].endswith("--data DATA --tokenizer runs/bair-3dvq-base")
    assert "schedule exp, temperature 400.0" in output


@pytest.mark.parametrize("name", RECIPES)
def test_the_commands_of_a_recipe_are_commands(name):
    found = json.loads(recipes("--json", name).output)
    for line in found["commands"] + found["evaluation_commands"]:
        words = line.split()
        known = {opt for p in typer.main.get_command(app).commands[words[1]].params for opt in p.opts}
        assert {word for word in words if word.startswith("--")} <= known
        if "--protocol" in words:
            assert words[words.index("--protocol") + 1] in PROTOCOLS
    assert get_recipe(name).evaluation in PROTOCOLS
    assert len(found["evaluation_commands"]) == (2 if "fvd_debiased" in found["score"] else 1)


def test_the_help_names_every_format():
    text = " ".join(CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "400"}).output.split())
    assert ", ".join(list(FORMATS)[1:]) in text


def test_programs_read_json():
    found = json.loads(recipes("--json").output)
    assert [entry["name"] for entry in found] == list(RECIPES)
    one = json.loads(recipes("--json", "ucf101-3dvq-base").output)
    assert one["estimate"]["parameters"] == 40_579_843 and one["total_steps"] == 37_000


def test_an_unknown_name_is_answered_in_a_line():
    result = recipes("nothing")
    assert result.exit_code == 2 and "Known: ucf101-3dvq-base" in result.output


def test_the_page_has_the_table_that_the_script_writes():
    script = runpy.run_path(str(ROOT / "scripts" / "write_recipe_table.py"))
    page = script["PAGE"].read_text()
    assert script["filled"](page) == page, (
        "python scripts/write_recipe_table.py brings docs/how_to/recipes.md up to date"
    )
