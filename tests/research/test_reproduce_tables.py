"""The tables in miniature: cells that go on, tables out of cells, orderings, and a tiny cell of each table."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from magvit_keras import backend
from magvit_keras.cli import app
from research import assemble, commands, orderings, runner
from research.plan import BUDGETS, Budget, Claim, Column, Row, Table
from research.workshop import EIGHT_TASKS, ClipBatches, Workshop

pytestmark = pytest.mark.once

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reproducing.md"
RESULTS = PAGE.parent / "reproduce"

TINY = Budget(
    train_clips=4,
    test_clips=4,
    size=16,
    large_size=16,
    image_steps=2,
    image_batch=2,
    channel_multipliers=(1, 2, 2),
    temporal_downsample=(True, True),
    codebook_size=16,
    tokenizer_steps=2,
    tokenizer_batch=2,
    layers=1,
    hidden=16,
    heads=2,
    transformer_steps=2,
    transformer_batch=2,
    num_steps=2,
    repeats=1,
    timed_sizes=(32,),
)


NEW_IS_BETTER = Claim("fvd", "new", "old", checked=True)


def made_table(scores, claims=(NEW_IS_BETTER,)):
    """A table whose cells are read from a dict (row, seed) -> fvd; notes each measurement."""
    calls = []

    def measure(workshop, row, seed):
        calls.append((row.name, seed))
        return {"fvd": scores[row.name, seed], "hidden": None}

    table = Table(
        name="table7",
        title="A table",
        about="What it is.",
        rows=(Row("old", "the old way"), Row("new", "the new way")),
        columns=(Column("fvd", "FVD", 2, "low", "fvd", "FVD"), Column("hidden", "hidden")),
        claims=claims,
        measure=measure,
    )
    return table, calls


SCORES = {("old", 0): 5.0, ("new", 0): 3.0, ("old", 1): 7.0, ("new", 1): 4.0}


def cells_of(scores):
    return [{"row": row, "seed": seed, "scores": {"fvd": value}} for (row, seed), value in scores.items()]


# --- the runner ---


def test_a_run_that_was_stopped_measures_only_what_is_missing(tmp_path):
    table, calls = made_table({key: SCORES[key] for key in list(SCORES)[:3]})
    with pytest.raises(KeyError):  # the last cell fails, as if the process were killed there
        runner.run_table(table, TINY, range(2), tmp_path, None)
    table, calls = made_table(SCORES)
    cells = runner.run_table(table, TINY, range(2), tmp_path, None)
    assert calls == [("new", 1)]
    assert [cell["scores"]["fvd"] for cell in cells] == [5.0, 3.0, 7.0, 4.0]


def test_cells_of_another_budget_are_measured_again(tmp_path):
    table, calls = made_table(SCORES)
    runner.run_table(table, TINY, [0], tmp_path, None)
    other = dataclasses.replace(TINY, tokenizer_steps=3)
    assert runner.read_cells(table, other, [0], tmp_path) == []
    runner.run_table(table, other, [0], tmp_path, None)
    assert calls == [("old", 0), ("new", 0)] * 2


def test_what_a_table_does_not_use_leaves_its_cells_valid(tmp_path):
    table, _ = made_table(SCORES)
    table = dataclasses.replace(table, unused=frozenset({"layers"}))
    runner.run_table(table, TINY, [0], tmp_path, None)
    assert len(runner.read_cells(table, dataclasses.replace(TINY, layers=9), [0], tmp_path)) == 2
    assert runner.read_cells(table, dataclasses.replace(TINY, hidden=9), [0], tmp_path) == []


def test_the_estimate_takes_the_time_of_the_same_row():
    done = {(0, "old"): {"row": "old", "seconds": 100}, (0, "new"): {"row": "new", "seconds": 500}}
    assert runner.seconds_left(done, [(1, Row("new", ""))]) == "about 8 min"
    assert runner.seconds_left(done, [(1, Row("other", ""))]) == "about 5 min"


# --- tables out of cells ---


def test_a_table_holds_mean_deviation_and_the_papers_number(tmp_path, monkeypatch):
    table, _ = made_table(SCORES)
    cells = runner.run_table(table, TINY, range(2), tmp_path, None)
    monkeypatch.setattr(
        assemble, "paper_numbers", lambda: {"source": "the paper", "table7": {"old": {"fvd": 240, "other": 1}}}
    )
    summary = assemble.summarize(table, TINY, cells, "the command")
    text = assemble.to_markdown(table, summary)
    assert "| the old way | 6.00 (1.41) | 240 | – |" in text
    assert "| the new way | 3.50 (0.71) | not stated here | – |" in text
    assert "| FVD: the new way lower than the old way | appears: 2 of 2 seeds |" in text
    assert "`the command`" in text
    assert json.loads(json.dumps(summary))["rows"][0]["scores"]["fvd"]["mean"] == 6.0


def test_a_table_without_cells_says_so(tmp_path):
    table, _ = made_table({})
    summary = assemble.summarize(table, TINY, [], "")
    assert "not measured yet" in assemble.to_markdown(table, summary)
    assemble.write_results(table, summary, tmp_path)
    assert (tmp_path / "table7.png").stat().st_size > 1000


def test_a_page_is_changed_between_its_marks_only(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin table7 -->\nold\n<!-- end table7 -->\nafter\n")
    assemble.write_into_page(page, "table7", "new")
    assert page.read_text() == "before\n<!-- begin table7 -->\n\nnew\n\n<!-- end table7 -->\nafter\n"
    with pytest.raises(ValueError, match="has no <!-- begin table6 -->"):
        assemble.write_into_page(page, "table6", "new")


def test_every_table_names_rows_columns_and_paper_numbers_that_exist():
    paper = assemble.paper_numbers()
    for table in commands.TABLES.values():
        rows, columns = {row.name for row in table.rows}, {column.name: column for column in table.columns}
        for claim in table.claims:
            assert {claim.better, claim.worse} <= rows and columns[claim.column].better in ("low", "high"), claim
        known = {column.paper for column in table.columns if column.paper}
        assert set(paper[table.name]) <= rows
        assert {name for numbers in paper[table.name].values() for name in numbers} <= known


@pytest.mark.parametrize("name", commands.TABLES)
def test_the_committed_table_is_made_of_the_committed_cells(name):
    table, path = commands.TABLES[name], RESULTS / f"{name}.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    found = json.loads(path.read_text())
    cells = runner.read_cells(table, BUDGETS["full"], found["seeds"], RESULTS / "cells" / name)
    again = assemble.summarize(table, BUDGETS["full"], cells, found["command"])
    assert json.loads(json.dumps(again)) == found
    assert assemble.to_markdown(table, again, f"reproduce/{name}.png").strip() in PAGE.read_text()


# --- orderings ---


@pytest.mark.parametrize(
    ("scores", "better", "verdict"),
    [
        (SCORES, "low", "yes"),
        (SCORES, "high", "no"),
        ({**SCORES, ("new", 1): 9.0}, "low", "mixed"),
        ({("old", 0): 5.0, ("new", 1): 3.0}, "low", "missing"),
        ({("old", 0): 5.0, ("new", 0): None}, "low", "missing"),
    ],
)
def test_seeds_decide_whether_an_ordering_appears(scores, better, verdict):
    assert orderings.judge_claim(Claim("fvd", "new", "old"), better, cells_of(scores))["verdict"] == verdict


def test_only_opposite_orderings_contradict():
    claims = (Claim("fvd", "new", "old", checked=True), Claim("fvd", "old", "new"))
    table, _ = made_table(SCORES, claims)
    same = orderings.judge_claims(table, cells_of(SCORES))
    turned = orderings.judge_claims(table, cells_of({("old", 0): 1.0, ("new", 0): 2.0}))
    mixed = orderings.judge_claims(table, cells_of({**SCORES, ("new", 1): 9.0}))
    assert orderings.contradictions(table, same, same)[1] == []
    assert orderings.contradictions(table, same, mixed)[1] == []
    lines, wrong = orderings.contradictions(table, same, turned)
    assert [line.endswith("CONTRADICTS") for line in lines] == [True, False]
    assert wrong == lines[:1]


def test_times_of_different_backends_are_not_compared():
    table, _ = made_table(SCORES, (Claim("fvd", "new", "old", checked=True, timed=True),))
    same = orderings.judge_claims(table, cells_of(SCORES))
    turned = orderings.judge_claims(table, cells_of({("old", 0): 1.0, ("new", 0): 2.0}))
    assert len(orderings.contradictions(table, same, turned)[1]) == 1
    lines, wrong = orderings.contradictions(table, same, turned, same_backend=False)
    assert wrong == [] and lines[0].endswith("times of different backends")


def test_the_backend_of_a_cell_is_read_from_how_it_was_made():
    cell = {"made": runner.about_this_run()}
    assert orderings.backends_of([cell, cell]) == {keras.config.backend()}


def test_check_compares_a_rerun_with_committed_cells(tmp_path):
    committed, _ = made_table(SCORES)
    runner.run_table(committed, TINY, range(2), tmp_path / "cells" / "table7", None)
    again, turned = made_table(SCORES)[0], made_table({("old", 0): 1.0, ("new", 0): 2.0})[0]
    options = {"against": tmp_path, "budget": TINY, "committed_budget": TINY, "say": lambda line: None}
    assert commands.check([again], 1, tmp_path / "good", **options) == []
    assert len(commands.check([turned], 1, tmp_path / "bad", **options)) == 1
    with pytest.raises(ValueError, match="holds no cells"):
        commands.check([again], 1, tmp_path / "none", **{**options, "against": tmp_path / "nothing"})


# --- models ---


def test_batches_go_through_all_clips_before_any_comes_again():
    batches = ClipBatches(np.arange(5), batch_size=2, seed=0, steps=5)
    seen = np.concatenate([batches[i] for i in range(5)])
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))
    assert list(seen[:5]) != list(seen[5:])


on_torch = pytest.mark.skipif(backend.name() != "torch", reason="nothing here differs; PyTorch does not compile")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(TINY, tmp_path_factory.mktemp("models"))


@on_torch
def test_a_model_is_trained_once(tmp_path):
    lines = []
    workshop = Workshop(TINY, tmp_path, lines.append)
    first = workshop.tokenizer("central", 0)
    again = Workshop(TINY, tmp_path, lines.append).tokenizer("central", 0)
    assert [line.split()[1] for line in lines] == ["tokenizer-2d-seed0", "tokenizer-central-seed0"]
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@on_torch
@pytest.mark.parametrize("name", commands.TABLES)
def test_a_tiny_cell_of_each_table(name, workshop, tmp_path):
    table = commands.TABLES[name]
    table = dataclasses.replace(table, rows=table.rows[-1:])
    cells = runner.run_table(table, TINY, [0], tmp_path, workshop)
    for column in table.columns:
        value = cells[0]["scores"][column.name]
        timed = name != "figure5" or column.name.endswith("32")
        assert np.isfinite(value) if timed else value is None, column.name


@on_torch
def test_the_prefix_model_reads_the_condition(workshop):
    magvit = workshop.magvit("prefix-frame_prediction", 0, ("frame_prediction",), condition_mode="prefix")
    video = workshop.clips("test", large=True)["video"]
    black, white = (magvit.generate(video=np.full_like(video[:1], v), return_details=True) for v in (0, 255))
    tokens = magvit.transformer.num_latents
    assert magvit.transformer.sequence_length == 2 + 2 * tokens
    prefix = np.array([[0, 0]], "int32")
    ids = np.zeros((1, tokens), "int32")
    pads = np.arange(tokens)[None] >= tokens // 2
    one = magvit.full_prefix(prefix, ids, pads)
    assert one.shape == (1, 2 + tokens)
    assert (keras.ops.convert_to_numpy(one)[0, 2 + tokens // 2 :] == magvit.vocabulary.size - 15).all()
    assert black.tokens.shape == white.tokens.shape


def test_a_prefix_of_another_length_is_refused():
    workshop = Workshop(TINY, "unused")
    tokenizer = workshop.new_tokenizer("scratch")
    made = workshop.new_magvit(tokenizer, EIGHT_TASKS[:1], condition_mode="prefix")
    with pytest.raises(ValueError, match="prefix_length=34 does not fit"):
        type(made)(tokenizer, made.transformer, EIGHT_TASKS[:1])


# --- the command ---


def test_the_command_answers_bad_input_in_a_line(tmp_path):
    for arguments, message in (
        (["reproduce"], "Say which table"),
        (["reproduce", "table9"], "Unknown table 'table9'"),
        (["reproduce", "table7", "--budget", "huge"], "Unknown budget 'huge'"),
        (["reproduce", "--check", "--against", str(tmp_path)], "holds no cells"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2, arguments
        assert message in result.stderr


@on_torch
def test_the_command_makes_a_table_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(BUDGETS, "full", TINY)
    arguments = ["reproduce", "table7", "--out", str(tmp_path), "--seeds", "1"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "4 cells, 0 are done" in first.output
    assert "| 3D-VQ, central inflation |" in (tmp_path / "table7.md").read_text()
    assert "4 cells, 4 are done" in CliRunner().invoke(app, arguments).output
