"""Records of runs go to the MLflow server: each once, also after an interruption, and none is removed before the server has all of it.

The row is made under the record's id as a tag, so that it is found again; entries that it has are counted in the record; and the one
entry that was under way when the process or the connection broke changes nothing when it comes twice (rows.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.tracking.records import Record, kept
from confidnet_core.tracking.rows import deliver, open_run
from confidnet_core.tracking.store import ServerError, reason


@dataclass(frozen=True)
class Outcome:
    """What became of a record: sent as a row, or left for a reason."""

    record: str
    header: dict[str, Any]  # with the keys of records.HEADER; empty where it is damaged
    row: str | None = None
    entries: int = 0  # that were sent now
    status: str | None = None  # the row's, where it was sent
    left: str | None = None


def send_kept(root: Path) -> Iterator[Outcome]:
    """All records of a project, one at a time, to the store that MLFLOW_TRACKING_URI names; one that does not open is asked once."""
    gone = None
    for record in kept(root):
        header: dict[str, Any] = {}
        try:
            header = record.header()
            if gone:
                raise gone
            with record.held():
                if record.exists:  # else another process has sent it since
                    yield _sent(record, header)
            continue
        except ServerError as error:
            gone, why = error, f"the server {error}"
        except ValueError as error:  # a user error, a damaged record, or one in use
            why = str(error)
        except Exception as error:
            why = f"the server {reason(error)}"
        yield Outcome(record.folder.name, header, left=why)


def _sent(record: Record, header: dict[str, Any]) -> Outcome:
    """Deliver one record. Whatever MLflow raises, where the server does not take it."""
    entries, last_written = record.entries(), record.last_written()
    row = open_run(header, record.folder.name, record.folder.name)
    done = record.sent(row.run_id)
    deliver(row, {key: header.get(key, {}) for key in ("tags", "params", "dataset")})
    for number, entry in enumerate(entries[done:], start=done + 1):
        deliver(row, {key: value for key, value in entry.items() if key != "goes_on"})  # no pipeline waits for what is sent later
        record.mark_sent(row.run_id, number)
    status = entries[-1].get("status") if entries else None
    if status is None:  # no process holds the record, so its stage was killed; a training that goes on opens the row again
        status = "KILLED"
        deliver(row, {"status": status, "time": last_written})
    record.remove()
    return Outcome(record.folder.name, header, row.run_id, len(entries) - done, status)
