"""MLflow's web page for the project's store, opened at its results: python -m confidnet_core.tracking.ui [--port 5000] [--open]

Plain `mlflow ui` opens a page for language models. This command prints a link to the results of every benchmark and closes the rows that a
killed pipeline left running. It sends no data to anybody: MLflow's usage statistics are off, in the browser as well.
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

from confidnet_core.tracking.rows import close_abandoned_rows
from confidnet_core.tracking.store import (
    DEFAULT_ENVIRONMENT,
    open_client,
    project_root,
    store_lock,
    store_uri,
    uses_server,
    without_password,
)
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.views import view_link

DEFAULT_PORT = 5000
START_TIMEOUT_S = 120.0
QUIET_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # no processes that evaluate language models
EXPERIMENT_PREFIX = "confidnet/"  # of experiment names


def benchmark_links(address: str) -> dict[str, str]:
    """Return BENCHMARK -> link to its experiments on MLflow's page at ADDRESS, newest first, after closing the rows of killed pipelines.

    ValueError if there is no store yet, or no experiment in it.
    """
    root = project_root()
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root / "mlflow.db").is_file():
        raise ValueError(f"{root / 'mlflow.db'} does not exist; `dvc repro` makes it")
    client = open_client()
    with store_lock(root):
        close_abandoned_rows(client, root, without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()))
    experiments = client.search_experiments(filter_string=f"name LIKE '{EXPERIMENT_PREFIX}%'", order_by=["last_update_time DESC"])
    if not experiments:
        raise ValueError("the MLflow store has no experiment of this project; `dvc repro` makes them")
    return {each.name.removeprefix(EXPERIMENT_PREFIX): view_link(address, each.experiment_id) for each in experiments}


def serve(port: int = DEFAULT_PORT, opens_browser: bool = False) -> int:
    """Print the links and serve the page until Ctrl-C; return the exit code. If MLFLOW_TRACKING_URI is a server, that server serves the
    page.
    """
    address = os.environ["MLFLOW_TRACKING_URI"].strip() if uses_server() else f"http://127.0.0.1:{port}"
    links = benchmark_links(address)
    with suppress(KeyboardInterrupt), sigterm_raises(), nullcontext() if uses_server() else _running_server(port, address) as process:
        for benchmark, url in links.items():
            print(f"{benchmark}: {url}", flush=True)
        if opens_browser:
            webbrowser.open(next(iter(links.values())))
        return process.wait() if process else 0
    return 0


@contextmanager
def _running_server(port: int, address: str) -> Iterator[subprocess.Popen]:
    """Run MLflow's server, which answers at ADDRESS, while the block runs."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store_uri(project_root()), "--workers", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # MLflow looks up uvicorn on the PATH
    environment = DEFAULT_ENVIRONMENT | QUIET_ENVIRONMENT | os.environ | {"PATH": path}
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], cwd=project_root(), env=environment)
    try:
        _wait_for(address, process)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen) -> None:
    """Wait until the server answers. ValueError if it ends first or does not answer in time."""
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
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"of this machine, by default {DEFAULT_PORT}")
    parser.add_argument("--open", action="store_true", help="open the newest benchmark in the browser")
    arguments = parser.parse_args()
    try:
        sys.exit(serve(arguments.port, arguments.open))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
