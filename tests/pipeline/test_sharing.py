"""Results for others: a remote in a folder and on a real S3 server, a colleague's read-only cache, and checkouts of other kinds."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from dvc_project import Project, clone
from small_study import small_study
from tracking_servers import free_port
from tracking_stores import rows

pytestmark = pytest.mark.slow

NO_S3 = [name for name in ("dvc_s3", "moto", "flask") if find_spec(name) is None]
SOMEBODY = 12345  # another user's number
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-fowner,-chown", "--inh-caps=-dac_override,-fowner,-chown")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After its first `dvc repro`, with everything pushed to a remote in a folder."""
    folder = tmp_path_factory.mktemp("sharing")
    project = small_study(tmp_path_factory, folder / "project")
    project.dvc("remote", "add", "--default", "shared", str(folder / "remote"))
    project.commit("A remote")
    assert "files pushed" in project.dvc("push", "--run-cache")
    return project


def archive(project: Project, folder: Path) -> Project:
    """What the download of an archive gives: the files of a commit, no history."""
    folder.mkdir()
    project.git("archive", "--output", str(folder / "project.tar"), "HEAD")
    shutil.unpack_archive(folder / "project.tar", folder)
    (folder / "project.tar").unlink()
    return Project(folder)


def nothing_is_left_to_do(copy: Project) -> bool:
    output = copy.dvc("repro")
    return "Data and pipelines are up to date" in output and "Running stage" not in output and copy.git("status", "--porcelain") == ""


def test_a_clone_pulls_from_a_folder_and_repeats_nothing(project: Project, tmp_path: Path):
    copy = clone(project, tmp_path / "clone")
    copy.dvc("pull", "--run-cache")
    assert nothing_is_left_to_do(copy)
    for path in ("models/digits/seed0/finetune/weights.pt", "reports/index.html"):
        assert (copy.folder / path).read_bytes() == (project.folder / path).read_bytes()


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """The address of a server that speaks S3 and keeps its objects in memory."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(240):
                try:
                    urlopen(Request(f"{address}/{bucket}", method="PUT"), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.25)
            yield address
        finally:
            server.kill()


@pytest.mark.skipif(bool(NO_S3), reason=f"no {', '.join(NO_S3)}: pip install dvc-s3 'moto[server]'")
def test_a_clone_pulls_from_s3_and_repeats_nothing(project: Project, tmp_path: Path):
    sender, receiver = clone(project, tmp_path / "sender"), clone(project, tmp_path / "receiver")
    sender.dvc("pull", "--run-cache")
    with s3_server("studies") as address:
        for copy in (sender, receiver):
            copy.environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            copy.dvc("remote", "add", "--local", "--default", "s3", "s3://studies/digits")
            copy.dvc("remote", "modify", "--local", "s3", "endpointurl", address)
        assert "files pushed" in sender.dvc("push", "--run-cache")
        assert "files fetched" in receiver.dvc("pull", "--run-cache")
    assert nothing_is_left_to_do(receiver)


@pytest.mark.skipif(find_spec("dvc_s3") is not None, reason="dvc-s3 is installed")
def test_without_dvc_s3_it_is_dvc_that_names_what_is_missing(project: Project, tmp_path: Path):
    copy = clone(project, tmp_path / "clone")
    copy.dvc("remote", "add", "--local", "--default", "s3", "s3://studies/digits")
    assert "requires 'dvc-s3'" in copy.dvc("pull", fails=True)


@pytest.fixture
def reader(project: Project, tmp_path: Path) -> Project:
    """A clone beside a copy of the cache that is somebody else's, and read-only, in tmp_path/cache."""
    cache = tmp_path / "cache"
    shutil.copytree(project.folder / ".dvc/cache", cache)
    copy = clone(project, tmp_path / "clone")
    for path in (*cache.rglob("*"), cache):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:  # root may write anywhere, unless it gives up that right
        if not shutil.which("setpriv"):
            pytest.skip("root without setpriv, which would take root's rights away")
        for path in (*cache.rglob("*"), cache):
            os.chown(path, SOMEBODY, SOMEBODY)
        copy.prefix = WITHOUT_RIGHTS
    return copy


def test_a_read_only_cache_gives_what_it_has_once_it_is_checked_out(reader: Project, tmp_path: Path):
    reader.dvc("cache", "dir", "--local", str(tmp_path / "cache"))
    reader.dvc("config", "--local", "cache.type", "symlink")
    assert "Permission denied" in reader.dvc("repro", fails=True)  # it would write down that the stages need not run
    reader.git("checkout", "--quiet", ".")
    reader.dvc("checkout")
    assert (reader.folder / "models/digits/seed0/baseline/weights.pt").is_symlink()
    assert nothing_is_left_to_do(reader)


def test_a_read_only_cache_as_a_remote_lets_the_second_user_go_on(reader: Project, tmp_path: Path):
    reader.dvc("remote", "add", "--local", "--default", "colleague", str(tmp_path / "cache"))
    reader.dvc("pull", "--run-cache")
    assert nothing_is_left_to_do(reader)
    reader.change(**{"against": ["entropy"]})
    assert reader.stages_run("repro") == ["compare"]


def test_a_shallow_clone_pulls_and_repeats_nothing(project: Project, tmp_path: Path):
    copy = clone(project, tmp_path / "clone", "--depth", "1")
    copy.dvc("pull")
    assert nothing_is_left_to_do(copy)


def test_a_detached_head_stays_where_it_is_through_an_experiment(project: Project, tmp_path: Path):
    copy = clone(project, tmp_path / "clone")
    copy.git("checkout", "--quiet", "--detach")
    copy.dvc("pull")
    assert nothing_is_left_to_do(copy)
    here = copy.git("rev-parse", "HEAD")
    copy.dvc("exp", "run", "--name", "detached", "--set-param", "seeds=[1]", "sources@digits")
    assert copy.git("rev-parse", "HEAD") == here
    assert "detached" in copy.dvc("exp", "list", "--name-only")


def test_an_archive_without_git_works_once_dvc_is_told(project: Project, tmp_path: Path):
    copy = archive(project, tmp_path / "archive")
    assert "is not a git repository" in copy.dvc("repro", fails=True)
    copy.dvc("config", "--local", "core.no_scm", "true")
    copy.dvc("pull")
    assert "up to date" in copy.dvc("repro")
    copy.dvc("repro", "--force", "--single-item", "compare")
    assert "in no git repository" in (copy.folder / "reports/index.html").read_text()
    assert [status for _, status in rows(copy.folder)] == ["FINISHED"] * 2  # of the execution and of the stage
    assert rows(copy.folder, query="SELECT * FROM tags WHERE key LIKE '%git%'") == []
    assert "Only supported for Git repositories" in copy.dvc("exp", "run", fails=True)
