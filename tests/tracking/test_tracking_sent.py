"""MLflow's own server, alive, dying, hanging, slow: what a training leaves there, and what is sent later, each entry once."""

import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from tracking_servers import Mlflow, free_port, line, mlflow_server
from tracking_stores import TRAINING, start, trained, warning

from confidnet_core.files import write_json
from confidnet_core.tracking import mlflow_run as tracking
from confidnet_core.tracking.records import RUN_RECORDS_FOLDER, list_run_records
from confidnet_core.tracking.sending import SendOutcome, send_run_records
from confidnet_core.tracking.stage_run import stage_run

STAGE = "with stage_run(stage='train_baseline', benchmark='digits', seed=0, params={'lr': 0.1}) as run:\n "


@pytest.fixture(scope="module")
def server(first_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(first_store, folder / "s.db")
    with mlflow_server(folder) as running:
        yield running


def send(project: Path, uri: str, patch: pytest.MonkeyPatch) -> list[SendOutcome]:
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    return list(send_run_records(project))


def losses(uri: str, run_id: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient(uri).get_metric_history(run_id, "loss")]


def rows_of(uri: str, benchmark: str, role: str = "stage") -> list[str]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(f"confidnet/{benchmark}").experiment_id
    return [run.info.run_id for run in client.search_runs([experiment], f"tags.role = '{role}'")]


@pytest.mark.slow
def test_a_server_keeps_rows_and_artifacts(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", server.uri)
    run_id = trained("served")
    found = MlflowClient(server.uri).get_run(run_id)
    assert (found.info.status, found.data.params) == ("FINISHED", {"lr": "0.1"})
    assert losses(server.uri, run_id) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert len(list((server.folder / "kept").rglob("curves/loss.png"))) == 1
    assert [path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()] == [".dvc/tmp/mlflow.lock"]


@pytest.mark.slow
def test_stages_that_begin_at_once_make_one_row_of_their_execution_on_a_server(project: Path, server: Mlflow, clean) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", server.uri)
    together = Barrier(4)

    def stage(seed: int) -> None:
        together.wait()
        with stage_run(stage="evaluate", benchmark="together", seed=seed, params={}):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stage, range(4)))
    assert len(rows_of(server.uri, "together")) == 4
    assert len(rows_of(server.uri, "together", role="pipeline")) == 1


