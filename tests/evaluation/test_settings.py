"""Protocols as data, and what is said of changes to them."""

import pathlib
import re

import pytest

from magvit_keras.data.readers.formats import FORMATS
from magvit_keras.evaluation import METRICS, PROTOCOLS, settle
from magvit_keras.evaluation.settings import deviations, tasks_of_clips
from magvit_keras.presets.recipes import RECIPES

pytestmark = pytest.mark.once

ROW = r"^\| `(\w+)` \| (\d+) \| (\d+) \| (.*)$"


def test_every_recipe_is_measured_on_what_it_trained():
    for recipe in RECIPES.values():
        protocol = PROTOCOLS[recipe.evaluation]
        assert (protocol.data_format, protocol.tasks) == (recipe.data_format, recipe.tasks)
        assert protocol.decoding == recipe.decoding and protocol.frame_stride == recipe.frame_stride
        if recipe.score:
            assert protocol.paper_scores("fvd")[recipe.name] == recipe.score["fvd"]


def test_the_rows_of_appendix_b3():
    rows = {
        name: (p.samples, p.folds, p.clips.split, p.clips.windows, p.clips.crops)
        for name, p in PROTOCOLS.items()
        if p.kind == "generation"
    }
    assert rows == {
        "ucf101_cg": (10_000, 4, "train", "random", 1),
        "bair_fp": (25_600, 4, "test", "first", 1),
        "bair_fp_debiased": (3_840, 1, "test", 15, 1),
        "k600_fp": (50_000, 4, "validation", 2, 3),
        "bair_mt8": (25_600, 1, "test", 15, 1),
        "ssv2_mt10": (50_000, 4, "validation", 2, 1),
        "nuscenes_fp": (50_000, 4, "validation", 16, 3),
        "objectron_fi": (50_000, 4, "test", 5, 1),
        "web_mt8": (50_000, 1, None, "centre", 1),
        "moving_shapes_mt10": (1024, 1, "test", "centre", 1),
    }
    assert PROTOCOLS["bair_fp"].tries == 100
    assert (PROTOCOLS["k600_fp"].video_shape, PROTOCOLS["k600_fp"].measured_size) == ((16, 128, 128), (64, 64))
    assert set(PROTOCOLS["ucf101_cg"].metrics) == {"fvd", "is"}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_a_protocol_names_what_is_there(protocol):
    assert protocol.data_format in (*FORMATS, "moving_shapes")
    assert set(protocol.metrics) <= METRICS.keys()
    assert settle(protocol) == protocol and deviations(protocol) == []


def test_the_page_says_what_the_protocols_say():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "how_to" / "evaluate.md").read_text()
    rows = {
        name: (int(samples), int(folds), rest) for name, samples, folds, rest in re.findall(ROW, page, re.MULTILINE)
    }
    assert rows.keys() == {name for name, protocol in PROTOCOLS.items() if protocol.kind == "generation"}
    for name, (samples, folds, rest) in rows.items():
        protocol = PROTOCOLS[name]
        assert (samples, folds) == (protocol.samples, protocol.folds), name
        windows, crops = protocol.clips.windows, protocol.clips.crops
        assert (protocol.clips.split or "your list") in rest, name
        assert isinstance(windows, str) or f"{windows} windows" in rest, name
        assert crops == 1 or f"x {crops} crops" in rest, name


def test_every_change_is_a_deviation_in_words():
    settled = settle(
        "k600_fp", samples=64, folds=1, num_steps=4, windows="centre", video_shape=(16, 64, 64), reader={"csv": "a.csv"}
    )
    assert deviations(settled) == [
        "windows centre instead of 2",
        "samples 64 instead of 50000",
        "folds 1 instead of 4",
        "num_steps 4 instead of 12",
        "video_shape 16x64x64 instead of 16x128x128",
    ]


def test_fewer_tries_take_fewer_samples():
    assert settle("bair_fp", tries=3).samples == 256 * 3
    assert settle("bair_fp", tries=3, samples=10).samples == 10


def test_another_format_has_a_reader_of_its_own():
    settled = settle("ucf101_cg", data_format="ucf101_tfds", reader={"fold": 2})
    assert settled.reader == {"fold": 2}
    assert deviations(settled) == ["data_format ucf101_tfds instead of ucf101", "fold 2 instead of 1"]


def test_a_split_among_the_readers_arguments_is_that_of_the_clips():
    settled = settle("bair_fp", reader={"split": "train"})
    assert settled.clips.split == "train" and settled.reader == {"camera": "image_aux1"}


def test_another_split_is_a_deviation():
    assert deviations(settle("bair_fp", reader={"split": "train"})) == ["split train instead of test"]
    assert deviations(settle("bair_fp", reader={"split": "test"})) == []


def test_a_reader_without_splits_keeps_the_argument_and_refuses_it():
    assert settle("web_mt8", reader={"split": "test"}).reader == {"split": "test"}


def test_the_seed_of_moving_shapes_says_which_clips_there_are():
    assert settle("moving_shapes_mt10", reader={"seed": 1}).reader["seed"] == 1


def test_class_conditional_generation_of_ssv2_has_clips_of_its_own():
    groups = tasks_of_clips(PROTOCOLS["ssv2_mt10"])
    assert groups["class_clips"] == ("class_conditional_generation",)
    assert len(groups["clips"]) == 9 and "class_conditional_frame_prediction" in groups["clips"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("bair", {}, "Unknown protocol 'bair'; known protocols: ucf101_reconstruction"),
        ("bair_fp", {"epochs": 3}, "A protocol has no epochs"),
        ("bair_reconstruction", {"num_steps": 3}, "reconstructs: it has no num_steps"),
        ("bair_fp", {"metrics": ["fid"]}, "Unknown metric fid"),
        ("bair_fp", {"tasks": ["painting"]}, "Unknown task 'painting'"),
        ("bair_fp", {"decoder": "beam"}, "Unknown decoder 'beam'"),
        ("bair_fp", {"samples": 0}, "samples must be an integer of at least 1"),
        ("bair_fp", {"schedule": "linear-ish"}, "linear-ish"),
        ("bair_fp", {"windows": "last"}, "Unknown windows 'last'; expected random, first, centre"),
        (
            "moving_shapes_mt10",
            {"crops": 3},
            "Moving Shapes are made to size: they have no crops",
        ),
        ("bair_fp", {"split": "test", "reader": {"split": "train"}}, "Two splits are given, 'test' and for the reader"),
        ("bair_fp", {"reader": {"num_frames": 8}}, r"decides about num_frames, .*: say video_shape \(--frames\)"),
        ("bair_fp", {"reader": {"size": 8}}, r"decides about size, .*: say video_shape \(--size\)"),
        ("bair_fp", {"reader": {"frame_stride": 2}}, r"decides about frame_stride, .*: say frame_stride \(--stride\)"),
        ("bair_fp", {"reader": {"training": True}}, r"decides about training, .*: say windows='random'"),
        ("bair_fp", {"reader": {"horizontal_flip": True}}, "horizontal_flip, .*: real clips are not mirrored"),
        ("bair_fp", {"reader": {"seed": 1}}, r"decides about seed, .*: say seed \(--seed\)"),
    ],
)
def test_bad_changes_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        settle(name, **changes)


def test_another_look_brings_its_own_occlusion_and_texture():
    settled = settle("moving_shapes_reconstruction", reader={"look": "plain"})
    assert settled.reader["look"] == "plain"
    assert not {"occlusion", "texture"} & set(settled.reader)
    assert settle("moving_shapes_reconstruction", reader={"num_clips": 8}).reader["texture"] == 0.15
