"""Presets on the Hugging Face hub: `hf://user/repo`, `hf://user/repo@revision`, `hf://user/repo/folder`."""

import dataclasses
import os
import pathlib
import re
from typing import Any

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.weights.h5"
CARD_FILE = "README.md"
#: All that is fetched and all that is uploaded: no code, whatever else a repository holds.
PRESET_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE)
PREFIX = "hf://"

_REVISION = r"refs/(?:pr|convert)/[\w.-]+|[\w.-]+"
_URI = re.compile(rf"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>{_REVISION}))?(?:/(?P<folder>[\w./ -]+?))?/?")


@dataclasses.dataclass(frozen=True)
class HubUri:
    """The parts of `hf://user/repo@revision/folder`.

    Args:
        repo: "user/repo".
        revision: branch, tag or commit; None is the default branch.
        folder: inside the repository, without slashes at its ends; "" is its root.
    """

    repo: str
    revision: str | None = None
    folder: str = ""

    @classmethod
    def parse(cls, uri: str) -> "HubUri":
        """The parts of a URI.

        Raises:
            ValueError: the text is not such a URI, or its folder leads out of the repository.

        Example:
            >>> HubUri.parse("hf://user/repo@v1/tokenizer")
            HubUri(repo='user/repo', revision='v1', folder='tokenizer')
        """
        match = _URI.fullmatch(uri)
        folder = (match["folder"] or "") if match else ""
        if not match or any(part in ("", ".", "..") for part in folder.split("/") if folder):
            raise ValueError(
                f"Expected hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; received {uri!r}."
            )
        return cls(match["repo"], match["revision"], folder)


def fetch_preset(uri: str) -> pathlib.Path:
    """Downloads the files of a preset, or finds them in the cache.

    Args:
        uri: `hf://user/repo`, with `@revision` or a folder where needed.

    Returns:
        The folder that holds them, in the cache of huggingface_hub.

    Raises:
        ImportError: huggingface_hub is not installed.
        ValueError: no such URI, repository or revision, no access, or no preset there.
        FileNotFoundError: the hub cannot be reached and the cache does not hold the preset.
    """
    parts, hub = HubUri.parse(uri), _hub()
    prefix = f"{parts.folder}/" if parts.folder else ""
    try:
        root = hub.snapshot_download(
            parts.repo,
            revision=parts.revision,
            allow_patterns=[prefix + name for name in PRESET_FILES],
            library_name="magvit_keras",
        )
    except hub.errors.GatedRepoError as error:
        raise ValueError(
            f"{uri}: its owner gives access on request only. Ask on its page, then log in. {error}"
        ) from None
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError) as error:
        raise ValueError(
            f"{uri}: no such repository or revision, or it is private: log in with `hf auth login`. {error}"
        ) from None
    except hub.errors.HFValidationError as error:
        raise ValueError(f"{uri} is not a repository of the hub: {error}") from None
    except hub.errors.LocalEntryNotFoundError as error:
        raise FileNotFoundError(f"{uri} is not in the cache and the hub cannot be reached. {error}") from None
    folder = pathlib.Path(root, *parts.folder.split("/"))
    if not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"{uri} holds no preset: there is no {prefix}{CONFIG_FILE}.")
    return folder


def local_folder(path: str | os.PathLike) -> pathlib.Path:
    """The folder of a path; of `hf://user/repo` the one that its files are fetched to."""
    return fetch_preset(str(path)) if str(path).startswith(PREFIX) else pathlib.Path(path)


def upload_preset(uri: str, folder: str | os.PathLike, private: bool = False, message: str | None = None) -> str:
    """Puts a folder that `save_to_preset` wrote on the hub; needs `hf auth login`, once.

    The repository is made where it does not exist. Only the preset's own files are sent: config, weights and card.

    Args:
        uri: `hf://user/repo`, with a folder where the repository holds several presets.
        folder: the preset.
        private: whether a new repository is private.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        ImportError: huggingface_hub is not installed.
        ValueError: the folder holds no whole preset, or the URI is none.

    Example:
        >>> magvit.save_to_preset("my_model", card={"licence": "apache-2.0"})  # doctest: +SKIP
        >>> upload_preset("hf://me/my_model", "my_model")  # doctest: +SKIP
    """
    from magvit_keras.presets.untrusted import check_checksum, read_config, stored_shapes  # which load Keras

    parts, folder, hub = HubUri.parse(uri), pathlib.Path(folder), _hub()
    absent = [name for name in PRESET_FILES if not (folder / name).is_file()]
    if absent:
        raise ValueError(f"{folder} is not a whole preset, it lacks {', '.join(absent)}. Write it with save_to_preset.")
    check_checksum(folder / WEIGHTS_FILE, read_config(folder / CONFIG_FILE))
    stored_shapes(folder / WEIGHTS_FILE)
    hub.create_repo(parts.repo, exist_ok=True, private=private)
    commit = hub.upload_folder(
        repo_id=parts.repo,
        revision=parts.revision,
        folder_path=folder,
        path_in_repo=parts.folder or None,
        allow_patterns=list(PRESET_FILES),
        commit_message=message or "Upload a magvit_keras preset",
    )
    return str(getattr(commit, "commit_url", commit))


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise ImportError(
            "Presets on the hub need huggingface_hub: pip install magvit-keras[hub]. A folder needs nothing more."
        ) from None
    return huggingface_hub
