"""The code under test is this checkout's, whatever folder pytest was started in; and a project whose MLflow store is ready."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook
from project_code import ROOT

# Every call of these packages is checked against the shapes and types in its signature, in tests alone. What the metrics call thousands of
# times a test, in metrics/_ranking/, is left out: there each check would cost more than the call.
PACKAGES = ("metrics", "networks", "training", "scoring", "evaluation")
CHECKED = [f"confidnet_core.{name}.{path.stem}" for name in PACKAGES for path in (ROOT / "confidnet_core" / name).glob("*.py")]
install_import_hook(CHECKED, "shape_checks.checked")

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each: threads that wait for one another would take it from the next worker
settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.register_profile("fuzz", deadline=None)  # `make fuzz`: helpers/fuzzing.py
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those with slow tests: at the end of a run on several cores, short files fill the gaps.

    The first makes the small study that others copy; the second, on another core, needs none, and so waits for nothing.
    """
    first = ["test_pipeline.py", "test_pipeline_data.py", "test_story.py", "test_reruns.py"]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(
        key=lambda item: (
            first.index(item.path.name) if item.path.name in first else len(first),
            item.path.parent.name != "pipeline",
            item.path not in slow,
        )
    )


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with every character that has a meaning in a URI; its store is made once."""
    from confidnet_core.tracking.stage_run import stage_run

    root = tmp_path_factory.mktemp("projects") / "my 5%20 project? é#"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(root))
        with stage_run(stage="train_baseline", benchmark="digits", seed=0, params={}):
            pass
    shutil.copy(root / "mlflow.db", root.parent)
    return root


@pytest.fixture(scope="session")
def first_store(shared_root: Path) -> Path:
    """A database that knows nothing of any test: an experiment keeps the folder of its first run."""
    return shared_root.parent / "mlflow.db"


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


@pytest.fixture
def project(clean: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project apart from the working directory, as for DVC's temporary copies; a client of servers that is soon out of patience."""
    clean.setenv("DVC_ROOT", str(tmp_path / "project"))
    clean.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    clean.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return tmp_path / "project"
