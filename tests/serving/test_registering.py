"""The best model in a real MLflow store: loaded by its alias in another process, registered once, and never replaced by a worse one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from served import answer, params_of, score
from small import MLP, benchmark, small_digits, trained_run
from small_params import changed, load, replace
from tracking_servers import free_port, mlflow_server
from tracking_stores import rows

from confidnet_core.__main__ import cli
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json, write_json
from confidnet_core.serving.opening import open_model
from confidnet_core.serving.registering import register_best_model, register_best_model_or_warn
from confidnet_core.tracking.stage_run import stage_run

METHODS = ("mcp", "stack", "mc_dropout", "tcp")
PREDICT = """
import sys, numpy as np, mlflow.pyfunc
model = mlflow.pyfunc.load_model("models:/confidnet-small@champion")
np.savez("answers.npz", **model.predict(np.load("images.npy")))
assert (model.input_example == np.load("examples.npy")).all()
code = sys.modules["confidnet_core"].__file__
assert code.startswith(sys.argv[1]), code
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Params]]:
    """A classifier with its scores, and the same of seed 1."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        run = trained_run(root, small_digits(), benchmark())
        answer(run)
        score(run, METHODS, root)
        for folder in (*root.glob("data/*/small"), root / "models/small"):
            if (folder / "seed0").exists():
                shutil.copytree(folder / "seed0", folder / "seed1", dirs_exist_ok=True)
        yield root, params_of([run], METHODS, root)


@pytest.fixture
def project(trained: tuple[Path, Params], first_store: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, with a store that is ready."""
    folder = tmp_path / "my project"
    shutil.copytree(trained[0], folder)
    shutil.copy(first_store, folder)
    clean.setenv("DVC_ROOT", str(folder))
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    clean.chdir(folder)
    return folder


@pytest.fixture
def params(trained: tuple[Path, Params]) -> Params:
    return trained[1]


def client(project: Path) -> MlflowClient:
    return MlflowClient(uri(project))


def uri(project: Path) -> str:
    return f"sqlite:///{project}/mlflow.db"


def champion(project: Path) -> Any:
    return client(project).get_model_version_by_alias("confidnet-small", "champion")


def judge(aurc: float, seed: int = 0, method: str = "stack") -> None:
    """Let a score have this AURC on validation data, and be another model by it: its target risks get another delta."""
    for path, change in {
        f"data/scores/small/seed{seed}/{method}/metrics.json": lambda content: content["val"]["metrics"].update(aurc=aurc),
        f"data/thresholds/small/seed{seed}/{method}/threshold.json": lambda content: [
            guarantee.update(delta=aurc / 10) for guarantee in content["thresholds"]
        ],
    }.items():
        change(content := read_json(Path(path)))
        write_json(Path(path), content)


