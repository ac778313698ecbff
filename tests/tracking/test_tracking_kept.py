"""A server that fails costs no training: its run is kept in the project, goes on there, and waits for `send`."""

import json
import time
from pathlib import Path

import pytest
from tracking_servers import free_port, line, silent_server
from tracking_stores import TRAINING, start, trained, warning

from confidnet_core.tracking.records import RUN_RECORDS_FOLDER, RunRecord, list_run_records
from confidnet_core.tracking.stage_run import stage_run

STAGE = "with stage_run(stage='train_baseline', benchmark='digits', seed=0, params={'lr': 0.1}) as run:\n "


def test_a_server_that_is_not_there_costs_one_warning(project: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    began = time.monotonic()
    run_id = trained("digits")
    assert time.monotonic() - began < 5
    said = warning(capsys)
    assert "is not reached (Connection refused); this run is recorded in .mlflow_kept/" in said and "secret" not in said
    (record,) = list_run_records(project)
    header, entries = record.read_run_description(), record.read_log_entries()
    assert (record.folder.name, header["experiment"], header["name"]) == (run_id, "confidnet/digits", "train_baseline · seed 0")
    assert (header["params"], header["tags"]["stage"]) == ({"lr": "0.1"}, "train_baseline")
    assert [each[:2] + each[3:] for entry in entries for each in entry.get("metrics", [])] == [
        ["loss", 1, 1],
        ["loss", 0.5, 2],
        ["loss", 1 / 3, 3],
        ["auroc/mcp", 90.0, 0],
    ]
    assert [entry["status"] for entry in entries if "status" in entry] == ["FINISHED"]
    assert "secret" not in "".join(path.read_text() for path in record.folder.glob("*.json*"))
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_rejects_costs_one_warning(project: Path, clean: pytest.MonkeyPatch, capsys, status: int) -> None:
    with line(status=status) as rejecting:
        clean.setenv("MLFLOW_TRACKING_URI", rejecting.uri)
        trained("digits")
        asked = rejecting.seen
    assert f"answers with HTTP {status}" in warning(capsys)
    assert len(list_run_records(project)) == 1 and asked <= 4


@pytest.mark.slow
def test_a_server_that_never_answers_is_waited_for_once(project: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    with silent_server() as uri:
        clean.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        trained("digits", epochs=30)
    assert 5 < time.monotonic() - began < 60
    assert "does not answer in time" in warning(capsys)


@pytest.mark.parametrize("address", ["http://", "http://127.0.0.1:port", "htp://127.0.0.1"])
def test_an_address_that_can_be_none_is_refused_before_any_work(project: Path, clean: pytest.MonkeyPatch, address: str) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ValueError, match=f"{address}.*(expected the address of a server|does not open)"), stage_run(**TRAINING, params={}):
        pytest.fail("the block was entered")
    assert list_run_records(project) == []


def test_an_interrupted_training_goes_on_with_its_record(project: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    stage = start(STAGE + "run.log_metrics({'loss': 0.5, 'auroc': None}, epoch=1); print(run.run_id, flush=True); time.sleep(60)")
    run_id = stage.stdout.readline().strip()
    stage.kill()
    stage.wait()
    (record,) = list_run_records(project)
    with (record.folder / "entries.jsonl").open("a") as file:
        file.write('{"metrics": [["lo')  # what a line is that SIGKILL cut
    with stage_run(**TRAINING, params={"lr": 0.1}, resume_id=run_id) as run:
        run.log_metrics({"loss": 0.25, "gap": None}, epoch=2)
    assert f"this run continues in .mlflow_kept/{run_id}" in warning(capsys)
    entries = record.read_log_entries()
    assert [each[3] for entry in entries for each in entry.get("metrics", [])] == [1, 2]
    assert [entry["tags"]["undefined_metrics"] for entry in entries if "undefined_metrics" in entry.get("tags", {})][-1] == "auroc, gap"
    with stage_run(**TRAINING, params={"lr": 0.2}, resume_id=run_id) as other:
        pass
    assert other.run_id != run_id and record.read_log_entries() == entries


def test_a_record_half_removed_is_none_and_its_id_begins_anew(tmp_path: Path) -> None:
    record = RunRecord(tmp_path / RUN_RECORDS_FOLDER / "a")
    (tmp_path / "model.json").write_text("{}")
    header = dict.fromkeys(("experiment", "name", "start", "params", "tags", "meant_for"), "")
    with record.locked():
        record.write_run_description(header)
        record.append_log_entry({"artifact": str(tmp_path / "model.json"), "folder": None})
        (record.folder / "record.json").unlink()
        assert list_run_records(tmp_path) == []
        record.write_run_description(header)
        assert record.read_log_entries() == [] and json.loads((record.folder / "record.json").read_text()) == header
    assert list_run_records(tmp_path) == [record]
