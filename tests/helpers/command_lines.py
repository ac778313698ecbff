"""The project's command line: run in this process, as a process of its own, and on a terminal of any width."""

import io
import os
import pty
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from project_code import ROOT

from confidnet_core.__main__ import main

WORDS = [sys.executable, "-m", "confidnet_core"]


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, neither of them a terminal."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["confidnet", *arguments])
        try:
            main()
        except SystemExit as end:
            code = 1 if isinstance(end.code, str) else end.code or 0
            err.write(end.code if isinstance(end.code, str) else "")
    return code, out.getvalue(), err.getvalue()


def shown(*arguments: str) -> str:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    return out


def refused(*arguments: str) -> str:
    code, _, err = run(*arguments)
    assert code == 1
    (line,) = err.splitlines()
    return line.removeprefix("confidnet: ")


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run([*WORDS, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def on_terminal(columns: int, *arguments: str) -> str:
    """What a terminal of that width gets."""
    main, other = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen([*WORDS, *arguments], env=environment, stdout=other, stderr=other, stdin=other)
    os.close(other)
    found = b""
    try:
        while part := os.read(main, 65536):
            found += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(main)
    assert process.wait(timeout=60) == 0
    return found.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
