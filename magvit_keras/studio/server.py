"""The studio's server: one page, and three addresses that it calls. For callers on this computer alone."""

import functools
import http.server
import json
import os
import pathlib
import queue
import select
import socket
import socketserver
import urllib.parse
from typing import Any

from magvit_keras.studio import canvas_script
from magvit_keras.studio.work import MOST_BYTES, Job, Studio

_HOSTS = ("127.0.0.1", "localhost")
_MOST_WISH_BYTES = 1 << 20
_BEAT_SECONDS = 1.0  # between two signs of life to one who waits
# Nothing is loaded from elsewhere, and no other page may frame this one or read its answers.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data: blob:; connect-src 'self'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StudioServer(http.server.ThreadingHTTPServer):
    """Serves a `Studio` on 127.0.0.1, as `address` says; `serve_forever()` until `shutdown()`.

    Args:
        port: 0 takes a free one.
        studio: the model at work; may be set later, before `serve_forever`.

    Raises:
        ValueError: the port is taken.
    """

    allow_reuse_address = os.name != "nt"  # on Windows, two servers would share the port

    def __init__(self, port: int = 0, studio: Studio | None = None):
        self.studio = studio
        try:
            super().__init__((_HOSTS[0], port), _Handler)
        except OSError as error:
            raise ValueError(
                f"Port {port} cannot be used ({error.strerror}); --port {port + 1} takes another."
            ) from None
        self.address = f"http://{_HOSTS[0]}:{self.server_port}/"

    def server_bind(self) -> None:
        """Without asking the network for this computer's name, as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 60  # of a caller that says nothing
    server: StudioServer

    def do_GET(self) -> None:
        """The page, and what it asks about the model."""
        if self._refused():
            return
        if self.path == "/":
            self._answer(200, page().encode(), "text/html; charset=utf-8")
        elif self.path == "/about":
            self._answer_json(200, self.server.studio.about())
        else:
            self._fail(404, "There is nothing here but the page at / .")

    def do_POST(self) -> None:
        """A dropped video, or a wish for a clip."""
        if self._refused():
            return
        limits = {"/clip": MOST_BYTES, "/generate": _MOST_WISH_BYTES}
        if self.path not in limits:
            return self._fail(404, "There is nothing here but the page at / .")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            return self._fail(411, "The length of the request is missing.")
        if int(length) > limits[self.path]:
            return self._fail(413, f"This is too large: at most {limits[self.path] >> 20} MB are taken.")
        try:
            if self.path == "/clip":
                return self._answer_json(200, self.server.studio.read_video(self.rfile, int(length)))
            wish = json.loads(self.rfile.read(int(length)))
            if not isinstance(wish, dict):
                raise ValueError("expected a JSON object.")
            job = self.server.studio.ask(wish)
        except (ValueError, ImportError) as error:  # ImportError: PyAV is not installed
            return self._fail(400, str(error))
        self._tell(job)

    def _tell(self, job: Job) -> None:
        """What happens to a job, as it happens: a line of JSON for each event; ends with the connection."""
        self._head(200, {"Content-Type": "application/x-ndjson"})
        try:
            event: dict[str, Any] | None = self._waiting(job)
            while event is not None:
                if self._left():
                    break
                self.wfile.write(json.dumps(event).encode() + b"\n")
                try:
                    event = job.events.get(timeout=_BEAT_SECONDS)
                except queue.Empty:
                    event = self._waiting(job)
        except OSError:
            pass  # the visitor has closed the page
        finally:
            job.unwanted.set()

    def _waiting(self, job: Job) -> dict[str, Any]:
        return {"kind": "waiting", "ahead": self.server.studio.ahead(job), "ready": self.server.studio.ready}

    def _left(self) -> bool:
        """Whether the visitor has closed the connection: nothing but the end can be read from it."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _refused(self) -> bool:
        """Answers those who are not the page itself: another site in the visitor's browser, or another name for it."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        try:
            known = urllib.parse.urlsplit(f"//{host}").hostname in _HOSTS
        except ValueError:
            known = False
        if known and origin in (None, f"http://{host}"):
            return False
        self._fail(403, "The studio answers its own page only, at http://127.0.0.1 on this computer.")
        return True

    def _fail(self, status: int, message: str) -> None:
        self._answer_json(status, {"kind": "error", "message": message})

    def _answer_json(self, status: int, answer: dict[str, Any]) -> None:
        self._answer(status, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing: the terminal is for errors."""


@functools.cache
def page() -> str:
    """The page, complete in itself."""
    return pathlib.Path(__file__).with_name("page.html").read_text("utf-8").replace("/* canvas.js */", canvas_script())
