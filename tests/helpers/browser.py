"""A real browser for tests: Chromium without a window, spoken to over a pipe in the protocol of its developer tools.

https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "about:blank"),
)
PATIENCE_S = 120


class Browser:
    """One page. profile: an empty folder"""

    def __init__(self, profile: Path) -> None:
        commands, self._commands = os.pipe()
        answers, reports = os.pipe()
        self._answers, self._count, self._session, self.problems = os.fdopen(answers, "rb"), 0, None, []

        def connect() -> None:
            """Chromium reads commands from descriptor 3 and answers on 4; through copies, since either may be one of the two."""
            copies = os.dup(commands), os.dup(reports)
            for descriptor, copy in zip((3, 4), copies, strict=True):
                os.dup2(copy, descriptor)

        arguments = [str(PROGRAM), f"--user-data-dir={profile}", *OPTIONS]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(arguments, close_fds=False, preexec_fn=connect, **silent)
        os.close(commands)
        os.close(reports)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, anchor: str = "", width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Below a width of 500 as a phone, which is touched."""
        phone = width < 500
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=f"{page.as_uri()}#{anchor}")
        self.wait(lambda: self.run("document.readyState") == "complete" and self.run("location.protocol") == "file:")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; AssertionError where it fails."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else "")

    def print(self) -> None:
        """As if to paper."""
        self._call("Page.printToPDF")

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "the page did not become as expected"
            time.sleep(0.05)

    def close(self) -> None:
        self._call("Browser.close")
        self._process.wait(timeout=PATIENCE_S)
        os.close(self._commands)
        self._answers.close()

    def _call(self, method: str, **params: Any) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params} | ({"sessionId": self._session} if self._session else {})
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            entry = answer.get("params", {}).get("entry", {})
            if answer.get("method") == "Runtime.exceptionThrown" or entry.get("level") == "error":
                self.problems.append(answer["params"])
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _read(self) -> dict:
        letters = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            assert letter, "the browser has ended"
            letters += letter
        return json.loads(letters)
