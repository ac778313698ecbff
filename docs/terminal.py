"""What a command prints on a terminal."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path


def printed(command: list[str], folder: Path) -> str:
    """What a command prints on a terminal of 100 columns without colours, run in a folder. ValueError where it fails."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        parts = []
        with suppress(OSError):  # how Linux tells that the other end is closed
            while part := os.read(ours, 65536):
                parts.append(part)
    os.close(ours)
    text = b"".join(parts).decode().replace("\r\n", "\n")
    if process.returncode:
        raise ValueError(f"{' '.join(command)} failed: {text}")
    return text
