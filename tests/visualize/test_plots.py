"""Plots show the numbers that they were given."""

import json
import sys

import numpy as np
import pytest

from magvit_keras import visualize

pytestmark = pytest.mark.once
pytest.importorskip("matplotlib")


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_each_name_has_a_plot_with_its_validation_in_it():
    figure = visualize.plot_history({"accuracy": [0.1, 0.4], "loss": [2.0, 1.0], "val_loss": [3.0, 2.5]})
    assert titles(figure) == ["loss", "accuracy"]
    training, validation = figure.axes[0].lines
    assert training.get_ydata().tolist() == [2.0, 1.0] and validation.get_ydata().tolist() == [3.0, 2.5]
    assert training.get_xdata().tolist() == [1, 2]


def test_names_choose_and_order():
    history = {"loss": [1.0], "a": [1.0], "b": [2.0]}
    assert titles(visualize.plot_history(history, ["b", "loss"])) == ["b", "loss"]


def test_unknown_names_are_named():
    with pytest.raises(ValueError, match=r"some of loss; received \['los'\]"):
        visualize.plot_history({"loss": [1.0]}, ["los"])


def test_the_history_of_a_run_is_read_by_stages(tmp_path):
    stages = {"tokenizer": {"loss": [3.0, 2.0]}, "transformer": {"loss": [5.0], "accuracy": [0.5]}}
    (tmp_path / "history.json").write_text(json.dumps(stages))
    figures = [visualize.plot_history(path, ["loss"]) for path in (tmp_path, tmp_path / "history.json")]
    assert [titles(figure) for figure in figures] == [["tokenizer: loss", "transformer: loss"]] * 2


def test_a_loss_that_falls_far_gets_a_logarithmic_axis():
    figure = visualize.plot_history({"loss": [100.0, 1.0], "near_loss": [2.0, 1.0], "accuracy": [0.01, 0.9]})
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]


def test_a_nan_does_not_spoil_the_plot():
    figure = visualize.plot_history({"loss": [3.0, float("nan"), 1.0]})
    assert figure.axes[0].get_yscale() == "linear" and figure._repr_png_()


def test_codes_are_drawn_from_the_most_frequent():
    figure = visualize.plot_codebook_usage([3, 3, 3, 1], codebook_size=8)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.75, 0.25]
    # exp of the entropy of (3/4, 1/4) is 1.755
    assert titles(figure) == ["2 of 8 codes used (25 %), perplexity 1.8"]


def test_two_codebooks_are_compared():
    figure = visualize.plot_codebook_usage({"2D": np.arange(8), "3D": np.zeros(4, int)}, 8)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == [
        "2D: 8 of 8 codes used (100 %), perplexity 8.0",
        "3D: 1 of 8 codes used (12 %), perplexity 1.0",
    ]


@pytest.mark.parametrize("ids, seen", [([0, 8], "0 to 8"), ([0.5], "float64"), (np.zeros(0, int), "none")])
def test_ids_outside_the_codebook_are_named(ids, seen):
    with pytest.raises(ValueError, match=seen):
        visualize.plot_codebook_usage(np.asarray(ids), 8)


def test_notebooks_show_a_figure():
    assert visualize.plot_history({"loss": [1.0, 2.0]})._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    from magvit_keras.visualize import figures

    figures._figure_class.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"magvit-keras\[plots\]"):
        visualize.plot_history({"loss": [1.0]})