@pytest.mark.slow
def test_a_server_that_dies_or_hangs_in_a_training_gets_the_rest_of_the_row_later(
    project: Path, server: Mlflow, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for number, (fail, mend) in enumerate(
        [
            (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
            (lambda: server.signal(signal.SIGKILL), server.start),
        ]
    ):
        clean.setenv("MLFLOW_TRACKING_URI", server.uri)
        with stage_run(**TRAINING | {"benchmark": f"dies{number}"}, params={"lr": 0.1}) as run:
            run.log_metrics({"loss": 0.5}, epoch=1)
            fail()
            began = time.monotonic()
            for epoch in range(2, 20):
                run.log_metrics({"loss": 1 / epoch}, epoch=epoch)
            run.log_figure(Figure(), "curves/loss")
            assert time.monotonic() - began < 60  # one time-out of 5 s, not one for each epoch
        assert f"recorded in .mlflow_kept/{run.run_id}" in warning(capsys)
        mend()
        (outcome,) = send(project, server.uri, clean)
        assert (outcome.run_id, outcome.run_status, outcome.failure) == (run.run_id, "FINISHED", None)
        found = MlflowClient(server.uri).get_run(run.run_id)
        assert (found.info.status, found.data.params["lr"]) == ("FINISHED", "0.1")
        assert sorted(losses(server.uri, run.run_id)) == [(1, 0.5), *((epoch, 1 / epoch) for epoch in range(2, 20))]
        assert [file.path for file in MlflowClient(server.uri).list_artifacts(run.run_id, "curves")] == ["curves/loss.png"]
        assert list_run_records(project) == [] and list((project / RUN_RECORDS_FOLDER).iterdir()) == []


@pytest.mark.slow
def test_sending_may_break_at_any_request_and_nothing_comes_twice(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    clean.setenv("DVC_EXP_NAME", "broken-line")
    Path("params.yaml").write_text("seeds: [0]\n")
    write_json(Path("data/prepared/broken/facts.json"), {"sha256": "0" * 64, "source": "made up", "samples": {"train": 1}})
    before = int(time.time() * 1000)
    record_id = trained("broken")
    times = [each[2] for entry in list_run_records(project)[0].read_log_entries() for each in entry.get("metrics", []) if each[0] == "loss"]
    clean.delenv("DVC_EXP_NAME")  # nor is anything else of where it was logged there when it is sent
    clean.chdir(project)
    breaks = 0
    with line(server.uri) as breaking:
        while list_run_records(project):
            breaking.left = breaks
            (outcome,) = send(project, breaking.uri, clean)
            assert (outcome.failure is None) == (list_run_records(project) == [])
            breaks += 1
    assert breaks > 5
    (row,) = rows_of(server.uri, "broken")
    found = MlflowClient(server.uri).get_run(row)
    assert (outcome.run_id, found.data.tags["record_id"], found.info.status) == (row, record_id, "FINISHED")
    assert sorted(losses(server.uri, row)) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert sorted(point.timestamp for point in MlflowClient(server.uri).get_metric_history(row, "loss")) == times
    assert before <= found.info.start_time <= times[0] <= found.info.end_time
    assert (found.data.tags["undefined_metrics"], found.data.tags["device"]) == ("auroc", "cpu")
    (execution,) = rows_of(server.uri, "broken", role="pipeline")
    parent = MlflowClient(server.uri).get_run(execution)
    assert (found.data.tags["mlflow.parentRunId"], parent.info.run_name) == (execution, "broken-line")
    assert (parent.info.status, parent.info.end_time, parent.data.params) == ("FINISHED", found.info.end_time, {"seeds": "[0]"})
    assert (parent.data.metrics, parent.data.tags["undefined_metrics"]) == ({"auroc/mcp": 90.0}, "auroc/tcp")
    for run, use in ((found, "train"), (parent, "train, test")):
        assert [(each.dataset.digest, each.tags[0].value) for each in run.inputs.dataset_inputs] == [("0" * 36, use)]


def test_a_process_killed_while_it_sends_loses_nothing(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    trained("killed")
    with line(server.uri, delay=0.1) as slow:
        sender = start(
            f"os.environ['MLFLOW_TRACKING_URI'] = {slow.uri!r}\nfrom confidnet_core.tracking.sending import send_run_records\n"
            f"list(send_run_records(__import__('pathlib').Path({str(project)!r})))"
        )
        while slow.seen < 6:
            time.sleep(0.01)
        sender.kill()
        sender.wait()
    assert len(list_run_records(project)) == 1
    assert [outcome.failure for outcome in send(project, server.uri, clean)] == [None]
    (row,) = rows_of(server.uri, "killed")
    assert sorted(losses(server.uri, row)) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_a_row_sent_before_its_training_ended_is_continued_on_the_server(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    stage = start(
        STAGE.replace("digits", "early") + "run.log_metrics({'loss': 0.5}, epoch=1); print(run.run_id, flush=True); time.sleep(60)"
    )
    run_id = stage.stdout.readline().strip()
    assert "is in use: its stage still runs" in send(project, server.uri, clean)[0].failure
    stage.kill()
    stage.wait()
    (outcome,) = send(project, server.uri, clean)
    assert (outcome.run_status, outcome.failure) == ("KILLED", None)
    with stage_run(**TRAINING | {"benchmark": "early"}, params={"lr": 0.1}, resume_id=run_id) as run:
        run.log_metrics({"loss": 0.25}, epoch=2)
    assert rows_of(server.uri, "early") == [run.run_id] == [outcome.run_id]
    assert [MlflowClient(server.uri).get_run(each).info.status for each in (run.run_id, run._nested_run.pipeline_run_id)] == [
        "FINISHED",
        "FINISHED",
    ]
    assert losses(server.uri, run.run_id) == [(1, 0.5), (2, 0.25)]


def test_what_cannot_be_sent_stays_with_the_reason_and_holds_nothing_up(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    for benchmark in ("withdrawn", "damaged", "fine"):
        trained(benchmark, epochs=1)
    client = MlflowClient(server.uri)
    client.delete_experiment(client.create_experiment("confidnet/withdrawn"))
    damaged = next(record for record in list_run_records(project) if record.read_run_description()["experiment"] == "confidnet/damaged")
    lines = (damaged.folder / "entries.jsonl").read_text().splitlines(keepends=True)
    (damaged.folder / "entries.jsonl").write_text("".join([lines[0], "{\n", *lines[1:]]))
    left = {outcome.run_description["experiment"]: outcome.failure or "" for outcome in send(project, server.uri, clean)}
    assert "mlflow experiments restore" in left["confidnet/withdrawn"]
    assert "entries.jsonl line 2 is damaged" in left["confidnet/damaged"]
    assert left["confidnet/fine"] == "" and len(list_run_records(project)) == 2
    began = time.monotonic()
    assert ["is not reached" in each.failure for each in send(project, f"http://127.0.0.1:{free_port()}", clean)] == [True, True]
    assert time.monotonic() - began < 60 and len(list_run_records(project)) == 2


def test_a_slow_server_is_waited_for_only_so_long(project: Path, server: Mlflow, clean: pytest.MonkeyPatch, capsys) -> None:
    clean.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    clean.setattr(tracking, "MAX_SERVER_WAIT_S", 0.5)
    with line(server.uri) as slow:
        clean.setenv("MLFLOW_TRACKING_URI", slow.uri)
        with stage_run(**TRAINING | {"benchmark": "slow"}, params={"lr": 0.1}) as run:
            slow.delay = 1.3
            for epoch in range(1, 20):
                run.log_metrics({"loss": 1 / epoch}, epoch=epoch)
    assert re.search(r"is slow \(\d+ s of waiting in this run\)", warning(capsys))
    send(project, server.uri, clean)
    assert sorted(losses(server.uri, run.run_id)) == [(epoch, 1 / epoch) for epoch in range(1, 20)]


@pytest.mark.slow
def test_a_terminated_stage_keeps_what_it_was_sending_and_says_killed(project: Path, server: Mlflow, clean: pytest.MonkeyPatch) -> None:
    with line(server.uri) as breaking:
        clean.setenv("MLFLOW_TRACKING_URI", breaking.uri)
        clean.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        stage = start(STAGE + "print(run.run_id, flush=True); sys.stdin.readline(); run.log_metrics({'loss': 0.5}, epoch=1)", stdin=True)
        run_id = stage.stdout.readline().strip()
        breaking.delay, seen = 20, breaking.seen
        stage.stdin.write("go\n")
        stage.stdin.flush()
        while breaking.seen == seen:
            time.sleep(0.05)
        stage.terminate()
        assert stage.wait(timeout=30) == 143
    (record,) = list_run_records(project)
    assert record.folder.name == run_id
    assert [entry.get("status") or entry["metrics"][0][1] for entry in record.read_log_entries()] == [0.5, "KILLED"]