@pytest.mark.slow
def test_another_process_loads_the_champion_by_its_alias_and_gives_the_stored_confidence(project: Path, params: Params, tmp_path: Path):
    with stage_run(stage="compare", benchmark="small", seed=None, params={}) as run:
        text = register_best_model(params, "small", run.run_id)
    assert text.startswith("confidnet-small version 1: stack, seed 0, AUPR-Error ") and text.endswith("; champion")
    prepared, other_folder = load_dataset(Path("data/prepared/small")), tmp_path / "elsewhere"
    np.save(other_folder / "images.npy", prepared.split("test")[0])
    np.save(other_folder / "examples.npy", prepared.split("val")[0][:16])
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DVC_ROOT")}
    for part in ("data", "models"):
        shutil.move(part, tmp_path / part)  # nothing of the project but the store
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mlflow", "-c", PREDICT, str(project / "mlruns")],
        cwd=other_folder,
        env=environment | {"MLFLOW_TRACKING_URI": uri(project)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(other_folder / "answers.npz") as answers:
        np.testing.assert_array_equal(answers["confidence"], np.load(tmp_path / "data/scores/small/seed0/stack/test.npy"))
        assert answers["label"].tolist() == [str(index) for index in answers["class_index"]]
    logged = client(project).get_logged_model(champion(project).source.removeprefix("models:/"))
    assert logged.source_run_id == run.run_id and logged.status == "READY"
    assert logged.model_id in [output.model_id for output in client(project).get_run(run.run_id).outputs.model_outputs]


def test_a_version_says_what_it_is(project: Path, params: Params):
    register_best_model(params, "small")
    tags, metrics = champion(project).tags, read_json(Path("data/scores/small/seed0/stack/metrics.json"))["val"]["metrics"]
    guarantees = read_json(Path("data/thresholds/small/seed0/stack/threshold.json"))["thresholds"]
    guarantee = next(guarantee for guarantee in guarantees if guarantee["served"])
    assert (tags["score"], tags["seed"], tags["benchmark"]) == ("stack", "0", "small")
    assert [float(tags[key]) for key in ("val_aupr_error", "val_aurc")] == [metrics["aupr_error"], metrics["aurc"]]
    assert [float(tags[key]) for key in ("target_risk", "threshold", "delta")] == [guarantee[key] for key in ("risk", "threshold", "delta")]
    assert tags["data"] == read_json(Path("data/prepared/small/facts.json"))["sha256"]


def test_a_version_without_a_threshold_says_what_one_would_need(project: Path, params: Params):
    path, reason = (
        Path("data/thresholds/small/seed0/stack/threshold.json"),
        "the calibration split has 40 samples, and at least 59 are needed",
    )
    content = read_json(path)
    next(guarantee for guarantee in content["thresholds"] if guarantee["served"]).update(threshold=None, reason=reason)
    write_json(path, content)
    text = register_best_model(params, "small")
    assert "accepts nothing, since there is no threshold at a target risk of 0.9: the calibration split has 40 samples" in text
    assert champion(project).tags["no_threshold"] == reason and "threshold" not in champion(project).tags


def test_the_same_model_is_logged_and_registered_once(project: Path, params: Params):
    assert register_best_model(params, "small") == register_best_model(params, "small")
    assert [name for (name,) in rows(project, query="SELECT name FROM logged_models ORDER BY name")] == ["baseline", "selective"]
    assert rows(project, query="SELECT version FROM model_versions") == [(1,)]


def test_what_the_served_model_does_not_use_makes_no_version(project: Path, params: Params):
    register_best_model(params, "small")
    benchmark = params.benchmark("small")
    other = replace(benchmark, mc_dropout=replace(benchmark.mc_dropout, passes=7), finetune=replace(benchmark.finetune, epochs=9))
    path = Path("data/thresholds/small/seed0/stack/threshold.json")
    content = read_json(path)
    content["thresholds"][0]["test"]["coverage"] = 0.0
    write_json(path, content)
    register_best_model(replace(params, benchmarks={"small": other}), "small")
    assert rows(project, query="SELECT version FROM model_versions") == [(1,)]
    assert client(project).get_registered_model("confidnet-small").description.startswith("A classifier for `small` that")


def test_only_a_better_one_on_the_same_data_takes_the_alias_by_itself(project: Path, params: Params):
    for aurc, expected in ((0.2, 1), (0.3, 1), (0.2, 1), (0.1, 3)):
        judge(aurc)
        text = register_best_model(params, "small")
        assert champion(project).version == expected
        assert ("champion stays version" in text) == (aurc == 0.3)
    judge(0.05)
    facts = Path("data/prepared/small/facts.json")
    write_json(facts, read_json(facts) | {"sha256": "other"})
    assert "champion stays version 3, which was judged on other data" in register_best_model(params, "small")
    assert champion(project).version == 3
    assert register_best_model(params, "small", force_champion=True).endswith("; champion")
    assert champion(project).version == 4


def test_of_several_classifiers_the_one_with_the_lower_aurc_is_taken(project: Path, params: Params):
    judge(0.2, seed=0)
    judge(0.1, seed=1)
    path = Path("data/scores/small/seed0/stack/metrics.json")
    content = read_json(path)
    content["val"]["metrics"]["aupr_error"] = 1.0  # as that of a classifier with many errors may be
    write_json(path, content)
    register_best_model(replace(params, seeds=(0, 1)), "small")
    assert champion(project).tags["seed"] == "1"


def test_a_better_score_that_cannot_be_served_is_named(project: Path, params: Params):
    path = Path("data/scores/small/seed0/mc_dropout/metrics.json")
    content = read_json(path)
    content["val"]["metrics"]["aupr_error"] = 1.0
    write_json(path, content)
    assert "; better, but not served: mc_dropout (it needs stochastic forward passes" in register_best_model(params, "small")
    assert champion(project).tags["score"] == "stack"


def test_a_project_that_moved_takes_its_models_along(project: Path, params: Params, clean: pytest.MonkeyPatch):
    register_best_model(params, "small")
    moved = project.with_name("moved")
    project.rename(moved)
    clean.setenv("DVC_ROOT", str(moved))
    clean.chdir(moved)
    register_best_model(params, "small")
    assert Path(client(moved).get_model_version_download_uri("confidnet-small", "1").removeprefix("file://")).is_relative_to(moved)


def test_a_server_that_is_down_or_outputs_that_are_missing_cost_a_stage_one_warning(project, params, clean, capsys):
    clean.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    clean.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    register_best_model_or_warn(params, "small")
    clean.delenv("MLFLOW_TRACKING_URI")
    Path("data/scores/small/seed0/stack/fitted.pt").unlink()
    register_best_model_or_warn(params, "small")
    down, missing = capsys.readouterr().err.splitlines()
    begin, end = (
        "WARNING the model of small is not registered: ",
        "; `python -m confidnet_core register small` does it from the same outputs",
    )
    assert down.startswith(f"{begin}the MLflow server is not reached") and down.endswith(end)
    assert missing.startswith(begin) and "fitted.pt does not exist; `dvc repro` makes it" in missing and missing.endswith(end)


def test_the_command_registers_what_params_yaml_runs_and_moves_the_alias(project: Path):
    model = {"name": MLP.name, **MLP.settings}
    load(project, changed(("benchmarks", "small", "model"), model) | {"methods": {"mcp": {}}})
    judge(0.2, method="mcp")
    assert CliRunner().invoke(cli, ["register"]).stdout.startswith("confidnet-small version 1: mcp, seed 0")
    judge(0.3, method="mcp")
    assert "champion stays version 1" in CliRunner().invoke(cli, ["register"]).stdout
    assert CliRunner().invoke(cli, ["register", "small", "--champion"]).stdout.endswith("; champion\n")
    assert champion(project).version == 2
    assert "benchmarks has no smal; did you mean small" in str(CliRunner().invoke(cli, ["register", "smal"]).exception)


@pytest.mark.slow
def test_a_server_takes_the_models_and_gives_them_back(project: Path, params: Params, clean: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "server").mkdir()
    shutil.copy(project / "mlflow.db", tmp_path / "server/s.db")
    with mlflow_server(tmp_path / "server") as server:
        clean.setenv("MLFLOW_TRACKING_URI", server.uri)
        register_best_model(params, "small")
        assert MlflowClient(server.uri).get_model_version_by_alias("confidnet-small", "champion").tags["score"] == "stack"
        answers = open_model("confidnet-small").predict(np.load("data/prepared/small/images.npy")[:3])
    assert answers["label"].shape == (3,)
    with pytest.raises(ValueError, match="the MLflow server is not reached"):
        open_model("confidnet-small")
