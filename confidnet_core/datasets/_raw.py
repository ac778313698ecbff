"""Where raw data lies, its download (whole files or none, continued after an interruption), and the split that data sets share.

DVC sets DVC_ROOT for each stage; in a queued or temporary experiment it is the user's project (dvc/repo/experiments/queue/base.py).
Continued downloads: Range, 206 and 416 of RFC 9110, section 14.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import file_digest, md5
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from filelock import FileLock
from tqdm import tqdm

VARIABLE = "CONFIDNET_DATA"
CHUNK = 1 << 20


def raw_root() -> Path:
    """$CONFIDNET_DATA if the variable is set, else data/raw of the project: $DVC_ROOT, or the current folder."""
    if data := os.environ.get(VARIABLE):
        return Path(data).expanduser()
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / "data" / "raw"


def raw_folder(name: str) -> Path:
    """NAME in the root. In data/raw it may not exist yet; ValueError where $CONFIDNET_DATA has none."""
    folder, data = raw_root() / name, os.environ.get(VARIABLE)
    if data and not folder.is_dir():
        raise ValueError(f"{VARIABLE} is {data}, but {folder} is no folder; make it, put {name}'s files into it, or unset {VARIABLE}")
    return folder


def draw_split(name: str, *, train: int, test: int, val: int, split_seed: int) -> dict[str, np.ndarray]:
    """ConfidNet's published split: of TRAIN images, then TEST, the first VAL of the shuffled training images are "val".

    ValueError naming the data set where VAL leaves no image to train on.
    """
    if val >= train:
        raise ValueError(f"{name}: val is {val}, but it is taken from the {train} training images; expected fewer")
    order = np.arange(train)
    np.random.RandomState(split_seed).shuffle(order)  # the legacy generator, because the published split was drawn with it
    return {"train": order[val:], "val": order[:val], "test": train + np.arange(test)}


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time makes PATH. OSError where its folder cannot be written to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # FileLock looks again after it waited, so that the next one locks a file of that name


def download(urls: Sequence[str], path: Path, *, digest: str | None = None, needed: Sequence[str] = (), timeout: float = 30.0) -> None:
    """Write the first of URLS that can be read, and has the md5 DIGEST if one is given, to PATH, unless a process beside this one did.

    What came before a connection broke off stays in PATH.part, and the next request, at once, to the next of URLS or of a later
    call, asks for the rest. Without a DIGEST nothing could tell whether two pieces are of one file: every request is for the whole.
    NEEDED names the files that a user may put beside PATH by hand, for the ValueError raised where no URL serves.
    """
    part, failures = path.with_name(f"{path.name}.part"), []
    for url in urls:
        try:
            with alone(path):
                if not path.is_file():
                    _fetch(url, part, digest, timeout)
                    os.replace(part, path)
            return
        except (OSError, HTTPException) as error:
            failures.append(f"{url} ({str(error) or type(error).__name__})")
    raise ValueError(
        f"could not download {path.name}; tried {', '.join(failures)}. Without a network, put {', '.join(needed or [path.name])} "
        f"into {path.parent}, or set {VARIABLE} to a folder that holds them in {path.parent.name}/"
    )


def _fetch(url: str, part: Path, digest: str | None, timeout: float) -> None:
    """Make PART whole. A connection that breaks off, and a piece that did not fit what was there, are followed by one more request."""
    if digest and part.is_file() and md5_of(part) == digest:
        return  # a process was killed after the last byte
    for last in (False, True):
        start = part.stat().st_size if digest and part.is_file() else 0
        with _open(url, start, timeout) as response:
            continued = response.status == HTTPStatus.PARTIAL_CONTENT
            try:
                _receive(response, part, start if continued else 0)
            except (OSError, HTTPException):
                if not digest:
                    part.unlink(missing_ok=True)
                if last:
                    raise
                continue
        found = md5_of(part) if digest else None
        if found == digest:
            return
        part.unlink()
        if last or not continued:
            raise OSError(f"its md5 is {found}, not {digest}")


def _open(url: str, start: int, timeout: float) -> HTTPResponse:
    """The answer from byte START on, 206; or the whole, 200: not every server continues, nor where START is past the end (416)."""
    try:
        return urlopen(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
    return urlopen(url, timeout=timeout)


def _receive(response: HTTPResponse, part: Path, start: int) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    quiet = True if os.environ.get("CI") else None  # None: quiet where the output is no terminal
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=quiet) as bar,
    ):
        while chunk := response.read1(CHUNK):  # read() would lose what came of a chunk before a connection broke off
            file.write(chunk)
            bar.update(len(chunk))
        received = file.tell()
    if total is not None and received != total:
        raise OSError(f"the connection ended after {received} of {total} bytes")
