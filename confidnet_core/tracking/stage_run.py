"""MLflow tracking of pipeline stages: each executed stage is one MLflow run, under the run of its pipeline execution (one `dvc repro` or
DVC experiment), in one MLflow store per project.

A user error stops the stage before it starts (tracking/store.py). A server that is down, hangs, rejects or dies does not stop the stage:
from the first failure on, the run is recorded in .mlflow_kept/ID of the project (tracking/records.py) with one warning, and the server is
not asked again until the run ends; `python -m confidnet_core send` sends the record. A training that is interrupted meanwhile continues its
record.

A short stage (`deferred`) records its run in the same way, and so saves the seconds in which MLflow is imported and its store opened. The
next stage of the pipeline execution that opens the store sends the record, at the latest `compare`.

Sources: MLflow 3.17 tracking API (mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html); DVC sets a stage's DVC_* variables.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from confidnet_core.system.processes import is_first_process
from confidnet_core.tracking.changes import benchmark_settings, flatten
from confidnet_core.tracking.dvc_outputs import stage_output_paths
from confidnet_core.tracking.dvc_process import find_dvc_process, process_identity
from confidnet_core.tracking.entries import mlflow_params
from confidnet_core.tracking.header import describe_stage_run
from confidnet_core.tracking.mlflow_run import SilentRun, StageRun
from confidnet_core.tracking.sending import send_deferred_run_records
from confidnet_core.tracking.store import project_root
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.workspace import check_workspace


@contextmanager
def stage_run(
    *,
    stage: str,
    benchmark: str,
    seed: int | None,
    method: str | None = None,
    params: dict,
    resume_id: str | None = None,
    deferred: bool = False,
) -> Iterator[StageRun]:
    """Open an MLflow run, named like "mcp · seed 0", in the experiment confidnet/BENCHMARK for the length of a with-block; yield a
    `StageRun`, which logs to it.

    The run lies under the run of its pipeline execution, which the first stage creates (tracking/header.py). The pipeline execution's run
    is RUNNING until the stage `compare` has ended or another one has failed, also between the stages that DVC runs. It ends with this
    stage if `compare` does not follow: if the stage was started by hand or as a DVC target, or wrote the outputs that dvc.lock already has.
    If DVC's process died, the pipeline execution's run ends as KILLED (tracking/open_rows.py).

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory, so that
    experiments in DVC's temporary copies keep their runs. The stage's run ends as FINISHED, as FAILED after an exception, and as KILLED
    after Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING until the project's next run closes
    it as KILLED; a stage that passes its id as resume_id continues it if benchmark and params are the same.

    deferred: True for a stage that often takes a few seconds only. If DVC started it, its run is recorded on disk and reaches the store
    with a later stage of the pipeline execution, or when it ends if no stage follows, it fails, or it took longer than MAX_DEFERRED_S.

    Of several processes that share the stage's work, only the first has a run; what the others log is dropped.
    ValueError if the store cannot be opened and is no server, or if `check_workspace` refuses the working directory.
    """
    check_workspace()
    if not is_first_process():
        yield SilentRun()
        return
    stage_identity = {"stage": stage, "benchmark": benchmark, "seed": seed, "method": method}
    output_paths, pipeline_params = stage_output_paths(**stage_identity), mlflow_params(flatten(benchmark_settings(benchmark)))
    run_description = describe_stage_run(stage_identity, mlflow_params(flatten(params)), pipeline_params, output_paths)
    with sigterm_raises() as sigterm_received, ExitStack() as exit_stack:
        tracked_run = StageRun(uuid4().hex, run_description, exit_stack)
        if deferred and (dvc_process := find_dvc_process()):
            tracked_run.record_for_later_stage(process_identity(dvc_process))
        else:
            send_deferred_run_records(project_root(), run_description["meant_for"])
            tracked_run.open_mlflow_run(resume_id)
        try:
            tracked_run.store_log_entry({key: run_description[key] for key in ("tags", "params", "dataset")})
            yield tracked_run
        except BaseException as error:
            tracked_run.end_mlflow_run("KILLED" if sigterm_received.is_set() else _mlflow_status_after_error(error), output_paths)
            raise
        tracked_run.end_mlflow_run("FINISHED", output_paths)


def _mlflow_status_after_error(error: BaseException) -> str:
    """Return the MLflow status (KILLED, FINISHED or FAILED) of a run whose with-block was left by this exception."""
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"
