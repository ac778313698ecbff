"""What public projects with DVC and MLflow stumble over: settings of dvc.yaml and the ignore files, and how DVC treats experiments."""

import pytest
from dvc_project import Project
from project_code import ROOT
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def test_only_the_comparison_and_the_check_of_sources_stay_out_of_the_run_cache():
    """An output that DVC does not cache, or that persists, would let a training run again after each switch of settings."""

    def options(stage: dict) -> list[dict]:
        return [options for out in (*stage.get("outs", []), *stage.get("metrics", [])) if isinstance(out, dict) for options in out.values()]

    def uncached(stage: dict) -> bool:
        return any(option.get("persist") or not option.get("cache", True) for option in options(stage))

    assert [name for name, stage in STAGES.items() if uncached(stage)] == ["sources", "compare"]  # both take seconds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("pitfalls") / "project")


def test_what_runs_leave_behind_is_no_business_of_git_nor_of_dvc(project: Project):
    left = ["mlflow.db", "mlflow.db-journal", "mlruns/1/a", ".resume/a/state.pt", ".mlflow_kept/a/b", "stages/__pycache__/a.pyc", ".venv/a"]
    assert project.git("check-ignore", *left).split() == left
    assert project.dvc("check-ignore", *left).split() == left


@pytest.mark.slow
def test_a_queued_experiment_runs_the_code_that_was_queued(project: Project):
    stage = project.folder / "stages/sources.py"
    stage.write_text(stage.read_text() + "# Changed, so that the stage runs.\n")
    project.dvc("exp", "run", "--queue", "--name", "queued", "sources@digits")
    stage.write_text("raise SystemExit('the code of the workspace')\n")
    with project.queue_workers(1):
        project.wait_for_queue()
    assert "Success" in project.dvc("queue", "status")
    project.git("checkout", "--quiet", ".")


@pytest.mark.slow
def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_replaced(project: Project):
    again = ("exp", "run", "--name", "again", "sources@digits", "--set-param")
    project.dvc(*again, "seeds=[1]")
    project.git("checkout", "--quiet", ".")
    assert "Experiment conflicts" in project.dvc(*again, "seeds=[2]", fails=True)
    project.dvc(*again, "seeds=[2]", "--force")
    assert (project.folder / "params.yaml").read_text().count("seeds:\n- 2\n") == 1
