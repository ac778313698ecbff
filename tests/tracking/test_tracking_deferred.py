"""The run of a short stage is recorded without MLflow, and sent by the next stage that opens the store; nothing is lost on the way."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from project_code import ROOT
from tracking_servers import free_port
from tracking_stores import SCRIPT, client, start

from confidnet_core.tracking.records import list_run_records
from confidnet_core.tracking.ui import benchmark_links

OUTPUT = "data/bootstrap/short/seed0/mcp.npy"
SHORT = """
with stage_run(stage='bootstrap', benchmark='short', seed=0, method='mcp', params={'seed': 1}, deferred=True) as run:
    os.makedirs(os.path.dirname('data/bootstrap/short/seed0/mcp.npy'), exist_ok=True)
    open('data/bootstrap/short/seed0/mcp.npy', 'w').write('1')
    run.log_metrics({'auroc_standard_error': 0.01, 'aurc': None})
    LAST
print('mlflow' in sys.modules, run.run_id, flush=True)
"""
LATER = "with stage_run(stage={!r}, benchmark='short', seed=0, method='mcp', params={{}}) as run:\n print(run.run_id, flush=True)"


@pytest.fixture
def root(project: Path, clean: pytest.MonkeyPatch, first_store: Path) -> Path:
    """A project whose store is ready. Its stages are started by this process, as by DVC, and `compare` is still to come."""
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    clean.setenv("PYTHONPATH", str(ROOT))
    project.mkdir()
    shutil.copy(first_store, project)
    return project


def run_stage(script: str, stage: str = "bootstrap@short-0-mcp", returncode: int = 0, **environment: str) -> list[str]:
    """What a stage that DVC started printed."""
    process = start(script, DVC_STAGE=stage, **environment)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == returncode, errors
    return [*output.split(), *errors.splitlines()]


def stored_runs(root: Path) -> dict[str, Run]:
    """The MLflow runs of the benchmark, by their stage; that of the pipeline execution as "pipeline"."""
    store = client(root)
    experiment = store.get_experiment_by_name("confidnet/short")
    found = store.search_runs([experiment.experiment_id]) if experiment else []
    runs = {run.data.tags.get("stage", "pipeline"): run for run in found}
    assert len(runs) == len(found)
    return runs


def short(last: str = "pass", **options) -> list[str]:
    return run_stage(SHORT.replace("LAST", last), **options)


def test_it_imports_no_mlflow_and_the_next_stage_sends_it_under_the_same_execution(root: Path):
    assert short()[0] == "False"
    assert stored_runs(root) == {} and len(list_run_records(root)) == 1
    run_stage(LATER.format("evaluate"), "evaluate@short-0-mcp")
    runs, records = stored_runs(root), list_run_records(root)
    assert set(runs) == {"bootstrap", "evaluate", "pipeline"} and records == []
    assert {runs[stage].data.tags["mlflow.parentRunId"] for stage in ("bootstrap", "evaluate")} == {runs["pipeline"].info.run_id}
    sent = runs["bootstrap"]
    assert (sent.info.status, sent.data.metrics, sent.data.params) == ("FINISHED", {"auroc/standard_error": 1.0}, {"seed": "1"})
    assert sent.data.tags["undefined_metrics"] == "aurc" and f"dvc.md5.{OUTPUT}" in sent.data.tags
    assert sent.info.start_time < sent.info.end_time <= runs["evaluate"].info.start_time


def test_the_execution_runs_on_until_compare_has_ended(root: Path):
    short()
    sleeping = LATER.format("predict") + "\n open('predicted', 'w'); sys.stdin.read()"
    process = start(sleeping, stdin=True, DVC_STAGE="predict@short-0")
    process.stdout.readline()
    assert {stage: run.info.status for stage, run in stored_runs(root).items()} == {
        "bootstrap": "FINISHED",
        "predict": "RUNNING",
        "pipeline": "RUNNING",
    }
    process.communicate(timeout=60)
    run_stage(LATER.format("compare"), "compare")
    assert stored_runs(root)["pipeline"].info.status == "FINISHED"


def test_where_the_output_is_the_same_as_before_no_stage_follows_and_it_is_sent_at_once(root: Path):
    locked = {"outs": [{"path": OUTPUT, "md5": hashlib.md5(b"1").hexdigest()}]}
    Path("dvc.lock").write_text(json.dumps({"stages": {"bootstrap@short-0-mcp": locked}}))
    assert short()[0] == "True"
    assert {run.info.status for run in stored_runs(root).values()} == {"FINISHED"} and list_run_records(root) == []


def test_a_long_one_is_sent_when_it_ends_and_the_execution_stays_open(root: Path):
    short("__import__('confidnet_core.tracking.mlflow_run', fromlist=['x']).MAX_DEFERRED_S = 0")
    runs = stored_runs(root)
    assert {stage: run.info.status for stage, run in runs.items()} == {"bootstrap": "FINISHED", "pipeline": "RUNNING"}
    run_stage(LATER.format("compare"), "compare")
    runs = stored_runs(root)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["compare"].data.tags["mlflow.parentRunId"] == runs["pipeline"].info.run_id


@pytest.mark.parametrize(
    ("last", "returncode", "status"), [("raise ValueError('no')", 1, "FAILED"), ("os.kill(os.getpid(), 15)", 143, "KILLED")]
)
def test_a_failure_and_a_kill_are_sent_at_once(root: Path, last: str, returncode: int, status: str):
    short(last, returncode=returncode)
    assert stored_runs(root)["bootstrap"].info.status == status and list_run_records(root) == []


def test_what_sigkill_left_is_sent_as_killed(root: Path):
    short("os.kill(os.getpid(), 9)", returncode=-signal.SIGKILL)
    assert len(list_run_records(root)) == 1
    run_stage(LATER.format("evaluate"), "evaluate@short-0-mcp")
    assert stored_runs(root)["bootstrap"].info.status == "KILLED" and list_run_records(root) == []


OTHER_DVC = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]], env=os.environ | {"DVC_STAGE": "bootstrap@short-0-mcp"})
print("ran", flush=True)
sys.stdin.read()
"""


