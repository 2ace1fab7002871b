"""Model cards: they say what is known, invent nothing, and keep what a person wrote."""

import json
import sys

import pytest

import magvit_keras as mk
from magvit_keras.data import MovingShapes
from magvit_keras.presets.model_card import BEGIN, END, card_of_run

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def model():
    return mk.ImageTokenizer(8, (1, 2), 1, embedding_dim=4, codebook_size=16, norm_groups=4)


def front_matter(text):
    assert text.startswith("---\n")
    return text.split("---\n")[1].splitlines()


def test_what_is_known_is_on_the_card_and_in_the_config(model, tmp_path):
    card = {"data": "my | videos\nof cats", "steps": 20000, "scores": {"PSNR, 64 clips": "22.58 dB"}, "licence": "mit"}
    model.save_to_preset(tmp_path / "mine", card=card)
    text = (tmp_path / "mine" / "README.md").read_text()
    assert front_matter(text)[:2] == ["library_name: keras", "license: mit"] and "- magvit_keras" in front_matter(text)
    assert "\n# mine\n" in text and "| Model | ImageTokenizer |" in text
    assert f"| Parameters | {model.count_params():,} |" in text
    assert "| Data | my \\| videos of cats |" in text and "| Steps | 20,000 |" in text
    assert "| PSNR, 64 clips | 22.58 dB |" in text
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["card"] == card


def test_what_is_not_known_is_said_so(model, tmp_path):
    model.save_to_preset(tmp_path / "mine")
    text = (tmp_path / "mine" / "README.md").read_text()
    for row in ("Data", "Steps", "Seed", "Backend", "Versions", "Date", "Licence"):
        assert f"| {row} | not stated |" in text
    assert text.count("Not stated.") == 2  # scores and command
    assert not [line for line in front_matter(text) if line.startswith("license")]


def test_a_licence_of_no_known_name():
    text = mk.ModelCard(licence='Mine: "no" use').text("Magvit", 1, "name")
    assert 'license: other\nlicense_name: "Mine: \\"no\\" use"' in text and "pipeline_tag: video-to-video" in text


def test_what_a_person_wrote_is_kept(model, tmp_path):
    model.save_to_preset(tmp_path, card={"data": "the first"})
    path = tmp_path / "README.md"
    edited = path.read_text().replace("tags:", "tags:\n- my-tag").replace(BEGIN, f"Above, by hand.\n{BEGIN}")
    path.write_text(edited + "\nBelow, by hand.\n")
    model.save_to_preset(tmp_path, card={"data": "the second"})
    text = path.read_text()
    assert "- my-tag" in text and "Above, by hand." in text and text.endswith("\nBelow, by hand.\n")
    assert "the second" in text and "the first" not in text and text.count(BEGIN) == text.count(END) == 1


def test_a_card_without_marks_is_kept_whole(model, tmp_path):
    (tmp_path / "README.md").write_text("# All mine\n\nText.\n")
    for _ in range(2):
        model.save_to_preset(tmp_path, card={"data": "videos"})
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"# All mine\n\nText.\n\n{BEGIN}") and text.count(BEGIN) == 1


def test_unknown_entries_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="has no score; known: description, data, steps, scores"):
        model.save_to_preset(tmp_path / "mine", card={"score": 1})
    assert not (tmp_path / "mine").exists()


def test_a_run_says_what_it_knows(tmp_path, monkeypatch):
    settings = {"video_shape": [4, 8, 8], "seed": 3, "backend": "torch"}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    for stage in ("tokenizer", "transformer"):
        (tmp_path / "checkpoints" / stage).mkdir(parents=True)
        state = {"epoch": 2, "history": {"loss": [3.0, 1.5]}}
        (tmp_path / "checkpoints" / stage / "state.json").write_text(json.dumps(state))
    monkeypatch.setattr(sys, "argv", ["/bin/magvit-keras", "train", "--data", "/home/me/videos", "--out=/x/run", "a/b"])
    sys.argv += ["--reader", "table=/home/me/list.csv", "--tokenizer", "../../me/tok", "--from", "~/runs/mine"]
    training, held_out = MovingShapes(10, 4, (8, 8)).split(0.2)
    card = card_of_run(tmp_path, "tokenizer", training, 100, held_out, {"psnr": 21.234})
    assert card.data == "MovingShapes, 8 clips of 4x8x8 to train on, 2 held out"
    assert card.steps == "100 optimizer steps of the tokenizer"
    assert card.scores["Reconstruction PSNR of the tokenizer, held-out clips"] == "21.23 dB"
    assert card.scores["Training loss of the tokenizer, last epoch"] == "1.5000"
    assert card.command == "magvit-keras train --data videos --out=run a/b " + (
        "--reader table=list.csv --tokenizer tok --from mine"
    )
    assert (card.seed, card.backend) == (3, "torch") and {"keras", "python"} <= card.versions.keys()
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "config.json").write_text(json.dumps({"card": {"scores": card.scores}}))
    whole = card_of_run(tmp_path, "transformer", "UCF-101: 12 videos", 1234)
    assert whole.scores == {**card.scores, "Training loss of the transformer, last epoch": "1.5000"}
    assert (whole.data, whole.steps) == ("UCF-101: 12 videos", "1,234 optimizer steps of the transformer")
    assert whole.licence is None
