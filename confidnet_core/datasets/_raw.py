"""The folder of raw data, its download (which continues after an interruption), and the train/val/test split that data sets share.

DVC sets DVC_ROOT for each stage; in a queued or temporary experiment it is the user's project (dvc/repo/experiments/queue/base.py).
Downloads continue by the header Range and the status codes 206 and 416 of RFC 9110, section 14.
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

DATA_VARIABLE = "CONFIDNET_DATA"
BLOCK_BYTES = 1 << 20


def raw_root() -> Path:
    """Return the folder of all raw data: $CONFIDNET_DATA if set, else data/raw in the project, which is $DVC_ROOT or the current folder."""
    if data_folder := os.environ.get(DATA_VARIABLE):
        return Path(data_folder).expanduser()
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / "data" / "raw"


def raw_folder(name: str) -> Path:
    """Return the raw data folder of a data set, which need not exist. Raises ValueError if it is missing while $CONFIDNET_DATA is set."""
    folder, data_folder = raw_root() / name, os.environ.get(DATA_VARIABLE)
    if data_folder and not folder.is_dir():
        raise ValueError(
            f"{DATA_VARIABLE} is {data_folder}, but {folder} is no folder; make it, put {name}'s files into it, or unset {DATA_VARIABLE}"
        )
    return folder


def draw_split(name: str, *, train: int, test: int, val: int, split_seed: int) -> dict[str, np.ndarray]:
    """Return {split name: sample indices} of ConfidNet's published split, for `train` training images followed by `test` test images.

    The first `val` of the shuffled training images are "val". Raises ValueError, naming the data set, where no training image is left.
    """
    if val >= train:
        raise ValueError(f"{name}: val is {val}, but it is taken from the {train} training images; expected fewer")
    shuffled_indices = np.arange(train)
    np.random.RandomState(split_seed).shuffle(shuffled_indices)  # the legacy generator, because the published split was drawn with it
    return {"train": shuffled_indices[val:], "val": shuffled_indices[:val], "test": train + np.arange(test)}


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Context manager: let only one process at a time create `path`. Raises OSError where the folder of `path` is not writable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # safe, since a FileLock that waited opens the file anew


def download(urls: Sequence[str], path: Path, *, digest: str | None = None, needed: Sequence[str] = (), timeout: float = 30.0) -> None:
    """Download `path` from the first of `urls` that works, unless another process created it in the meantime.

    If a connection breaks off, the received bytes stay in PATH.part, and the next request asks for the rest: a second one at once, one to
    the next URL, or one of a later call.
    digest: the md5 of the file. Without it nothing could tell whether two pieces are of the same file, so every request is for the whole.
    needed: the files that a user can provide by hand, named in the ValueError that is raised where no URL works
    timeout: in seconds, for the connection and each read
    """
    part, failures = path.with_name(f"{path.name}.part"), []
    for url in urls:
        try:
            with exclusive(path):
                if not path.is_file():
                    _download_rest(url, part, digest, timeout)
                    os.replace(part, path)
            return
        except (OSError, HTTPException) as error:
            failures.append(f"{url} ({str(error) or type(error).__name__})")
    raise ValueError(
        f"could not download {path.name}; tried {', '.join(failures)}. Without a network, put {', '.join(needed or [path.name])} "
        f"into {path.parent}, or set {DATA_VARIABLE} to a folder that holds them in {path.parent.name}/"
    )


def _download_rest(url: str, part: Path, digest: str | None, timeout: float) -> None:
    """Download the bytes that the file `part` lacks; repeat the request once if the connection breaks off, and if the md5 is wrong."""
    if digest and part.is_file() and md5_of(part) == digest:
        return  # an earlier process was killed after the last byte
    for is_last_request in (False, True):
        start = part.stat().st_size if digest and part.is_file() else 0
        with _request_from_byte(url, start, timeout) as response:
            continued = response.status == HTTPStatus.PARTIAL_CONTENT
            try:
                _write_response(response, part, start if continued else 0)
            except (OSError, HTTPException):
                if not digest:
                    part.unlink(missing_ok=True)
                if is_last_request:
                    raise
                continue
        received_digest = md5_of(part) if digest else None
        if received_digest == digest:
            return
        part.unlink()
        if is_last_request or not continued:
            raise OSError(f"its md5 is {received_digest}, not {digest}")


def _request_from_byte(url: str, start: int, timeout: float) -> HTTPResponse:
    """Request a file from byte `start` on; return the response, with status 206, or 200 and the whole file if the server cannot continue.

    Some servers never continue, and none does where `start` is past the end (416).
    """
    try:
        return urlopen(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
            raise
    return urlopen(url, timeout=timeout)


def _write_response(response: HTTPResponse, part: Path, start: int) -> None:
    """Write a response's bytes to the file `part` from byte `start` on. Raises OSError if there are fewer or more than announced."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    is_bar_hidden = True if os.environ.get("CI") else None  # None shows the bar on a terminal only
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=is_bar_hidden) as bar,
    ):
        while chunk := response.read1(BLOCK_BYTES):  # read() would lose the bytes of a block that came before a connection broke off
            file.write(chunk)
            bar.update(len(chunk))
        received = file.tell()
    if total is not None and received != total:
        raise OSError(f"the connection ended after {received} of {total} bytes")
