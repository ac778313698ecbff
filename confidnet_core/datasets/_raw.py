"""Where raw data lies, and its download: whole files or none, and one error that says how to go on without a network.

DVC sets DVC_ROOT for each stage; in a queued or temporary experiment it is the user's project (dvc/repo/experiments/queue/base.py).
"""

import os
from collections.abc import Callable, Sequence
from hashlib import md5
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.request import urlopen

from tqdm import tqdm

from confidnet_core.files import replacing

VARIABLE = "CONFIDNET_DATA"
CHUNK = 1 << 20


def raw_folder(name: str) -> Path:
    """$CONFIDNET_DATA/NAME if the variable is set, else data/raw/NAME of the project: $DVC_ROOT, or the current folder.

    Only the second may not exist yet. ValueError if the first does not.
    """
    if data := os.environ.get(VARIABLE):
        folder = Path(data).expanduser() / name
        if not folder.is_dir():
            raise ValueError(f"{VARIABLE} is {data}, but {folder} is no folder; make it, put {name}'s files into it, or unset {VARIABLE}")
        return folder
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / "data" / "raw" / name


def check_whole(name: str, minimum: int, **settings: int) -> None:
    """ValueError naming the setting of data set NAME that is no whole number, or is below MINIMUM."""
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ValueError(f"{name}: {key} is {value!r}; expected a whole number, {minimum} or more")


def download(urls: Sequence[str], path: Path, *, digest: str | None = None, needed: Sequence[str] = (), timeout: float = 30.0) -> None:
    """Write the first of URLS that can be read, and has the md5 DIGEST if one is given, to PATH.

    NEEDED names the files that a user may put beside PATH by hand, for the ValueError raised where no URL serves.
    """
    failures = []
    for url in urls:
        try:
            with replacing(path) as temporary:
                _fetch(url, temporary, path.name, digest, timeout)
            return
        except (OSError, HTTPException) as error:
            failures.append(f"{url} ({str(error) or type(error).__name__})")
    raise ValueError(
        f"could not download {path.name}; tried {', '.join(failures)}. Without a network, put {', '.join(needed or [path.name])} "
        f"into {path.parent}, or set {VARIABLE} to a folder that holds them in {path.parent.name}/"
    )


def _fetch(url: str, path: Path, name: str, digest: str | None, timeout: float) -> None:
    with urlopen(url, timeout=timeout) as response, path.open("wb") as file:
        size = response.headers.get("Content-Length")
        total = int(size) if size else None
        quiet = True if os.environ.get("CI") else None  # None: quiet where the output is no terminal
        with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=quiet) as bar:
            received, found = _copy(response, file.write, bar)
    if total is not None and received != total:
        raise OSError(f"the connection ended after {received} of {total} bytes")
    if digest is not None and found != digest:
        raise OSError(f"its md5 is {found}, not {digest}")


def _copy(response: HTTPResponse, write: Callable[[bytes], int], bar: tqdm) -> tuple[int, str]:
    """The number of bytes copied and their md5."""
    received, digest = 0, md5(usedforsecurity=False)
    while chunk := response.read(CHUNK):
        write(chunk)
        digest.update(chunk)
        received += len(chunk)
        bar.update(len(chunk))
    return received, digest.hexdigest()
