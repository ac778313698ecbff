"""MLflow's web page for the project's store, opened at its results: python -m confidnet_core.tracking.ui [--port 5000] [--open]

Plain `mlflow ui` opens a page for language models. This command prints a link to the results of every benchmark and closes the MLflow runs
that a killed pipeline left running. It sends no data to anybody: MLflow's usage statistics are off, in the browser as well.
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

from confidnet_core.system.addresses import without_secrets
from confidnet_core.system.errors import find_disk_error
from confidnet_core.tracking.rows import close_abandoned_runs
from confidnet_core.tracking.sending import send_deferred_run_records
from confidnet_core.tracking.store import (
    MLFLOW_ENVIRONMENT_DEFAULTS,
    open_mlflow_client,
    project_root,
    store_lock,
    store_uri,
    uses_server,
)
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.views import saved_view_link

DEFAULT_PORT = 5000
START_TIMEOUT_S = 120.0
NO_JOB_EXECUTION_ENVIRONMENT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # no processes that evaluate language models
EXPERIMENT_NAME_PREFIX = "confidnet/"  # of experiment names


def benchmark_links(page_address: str) -> dict[str, str]:
    """Return a dictionary BENCHMARK -> link to its experiments on MLflow's page at PAGE_ADDRESS, newest results first.

    Before that, send the runs of short stages that no later stage has sent, and close the runs of killed pipelines.
    ValueError if there is no store yet, or no experiment in the store.
    """
    project_folder = project_root()
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (project_folder / "mlflow.db").is_file():
        raise ValueError(f"{project_folder / 'mlflow.db'} does not exist; `dvc repro` makes it")
    mlflow_client, store_address = open_mlflow_client(), without_secrets(os.environ.get("MLFLOW_TRACKING_URI", "").strip())
    send_deferred_run_records(project_folder, store_address)
    with store_lock(project_folder):
        close_abandoned_runs(mlflow_client, project_folder, store_address)
    experiments = mlflow_client.search_experiments(
        filter_string=f"name LIKE '{EXPERIMENT_NAME_PREFIX}%'", order_by=["last_update_time DESC"]
    )
    if not experiments:
        raise ValueError("the MLflow store has no experiment of this project; `dvc repro` makes them")
    return {
        experiment.name.removeprefix(EXPERIMENT_NAME_PREFIX): saved_view_link(page_address, experiment.experiment_id)
        for experiment in experiments
    }


def serve_results_page(port: int = DEFAULT_PORT, opens_browser: bool = False) -> int:
    """Print the links to the benchmarks' results and serve MLflow's page until Ctrl-C; return the exit code.

    If MLFLOW_TRACKING_URI names a server, that server serves the page, and the links are only printed.
    """
    page_address = without_secrets(os.environ["MLFLOW_TRACKING_URI"].strip()) if uses_server() else f"http://127.0.0.1:{port}"
    link_by_benchmark = benchmark_links(page_address)
    with (
        suppress(KeyboardInterrupt),
        sigterm_raises(),
        nullcontext() if uses_server() else _run_server(port, page_address) as server_process,
    ):
        for benchmark, results_url in link_by_benchmark.items():
            print(f"{benchmark}: {results_url}", flush=True)
        if opens_browser:
            webbrowser.open(next(iter(link_by_benchmark.values())))
        return server_process.wait() if server_process else 0
    return 0


@contextmanager
def _run_server(port: int, page_address: str) -> Iterator[subprocess.Popen]:
    """Context manager that runs MLflow's own server on `port` for its with-block and yields the server's process."""
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1"]
    # MLflow looks up uvicorn on the PATH.
    executable_search_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    server_environment = MLFLOW_ENVIRONMENT_DEFAULTS | NO_JOB_EXECUTION_ENVIRONMENT | os.environ | {"PATH": executable_search_path}
    # Not on the command line, which every user of the machine can read.
    server_environment["MLFLOW_BACKEND_STORE_URI"] = store_uri(project_root())
    server_process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], cwd=project_root(), env=server_environment)
    try:
        _wait_for_server(page_address, server_process)
        yield server_process
    finally:
        if server_process.poll() is None:
            server_process.terminate()
            server_process.wait()


def _wait_for_server(page_address: str, server_process: subprocess.Popen) -> None:
    """Wait until the MLflow server at PAGE_ADDRESS answers. ValueError if its process ends first or does not answer in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while server_process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{page_address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise ValueError(f"MLflow's page did not start at {page_address}; is the port in use? --port gives another one")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m confidnet_core.tracking.ui", description="MLflow's page, opened at the results.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"of this machine, by default {DEFAULT_PORT}")
    parser.add_argument("--open", action="store_true", help="open the newest benchmark in the browser")
    arguments = parser.parse_args()
    try:
        sys.exit(serve_results_page(arguments.port, arguments.open))
    except (ValueError, OSError) as error:
        sys.exit(str(find_disk_error(error) or error))
    except KeyboardInterrupt:  # before the page is served
        sys.exit(130)


if __name__ == "__main__":
    main()
