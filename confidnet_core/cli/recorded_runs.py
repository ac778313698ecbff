"""The command `confidnet send`: it sends the runs that were recorded while the MLflow server was unreachable, with a line about each."""

import os
from collections.abc import Iterator

from confidnet_core.tracking.records import list_run_records
from confidnet_core.tracking.sending import SendOutcome, send_run_records
from confidnet_core.tracking.store import project_root


def send_recorded_runs(store_uri: str | None) -> Iterator[str]:
    """Send the project's recorded runs to the MLflow store with this URI, and yield a line about each: where it is now, or why it is left.

    Raises ValueError if runs are recorded but there is no URI and, after the last line, if a run could not be sent.
    """
    unsent_run_records = list_run_records(project_folder := project_root())
    if not unsent_run_records:
        yield "no recorded run is left: all are in their MLflow store"
        return
    if not store_uri:
        intended_mlflow_stores = {str(run_record.read_run_description()["meant_for"]) for run_record in unsent_run_records}
        stores_text = ", ".join(sorted(store or "mlflow.db of the project" for store in intended_mlflow_stores))
        recorded_text = f"{len(unsent_run_records)} recorded for {stores_text}"
        raise ValueError(f"MLFLOW_TRACKING_URI is not set; give --to URI ({recorded_text})")
    os.environ["MLFLOW_TRACKING_URI"] = store_uri
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # suppresses two lines of MLflow for each run that ends
    failed_send_count = 0
    for send_outcome in send_run_records(project_folder):
        failed_send_count += send_outcome.failure is not None
        yield _describe_outcome(send_outcome)
    if failed_send_count:
        left_text = f"{failed_send_count} of {len(unsent_run_records)} left in {unsent_run_records[0].folder.parent}"
        raise ValueError(f"{left_text}; nothing is lost, send them again later")


def _describe_outcome(send_outcome: SendOutcome) -> str:
    """Return the line about one recorded run: whether it was sent, its experiment and name, and its run in the store or the failure."""
    run_description = send_outcome.run_description
    experiment_and_run_name = f"{run_description.get('experiment', '?')}  {run_description.get('name', '?')}"
    if send_outcome.failure:
        return f"left  {experiment_and_run_name}  {send_outcome.record_id}: {send_outcome.failure}"
    sent_text = f"{send_outcome.sent_entry_count} entries to run {send_outcome.run_id} ({send_outcome.run_status})"
    return f"sent  {experiment_and_run_name}  {sent_text}"
