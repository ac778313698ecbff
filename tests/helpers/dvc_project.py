"""A copy of this project in a folder of its own, with its own git history and DVC cache, for tests that run real DVC."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project_code import ROOT
from ruamel.yaml import YAML

BINARIES = Path(sys.executable).parent
CODE = ("confidnet_core", "stages", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml", "pyproject.toml")


class Project:
    """A checkout. `dvc(...)` runs DVC in it with this environment's Python and returns what was printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix: tuple[str, ...] = ()  # of every command line: what runs it with other rights
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "CONFIDNET_", "GIT_"))},
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "",
            "CI": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "1",
        }

    @classmethod
    def create(cls, folder: Path, **changes: object) -> "Project":
        """A copy of the working tree's code, with few resamples, and the benchmarks alone that run or are changed.

        changes: params, as "a.b.c" -> value. DVC reads params.yaml for each stage, and writes dvc.lock with all benchmarks after each: the
        many that a test does not need would take it longer than the stages that it does.
        """
        folder.mkdir(parents=True)
        for name in CODE:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)  # with the bytecode, which a stage would otherwise make again
            else:
                shutil.copy(source, target)
        project = cls(folder)
        (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (folder / "data").mkdir()
        project.git("init", "--quiet", "--initial-branch", "main")
        project.identify()
        project.change(**{"bootstrap.resamples": 500, **changes})
        project._keep_benchmarks({key.split(".")[1] for key in changes if key.startswith("benchmarks.")})
        project.commit("Start")
        return project

    def change(self, **changes: object) -> None:
        """Set keys of params.yaml, named "a.b.c"."""
        with self._params() as params:
            for key, value in changes.items():
                *parents, last = key.split(".")
                place = params
                for parent in parents:
                    place = place[parent]
                place[last] = value

    def _keep_benchmarks(self, names: set[str]) -> None:
        """Remove all others that do not run."""
        with self._params() as params:
            for name in set(params["benchmarks"]) - {*names, *params["run"]}:
                del params["benchmarks"][name]

    @contextmanager
    def _params(self) -> Iterator[dict]:
        """The content of params.yaml, written back at the end."""
        yaml, path = YAML(), self.folder / "params.yaml"
        params = yaml.load(path)
        yield params
        yaml.dump(params, path)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def identify(self) -> None:
        """DVC commits experiments, and a bare machine has no git identity."""
        self.git("config", "user.name", "test")
        self.git("config", "user.email", "test@localhost")

    def git(self, *arguments: str) -> str:
        return self._run("git", *arguments)

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        return self._run(str(BINARIES / "dvc"), *arguments, fails=fails)

    def clear_leftovers(self) -> str:
        """What `make repro` does before `dvc repro`; returns what it says."""
        return self._run("python", "-m", "confidnet_core.system.leftovers")

    def confidnet(self, *arguments: str) -> str:
        return self._run(sys.executable, "-m", "confidnet_core", *arguments)

    def start(self, *arguments: str) -> subprocess.Popen:
        """DVC in a process group of its own, to be killed."""
        command = [str(BINARIES / "dvc"), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    @contextmanager
    def queue_workers(self, count: int) -> Iterator[None]:
        """Workers of DVC's queue, stopped at the end. They hold the output of `dvc queue start` open, and may outlive the last task."""
        command = [str(BINARIES / "dvc"), "queue", "start", "--jobs", str(count)]
        subprocess.run(command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        try:
            yield
        finally:
            self.dvc("queue", "stop", "--kill")

    def wait_for_queue(self) -> None:
        """Until no task waits or runs; AssertionError with the tasks' output after some minutes."""
        end = time.monotonic() + 600
        while any(word in self.dvc("queue", "status") for word in ("Queued", "Running")):
            if time.monotonic() > end:
                logs = [path.read_text()[-3000:] for path in self.folder.glob(".dvc/tmp/exps/celery/*.out")]
                raise AssertionError("\n".join([self.dvc("queue", "status"), *logs]))
            time.sleep(4)  # asking takes a second of a core that the tasks need

    def stages_run(self, *arguments: str) -> list[str]:
        """The stages that really ran, not those restored from the cache."""
        return [line.split("'")[1] for line in self.dvc(*arguments).splitlines() if line.startswith("Running stage")]

    def md5(self, stage: str) -> str:
        """Of the last output of a stage, as dvc.lock has it: of a training the network, behind its history."""
        return YAML(typ="safe").load(self.folder / "dvc.lock")["stages"][stage]["outs"][-1]["md5"]

    def _run(self, *command: str, fails: bool = False) -> str:
        done = subprocess.run([*self.prefix, *command], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900)
        output = done.stdout + done.stderr
        if (done.returncode != 0) != fails:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{output[-4000:]}")
        return output


def clone(project: Project, folder: Path, *options: str) -> Project:
    """In FOLDER; options of `git clone`."""
    project.git("clone", "--quiet", *options, project.folder.as_uri(), str(folder))
    copy = Project(folder)
    copy.identify()
    return copy
