"""One row for each pipeline execution, the stages' rows under it: how it is found again, what it says, how it ends."""

import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.entities import Experiment, Run
from pages import METHODS, lay_out
from project_code import ROOT
from report_params import params
from tracking_stores import TRAINING, client, commit_all, rows, start, stored

from confidnet_core.config.params import load_params
from confidnet_core.tracking.mlflow_run import StageRun
from confidnet_core.tracking.open_rows import OPEN_RUN_MARKERS_FOLDER
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.ui import benchmark_links
from stages import compare, prepare

SLEEPING = (
    "with stage_run(stage={!r}, benchmark='{}', seed=0, params={{}}) as run:\n"
    " print(run.run_id, run._nested_run.pipeline_run_id, flush=True); time.sleep(60)"
)


def ran(benchmark: str, stage: str = "train_baseline") -> StageRun:
    with stage_run(stage=stage, benchmark=benchmark, seed=0, params={}) as run:
        pass
    return run


def parent_of(root: Path, run: StageRun) -> Run:
    return stored(root, stored(root, run.run_id).data.tags["mlflow.parentRunId"])


def experiment(root: Path, benchmark: str) -> Experiment:
    return client(root).get_experiment_by_name(f"confidnet/{benchmark}")


def view(root: Path, benchmark: str) -> dict:
    """The saved view of the experiments of a benchmark."""
    return json.loads(json.loads(experiment(root, benchmark).tags["mlflow.sharedViewState.experiments"])["state"])


def statuses(root: Path, run_ids: list[str]) -> list[str]:
    return [stored(root, run_id).info.status for run_id in run_ids]


