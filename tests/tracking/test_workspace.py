"""Where DVC may run a stage: names of folders and histories with which DVC loses or refuses experiments; and that it says so."""

from pathlib import Path

import pytest
from dvc_project import Project, clone

pytestmark = pytest.mark.slow

AWAY = ("exp", "run", "--temp", "--name", "away", "prepare@digits")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two commits, nothing has run."""
    project = Project.create(tmp_path_factory.mktemp("origin") / "project")
    project.change(seeds=[1])
    project.commit("Another seed")
    return project


def experiments(project: Project) -> list[str]:
    return project.dvc("exp", "list", "--name-only").split()


def test_a_temporary_workspace_of_a_folder_with_a_percent_code_is_refused_before_any_work(origin: Project, tmp_path: Path):
    project = clone(origin, tmp_path / "5%20")
    output = project.dvc(*AWAY, fails=True)
    assert f"prepare: DVC loses the results of --temp and --queue in {project.folder}" in output and "rename it" in output
    assert experiments(project) == []


def test_a_shallow_clone_refuses_temporary_workspaces_until_it_has_its_history(origin: Project, tmp_path: Path):
    project = clone(origin, tmp_path / "shallow", "--depth", "1")
    assert "run `git fetch --unshallow` first" in project.dvc(*AWAY, fails=True)
    assert experiments(project) == []
    project.dvc("exp", "run", "--name", "here", "--set-param", "seeds=[2]", "sources@digits")
    project.git("fetch", "--quiet", "--unshallow")
    project.dvc(*AWAY)
    assert set(experiments(project)) == {"away", "here"}


def test_dvc_itself_refuses_temporary_workspaces_of_other_odd_names(origin: Project, tmp_path: Path):
    project = clone(origin, tmp_path / "a#b")
    assert "No git repository" in project.dvc(*AWAY, fails=True)
    assert not (project.folder / "data/sources").exists()
