"""A headless Chromium, led over a pipe by its DevTools protocol: for pictures of pages, and for tests of them."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str | None:
    """The program, if one is on the PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A tab: `js` runs a script in it, `click`, `drag` and `key` are those of a person, `picture` is a PNG."""

    def __init__(self, send: int, receive: int):
        self._send, self._receive = os.fdopen(send, "wb"), os.fdopen(receive, "rb")
        self._number, self._session, self._rest = 0, None, b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer; events are passed over."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": params, **session}
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while True:
            while b"\0" not in self._rest:
                part = self._receive.read1(1 << 20)
                if not part:
                    raise RuntimeError("The browser has ended.")
                self._rest += part
            text, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(
        self, address: str, width: int = 1400, height: int = 1000, dark: bool = False, phone: bool = False
    ) -> None:
        """Shows a page in a window of that size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", expression))
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not self.js(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} was not true within {seconds} s")
            time.sleep(0.05)

    def middle(self, selector: str) -> tuple[float, float, float, float]:
        """The middle of an element and its size, in pixels of the window."""
        box = f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
        return tuple(self.js(box + "return [b.x + b.width / 2, b.y + b.height / 2, b.width, b.height]; })()"))

    def click(self, selector: str) -> None:
        """A click in the middle of an element."""
        x, y, *_ = self.middle(selector)
        self.drag([(x, y)])

    def drag(self, points: list[tuple[float, float]]) -> None:
        """The mouse is pressed at the first point, moved along the others, and let go."""
        for kind, (x, y) in [("mousePressed", points[0]), *(("mouseMoved", p) for p in points[1:]),
                             ("mouseReleased", points[-1])]:  # fmt: skip
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def key(self, name: str) -> None:
        """A key, pressed and let go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, text=name if len(name) == 1 else "")

    def picture(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        made = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(made["data"])


@contextlib.contextmanager
def browser(program: str) -> Iterator[Page]:
    """A tab of a new browser, which ends with the block."""
    (there, send), (receive, back) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads commands from descriptor 3, and answers on 4.
        command = f'exec "$0" "$@" 3<&{there} 4>&{back}'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio"]
        options += [
            f"--user-data-dir={profile}",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            "--no-first-run",
        ]
        process = subprocess.Popen(
            ["bash", "-c", command, program, *options], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        try:
            yield Page(send, receive)
        finally:
            process.terminate()
            process.wait(30)
