"""How a stage's row ends: finished, failed, killed; what SIGTERM does, and to whom."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tracking_stores import TRAINING, start, stored

from confidnet_core.tracking.stage_run import stage_run


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("no"), "FAILED"), (SystemExit(1), "FAILED"), (SystemExit(0), "FINISHED"), (KeyboardInterrupt(), "KILLED")],
)
def test_the_status_says_how_the_stage_ended(root: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), stage_run(**TRAINING, params={}) as run:
        raise error
    assert stored(root, run.run_id).info.status == status


def test_sigterm_closes_the_row_as_killed(root: Path) -> None:
    stage = start(
        "with stage_run(stage='s', benchmark='digits', seed=0, params={}) as run:\n print(run.run_id, flush=True); time.sleep(60)"
    )
    run_id = stage.stdout.readline().strip()
    stage.terminate()
    assert stage.wait(timeout=30) == 143
    assert stored(root, run_id).info.status == "KILLED"


def test_sigterm_ends_the_stage_also_where_another_error_hides_it(root: Path) -> None:
    with pytest.raises(SystemExit) as caught, stage_run(**TRAINING, params={}) as run:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("cannot roll back")
    assert caught.value.code == 143
    assert stored(root, run.run_id).info.status == "KILLED"


def test_a_forked_child_that_is_terminated_leaves_its_parents_row_alone(root: Path) -> None:
    with stage_run(**TRAINING, params={}) as run:
        ready, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, b"1")  # Python drops signals that come before its own work after the fork is done
            time.sleep(20)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
        assert stored(root, run.run_id).info.status == "RUNNING"


def test_the_former_handler_of_sigterm_comes_back(root: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stage_run(**TRAINING, params={}):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stage_may_run_outside_the_main_thread(root: Path) -> None:
    run_ids = []

    def work() -> None:
        with stage_run(**TRAINING, params={}) as run:
            run_ids.append(run.run_id)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stored(root, run_ids[0]).info.status == "FINISHED"
