"""A model server under load: requests that are lost or answered wrongly, how long answers take, and how its memory grows.

python -m benchmarks.server MODEL [--seconds 120] [--clients 8] [--large 5000]

MODEL is the folder of a packed model, or models:/confidnet-digits@champion. `mlflow models serve` answers CLIENTS clients, each of which
sends one small request after another, while one more client sends requests of LARGE images. Each answer is compared with that of the same
model in this process. Memory is that of the server's processes together, once a second; what it holds after the first tenth of the time,
when every kind of request has been answered, is compared with the rest. The exit code is 1 if a request is lost or answered wrongly.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import psutil

SMALL_SIZES = (1, 4, 16)  # images in a request
START_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 300.0


@dataclass
class Load:
    """What the clients send, and what came of it; each client appends to the lists."""

    address: tuple[str, int]
    end: float
    bodies: dict[int, tuple[bytes, dict[str, Any]]]  # number of images -> (request, expected answers)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"small": [], "large": []})
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def send(self, kind: str, sizes: tuple[int, ...]) -> None:
        """Send requests until the end; a client of its own thread."""
        number = 0
        while time.monotonic() < self.end:
            size = sizes[number % len(sizes)]
            number += 1
            start = time.monotonic()
            try:
                answers = self._answers(size)
            except (OSError, HTTPException, ValueError) as error:
                self.lost.append(f"{size} images: {error or type(error).__name__}")
                continue
            self.seconds[kind].append(time.monotonic() - start)
            if not is_equal(answers, self.bodies[size][1]):
                self.wrong.append(f"{size} images")

    def _answers(self, size: int) -> dict[str, Any]:
        connection = HTTPConnection(*self.address, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("POST", "/invocations", self.bodies[size][0], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"status {answer.status}: {content[:200]!r}")
        return json.loads(content)["predictions"]


def is_equal(answers: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether labels are equal, and confidences but for sums in another order."""
    return answers["label"] == expected["label"] and np.allclose(answers["confidence"], expected["confidence"], rtol=1e-4, atol=1e-4)


def make_bodies(model_uri: str, sizes: tuple[int, ...]) -> dict[int, tuple[bytes, dict[str, Any]]]:
    """Return a request for each number of images, and the answers of the model in this process."""
    model = mlflow.pyfunc.load_model(model_uri)
    shape, draw, bodies = model.input_example.shape[1:], np.random.default_rng(0), {}
    for size in sizes:
        images = draw.integers(0, 256, (size, *shape), np.uint8)
        expected = {name: np.asarray(column).tolist() for name, column in model.predict(images).items()}
        bodies[size] = json.dumps({"inputs": images.tolist()}).encode(), expected
    return bodies


def start_server(model_uri: str, port: int) -> subprocess.Popen:
    """Start `mlflow models serve` in a process group of its own, and return it once it answers."""
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local", "-p", str(port)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return server
        time.sleep(0.5)
    raise SystemExit(f"the server of {model_uri} did not start; `{' '.join(command)}` shows why")


def memory_mb(server: subprocess.Popen) -> float:
    """Return the resident memory of the server's processes."""
    total = 0
    for process in [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 1e6


def watch_memory(server: subprocess.Popen, end: float) -> list[float]:
    """Return the server's memory in MB, once a second until the end."""
    found = []
    while time.monotonic() < end:
        found.append(memory_mb(server))
        time.sleep(1)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def print_report(load: Load, memory: list[float], arguments: argparse.Namespace) -> None:
    print(f"{arguments.clients} clients with {', '.join(map(str, SMALL_SIZES))} images a request, one with {arguments.large:,}:")
    for kind, seconds in load.seconds.items():
        if seconds:
            middle, high = np.percentile(seconds, [50, 95])
            print(f"  {kind}: {len(seconds):,} requests answered, median {middle:.3f} s, 95 % {high:.3f} s, longest {max(seconds):.3f} s")
    print(f"  lost: {len(load.lost)}, wrong answers: {len(load.wrong)}")
    for problem in dict.fromkeys([*load.lost, *load.wrong]):
        print(f"    {problem}")
    first, rest = memory[: max(1, len(memory) // 10)], memory[len(memory) // 10 :]
    middle = len(rest) // 2
    halves = f"in the first half at most {max(rest[:middle] or rest):.0f} MB, in the second {max(rest[middle:]):.0f} MB"
    print(f"  memory of the server: {memory[0]:.0f} MB at the start, {max(first):.0f} MB after a tenth of the time; then {halves}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--large", type=int, default=5000, help="images in a large request")
    arguments = parser.parse_args()
    bodies, port = make_bodies(arguments.model, (*SMALL_SIZES, arguments.large)), free_port()
    server = start_server(arguments.model, port)
    try:
        end = time.monotonic() + arguments.seconds
        load = Load(("127.0.0.1", port), end, bodies)
        clients = [threading.Thread(target=load.send, args=("small", SMALL_SIZES)) for _ in range(arguments.clients)]
        clients.append(threading.Thread(target=load.send, args=("large", (arguments.large,))))
        for client in clients:
            client.start()
        memory = watch_memory(server, end)
        for client in clients:
            client.join()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    print_report(load, memory, arguments)
    sys.exit(1 if load.lost or load.wrong else 0)


if __name__ == "__main__":
    main()
