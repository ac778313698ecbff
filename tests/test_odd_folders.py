"""A study in a folder whose name has a blank, an accent and every character with a meaning in a URI or a shell."""

import json

import pytest
from dvc_project import Project
from mlflow import MlflowClient
from small_study import small_study
from tracking_stores import rows, store_uri, stored

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Moved there after its first `dvc repro`."""
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("odd") / 'my 5%20 é#1? "it\'s" & more')


def test_it_is_up_to_date(project: Project):
    assert "up to date" in project.dvc("repro")
    assert project.git("status", "--porcelain") == ""


def test_a_training_runs_there_with_its_row_its_artifacts_and_its_resume_folder(project: Project):
    before = set(rows(project.folder))
    trained = project.md5("finetune_confidnet@digits-0")
    project.dvc("repro", "--force", "--single-item", "finetune_confidnet@digits-0")
    ((run_id, status),) = set(rows(project.folder)) - before
    assert status == "FINISHED"
    assert (project.folder / "mlruns" / run_id / "artifacts/history.csv").exists()
    assert [path.suffix for path in (project.folder / ".resume").glob("finetune_confidnet-*")] == [".lock"]  # its state is gone
    assert project.md5("finetune_confidnet@digits-0") == trained
    assert [path.name for path in project.folder.parent.iterdir()] == [project.folder.name]  # MLflow would make one of an escaped name


def test_an_experiment_runs_there_with_its_page_and_its_row(project: Project):
    before = set(rows(project.folder))
    project.dvc("exp", "run", "--name", "odd", "--set-param", "against=[entropy]")
    shown = json.loads(project.dvc("exp", "show", "--json"))
    assert "odd" in [experiment["name"] for baseline in shown for experiment in baseline["experiments"] or []]
    ((run_id, status),) = set(rows(project.folder)) - before
    assert status == "FINISHED"
    kept = project.folder / "mlruns" / run_id / "artifacts/index.html"
    assert kept.read_bytes() == (project.folder / "reports/index.html").read_bytes()
    run = stored(project.folder, run_id)
    assert run.data.tags["dvc_exp_name"] == "odd"
    assert run.info.artifact_uri == (project.folder / "mlruns" / run_id / "artifacts").as_uri()
    files = MlflowClient(store_uri(project.folder)).list_artifacts(run_id)
    assert "index.html" in [file.path for file in files]
