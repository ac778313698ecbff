"""Where MLflow keeps rows and artifacts: the project's own database, another one, a folder; shared, moved and stopped."""

import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tracking_stores import TRAINING, rows, start, stored

from confidnet_core.tracking.stage_run import stage_run


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


def test_a_name_that_a_uri_must_escape_gets_no_second_folder_beside_it(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = tmp_path / "projects" / "all 100%25?" / "mine?"
    project.mkdir(parents=True)
    shutil.copy(root / "mlflow.db", project)
    clean.setenv("DVC_ROOT", str(project))
    with stage_run(**TRAINING, params={}) as run:
        pass
    assert (run.run_id, "FINISHED") in rows(project)
    assert [path.name for path in (tmp_path / "projects").iterdir()] == ["all 100%25?"]
    assert [path.name for path in project.parent.iterdir()] == ["mine?"]


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
        run._nested_run.mlflow_client.delete_run(run.run_id)
    assert f"MLflow run {run.run_id} could not be set to FINISHED" in capsys.readouterr().err


def test_a_deleted_experiment_is_refused_with_the_remedy(root: Path) -> None:
    deleted = TRAINING | {"benchmark": "deleted"}
    with stage_run(**deleted, params={}) as run:
        pass
    run._nested_run.mlflow_client.delete_experiment(run._nested_run.mlflow_client.get_run(run.run_id).info.experiment_id)
    with (
        pytest.raises(ValueError, match=r"confidnet/deleted was deleted; `mlflow experiments restore -x \d+`"),
        stage_run(**deleted, params={}),
    ):
        pass


@pytest.mark.slow
def test_three_processes_may_make_the_store_and_the_row_of_their_execution_at_once(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "with stage_run(stage='s', benchmark='digits', seed=0, params={}) as run:\n run.log_metrics({'loss': 1})"
    stages = [start(script, DVC_ROOT=str(tmp_path)) for _ in range(3)]
    errors = [stage.communicate(timeout=120)[1] for stage in stages]
    assert errors == ["", "", ""]  # also no word of MLflow's about its migrations
    assert [status for _, status in rows(tmp_path)] == ["FINISHED"] * 4
    assert len(rows(tmp_path, query="SELECT DISTINCT value FROM tags WHERE key = 'mlflow.parentRunId'")) == 1
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
    assert set(rows(tmp_path)) == {(run_id, "FINISHED") for run_id in (run.run_id, run._nested_run.pipeline_run_id)}