def test_the_stages_of_an_execution_lie_under_one_row_and_another_execution_has_its_own(root: Path, clean: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("seeds: [0]\nbenchmarks: {one: {baseline: {epochs: 3}}}\n")
    first = parent_of(root, ran("one", "train_baseline"))
    assert parent_of(root, ran("one", "evaluate")).info.run_id == first.info.run_id
    assert (first.info.run_name, first.info.status, first.data.tags["role"]) == ("repro", "FINISHED", "pipeline")
    assert first.data.params == {"seeds": "[0]", "baseline.epochs": "3"}
    Path("params.yaml").write_text("seeds: [1]\nbenchmarks: {one: {baseline: {epochs: 3}}}\n")
    second = parent_of(root, ran("one"))
    assert second.info.run_id != first.info.run_id and second.data.params["seeds"] == "[1]"
    commit = commit_all(Path.cwd())
    third = parent_of(root, ran("one"))
    assert (third.info.run_name, third.data.tags["git_commit"]) == (f"repro {commit[:7]}", commit)
    assert third.data.tags["pipeline"].startswith(f"repro/{commit[:7]}/") and third.info.run_id != second.info.run_id


def test_an_execution_is_named_by_what_differs_from_the_commit_and_no_two_have_one_name(root: Path, clean: pytest.MonkeyPatch) -> None:
    Path("stages").mkdir()
    Path("stages/compare.py").write_text("")
    Path("params.yaml").write_text("seeds: [0]\nagainst: [mcp]\nbenchmarks: {named: {baseline: {epochs: 3}}, other: {}}\n")
    commit = commit_all(Path.cwd())[:7]
    names = [parent_of(root, ran("named")).info.run_name]
    Path("params.yaml").write_text("seeds: [0, 1]\nbenchmarks: {named: {baseline: {epochs: 5, flip: true}}, other: {}}\n")
    changed = parent_of(root, ran("named"))
    Path("params.yaml").write_text("seeds: [0]\nagainst: [mcp]\nbenchmarks: {named: {baseline: {epochs: 3}}, other: {more: 1}}\n")
    names.append(parent_of(root, ran("named")).info.run_name)
    Path("stages/compare.py").write_text("changed = True")
    Path("params.yaml").write_text("seeds: [2]\nagainst: [mcp]\nbenchmarks: {named: {baseline: {epochs: 3}}, other: {}}\n")
    names.append(parent_of(root, ran("named")).info.run_name)
    assert names == [f"repro {commit}", f"repro {commit} (2)", f"repro {commit}: seeds=[2], edited code"]
    assert changed.info.run_name == f"repro {commit}: seeds=[0, 1], against removed and 2 more"
    assert "- `baseline.epochs`: 3 → 5" in changed.data.tags["mlflow.note.content"]


def test_an_experiment_says_what_it_is_and_opens_as_one_of_model_training_with_saved_views(root: Path) -> None:
    ran("described")
    tags = experiment(root, "described").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development" and "benchmark `described`" in tags["mlflow.note.content"]
    assert {key.removeprefix("mlflow.sharedViewState.") for key in tags if key.startswith("mlflow.shared")} == {
        "experiments",
        "scores",
        "trainings",
    }
    assert view(root, "described")["searchFilter"] == "tags.role = 'pipeline'"
    client(root).delete_experiment_tag(experiment(root, "described").experiment_id, "mlflow.note.content")  # as of an older version
    ran("described")
    assert "mlflow.note.content" in experiment(root, "described").tags


def test_links_name_the_view_of_every_benchmark_and_close_what_was_killed(root: Path) -> None:
    ran("linked")
    found = benchmark_links("http://127.0.0.1:5000/")
    number = experiment(root, "linked").experiment_id
    address = f"http://127.0.0.1:5000/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey=experiments"
    assert found["linked"] == address and next(iter(found)) == "linked"


def test_an_experiment_of_dvc_is_one_execution_whatever_its_workspace_holds(root: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("DVC_EXP_NAME", "don't-ask")
    clean.setenv("DVC_EXP_BASELINE_REV", "0123456789abcdef")
    first = parent_of(root, ran("exp"))
    commit_all(Path.cwd())
    assert parent_of(root, ran("exp", "evaluate")).info.run_id == first.info.run_id
    assert (first.info.run_name, first.data.tags["pipeline"]) == ("don't-ask", "exp/0123456/don't-ask")
    assert first.data.tags["dvc_exp_baseline_rev"] == "0123456789abcdef"
    clean.setenv("DVC_EXP_NAME", "other")
    assert parent_of(root, ran("exp")).info.run_id != first.info.run_id


def test_an_experiment_that_is_run_again_with_other_params_gets_another_row(root: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("DVC_EXP_NAME", "again")
    found = []
    for seeds in ("[0]", "[1]", "[1]"):
        Path("params.yaml").write_text(f"seeds: {seeds}\n")
        found.append(parent_of(root, ran("again")))
    assert [run.data.params["seeds"] for run in found] == ["[0]", "[1]", "[1]"]
    assert found[1].info.run_id == found[2].info.run_id


def test_the_execution_runs_while_a_stage_does_and_then_is_what_its_last_stage_was(root: Path) -> None:
    with stage_run(stage="evaluate", benchmark="status", seed=0, params={}) as run:
        parent = run._nested_run.pipeline_run_id
        assert stored(root, parent).info.status == "RUNNING"
    assert stored(root, parent).info.status == "FINISHED"
    for error, status in ((RuntimeError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")):
        with pytest.raises(type(error)), stage_run(stage="evaluate", benchmark="status", seed=0, params={}):
            raise error
        assert stored(root, parent).info.status == status
    after = stored(root, ran("status").run_id)
    assert (stored(root, parent).info.status, stored(root, parent).info.end_time) == ("FINISHED", after.info.end_time)


@pytest.mark.slow
def test_what_sigkill_left_running_is_closed_by_the_next_run_of_the_project_and_what_lives_is_not(root: Path) -> None:
    gone, living = (start(SLEEPING.format("evaluate", "dead"), DVC_EXP_NAME=name) for name in ("gone", "living"))
    of_gone, of_living = (process.stdout.readline().split() for process in (gone, living))
    gone.kill()
    gone.wait()
    assert statuses(root, of_gone) == ["RUNNING", "RUNNING"]
    client(root).delete_run(of_gone[1])  # which is no mistake
    after = ran("elsewhere")
    assert statuses(root, of_gone[:1]) == ["KILLED"] and statuses(root, of_living) == ["RUNNING", "RUNNING"]
    found = stored(root, of_gone[0]).info
    assert found.start_time <= found.end_time <= stored(root, after.run_id).info.start_time
    living.terminate()
    living.wait()
    assert statuses(root, of_living) == ["KILLED", "KILLED"] and list((root / OPEN_RUN_MARKERS_FOLDER).iterdir()) == []


@pytest.mark.slow
def test_a_training_that_goes_on_takes_its_row_along_and_closes_the_execution_that_was_killed(root: Path, clean) -> None:
    process = start(SLEEPING.format("train_baseline", "moved"), DVC_EXP_NAME="killed")
    row, parent = process.stdout.readline().split()
    process.kill()
    process.wait()
    clean.setenv("DVC_EXP_NAME", "resumed")
    with stage_run(**TRAINING | {"benchmark": "moved"}, params={}, resume_id=row) as run:
        assert (run.run_id, statuses(root, [row, parent])) == (row, ["RUNNING", "KILLED"])
    assert parent_of(root, run).info.run_name == "resumed"
    assert statuses(root, [row, run._nested_run.pipeline_run_id]) == ["FINISHED", "FINISHED"]


def test_every_row_names_the_data_set_with_digest_source_and_use(root: Path) -> None:
    lay_out("letters", np.arange(80) % 3, (0,))
    facts = json.loads(Path("data/prepared/letters/facts.json").read_text())
    for stage, use in (("train_baseline", "train"), ("evaluate", "test")):
        run = ran("letters", stage)
        for each, context in ((stored(root, run.run_id), use), (parent_of(root, run), "train, test")):
            (found,) = each.inputs.dataset_inputs
            assert (found.dataset.name, found.dataset.digest) == ("letters", facts["sha256"][:36])
            assert json.loads(found.dataset.source)["tags"]["source"] == facts["source"] == "made up"
            assert json.loads(found.dataset.profile)["samples"] == facts["samples"]
            assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", context)]


def test_the_stage_that_prepares_data_names_what_it_made_not_what_was_there(root: Path) -> None:
    lay_out("digits", np.arange(80) % 3, (0,))
    prepare.main(load_params(ROOT / "params.yaml"), "digits")
    made = json.loads(Path("data/prepared/digits/facts.json").read_text())
    (row,) = [run_id for run_id, stage in rows(root, query="SELECT run_uuid, value FROM tags WHERE key = 'stage'") if stage == "prepare"]
    (found,) = stored(root, row).inputs.dataset_inputs
    assert (found.dataset.digest, found.tags[0].value) == (made["sha256"][:36], "prepare") and made["source"] != "made up"


def test_every_row_says_where_it_ran(root: Path) -> None:
    run = ran("environment")
    for found in (stored(root, run.run_id), parent_of(root, run)):
        known = {key.removeprefix("env."): value for key, value in found.data.tags.items() if key.startswith("env.")}
        assert known.keys() - {"gpu", "dvc"} == {"python", "torch", "mlflow", "confidnet_core", "cpu", "threads"}
        assert (known["python"], known["torch"]) == (platform.python_version(), torch.__version__.partition("+")[0])
        assert known["threads"] == str(torch.get_num_threads())


@pytest.mark.slow
def test_results_figures_curves_and_maps_lie_with_the_execution(root: Path) -> None:
    draw = np.random.default_rng(0)
    lay_out("letters", draw.integers(0, 3, 80), (0,))
    lay_out("streets", draw.integers(0, 4, (80, 6, 8)), (0,), void=3)
    Path("params.yaml").write_text("seeds: [0]\n# of this test alone\n")
    compare.main(params(METHODS, run=("letters", "streets"), seeds=(0,)))
    summary = json.loads(Path("reports/summary.json").read_text())
    for name, figures in (("letters", {"", "_failures"}), ("streets", {"", "_maps"})):
        parent = parent_of(root, ran(name))
        for method in METHODS.keys() - {"tcp"}:
            assert parent.data.metrics[f"aupr_error/{method}"] == summary[name]["aupr_error"][method]
        assert f"metrics.`aupr_error/{next(iter(METHODS))}`" in view(root, name)["selectedColumns"]
        kept = root / "mlruns" / parent.info.run_id / "artifacts"
        assert {path.name for path in (kept / "figures").iterdir()} == {f"{name}_seed0{end}.png" for end in figures}
        assert (kept / "curves/risk_coverage.csv").exists() and (kept / "index.html").exists()
