"""Reports: what they carry, that they come back, and that unlike ones are not ranked; and the two commands."""

import copy
import json
import types

import keras
import pytest
from typer.testing import CliRunner

import magvit_keras as mk
from magvit_keras.cli import app
from magvit_keras.commit.tasks import get_task
from magvit_keras.evaluation import (
    Networks,
    UnlikeProtocols,
    compare,
    evaluate,
    load_model,
    load_networks,
    read_report,
    to_markdown,
    write_report,
)
from magvit_keras.evaluation.measure import given_frames
from magvit_keras.evaluation.models import describe_model
from magvit_keras.evaluation.networks import describe_network
from magvit_keras.evaluation.report import make_report
from magvit_keras.presets.protocols import get_protocol

pytestmark = pytest.mark.once

SMALL = {
    "samples": 6,
    "folds": 2,
    "num_steps": 1,
    "video_shape": (8, 16, 16),
    "tries": 3,
    "batch_size": 4,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def report(magvit, sample, networks, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    made = evaluate(magvit, "bair_fp", out, sample("bair"), networks=networks, recipe="bair-fp-base", seed=4, **SMALL)
    return out, made


@pytest.fixture
def another(report):
    """Another model, measured alike, and better."""
    other = copy.deepcopy(report[1])
    other["model"] = {"from": "runs/b", "fingerprint": {"tokenizer": "a" * 64, "transformer": "b" * 64}}
    other["seed"] = 5
    other["made"]["versions"]["keras"] = "9.9"
    for entry in other["scores"]:
        entry["mean"] += entry["better"]
    return other


def test_it_comes_back_as_it_was(report):
    out, made = report
    assert read_report(out) == read_report(out / "report.json") == made
    assert (out / "report.md").read_text() == to_markdown(made)


def test_it_carries_every_choice(report, networks):
    made = report[1]
    assert made["choices"]["decoding"] == {"num_steps": 1, "schedule": "exp", "temperature": 400.0}
    assert made["choices"]["given_frames"] == {"frame_prediction": 1}
    assert made["choices"]["sampling"]["token_temperature"] == 1.0
    clips = made["choices"]["real_clips"]["clips"]
    assert (clips["reader"], clips["windows"], clips["videos"]) == ("BAIR", "first", 2)
    assert made["choices"]["split"] == "test" and made["choices"]["reader"] == {"camera": "image_aux1"}
    about = made["choices"]["networks"]
    assert set(about) == {"distance", "lpips"} and len(about["distance"]["weights_sha256"]) == 64
    assert made["seed"] == 4 and set(made["model"]["fingerprint"]) == {"tokenizer", "transformer"}
    assert {"keras", "numpy"} <= made["made"]["versions"].keys()
    assert made["made"]["backend"] == keras.config.backend()
    assert made["deviations"] == [
        "samples 6 instead of 25600",
        "folds 2 instead of 4",
        "num_steps 1 instead of 12",
        "tries 3 instead of 100",
        "video_shape 8x16x16 instead of 16x64x64",
        "videos 2 instead of 256",
    ]
    assert any("different real clips in a fold" in remark for remark in made["remarks"])


def test_the_number_of_given_frames_is_the_protocols_or_that_of_the_models_task(magvit):
    model = types.SimpleNamespace(tasks={"frame_prediction": get_task("frame_prediction").with_frames(2)})
    expected = {"frame_interpolation": 2, "class_conditional_frame_prediction": 1}
    assert given_frames(model, get_protocol("ssv2_mt10")) == {"frame_prediction": 2, **expected}
    assert given_frames(model, get_protocol("k600_fp")) == {"frame_prediction": 5}
    assert given_frames(magvit.tokenizer, get_protocol("bair_reconstruction")) == {}


def test_the_papers_score_stands_beside_it_and_says_why_it_does_not_compare(report):
    entry = next(entry for entry in report[1]["scores"] if entry["metric"] == "fvd")
    assert entry["paper"] == {"bair-fp-base": 76} and entry["comparable"] is False
    assert "the extractor is colours, not I3D with the public weights" in entry["not_comparable_because"]
    page = to_markdown(report[1])
    assert "**Not the paper's protocol:**" in page and "76 (bair-fp-base), not comparable" in page
    assert "PSNR, best of 3" in page


class Published(mk.metrics.I3D):
    """Stands for the network of the published size, whose weights take a while to make."""

    is_published = True


@pytest.mark.parametrize(("rule", "comparable"), [("tf1", True), ("half_pixel", False)])
def test_only_the_published_i3d_without_deviations_compares(rule, comparable):
    network = Published(rule, width=1 / 16)
    network.weights_source = {"network": {"file": "i3d_k400.flax", "sha256": "0"}}
    protocol = get_protocol("k600_fp")
    score = {"metric": "fvd", "task": "frame_prediction", "mean": 10.0, "std": 1.0, "folds": [9.0, 11.0]}
    rest = {
        "choices": {},
        "remarks": [],
        "replaced": 0,
        "videos": [],
        "recipe": None,
        "model": {},
        "seed": 0,
        "made": {},
    }
    made = make_report(protocol, scores=[score], networks=Networks(distance=network), **rest)["scores"][0]
    assert (made["name"], made["comparable"]) == ("FVD", comparable)
    assert made["paper"] == {"k600-fp-base": 24.5, "k600-fp-large": 9.9}
    unread = make_report(protocol, scores=[score], networks=Networks(distance=network), **{**rest, "replaced": 2})
    assert unread["scores"][0]["comparable"] is False


def test_a_network_is_called_and_described_as_in_the_metrics(colours):
    features = mk.metrics.ShapesFeatures((2, 2, 2, 2), 3)
    assert Networks(distance=features).distance_name == "shapes-FVD (not comparable with published FVD)"
    assert Networks(distance=colours).distance_name == "Frechet distance of colours"
    network = mk.metrics.I3D("half_pixel", width=1 / 32, crop=True)
    about = describe_network(network)
    assert (about["resize_rule"], about["crop"], about["settings"]["input_size"]) == ("half_pixel", True, 224)


def test_the_architecture_has_one_checksum_whatever_keras_numbers_its_layers():
    def made(strides):
        clips = keras.Input((4, 8, 8, 3))
        encoder = keras.Model(clips, keras.layers.AveragePooling3D(2, strides)(clips))
        return describe_network(mk.metrics.ClipEncoder(encoder))["architecture_sha256"]

    assert made(1) == made(1) != made(2)


def test_infinity_is_no_number_in_json(report, tmp_path):
    rest = {
        "choices": {},
        "remarks": [],
        "replaced": 0,
        "videos": [],
        "recipe": None,
        "model": {},
        "seed": 0,
        "made": {},
    }
    score = {
        "metric": "psnr",
        "task": "reconstruction",
        "mean": float("inf"),
        "std": float("nan"),
        "folds": [float("inf")],
    }
    made = make_report(get_protocol("bair_reconstruction"), scores=[score], networks=Networks(), **rest)
    write_report(tmp_path, made)
    assert read_report(tmp_path)["scores"][0]["mean"] is None
    assert "| PSNR" in to_markdown(made)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9}'])
def test_what_is_no_report_is_refused(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match="is not a report"):
        read_report(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no report"):
        read_report(tmp_path / "other.json")


# --- side by side ---


def test_the_better_model_comes_first_in_every_measure(report, another):
    text = compare([report[1], another], ["a", "b"])
    ranks = [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| 1 ")]
    assert ranks == ["b"] * len(report[1]["scores"])
    for remark in ("- seed: 4 (a); 5 (b)", "- version of keras", "- weights of the model: "):
        assert remark in text
    assert "Not the paper's protocol: samples 6 instead of 25600" in text


def test_unlike_protocols_are_not_ranked_and_the_choices_are_named(report, another):
    another["choices"]["decoding"]["num_steps"] = 12
    another["choices"]["real_clips"]["clips"]["windows"] = 15
    with pytest.raises(UnlikeProtocols, match="cannot be ranked") as error:
        compare([report[1], another], ["a", "b"])
    assert error.value.differences == {"decoding.num_steps": [1, 12], "real_clips.clips.windows": ["first", 15]}
    with pytest.raises(UnlikeProtocols, match="windows: first in a; 15 in b"):
        compare([report[1], another], ["a", "b"], vary=["decoding"])


def test_a_choice_that_is_studied_becomes_a_column(report, another):
    another["choices"]["decoding"]["num_steps"] = 12
    assert "decoding.num_steps" in compare([report[1], another], ["a", "b"], vary=["decoding"])
    with pytest.raises(ValueError, match="--vary colour: no such choice"):
        compare([report[1], another], ["a", "b"], vary=["colour"])


def test_what_each_report_departs_in_is_said_of_each(report, another):
    another["choices"]["folds"], another["deviations"] = 4, []
    text = compare([report[1], another], ["a", "b"], vary=["folds"])
    assert "1 instead of 12" in text.splitlines()[-1] and text.endswith("(a); nothing (b).\n")


def test_a_network_of_a_measure_that_one_lacks_does_not_matter(report, another):
    del another["choices"]["networks"]["lpips"]
    another["scores"] = [entry for entry in another["scores"] if entry["metric"] != "lpips"]
    assert "LPIPS" not in compare([report[1], another], ["a", "b"])


def test_the_same_weights_are_noticed(report):
    assert "of the same weights" in compare([report[1], report[1]], ["a", "a"])
    with pytest.raises(ValueError, match="at least 2 reports"):
        compare([report[1]], ["a"])


# --- the commands ---


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(magvit, tmp_path_factory):
    """What a training leaves: RUN/magvit and RUN/tokenizer."""
    folder = tmp_path_factory.mktemp("run")
    magvit.save_to_preset(folder / "magvit")
    magvit.tokenizer.save_to_preset(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def extractor(colours, tmp_path_factory):
    path = tmp_path_factory.mktemp("extractor") / "colours.keras"
    colours.save(path)
    return path


def test_two_processes_and_a_comparison_on_the_command_line(run, extractor, sample, magvit, tmp_path, monkeypatch):
    monkeypatch.setattr(mk.Magvit, "from_preset", lambda folder: magvit)  # loaded again it would compile again
    common = ("--run", run, "--data", sample("objectron"), "--extractor", extractor, "--verbose", 0, "--shard-clips", 2)
    common += (
        "--workers",
        0,
        "--frames",
        8,
        "--size",
        16,
        "--samples",
        4,
        "--folds",
        1,
        "--num-steps",
        1,
        "--batch-size",
        2,
    )
    chosen = ("--recipe", "objectron-fi-base")
    first = invoke("evaluate", *chosen, *common, "--out", tmp_path / "a", "--process", "0/2")
    assert (first.exit_code, "left for the other processes" in first.output) == (0, True), first.output
    second = invoke("evaluate", *chosen, *common, "--out", tmp_path / "a", "--process", "1/2")
    assert second.exit_code == 0, second.output
    assert "samples 4 instead of 50000" in second.output
    assert invoke("evaluate", *chosen, *common, "--out", tmp_path / "b", "--seed", 1).exit_code == 0
    made = read_report(tmp_path / "a")
    assert made["recipe"] == "objectron-fi-base" and made["model"]["from"] == str(run)
    assert made["choices"]["networks"]["distance"]["files"]["network"]["file"] == "colours.keras"
    result = invoke("compare", tmp_path / "a", tmp_path / "b" / "report.json")
    assert result.exit_code == 0 and "of the same weights" in result.output
    changed = json.loads((tmp_path / "b" / "report.json").read_text())
    changed["choices"]["samples"] = [64]
    (tmp_path / "b" / "report.json").write_text(json.dumps(changed))
    result = invoke("compare", tmp_path / "a", tmp_path / "b")
    assert (result.exit_code, "samples: [4] in" in result.output) == (2, True), result.output


def test_clips_too_short_for_the_extractor_are_refused_in_one_line(run, tmp_path):
    chosen = ("--protocol", "moving_shapes_reconstruction", "--frames", 4, "--size", 16, "--metric", "fvd")
    result = invoke("evaluate", "--run", run, "--out", tmp_path, *chosen, "--samples", 2, "--verbose", 0)
    assert result.exit_code == 2
    assert result.output.startswith("magvit-keras: The classifier of Moving Shapes needs clips"), result.output
    assert len(result.output.splitlines()) == 1


def test_an_extractor_that_is_no_file_of_keras_is_refused(tmp_path):
    (tmp_path / "cut.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"cut\.keras is damaged, or no model that Keras saved"):
        load_networks(("fvd",), tmp_path / "cut.keras")


def test_a_model_comes_out_of_a_run_and_out_of_a_preset(run, magvit, monkeypatch):
    generates, reconstructs = get_protocol("bair_fp"), get_protocol("bair_reconstruction")
    assert describe_model(load_model(run, generates)) == describe_model(magvit)
    opened = []
    for cls, made in ((mk.Magvit, magvit), (mk.VideoTokenizer, magvit.tokenizer)):
        monkeypatch.setattr(cls, "from_preset", lambda folder, made=made: opened.append(folder) or made)
    for place in (run, run / "tokenizer", run / "magvit"):
        assert load_model(place, reconstructs) is magvit.tokenizer
    assert opened == [run / "tokenizer", run / "tokenizer", run / "magvit"]
    with pytest.raises(ValueError, match="holds a VideoTokenizer; expected a Magvit"):
        load_model(run / "tokenizer", generates)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say --recipe, or --protocol"),
        (("--recipe", "cats"), "Unknown recipe 'cats'"),
        (("--protocol", "cats"), "Unknown protocol 'cats'"),
        (("--protocol", "bair_fp", "--process", "2"), "--process must be a number out of a count"),
        (("--protocol", "bair_fp", "--metric", "fid"), "Unknown metric fid"),
        (
            ("--protocol", "bair_fp", "--extractor", "j3d", "--frames", 8, "--size", 16),
            "expected i3d, shapes, or a file",
        ),
        (("--protocol", "bair_fp", "--run", "nowhere"), "nowhere is not the folder of a run or of a trained Magvit"),
        (("--protocol", "bair_fp"), "add --frames 8 --size 16x16"),
    ],
)
def test_the_command_refuses_before_any_work(run, tmp_path, arguments, message):
    result = invoke("evaluate", "--run", run, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()
