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

from confidnet_core.system.errors import find_disk_error

DATA_FOLDER_ENV_VARIABLE = "CONFIDNET_DATA"  # the environment variable with the folder of all raw data
READ_BLOCK_BYTES = 1 << 20  # bytes that are read from a file or connection at a time


def raw_data_root() -> Path:
    """Return the folder of all raw data: $CONFIDNET_DATA if set, else data/raw in the project, which is $DVC_ROOT or the current folder."""
    if data_folder := os.environ.get(DATA_FOLDER_ENV_VARIABLE):
        return Path(data_folder).expanduser()
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / "data" / "raw"


def raw_folder_of_data_set(data_set_name: str) -> Path:
    """Return the raw data folder of a data set, which need not exist. Raises ValueError if it is missing while $CONFIDNET_DATA is set."""
    folder, data_folder = raw_data_root() / data_set_name, os.environ.get(DATA_FOLDER_ENV_VARIABLE)
    if data_folder and not folder.is_dir():
        raise ValueError(
            f"{DATA_FOLDER_ENV_VARIABLE} is {data_folder}, but {folder} is no folder; make it, put {data_set_name}'s files into it, "
            f"or unset {DATA_FOLDER_ENV_VARIABLE}"
        )
    return folder


def draw_split(
    data_set_name: str, *, training_image_count: int, test_image_count: int, validation_image_count: int, split_seed: int
) -> dict[str, np.ndarray]:
    """Return {split: indices of its images}, drawn as in ConfidNet's published split.

    The data set has `training_image_count` training images followed by `test_image_count` test images. The first `validation_image_count`
    of the shuffled training images are "val". Raises ValueError, naming the data set, where no training image is left.
    """
    if validation_image_count >= training_image_count:
        problem_text = f"val is {validation_image_count}, but it is taken from the {training_image_count} training images"
        raise ValueError(f"{data_set_name}: {problem_text}; expected fewer")
    shuffled_indices = np.arange(training_image_count)
    np.random.RandomState(split_seed).shuffle(shuffled_indices)  # the legacy generator, because the published split was drawn with it
    return {
        "train": shuffled_indices[validation_image_count:],
        "val": shuffled_indices[:validation_image_count],
        "test": training_image_count + np.arange(test_image_count),
    }


def compute_file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, partial(md5, usedforsecurity=False)).hexdigest()


@contextmanager
def exclusive_creation_lock(created_path: Path) -> Iterator[None]:
    """Context manager: let only one process at a time create a file or folder. Raises OSError where its parent folder is not writable."""
    created_path.parent.mkdir(parents=True, exist_ok=True)
    lock_path = created_path.with_name(f".{created_path.name}.lock")
    with FileLock(lock_path):
        try:
            yield
        finally:
            lock_path.unlink(missing_ok=True)  # safe, since a FileLock that waited opens the file anew


def download(
    urls: Sequence[str],
    target_path: Path,
    *,
    expected_md5: str | None = None,
    files_to_provide_by_hand: Sequence[str] = (),
    timeout_s: float = 30.0,
) -> None:
    """Download a file to `target_path` from the first of `urls` that works, unless another process created it in the meantime.

    If a connection breaks off, the received bytes stay in TARGET.part, and the next request asks for the rest: a second one at once, one to
    the next URL, or one of a later call.
    expected_md5: of the file. Without it nothing could tell whether two pieces are of the same file, so every request is for the whole.
    files_to_provide_by_hand: what a user can provide by hand, named in the ValueError that is raised where no URL works
    timeout_s: in seconds, for the connection and each read
    """
    partial_path, download_failures = target_path.with_name(f"{target_path.name}.part"), []
    for url in urls:
        try:
            with exclusive_creation_lock(target_path):
                if not target_path.is_file():
                    _download_missing_bytes(url, partial_path, expected_md5, timeout_s)
                    os.replace(partial_path, target_path)
            return
        except (OSError, HTTPException) as error:
            if (disk_error := find_disk_error(error, partial_path)) is not None:
                raise disk_error from None
            download_failures.append(f"{url} ({str(error) or type(error).__name__})")
    raise ValueError(
        f"could not download {target_path.name}; tried {', '.join(download_failures)}. "
        f"Without a network, put {', '.join(files_to_provide_by_hand or [target_path.name])} into {target_path.parent}, "
        f"or set {DATA_FOLDER_ENV_VARIABLE} to a folder that holds them in {target_path.parent.name}/"
    )


def _download_missing_bytes(url: str, partial_path: Path, expected_md5: str | None, timeout_s: float) -> None:
    """Download the bytes that a partly downloaded file lacks; repeat the request once if the connection breaks off or the md5 is wrong."""
    if expected_md5 and partial_path.is_file() and compute_file_md5(partial_path) == expected_md5:
        return  # an earlier process was killed after the last byte
    for is_last_request in (False, True):
        first_byte = partial_path.stat().st_size if expected_md5 and partial_path.is_file() else 0
        with _request_from_byte(url, first_byte, timeout_s) as response:
            is_partial_response = response.status == HTTPStatus.PARTIAL_CONTENT
            try:
                _write_response(response, partial_path, first_byte if is_partial_response else 0)
            except (OSError, HTTPException):
                if not expected_md5:
                    partial_path.unlink(missing_ok=True)
                if is_last_request:
                    raise
                continue
        received_md5 = compute_file_md5(partial_path) if expected_md5 else None
        if received_md5 == expected_md5:
            return
        partial_path.unlink()
        if is_last_request or not is_partial_response:
            raise OSError(f"its md5 is {received_md5}, not {expected_md5}")


def _request_from_byte(url: str, first_byte: int, timeout_s: float) -> HTTPResponse:
    """Request a file from byte `first_byte` on; return the response: status 206, or 200 and the whole file if the server cannot do this.

    Some servers never can, and none can where `first_byte` is past the end (416).
    """
    try:
        return urlopen(Request(url, headers={"Range": f"bytes={first_byte}-"} if first_byte else {}), timeout=timeout_s)
    except HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not first_byte:
            raise
    return urlopen(url, timeout=timeout_s)


def _write_response(response: HTTPResponse, partial_path: Path, first_byte: int) -> None:
    """Write the bytes of a response to a partly downloaded file from byte `first_byte` on.

    Raises OSError if there are fewer or more bytes than the server announced.
    """
    content_length = response.headers.get("Content-Length")
    total_byte_count = first_byte + int(content_length) if content_length else None
    is_progress_bar_hidden = True if os.environ.get("CI") else None  # None shows the bar on a terminal only
    with (
        partial_path.open("ab" if first_byte else "wb") as partial_file,
        tqdm(
            total=total_byte_count, initial=first_byte, unit="B", unit_scale=True, desc=partial_path.stem, disable=is_progress_bar_hidden
        ) as download_progress_bar,
    ):
        # read() would lose the bytes of a block that came before a connection broke off.
        while received_chunk := response.read1(READ_BLOCK_BYTES):
            partial_file.write(received_chunk)
            download_progress_bar.update(len(received_chunk))
        received_byte_count = partial_file.tell()
    if total_byte_count is not None and received_byte_count != total_byte_count:
        raise OSError(f"the connection ended after {received_byte_count} of {total_byte_count} bytes")
