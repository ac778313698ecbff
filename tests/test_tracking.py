"""What MLflow holds after a stage, read back from real stores; and what a person sees while it runs."""

import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run

from confidnet_core.progress import epoch_line, progress
from confidnet_core.tracking import flatten, stage_run

TRAINING = {"stage": "train_baseline", "benchmark": "digits", "seed": 0}
SOURCES = Path(__file__).parents[1]
SCRIPT = "from confidnet_core.tracking import stage_run\nimport os, signal, sys, threading, time\n"


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with every character that has a meaning in a URI; its store is made once."""
    root = tmp_path_factory.mktemp("projects") / "my 5%20 project? é#"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(root))
        with stage_run(**TRAINING, params={}):
            pass
    return root


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable of MLflow or DVC, and a working directory of its own, which is in no git repository."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "DVC_"))]:
        monkeypatch.delenv(name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return monkeypatch


@pytest.fixture
def root(clean: pytest.MonkeyPatch, shared_root: Path) -> Path:
    clean.setenv("DVC_ROOT", str(shared_root))
    return shared_root


def stored(root: Path, run_id: str, database: str = "mlflow.db") -> Run:
    return MlflowClient(f"sqlite:///{(root / database).as_posix().replace('%', '%25').replace('?', '%3F')}?timeout=60").get_run(run_id)


def rows(root: Path, database: str = "mlflow.db", query: str = "SELECT run_uuid, status FROM runs") -> list[tuple]:
    connection = sqlite3.connect(root / database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def start(script: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)} | environment,
    )


def test_a_finished_stage_leaves_its_name_tags_params_and_metrics(root: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("DVC_EXP_NAME", "sandy-beach")
    clean.setenv("DVC_STAGE", "evaluate@digits-3-mcp")
    params = {"baseline": {"lr": 1e-7, "widths": [8, 16], "dropout": None, "none": {}}, "seed": 3}
    with stage_run(stage="evaluate", benchmark="digits", seed=3, method="mcp", params=params) as run:
        run.log_metrics({"loss": 0.5, "accuracy": np.float32(0.25)}, step=1)
        run.log_metrics({"loss": 0.125}, step=2)
        run.set_tag("device", "cpu")
    found = stored(root, run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "evaluate · digits · seed 3 · mcp")
    expected = {"benchmark": "digits", "seed": "3", "stage": "evaluate", "method": "mcp", "device": "cpu"}
    expected |= {"dvc_exp_name": "sandy-beach", "dvc_stage": "evaluate@digits-3-mcp", "mlflow.runName": found.info.run_name}
    assert found.data.tags == expected
    assert found.data.params == {
        "baseline.lr": "1e-07",
        "baseline.widths": "[8, 16]",
        "baseline.dropout": "None",
        "baseline.none": "{}",
        "seed": "3",
    }
    assert found.data.metrics == {"loss": 0.125, "accuracy": 0.25}


def test_a_metric_keeps_one_value_for_each_epoch(root: Path) -> None:
    with stage_run(**TRAINING, params={}) as run:
        for epoch, loss in enumerate([0.5, 0.25, 0.125], start=1):
            run.log_metrics({"loss": loss}, step=epoch)
        history = run._client.get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_undefined_metrics_are_named_in_a_tag_and_never_stored(root: Path) -> None:
    with stage_run(**TRAINING, params={}) as run:
        run.log_metrics({"auroc": None, "accuracy": 1.0}, step=1)
        run.log_metrics({"loss": float("nan"), "gap": float("-inf")}, step=2)
    found = stored(root, run.run_id)
    assert found.data.metrics == {"accuracy": 1.0}
    assert found.data.tags["undefined_metrics"] == "auroc, gap, loss"


def test_a_metric_that_is_no_number_is_refused_by_name(root: Path) -> None:
    with pytest.raises(ValueError, match="metric loss is 'low'; expected a number"), stage_run(**TRAINING, params={}) as run:
        run.log_metrics({"loss": "low"})


def test_names_and_values_that_mlflow_refuses_are_made_to_fit(root: Path) -> None:
    params = {f"setting_{index}": index for index in range(230)} | {"long": "x" * 7000}
    metrics = {f"iou.class {index} (%)": index for index in range(1100)}
    with stage_run(**TRAINING, params=params) as run:
        run.log_metrics(metrics | {"fpr@95": 0.5})
    found = stored(root, run.run_id)
    assert len(found.data.params) == 231
    assert found.data.params["long"] == "x" * 6000
    assert len(found.data.metrics) == 1101
    assert found.data.metrics["fpr_95"] == 0.5


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


def test_a_killed_row_is_continued_by_its_id(root: Path) -> None:
    script = "with stage_run(stage='train_baseline', benchmark='digits', seed=0, params={'lr': 0.1}) as run:\n"
    stage = start(script + " run.log_metrics({'loss': 0.5, 'auroc': None}, step=1); print(run.run_id, flush=True); time.sleep(60)")
    run_id = stage.stdout.readline().strip()
    stage.kill()
    stage.wait()
    assert stored(root, run_id).info.status == "RUNNING"
    before = len(rows(root))
    with stage_run(**TRAINING, params={"lr": 0.1}, resume_id=run_id) as run:
        assert (run.run_id, stored(root, run_id).info.status) == (run_id, "RUNNING")
        run.log_metrics({"loss": 0.25, "gap": None}, step=2)
    found = stored(root, run_id)
    assert (found.info.status, found.data.metrics, found.data.tags["undefined_metrics"]) == ("FINISHED", {"loss": 0.25}, "auroc, gap")
    assert len(rows(root)) == before


def test_a_row_with_other_params_or_of_another_benchmark_is_not_continued(root: Path) -> None:
    with stage_run(**TRAINING, params={"lr": 0.1}) as first:
        pass
    for change in ({"params": {"lr": 0.2}}, {"benchmark": "moons"}, {"resume_id": "0" * 32}, {"resume_id": "no id"}):
        with stage_run(**(TRAINING | {"params": {"lr": 0.1}, "resume_id": first.run_id} | change)) as second:
            assert second.run_id != first.run_id


def test_a_run_id_left_in_the_shell_is_ignored(root: Path, clean: pytest.MonkeyPatch) -> None:
    with stage_run(**TRAINING, params={"lr": 0.1}) as first:
        pass
    clean.setenv("MLFLOW_RUN_ID", first.run_id)
    with stage_run(**TRAINING, params={"lr": 0.2}) as second:
        pass
    assert second.run_id != first.run_id
    assert stored(root, first.run_id).data.params == {"lr": "0.1"}


def test_artifacts_lie_in_the_projects_mlruns_wherever_the_stage_runs(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "curve.csv").write_text("1,2\n")
    with stage_run(**TRAINING, params={}) as run:
        run.log_artifact(folder / "curve.csv")
        run.log_artifact(folder, "all")
        run.log_figure(Figure(), "curve")
    kept = root / "mlruns" / run.run_id / "artifacts"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()) == [
        "all/figures/curve.csv",
        "curve.csv",
        "curve.png",
    ]
    assert list(Path.cwd().iterdir()) == []


def test_an_artifact_that_does_not_exist_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.csv does not exist"), stage_run(**TRAINING, params={}) as run:
        run.log_artifact(Path("missing.csv"))


def test_artifacts_follow_a_project_that_was_moved(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with stage_run(**TRAINING, params={}) as old:
        old.log_figure(Figure(), "old")
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    clean.setenv("DVC_ROOT", str(moved))
    with stage_run(**TRAINING, params={}) as new:
        new.log_figure(Figure(), "new")
    assert (moved / "mlruns" / new.run_id / "artifacts" / "new.png").exists()
    assert not (root / "mlruns" / new.run_id).exists()
    assert stored(moved, old.run_id).info.artifact_uri == (moved / "mlruns" / old.run_id / "artifacts").as_uri()


def test_git_tags_name_the_commit_and_whether_sources_differ_from_it(root: Path, tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    (repository / "reports").mkdir(parents=True)
    clean.chdir(repository)
    (repository / "params.yaml").write_text("seed: 0\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -qm first"):
        subprocess.run(["git", *command.split()], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()

    def tags() -> tuple[str, str]:
        with stage_run(**TRAINING, params={}) as run:
            pass
        found = stored(root, run.run_id).data.tags
        return found["git_commit"], found["git_dirty"]

    (repository / "reports" / "summary.json").write_text("{}")
    (repository / "dvc.lock").write_text("")
    assert tags() == (commit, "false")
    (repository / "params.yaml").write_text("seed: 1\n")
    assert tags() == (commit, "true")


def test_without_dvc_root_the_working_directory_is_the_root(root: Path, clean: pytest.MonkeyPatch) -> None:
    shutil.copy(root / "mlflow.db", "mlflow.db")
    clean.delenv("DVC_ROOT")
    with stage_run(**TRAINING, params={}) as run:
        pass
    assert stored(Path.cwd(), run.run_id).info.artifact_uri.startswith((Path.cwd() / "mlruns").as_uri())


def test_a_relative_database_in_the_environment_lies_in_the_project(root: Path, clean: pytest.MonkeyPatch) -> None:
    shutil.copy(root / "mlflow.db", root / "other.db")
    clean.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    with stage_run(**TRAINING, params={}) as run:
        run.log_figure(Figure(), "figure")
    assert (run.run_id, "FINISHED") in rows(root, "other.db")
    assert run.run_id not in dict(rows(root))
    assert (root / "mlruns" / run.run_id / "artifacts" / "figure.png").exists()
    assert list(Path.cwd().iterdir()) == []


def test_a_relative_file_store_lies_in_the_project_or_is_refused_with_the_remedy(root: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("MLFLOW_TRACKING_URI", "./files")
    with pytest.raises(ValueError, match=r"file:.*/files does not open.*unset MLFLOW_TRACKING_URI"), stage_run(**TRAINING, params={}):
        pass
    clean.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with stage_run(**TRAINING, params={}) as run:
        run.log_figure(Figure(), "figure")
    assert len(list((root / "files").glob(f"*/{run.run_id}/artifacts/figure.png"))) == 1


def test_a_row_that_cannot_be_closed_does_not_fail_finished_work(root: Path, capsys: pytest.CaptureFixture) -> None:
    with stage_run(**TRAINING, params={}) as run:
        run._client.delete_run(run.run_id)
    assert f"MLflow run {run.run_id} could not be set to FINISHED" in capsys.readouterr().err


def test_a_deleted_experiment_is_refused_with_the_remedy(root: Path) -> None:
    deleted = TRAINING | {"benchmark": "deleted"}
    with stage_run(**deleted, params={}) as run:
        pass
    run._client.delete_experiment(run._client.get_run(run.run_id).info.experiment_id)
    with (
        pytest.raises(ValueError, match=r"confidnet/deleted was deleted; `mlflow experiments restore -x \d+`"),
        stage_run(**deleted, params={}),
    ):
        pass


def test_a_server_that_is_not_there_is_named_before_any_work(root: Path, clean: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    clean.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@{address}")
    began = time.monotonic()
    expected = rf"http://{address} does not open.*Start that server, or unset MLFLOW_TRACKING_URI"
    with pytest.raises(ValueError, match=expected) as caught, stage_run(**TRAINING, params={}):
        pytest.fail("the block was entered")
    assert time.monotonic() - began < 5
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up_in_time(root: Path, clean: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(ValueError, match="Start that server"), stage_run(**TRAINING, params={}):
            pass
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_three_processes_may_make_the_store_at_once(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "with stage_run(stage='s', benchmark='digits', seed=0, params={}) as run:\n run.log_metrics({'loss': 1})"
    stages = [start(script, DVC_ROOT=str(tmp_path)) for _ in range(3)]
    errors = [stage.communicate(timeout=120)[1] for stage in stages]
    assert errors == ["", "", ""]  # also no word of MLflow's about its migrations
    assert [status for _, status in rows(tmp_path)] == ["FINISHED"] * 3
    places = dict(rows(tmp_path, query="SELECT name, artifact_location FROM experiments"))
    assert places == {"Default": str(tmp_path / "mlruns" / "0"), "confidnet/digits": (tmp_path / "mlruns").as_uri()}


@pytest.mark.slow
def test_a_first_opening_that_is_stopped_midway_leaves_nothing_broken(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stopper = (
        "def stop():\n while not (os.path.exists(os.environ['DVC_ROOT'] + '/mlflow.db')): time.sleep(0.001)\n"
        " time.sleep(0.2); os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Thread(target=stop, daemon=True).start()\n"
    )
    stage = start(stopper + "with stage_run(stage='s', benchmark='digits', seed=0, params={}): print('entered')", DVC_ROOT=str(tmp_path))
    output, _ = stage.communicate(timeout=60)
    assert (stage.returncode, output) == (143, "")
    assert not list(tmp_path.glob("mlflow.db*"))
    clean.setenv("DVC_ROOT", str(tmp_path))
    with stage_run(**TRAINING, params={}) as run:
        pass
    assert rows(tmp_path) == [(run.run_id, "FINISHED")]


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/s.db",
        "--artifacts-destination",
        f"{folder}/kept",
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "1"], stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        for _ in range(120):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.mark.slow
def test_a_server_keeps_rows_and_artifacts(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copy(root / "mlflow.db", tmp_path / "s.db")
    with mlflow_server(tmp_path) as uri:
        clean.setenv("MLFLOW_TRACKING_URI", uri)
        with stage_run(**TRAINING | {"benchmark": "served"}, params={"lr": 0.1}) as run:
            run.log_metrics({"loss": 0.5, "auroc": None}, step=1)
            run.log_figure(Figure(), "figure")
        found = run._client.get_run(run.run_id)
    assert (found.info.status, found.data.params, found.data.metrics) == ("FINISHED", {"lr": "0.1"}, {"loss": 0.5})
    assert len(list((tmp_path / "kept").rglob("figure.png"))) == 1
    assert not (root / "mlruns" / run.run_id).exists()


def test_flatten_joins_keys_with_dots_and_keeps_lists_whole() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": {}}) == {"a.b.c": 1, "a.d": [1, 2], "e": None, "f": {}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "shown"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"CI": "true"}, False),
        (False, {"CONFIDNET_PROGRESS": "1"}, True),
        (True, {"CONFIDNET_PROGRESS": "0"}, False),
    ],
)
def test_bars_are_for_terminals_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], shown: bool
) -> None:
    for name in ("CI", "CONFIDNET_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    bar = progress(range(3), total=3, description="epoch 1/2")
    bar.set_postfix(loss=0.5)
    assert list(bar) == [0, 1, 2]
    written = sys.stderr.getvalue()
    assert all((word in written) == shown for word in ("epoch 1/2", "loss=0.5", "batch"))


def test_an_unknown_choice_of_progress_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_PROGRESS", "maybe")
    with pytest.raises(ValueError, match="CONFIDNET_PROGRESS is 'maybe'; set it to 1"):
        progress([])


def test_an_epoch_is_one_plain_line_with_the_time_left(capsys: pytest.CaptureFixture) -> None:
    epoch_line("train_baseline", 3, 10, {"loss": 0.123456, "auroc": None}, 12.34)
    epoch_line("train_baseline", 10, 10, {"loss": 1e-7}, 4000)
    assert capsys.readouterr().err.splitlines() == [
        "train_baseline: epoch 3/10, loss 0.1235, auroc undefined, 12.3 s, 1 min left",
        "train_baseline: epoch 10/10, loss 1e-07, 1 h 7 min",
    ]


def test_importing_the_module_does_not_import_mlflow() -> None:
    stage = start("import json; print(json.dumps('mlflow' in sys.modules))")
    assert json.loads(stage.communicate(timeout=60)[0]) is False
