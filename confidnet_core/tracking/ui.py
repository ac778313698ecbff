"""MLflow's page for the project's store, opened where its results are: python -m confidnet_core.tracking.ui [--port 5000] [--open]

`mlflow ui` alone opens a page for language models. This one prints a link to the results of every benchmark, closes the rows that a killed
pipeline left running, and sends nothing to anybody: MLflow's usage statistics are off, in the browser, too.
"""

import argparse
import os
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from confidnet_core.tracking.rows import close_abandoned
from confidnet_core.tracking.store import DEFAULTS, on_server, open_client, project_root, store_lock, store_uri, without_password
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.views import link

PORT = 5000
START_TIMEOUT_S = 120.0
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # processes that judge answers of language models
PREFIX = "confidnet/"  # of the names of the project's experiments


def links(address: str) -> dict[str, str]:
    """BENCHMARK -> link to its experiments on MLflow's page at ADDRESS, the newest first; rows of killed pipelines are closed before.

    ValueError where there is no store yet, or no experiment in it.
    """
    root = project_root()
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root / "mlflow.db").is_file():
        raise ValueError(f"{root / 'mlflow.db'} does not exist; `dvc repro` makes it")
    client = open_client()
    with store_lock(root):
        close_abandoned(client, root, without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()))
    experiments = client.search_experiments(filter_string=f"name LIKE '{PREFIX}%'", order_by=["last_update_time DESC"])
    if not experiments:
        raise ValueError("the MLflow store has no experiment of this project; `dvc repro` makes them")
    return {each.name.removeprefix(PREFIX): link(address, each.experiment_id) for each in experiments}


def serve(port: int = PORT, browser: bool = False) -> int:
    """Print the links, and serve the page until Ctrl-C; its exit code. Where MLFLOW_TRACKING_URI is a server, that one serves it."""
    address = os.environ["MLFLOW_TRACKING_URI"].strip() if on_server() else f"http://127.0.0.1:{port}"
    shown = links(address)
    with suppress(KeyboardInterrupt), sigterm_raises(), nullcontext() if on_server() else _server(port, address) as process:
        for benchmark, url in shown.items():
            print(f"{benchmark}: {url}", flush=True)
        if browser:
            webbrowser.open(next(iter(shown.values())))
        return process.wait() if process else 0
    return 0


@contextmanager
def _server(port: int, address: str) -> Iterator[subprocess.Popen]:
    """MLflow's server, which answers at ADDRESS, for the length of a block."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store_uri(project_root()), "--workers", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # MLflow starts uvicorn by its name
    environment = DEFAULTS | QUIET | os.environ | {"PATH": path}
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], cwd=project_root(), env=environment)
    try:
        _wait_for(address, process)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen) -> None:
    """ValueError where the server ends, or does not answer in time."""
    end = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise ValueError(f"MLflow's page did not start at {address}; is the port in use? --port gives another one")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m confidnet_core.tracking.ui", description="MLflow's page, opened at the results.")
    parser.add_argument("--port", type=int, default=PORT, help=f"of this machine, by default {PORT}")
    parser.add_argument("--open", action="store_true", help="open the newest benchmark in the browser")
    chosen = parser.parse_args()
    try:
        sys.exit(serve(chosen.port, chosen.open))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
