"""Downloads over a real connection, counted in requests and bytes: broken off, continued, refused, stalled, damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from confidnet_core.datasets._raw import compute_file_md5, download, draw_split

SIZE = 300_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
DIGEST = md5(CONTENT).hexdigest()


@dataclass
class Site:
    """What a server holds, how it answers, and what it was asked."""

    files: dict[str, bytes]
    ranges: bool = True  # whether it heeds Range
    cuts: list[int] = field(default_factory=list)  # after how many bytes each of the next answers breaks off
    stall: Event | None = None  # what an answer that is broken off waits for, before it closes the connection
    requests: list[tuple[str | None, int, int]] = field(default_factory=list)  # Range asked for, status, bytes sent
    address: str = ""


class Answers(BaseHTTPRequestHandler):
    """GET of whole files and of their ends, as RFC 9110 has it."""

    def do_GET(self) -> None:
        site = self.server.site
        content, asked = site.files.get(self.path[1:]), self.headers.get("Range") if site.ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        status = 404 if content is None else 416 if asked and start >= len(content) else 206 if asked else 200
        body = content[start:] if status < 300 else b"no"
        cut = min(site.cuts.pop(0), len(body)) if site.cuts and status < 300 else len(body)
        site.requests.append((self.headers.get("Range"), status, cut))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut < len(body) and site.stall:
            site.stall.wait(30)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(files: dict[str, bytes], **behaviour: object) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.site = Site(files, address=f"http://127.0.0.1:{server.server_port}/", **behaviour)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIDNET_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "raw/file"


def fetch(target: Path, *sites: Site, digest: str | None = DIGEST, **settings: object) -> None:
    download([f"{site.address}file" for site in sites], target, expected_md5=digest, **settings)


def left(target: Path) -> dict[str, int]:
    """Names and sizes in the folder, hidden files too."""
    return {path.name: path.stat().st_size for path in target.parent.iterdir()}


def test_a_download_that_breaks_off_once_continues_at_once(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000]) as site:
        fetch(target, site)
    assert site.requests == [(None, 200, 100_000), ("bytes=100000-", 206, 200_000)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_a_download_broken_off_twice_is_an_error_and_the_next_call_gets_only_the_rest(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000, 50_000]) as site:
        with pytest.raises(ValueError, match=rf"{site.address}file \(the connection ended after 150000 of 300000 bytes\)"):
            fetch(target, site)
        assert left(target) == {"file.part": 150_000} and len(site.requests) == 2
        assert (target.parent / "file.part").read_bytes() == CONTENT[:150_000]
        fetch(target, site)
    assert site.requests[2:] == [("bytes=150000-", 206, 150_000)]
    assert sum(sent for _, _, sent in site.requests) == SIZE
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_the_next_mirror_goes_on_where_the_first_one_failed(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000, 0]) as first, serve({}) as empty, serve({"file": CONTENT}) as last:
        fetch(target, first, empty, last)
    assert len(first.requests) == 2 and empty.requests == [("bytes=100000-", 404, 2)]  # what is absent is not asked for twice
    assert last.requests == [("bytes=100000-", 206, 200_000)]
    assert target.read_bytes() == CONTENT


def test_a_server_that_cannot_continue_is_read_from_the_start(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000], ranges=False) as site:
        fetch(target, site)
    assert site.requests == [(None, 200, 100_000), ("bytes=100000-", 200, SIZE)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


@pytest.mark.parametrize("excess", [0, 7])
def test_a_part_that_is_not_shorter_than_the_file_is_dropped(target: Path, excess: int) -> None:
    target.parent.mkdir()
    (target.parent / "file.part").write_bytes(bytes(SIZE + excess))
    with serve({"file": CONTENT}) as site:
        fetch(target, site)
    assert site.requests == [(f"bytes={SIZE + excess}-", 416, 2), (None, 200, SIZE)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_a_part_of_another_file_is_detected_by_the_md5_of_the_whole_and_dropped(target: Path) -> None:
    target.parent.mkdir()
    (target.parent / "file.part").write_bytes(bytes(1000))
    with serve({"file": CONTENT}) as site:
        fetch(target, site)
    assert site.requests == [("bytes=1000-", 206, SIZE - 1000), (None, 200, SIZE)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_a_whole_file_of_the_wrong_md5_is_deleted_and_not_asked_for_again(target: Path) -> None:
    with serve({"file": CONTENT}) as site, pytest.raises(ValueError, match=f"its md5 is {DIGEST}, not 0000"):
        fetch(target, site, digest="0" * 32)
    assert site.requests == [(None, 200, SIZE)] and left(target) == {}


def test_a_part_that_is_whole_needs_no_request(target: Path) -> None:
    target.parent.mkdir()
    (target.parent / "file.part").write_bytes(CONTENT)
    with serve({"file": CONTENT}) as site:
        fetch(target, site)
    assert site.requests == [] and target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_a_server_that_falls_silent_loses_nothing_of_what_it_sent(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000], stall=Event()) as site:
        fetch(target, site, timeout_s=0.3)
        site.stall.set()
    assert site.requests == [(None, 200, 100_000), ("bytes=100000-", 206, 200_000)]
    assert target.read_bytes() == CONTENT


def test_without_a_digest_pieces_are_never_put_together(target: Path) -> None:
    target.parent.mkdir()
    (target.parent / "file.part").write_bytes(CONTENT[:1000])
    with serve({"file": CONTENT}, cuts=[100_000, 200_000]) as site:
        with pytest.raises(ValueError, match="after 200000 of 300000 bytes"):
            fetch(target, site, digest=None)
        assert left(target) == {}
        fetch(target, site, digest=None)
    assert site.requests == [(None, 200, 100_000), (None, 200, 200_000), (None, 200, SIZE)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_two_processes_that_want_the_same_file_fetch_it_once(target: Path) -> None:
    with serve({"file": CONTENT}, cuts=[100_000], stall=Event()) as site:
        workers = [Thread(target=fetch, args=(target, site)) for _ in range(2)]
        for worker in workers:
            worker.start()
        site.stall.wait(0.3)  # both are at it now
        site.stall.set()
        for worker in workers:
            worker.join()
    assert site.requests == [(None, 200, 100_000), ("bytes=100000-", 206, 200_000)]
    assert target.read_bytes() == CONTENT and left(target) == {"file": SIZE}


def test_a_folder_that_cannot_be_made_is_part_of_the_one_error(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where the folder should be")
    with serve({"file": CONTENT}) as site, pytest.raises(ValueError, match=r"could not download file; .*raw.*put file into .*raw, or set"):
        fetch(tmp_path / "raw/file", site)


@pytest.mark.parametrize(("count", "val"), [(50_000, 5_000), (73_257, 7_325)])
def test_the_split_is_the_one_that_was_published_with_confidnet(count: int, val: int) -> None:
    order = list(range(count))
    np.random.seed(42)
    np.random.shuffle(order)
    splits = draw_split("any", training_image_count=count, test_image_count=10, validation_image_count=val, split_seed=42)
    assert (splits["val"].tolist(), splits["train"].tolist()) == (order[:val], order[val:])
    assert splits["test"].tolist() == list(range(count, count + 10))
    with pytest.raises(ValueError, match=f"any: val is {count}, but it is taken from the {count} training images"):
        draw_split("any", training_image_count=count, test_image_count=10, validation_image_count=count, split_seed=42)


def test_the_md5_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert compute_file_md5(tmp_path / "file") == DIGEST