def run_in_another_dvc(until: Callable[[], None], ends: bool) -> None:
    """Have another process start the short stage, as DVC does, and call UNTIL once that process has ended, or while it waits."""
    command = [sys.executable, "-c", OTHER_DVC, SCRIPT + SHORT.replace("LAST", "pass")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        while other.stdout.readline().strip() != "ran":
            pass
        if ends:
            other.communicate()
        until()


@pytest.mark.parametrize("ends", [True, False])
def test_a_record_of_another_execution_is_sent_only_once_that_has_ended(root: Path, ends: bool):
    run_in_another_dvc(lambda: run_stage(LATER.format("evaluate"), "evaluate@short-0-mcp"), ends)
    assert ("bootstrap" in stored_runs(root)) == ends and len(list_run_records(root)) == (not ends)


def test_the_web_page_shows_what_no_stage_has_sent(root: Path):
    run_in_another_dvc(lambda: benchmark_links("http://127.0.0.1:5000"), ends=True)
    assert stored_runs(root)["bootstrap"].info.status == "FINISHED" and list_run_records(root) == []


def test_a_server_that_is_not_there_keeps_the_records_with_two_warnings(root: Path):
    gone = f"http://127.0.0.1:{free_port()}"
    for _ in range(3):
        short(MLFLOW_TRACKING_URI=gone)
    warnings = [line for line in run_stage(LATER.format("evaluate"), "evaluate@short-0-mcp", MLFLOW_TRACKING_URI=gone) if "WARNING" in line]
    assert len(warnings) == 2 and "was not sent to MLflow: is not reached" in warnings[0]
    assert len(list_run_records(root)) == 4


def test_by_hand_a_short_stage_writes_its_run_as_every_other(root: Path):
    process = start(SHORT.replace("LAST", "pass"), **{name: value for name, value in os.environ.items() if name != "DVC_STAGE"})
    assert process.communicate(timeout=120)[0].split()[0] == "True"
    assert stored_runs(root)["bootstrap"].info.status == "FINISHED" and list_run_records(root) == []
