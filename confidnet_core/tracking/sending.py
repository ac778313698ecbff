"""Sending of records, the local copies of MLflow runs (tracking/records.py), to the MLflow server. Each record is sent once, even after an
interruption, and is deleted only when the server has all of it.

The MLflow run on the server gets the record's id as a tag, by which it is found again, and the record counts the entries that the server
has. If the process or the connection breaks, one entry may be sent twice, which changes nothing (see tracking/rows.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.tracking.records import Record, list_records
from confidnet_core.tracking.rows import open_run, send_entry
from confidnet_core.tracking.store import ServerError, failure_reason


@dataclass(frozen=True)
class SendOutcome:
    """Result of sending one record (local copy of an MLflow run): the id of the MLflow run it was sent to, or why it was not sent."""

    record: str
    header: dict[str, Any]  # with records.HEADER_KEYS; empty if damaged
    row: str | None = None
    entries: int = 0  # number sent by this call
    status: str | None = None  # of the row, if it was sent
    failure: str | None = None


def send_records(root: Path) -> Iterator[SendOutcome]:
    """Send all records (local copies of MLflow runs) of a project to the store in MLFLOW_TRACKING_URI, and yield the outcome of each.

    A store that does not open is tried only once.
    """
    server_error = None
    for record in list_records(root):
        header: dict[str, Any] = {}
        try:
            header = record.header()
            if server_error:
                raise server_error
            with record.locked():
                if record.exists:  # otherwise another process has sent it meanwhile
                    yield _send_record(record, header)
            continue
        except ServerError as error:
            server_error, failure = error, f"the server {error}"
        except ValueError as error:  # a user error, or a damaged or locked record
            failure = str(error)
        except Exception as error:
            failure = f"the server {failure_reason(error)}"
        yield SendOutcome(record.folder.name, header, failure=failure)


def _send_record(record: Record, header: dict[str, Any]) -> SendOutcome:
    """Send one record (local copy of an MLflow run) and delete it; return the outcome. Raises MLflow's error if the server refuses it."""
    entries, last_written = record.entries(), record.last_written()
    tracked_row = open_run(header, record.folder.name, record.folder.name)
    sent_before = record.count_sent(tracked_row.run_id)
    send_entry(tracked_row, {key: header.get(key, {}) for key in ("tags", "params", "dataset")})
    for entry_number, entry in enumerate(entries[sent_before:], start=sent_before + 1):
        send_entry(
            tracked_row, {key: value for key, value in entry.items() if key != "goes_on"}
        )  # no execution is still open for what is sent later
        record.mark_sent(tracked_row.run_id, entry_number)
    end_status = entries[-1].get("status") if entries else None
    if end_status is None:  # no process holds the record, so its stage was killed; a resumed training reopens the row
        end_status = "KILLED"
        send_entry(tracked_row, {"status": end_status, "time": last_written})
    record.remove()
    return SendOutcome(record.folder.name, header, tracked_row.run_id, len(entries) - sent_before, end_status)
