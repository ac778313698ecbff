"""Real servers on loopback for tests of tracking: MLflow's own, one that only rejects, one that never answers, a line that breaks."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Mlflow:
    """`mlflow server` in a session of its own, which can be killed, stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/s.db", "--artifacts-destination", f"{self.folder}/kept"]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *store, "--port", str(self.port), "--workers", "1"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # nothing that tracking uses; half the time to start
            )
        for _ in range(240):
            try:
                urlopen(f"{self.uri}/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.25)
        raise TimeoutError((self.folder / "log").read_text())

    def signal(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait(timeout=30)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Mlflow]:
    """FOLDER holds s.db, a database that is made already, or gets one in a minute."""
    server = Mlflow(folder)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.signal(signal.SIGKILL)


@contextmanager
def silent_server() -> Iterator[str]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


class Line(ThreadingHTTPServer):
    """To UPSTREAM and back, DELAY seconds a request; after `left` requests it is broken: what is sent arrives, no answer comes back.

    Without UPSTREAM it answers every request with STATUS.
    """

    daemon_threads = True

    def __init__(self, upstream: str = "", status: int = 200, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.upstream, self.status, self.delay = upstream, status, delay
        self.left = float("inf")
        self.seen = 0
        self.uri = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, address: object) -> None:
        """A client that was killed is no news."""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        line, body = self.server, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line.seen += 1
        time.sleep(line.delay)
        status, content = (line.status, b"no") if not line.upstream else self._passed_on(body)
        line.left -= 1
        if line.left < 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def _passed_on(self, body: bytes) -> tuple[int, bytes]:
        request = Request(self.server.upstream + self.path, body or None, dict(self.headers), method=self.command)
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            return error.code, error.read()

    def log_message(self, *arguments: object) -> None:
        """Not to stderr, which the tests read."""


@contextmanager
def line(upstream: str = "", status: int = 200, delay: float = 0.0) -> Iterator[Line]:
    server = Line(upstream, status, delay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
