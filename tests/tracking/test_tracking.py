"""What MLflow holds of a stage, read back from a real store; and what a person sees while it runs."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tracking_stores import TRAINING, commit_all, rows, start, stored

from confidnet_core.progress import print_epoch, progress_bar
from confidnet_core.tracking.changes import flatten
from confidnet_core.tracking.stage_run import stage_run


def test_a_finished_stage_leaves_its_name_tags_params_and_metrics(root: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("DVC_EXP_NAME", "sandy-beach")
    clean.setenv("DVC_STAGE", "evaluate@digits-3-mcp")
    params = {"baseline": {"lr": 1e-7, "widths": [8, 16], "dropout": None, "none": {}}, "seed": 3}
    with stage_run(stage="evaluate", benchmark="digits", seed=3, method="mcp", params=params) as run:
        run.log_metrics({"loss": 0.5, "accuracy": np.float32(0.25)}, epoch=1)
        run.log_metrics({"loss": 0.125}, epoch=2)
        run.set_tag("device", "cpu")
    found = stored(root, run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "mcp · seed 3")
    expected = {"benchmark": "digits", "seed": "3", "stage": "evaluate", "method": "mcp", "device": "cpu"}
    expected |= {"dvc_exp_name": "sandy-beach", "dvc_stage": "evaluate@digits-3-mcp", "mlflow.runName": found.info.run_name}
    expected |= {"mlflow.source.name": "stages/evaluate.py", "role": "stage"}
    about_all = ("env.", "pipeline", "project", "mlflow.parentRunId")  # of test_tracking_executions.py
    assert {key: value for key, value in found.data.tags.items() if not key.startswith(about_all)} == expected
    assert found.data.params == {
        "baseline.lr": "1e-07",
        "baseline.widths": "[8, 16]",
        "baseline.dropout": "None",
        "baseline.none": "{}",
        "seed": "3",
    }
    assert found.data.metrics == {"loss": 0.125, "accuracy": 25.0}


def test_a_metric_keeps_one_value_for_each_epoch(root: Path) -> None:
    with stage_run(**TRAINING, params={}) as run:
        for epoch, loss in enumerate([0.5, 0.25, 0.125], start=1):
            run.log_metrics({"loss": loss}, epoch=epoch)
        history = run._nested_run.mlflow_client.get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_undefined_metrics_are_named_in_a_tag_and_never_stored(root: Path) -> None:
    with stage_run(**TRAINING, params={}) as run:
        run.log_metrics({"auroc": None, "accuracy": 1.0}, epoch=1)
        run.log_metrics({"loss": float("nan"), "gap": float("-inf")}, epoch=2)
    found = stored(root, run.run_id)
    assert found.data.metrics == {"accuracy": 100.0}
    assert found.data.tags["undefined_metrics"] == "auroc, gap, loss"


def test_a_metric_that_is_no_number_is_refused_by_name(root: Path) -> None:
    with pytest.raises(ValueError, match="metric loss is 'low'; expected a number"), stage_run(**TRAINING, params={}) as run:
        run.log_metrics({"loss": "low"})


def test_names_and_values_that_mlflow_refuses_are_made_to_fit(root: Path) -> None:
    params = {f"setting_{index}": index for index in range(230)} | {"long": "x" * 7000}
    metrics = {f"iou/class {index} (%)": index for index in range(1100)}
    with stage_run(**TRAINING, params=params) as run:
        run.log_metrics(metrics | {"fpr@95": 0.5})
    found = stored(root, run.run_id)
    assert len(found.data.params) == 231
    assert found.data.params["long"] == "x" * 6000
    assert len(found.data.metrics) == 1101
    assert found.data.metrics["fpr_95"] == 0.5


def test_a_killed_row_is_continued_by_its_id(root: Path) -> None:
    script = "with stage_run(stage='train_baseline', benchmark='digits', seed=0, params={'lr': 0.1}) as run:\n"
    stage = start(script + " run.log_metrics({'loss': 0.5, 'auroc': None}, epoch=1); print(run.run_id, flush=True); time.sleep(60)")
    run_id = stage.stdout.readline().strip()
    stage.kill()
    stage.wait()
    assert stored(root, run_id).info.status == "RUNNING"
    before = len(rows(root))
    with stage_run(**TRAINING, params={"lr": 0.1}, resume_id=run_id) as run:
        assert (run.run_id, stored(root, run_id).info.status) == (run_id, "RUNNING")
        run.log_metrics({"loss": 0.25, "gap": None}, epoch=2)
    found = stored(root, run_id)
    assert (found.info.status, found.data.metrics, found.data.tags["undefined_metrics"]) == ("FINISHED", {"loss": 0.25}, "auroc, gap")
    assert len(rows(root)) == before


def test_a_row_with_other_params_or_of_another_benchmark_is_not_continued(root: Path) -> None:
    with stage_run(**TRAINING, params={"lr": 0.1}) as first:
        pass
    for change in ({"params": {"lr": 0.2}}, {"benchmark": "moons"}, {"resume_id": "0" * 32}, {"resume_id": "no id"}):
        with stage_run(**(TRAINING | {"params": {"lr": 0.1}, "resume_id": first.run_id} | change)) as second:
            assert second.run_id != first.run_id


def test_a_run_id_left_in_the_shell_is_ignored(root: Path, clean: pytest.MonkeyPatch) -> None:
    with stage_run(**TRAINING, params={"lr": 0.1}) as first:
        pass
    clean.setenv("MLFLOW_RUN_ID", first.run_id)
    with stage_run(**TRAINING, params={"lr": 0.2}) as second:
        pass
    assert second.run_id != first.run_id
    assert stored(root, first.run_id).data.params == {"lr": "0.1"}


def test_an_artifact_that_does_not_exist_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.csv does not exist"), stage_run(**TRAINING, params={}) as run:
        run.log_artifact(Path("missing.csv"))


def test_git_tags_name_the_commit_and_whether_sources_differ_from_it(root: Path, tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    (repository / "reports").mkdir(parents=True)
    clean.chdir(repository)
    (repository / "params.yaml").write_text("seed: 0\n")
    commit = commit_all(repository)

    def tags() -> tuple[str, str]:
        with stage_run(**TRAINING, params={}) as run:
            pass
        found = stored(root, run.run_id).data.tags
        return found["git_commit"], found["git_dirty"]

    (repository / "reports" / "summary.json").write_text("{}")
    (repository / "dvc.lock").write_text("")
    assert tags() == (commit, "false")
    (repository / "params.yaml").write_text("seed: 1\n")
    assert tags() == (commit, "true")


def test_flatten_joins_keys_with_dots_and_keeps_lists_whole() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": {}}) == {"a.b.c": 1, "a.d": [1, 2], "e": None, "f": {}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "shown"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"CI": "true"}, False),
        (False, {"CONFIDNET_PROGRESS": "1"}, True),
        (True, {"CONFIDNET_PROGRESS": "0"}, False),
    ],
)
def test_bars_are_for_terminals_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], shown: bool
) -> None:
    for name in ("CI", "CONFIDNET_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    bar = progress_bar(range(3), total_count=3, bar_label="epoch 1/2")
    bar.set_postfix(loss=0.5)
    assert list(bar) == [0, 1, 2]
    written = sys.stderr.getvalue()
    assert all((word in written) == shown for word in ("epoch 1/2", "loss=0.5", "batch"))


def test_an_unknown_choice_of_progress_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_PROGRESS", "maybe")
    with pytest.raises(ValueError, match="CONFIDNET_PROGRESS is 'maybe'; set it to 1"):
        progress_bar([])


def test_an_epoch_is_one_plain_line_with_the_time_left(capsys: pytest.CaptureFixture) -> None:
    print_epoch("train_baseline", 3, 10, {"loss": 0.123456, "auroc": None}, 12.34)
    print_epoch("train_baseline", 10, 10, {"loss": 1e-7}, 4000)
    assert capsys.readouterr().err.splitlines() == [
        "train_baseline: epoch 3/10, loss 0.1235, auroc undefined, 12.3 s, 1 min left",
        "train_baseline: epoch 10/10, loss 1e-07, 1 h 7 min",
    ]


def test_importing_the_module_does_not_import_mlflow() -> None:
    stage = start("import json; print(json.dumps('mlflow' in sys.modules))")
    assert json.loads(stage.communicate(timeout=60)[0]) is False
