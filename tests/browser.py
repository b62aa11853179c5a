"""Chromium without a window, driven over a pipe by its DevTools protocol: for tests of pages. Standard library only."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")


class Browser:
    """One tab. errors: what its console and its scripts complained of."""

    def __init__(self, width: int = 1300, height: int = 1000) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (commands, self.to), (self.answers, answers) = os.pipe(), os.pipe()
        program = f"exec {PROGRAM} {' '.join(FLAGS)} --window-size={width},{height} --user-data-dir={self.folder.name}"
        # The protocol wants file descriptors 3 and 4.
        line = f"{program} about:blank 3<&{commands} 4>&{answers}"
        self.process = subprocess.Popen(
            ["bash", "-c", line], pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self.buffer, self.number, self.session = b"", 0, ""
        self.errors: list[str] = []
        self.loaded = False
        page = next(one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.answers)
        self.folder.cleanup()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command; what happened meanwhile is noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        os.write(self.to, json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self.number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return dict(found["result"])

    def _next(self, timeout: float = 60) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            if not select.select([self.answers], [], [], timeout)[0]:
                raise TimeoutError("the browser does not answer")
            more = os.read(self.answers, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self.buffer += more
        text, _, self.buffer = self.buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        told = found.get("params", {})
        if found.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
        elif found.get("method") == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
        elif found.get("method") == "Page.loadEventFired":
            self.loaded = True
        return found

    def open(self, page: Path, ready: str = "true", seconds: float = 60) -> None:
        """Loads a page, and waits until an expression holds."""
        self.loaded = False
        self.send("Page.navigate", url=page.resolve().as_uri())
        while not self.loaded:
            self._next()
        self.wait(ready, seconds)

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Raises TimeoutError, with what the page complained of, where an expression does not come to hold."""
        end = time.monotonic() + seconds
        while not self.value(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} does not hold; {self.errors}")
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression evaluates to; a promise is awaited."""
        told = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(json.dumps(told["exceptionDetails"]))
        return told["result"].get("value")

    def media(self, **features: str) -> None:
        """Media features, such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=listed)

    def key(self, key: str) -> None:
        """One key, pressed and released."""
        text = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """kind: mouseMoved, mousePressed, mouseReleased or mouseWheel, at a place in the window in CSS pixels."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
