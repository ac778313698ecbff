"""A study in a folder whose name has a blank, an accent and every character with a meaning in a URI or a shell."""

import json

import pytest
from dvc_project import Project
from small_study import rows, small_study
from tracking_stores import client

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Moved there after its first `dvc repro`."""
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("odd") / 'my 5%20 é#1? "it\'s" & more')


def test_it_is_up_to_date(project: Project):
    assert "up to date" in project.dvc("repro")
    assert project.git("status", "--porcelain") == ""


def test_a_training_runs_there_with_its_row_its_artifacts_and_its_resume_folder(project: Project):
    trained = project.md5("finetune@digits-0")
    project.dvc("repro", "--force", "--single-item", "finetune@digits-0")
    assert [path.name for path in project.folder.parent.iterdir()] == [project.folder.name]  # MLflow would make one of an escaped name
    run, first = rows(project, stage="finetune")  # the newest first
    assert run.info.status == "FINISHED" and run.info.start_time > first.info.start_time
    assert (project.folder / "mlruns" / run.info.run_id / "artifacts/finetune.csv").exists()
    assert {path.suffix for path in (project.folder / ".resume").glob("finetune-*")} == {".lock"}  # its state is gone
    assert project.md5("finetune@digits-0") == trained


def test_an_experiment_runs_there_with_its_page_and_its_row(project: Project):
    project.dvc("exp", "run", "--name", "odd", "--set-param", "against=[entropy]")
    shown = json.loads(project.dvc("exp", "show", "--json"))
    assert "odd" in [experiment["name"] for baseline in shown for experiment in baseline["experiments"] or []]
    (execution,) = rows(project, dvc_exp_name="odd", role="pipeline")
    artifacts = project.folder / "mlruns" / execution.info.run_id / "artifacts"
    assert execution.info.status == "FINISHED" and execution.info.artifact_uri == artifacts.as_uri()
    assert (artifacts / "index.html").read_bytes() == (project.folder / "reports/index.html").read_bytes()
    assert "index.html" in [file.path for file in client(project.folder).list_artifacts(execution.info.run_id)]
