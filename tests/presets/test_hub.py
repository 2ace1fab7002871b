"""Presets on the hub, with a stand-in for it: what is asked for, what is fetched, what is sent."""

import fnmatch
import pathlib
import shutil
import sys

import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

import magvit_keras as mk
from magvit_keras.cli import app
from magvit_keras.evaluation import load_model
from magvit_keras.presets.hub import HubUri, fetch_preset
from magvit_keras.presets.protocols import get_protocol
from magvit_keras.presets.resolver import load_trained

huggingface_hub = pytest.importorskip("huggingface_hub")

pytestmark = pytest.mark.once

SIZES = {"filters": 8, "channel_multipliers": (1, 2), "num_res_blocks": 1, "embedding_dim": 4, "codebook_size": 16}
SIZES |= {"norm_groups": 4}


@pytest.fixture(scope="module")
def tokenizer():
    return mk.ImageTokenizer(**SIZES)


@pytest.fixture
def hub(tmp_path, monkeypatch, tokenizer):
    """The hub as a folder: hub/user/repo holds a preset, beside code, and another in a folder."""
    root = tmp_path / "hub"
    for folder in ("user/repo", "user/repo/small"):
        tokenizer.save_to_preset(root / folder)
        (root / folder / "modeling.py").write_text("raise SystemExit")
    asked, sent = [], []

    def snapshot_download(repo_id, revision=None, allow_patterns=None, library_name=None):
        asked.append((repo_id, revision))
        cache = tmp_path / "cache" / str(len(asked))
        cache.mkdir(parents=True)
        for path in (root / repo_id).rglob("*"):
            name = str(path.relative_to(root / repo_id))
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / name)
        return str(cache)

    def upload_folder(repo_id, folder_path, path_in_repo=None, revision=None, allow_patterns=None, commit_message=None):
        names = sorted(path.name for path in pathlib.Path(folder_path).iterdir())
        sent.append((repo_id, revision, path_in_repo, [n for n in names if n in allow_patterns]))
        return "the commit"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda repo_id, **options: sent.append((repo_id, options)))
    return asked, sent


@pytest.mark.parametrize(
    ("uri", "expected"),
    {
        "hf://user/repo": ("user/repo", None, ""),
        "hf://user/repo/": ("user/repo", None, ""),
        "hf://user/repo@v1.0": ("user/repo", "v1.0", ""),
        "hf://user/repo/a/b": ("user/repo", None, "a/b"),
        "hf://user/repo@refs/pr/3/a": ("user/repo", "refs/pr/3", "a"),
        "hf://us-er.x/re_po@main/a": ("us-er.x/re_po", "main", "a"),
    }.items(),
)
def test_uris(uri, expected):
    assert HubUri.parse(uri) == HubUri(*expected)


@pytest.mark.parametrize(
    "uri", ["hf://user", "hf://user/repo/../other", "hf://user/repo/a//b", "hf://user/repo/*", "x"]
)
def test_other_uris_are_refused(uri):
    with pytest.raises(ValueError, match="Expected hf://user/repo"):
        HubUri.parse(uri)


@pytest.mark.parametrize(
    ("uri", "revision", "names"),
    [
        ("hf://user/repo", None, ["README.md", "config.json", "model.weights.h5"]),
        ("hf://user/repo@v1/small", "v1", ["small/README.md", "small/config.json", "small/model.weights.h5"]),
    ],
)
def test_a_preset_comes_without_code(hub, tokenizer, uri, revision, names):
    loaded = mk.ImageTokenizer.from_preset(uri)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded.quantizer.codebook.value), ops.convert_to_numpy(tokenizer.quantizer.codebook.value)
    )
    folder = fetch_preset(uri)
    root = folder.parent if "small" in uri else folder
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == names
    assert hub[0][0] == ("user/repo", revision)


def test_a_repository_without_a_preset(hub):
    with pytest.raises(ValueError, match=r"holds no preset: there is no missing/config\.json"):
        mk.ImageTokenizer.from_preset("hf://user/repo/missing")


def test_upload(hub, tokenizer, tmp_path):
    tokenizer.save_to_preset(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("private")
    assert mk.upload_preset("hf://me/mine/small", tmp_path / "mine", private=True) == "the commit"
    made, sent = hub[1]
    assert made == ("me/mine", {"exist_ok": True, "private": True})
    assert sent == ("me/mine", None, "small", ["README.md", "config.json", "model.weights.h5"])


def test_half_a_preset_is_not_sent(hub, tokenizer, tmp_path):
    tokenizer.save_to_preset(tmp_path / "mine")
    (tmp_path / "mine" / "README.md").unlink()
    with pytest.raises(ValueError, match=r"not a whole preset, it lacks README\.md"):
        mk.upload_preset("hf://me/mine", tmp_path / "mine")
    assert hub[1] == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [("RepositoryNotFoundError", "no such repository"), ("GatedRepoError", "on request only")],
)
def test_answers_of_the_hub_are_explained(monkeypatch, name, answer):
    error = getattr(huggingface_hub.errors, name)

    def refuse(*args, **options):
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ValueError, match=answer):
        fetch_preset("hf://user/repo")


def test_without_the_network(monkeypatch, tmp_path):
    """The real library, told to stay offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hf://user/repo is not in the cache and the hub cannot be reached"):
        fetch_preset("hf://user/repo")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install magvit-keras\[hub\]"):
        mk.ImageTokenizer.from_preset("hf://user/repo")


# --- the hub instead of a folder ---


def test_tokenizers_of_recipes_come_from_the_hub(hub, tokenizer):
    found = load_trained(mk.ImageTokenizer, "hf://user/repo/small")
    for a, b in zip(found.get_weights(), tokenizer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_whole_models_come_from_the_hub(hub, tmp_path):
    video = mk.VideoTokenizer(**SIZES, temporal_downsample=(True,))
    transformer = mk.MaskedTransformer(16, 3, (2, 4, 4), num_layers=1, hidden_size=16, num_heads=2, mlp_dim=16)
    mk.Magvit(video, transformer).save_to_preset(tmp_path / "hub/user/whole")
    assert mk.load_run("hf://user/whole").class_names is None
    assert load_model("hf://user/whole", get_protocol("ucf101_cg")).video_shape == (4, 8, 8)
    assert load_model("hf://user/whole", get_protocol("ucf101_reconstruction")).codebook_size == 16
    command = ["generate", "--run", "hf://user/whole", "--task", "class_conditional_generation", "--num-steps", "2"]
    command += ["--out", str(tmp_path / "out.gif")]
    made = CliRunner().invoke(app, [*command, "--label", "2"])
    assert made.exit_code == 0 and "Wrote 1 clip(s) of 4 frames, 8x8" in made.output, made.output
    refused = CliRunner().invoke(app, [*command, "--label", "waves"])
    assert refused.exit_code == 2 and "--label must be a number below 3" in refused.output
