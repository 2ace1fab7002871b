"""Weight files from the web: only with a checksum, into a cache, nothing half-written. Here from this machine."""

import functools
import hashlib
import http.server
import pathlib
import threading
from typing import ClassVar

import numpy as np
import pytest

from magvit_keras.convert import fetch, load_i3d, load_lpips, load_resnet50
from magvit_keras.convert.fetching import cache_folder

pytestmark = pytest.mark.once

CONTENT = b"some weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGVIT_KERAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source" / "w.npz"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def server(source):
    """A web server on this machine that counts what it was asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        asked: ClassVar[list] = []

        def do_GET(self):
            self.asked.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=source.parent))
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", Handler.asked
    served.shutdown()
    served.server_close()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_is_fetched_once(cache, server):
    url, asked = server
    found = [fetch(f"{url}/w.npz", SHA256.upper()) for _ in range(2)]
    assert found == [cache / SHA256[:16] / "w.npz"] * 2
    assert found[0].read_bytes() == CONTENT
    assert asked == ["/w.npz"]
    assert files(cache) == [f"{SHA256[:16]}/w.npz"]


def test_files_of_this_machine(cache, source):
    assert fetch(source.as_uri(), SHA256).read_bytes() == CONTENT
    assert source.exists()


def test_a_wrong_checksum_keeps_nothing_and_leaves_the_rest(cache, source):
    fetch(source.as_uri(), SHA256)
    before, other = files(cache), "0" * 64
    with pytest.raises(ValueError, match=rf"has the SHA-256 {SHA256}; expected {other}"):
        fetch(source.as_uri(), other)
    assert files(cache) == before
    assert source.exists()


def test_a_file_that_changed_in_the_cache(cache, source):
    path = fetch(source.as_uri(), SHA256)
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=rf"w.npz has the SHA-256 .*; expected {SHA256}"):
        fetch(source.as_uri(), SHA256)


@pytest.mark.parametrize("sha256", [None, "", "397923af", "g" * 64])
def test_a_checksum_is_needed(cache, source, sha256):
    with pytest.raises(ValueError, match="needs sha256, the 64 hexadecimal digits"):
        fetch(source.as_uri(), sha256)
    with pytest.raises(ValueError, match="needs sha256"):
        load_i3d(source.as_uri(), sha256=sha256)
    assert not cache.exists()


@pytest.mark.parametrize("url", ["http://example.com/w.npz", "ftp://example.com/w.npz", "gs://magvit/w.npz"])
def test_other_addresses(cache, url):
    with pytest.raises(ValueError, match="from https:// or file:// addresses; received"):
        fetch(url, SHA256)


@pytest.mark.parametrize("end", ["", "..", "a%2F..", "w%5C..%5C..%5Cw.npz"])
def test_an_address_names_a_file(cache, end):
    with pytest.raises(ValueError, match="does not end with the name of a file"):
        fetch(f"https://example.com/{end}", SHA256)


def test_what_is_not_there(cache, server):
    url, _ = server
    with pytest.raises(OSError, match=r"/nothing.npz cannot be fetched: .*404"):
        fetch(f"{url}/nothing.npz", SHA256)
    assert not files(cache)


def test_the_folder_of_the_platform(monkeypatch):
    monkeypatch.delenv("MAGVIT_KERAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    for platform, folder in (("linux", "/somewhere"), ("darwin", "~/Library/Caches"), ("win32", "/local")):
        monkeypatch.setattr("sys.platform", platform)
        monkeypatch.setenv("LOCALAPPDATA", "/local")
        assert cache_folder() == pathlib.Path(folder).expanduser() / "magvit_keras"


@pytest.mark.parametrize("load", [load_i3d, load_resnet50])
def test_loaders_fetch(cache, source, server, load):
    """A file of other weights: the error shows that it was fetched and read."""
    np.savez(source, a=np.zeros(3, "float32"))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=r"do not fit this (I3D|ResNet).*1 unknown"):
        load(f"{server[0]}/w.npz", sha256=digest)
    assert files(cache) == [f"{digest[:16]}/w.npz"]


def test_a_path_with_a_checksum(source):
    with pytest.raises(ValueError, match=rf"has the SHA-256 {SHA256}; expected {'1' * 64}"):
        load_i3d(source, sha256="1" * 64)


def test_names_that_hold_a_checksum(tmp_path):
    """As torchvision's do."""
    (tmp_path / "vgg16-397923af.pth").write_bytes(CONTENT)
    with pytest.raises(ValueError, match=rf"SHA-256 that begins with 397923af; it is {SHA256}"):
        load_lpips(tmp_path / "vgg16-397923af.pth")
    right = tmp_path / f"vgg16-{SHA256[:8]}.pth"
    right.write_bytes(CONTENT)
    with pytest.raises(ValueError, match=r"neither a .safetensors file nor a PyTorch file"):
        load_lpips(right)
