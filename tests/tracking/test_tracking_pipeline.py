"""The row of an execution under real DVC: running until `compare` has ended, and closed where DVC died or stops before."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import Run
from project_code import ROOT
from tracking_stores import client, trained

from confidnet_core.tracking.open_rows import OPEN_RUN_MARKERS_FOLDER

pytestmark = pytest.mark.slow

STAGE = """
import sys
from pathlib import Path
from confidnet_core.tracking.stage_run import stage_run
with stage_run(stage=sys.argv[1], benchmark='piped', seed=0, params={}):
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True)
    (folder / 'weights.pt').write_text(Path('settings.txt').read_text().split()[0])
"""
BETWEEN = """
import sqlite3, time
from pathlib import Path
rows = sqlite3.connect('mlflow.db').execute(
    "SELECT status FROM runs JOIN experiments USING (experiment_id) JOIN tags USING (run_uuid) "
    "WHERE experiments.name = 'confidnet/piped' AND key = 'role' ORDER BY tags.value"
)
Path('between.txt').write_text(' '.join(status for status, in rows) + ' ' + Path('models/piped/seed0/baseline/weights.pt').read_text())
Path('params.yaml').write_text('# another')  # while it runs, as a commit may be made
while Path('hold').exists():
    time.sleep(0.1)
"""
PIPELINE = """
stages:
  train_baseline:
    cmd: {python} stage.py train_baseline models/piped/seed0/baseline
    deps: [settings.txt]
    outs: [models/piped/seed0/baseline]
  between:
    cmd: {python} between.py
    deps: [models/piped/seed0/baseline]
    outs: [between.txt]
  compare:
    cmd: {python} stage.py compare reports
    deps: [between.txt]
    outs: [reports]
"""


@pytest.fixture
def piped(clean: pytest.MonkeyPatch, first_store: Path, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts DVC with these arguments in the working directory, which is a project of three stages with a store that is ready."""
    for name, text in {"stage.py": STAGE, "between.py": BETWEEN, "dvc.yaml": PIPELINE.format(python=sys.executable)}.items():
        Path(name).write_text(text)
    Path("settings.txt").write_text("1")
    Path("mlflow.db").write_bytes(first_store.read_bytes())
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}

    def dvc(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen([str(Path(sys.executable).with_name("dvc")), *arguments], env=environment, start_new_session=True)

    assert dvc("init", "--no-scm", "--quiet").wait() == 0
    return dvc


def execution() -> Run:
    store = client(Path.cwd())
    (row,) = store.search_runs([store.get_experiment_by_name("confidnet/piped").experiment_id], "tags.role = 'pipeline'")
    return row


def wait_for(path: str) -> None:
    end = time.monotonic() + 300
    while not Path(path).exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.1)


def test_an_execution_runs_until_compare_has_ended_also_between_two_stages(piped) -> None:
    assert piped("repro").wait() == 0
    assert Path("between.txt").read_text() == "RUNNING FINISHED 1"  # the execution, and its one stage so far
    assert execution().info.status == "FINISHED" and list(Path(OPEN_RUN_MARKERS_FOLDER).iterdir()) == []


def test_an_execution_ends_with_a_stage_that_alone_was_asked_for_or_that_changed_nothing(piped) -> None:
    Path("params.yaml").write_text("# another")  # as it stays
    assert piped("repro", "train_baseline").wait() == 0
    assert execution().info.status == "FINISHED" and list(Path(OPEN_RUN_MARKERS_FOLDER).iterdir()) == []
    assert piped("repro").wait() == 0
    Path("settings.txt").write_text("1 # a remark, by which the stage writes the same")
    before = execution().info.end_time
    assert piped("repro").wait() == 0
    assert (
        execution().info.status == "FINISHED" and execution().info.end_time > before and list(Path(OPEN_RUN_MARKERS_FOLDER).iterdir()) == []
    )


def test_an_execution_whose_dvc_was_killed_is_closed_by_the_next_run_of_the_project(piped) -> None:
    Path("hold").touch()
    process = piped("repro")
    wait_for("between.txt")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert execution().info.status == "RUNNING"
    trained("elsewhere", epochs=1)
    assert execution().info.status == "KILLED" and list(Path(OPEN_RUN_MARKERS_FOLDER).iterdir()) == []
