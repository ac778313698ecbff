"""The report: what params.yaml lists, side by side, in tables, curves and figures, also where metrics are undefined."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import image_width
from report_params import METHODS, params
from small import VOID, answering, trained_runs

from confidnet_core import paths
from confidnet_core.config.params import Thresholds
from confidnet_core.config.registry import find_entry
from confidnet_core.data import SCORED_SPLITS
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.result import evaluate, save_evaluation
from confidnet_core.evaluation.stored import save_bootstrap_replicates
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.files import read_json, write_json
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.reporting import report
from confidnet_core.reporting.report import list_stored_results, write_report
from confidnet_core.scoring.run import Run
from confidnet_core.scoring.shifted_results import save_shifted_results


def score(run: Run, methods: dict[str, dict] = METHODS, root: Path = Path()) -> None:
    """What the stages evaluate, bootstrap and thresholds do."""
    save_shifted_results(root / paths.shifted_results_folder(run.benchmark_name), ())
    resampling, targets = {"resample_count": 200, "seed": 0}, Thresholds(risks=(0.05, 0.5), serve=0.5, delta=0.1)
    for method, settings in methods.items():
        function = find_entry("scores", method)
        runs = {split: run.on_split(split) for split in SCORED_SPLITS}
        splits = {split: ScoredSplit(function(part, **settings), part.correct) for split, part in runs.items()}
        test, val, calibration = splits.values()
        facts = {"oracle": getattr(function, "oracle", False), "scale": getattr(function, "scale", "rank")}
        one = evaluate(test.confidence, run.correct, benchmark=run.benchmark_name, seed=run.seed, method=method, **facts)
        confidence = {split: scored.confidence for split, scored in splits.items()}
        save_evaluation(root / paths.score_folder(run.benchmark_name, run.seed, method), confidence, one, one, settings)
        folder = root / paths.thresholds_folder(run.benchmark_name, run.seed, method)
        guarantees = guaranteed_thresholds(val, calibration, test, targets)
        save_thresholds(folder, reliability(val, test, one.scale, **resampling), guarantees)
        replicates_path = root / paths.bootstrap_replicates_path(run.benchmark_name, run.seed, method)
        save_bootstrap_replicates(replicates_path, bootstrap(test.confidence, run.correct, **resampling))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Run]]]:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        runs = trained_runs(tmp_path_factory, root)
        for run in runs.values():
            score(run, root=root)
        yield root, runs


@pytest.fixture
def runs(trained: tuple[Path, dict[str, Run]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """In the project's folder."""
    monkeypatch.chdir(trained[0])
    return trained[1]


@pytest.fixture(scope="module")
def written(trained: tuple[Path, dict[str, Run]]) -> tuple[Path, pd.DataFrame, tuple]:
    """The folder of a report on everything, its table, and what was handed to the figure of maps."""
    root, drawn, real = trained[0], [], report.segmentation_figure
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(report, "segmentation_figure", lambda *panels: drawn.append(panels) or real(*panels))
        frame, *_ = write_report(params(), root / "reports")
    return root / "reports", frame, drawn[0]


@pytest.fixture
def perfect(runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A classifier without an error, in a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "scores").mkdir(parents=True)
    root = runs["digits"].models_folder.parents[2]
    for name in ("prepared", "histories"):
        (tmp_path / "data" / name).symlink_to(root / "data" / name)
    logits = 5 * np.eye(10)[runs["digits"].labels] + np.random.default_rng(0).random((300, 10))
    run = answering(replace(runs["digits"]), logits, tmp_path / "data/predictions/digits/seed0")
    assert run.correct.all()
    score(run)
    return run


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_stored_results_and_methods_are_those_of_params():
    listed = {results.benchmark_and_seed: results.methods for results in list_stored_results(params(run=("a", "b"), seeds=(3, 5)))}
    assert listed == dict.fromkeys(["a/seed3", "a/seed5", "b/seed3", "b/seed5"], tuple(METHODS))


def test_what_earlier_runs_left_on_disk_is_not_reported(runs: dict[str, Run], tmp_path: Path):
    frame, *_ = write_report(params({"margin": {}, "mcp": {}}, run=("digits",)), tmp_path / "reports")
    assert frame["method"].tolist() == ["margin", "mcp"]
    assert set(frame["benchmark"]) == {"digits"}
    for name in ("risk_coverage", "roc", "outcomes"):
        rows = pd.read_csv(tmp_path / "reports" / "curves" / f"{name}.csv")
        assert sorted(set(rows["method"])) == ["margin", "mcp"]
        assert set(rows["benchmark"]) == {"digits"}
    assert set(read_json(tmp_path / "reports" / "summary.json")) == {"digits"}
    assert "Trust Score" not in (tmp_path / "reports" / "comparison.md").read_text()
    assert names_in(tmp_path / "reports" / "figures") == ["digits_seed0.png", "digits_seed0_failures.png"]


def test_a_former_report_is_replaced_as_a_whole(runs: dict[str, Run], tmp_path: Path):
    write_report(params({"mcp": {}}, run=("segmentation",)), tmp_path)
    assert len(list((tmp_path / "figures").iterdir())) == 2
    write_report(params({"mcp": {}}, run=("digits",)), tmp_path)
    assert names_in(tmp_path / "figures") == ["digits_seed0.png", "digits_seed0_failures.png"]
    tables = [f"{name}.csv" for name in ("calibration", "comparison", "costs", "differences", "foreign", "shifts", "thresholds")]
    assert names_in(tmp_path) == sorted([*tables, "comparison.md", "curves", "figures", "index.html", "summary.json"])


def test_summary_tables_and_figures_are_written(runs: dict[str, Run], written: tuple):
    folder, frame, _ = written
    table = pd.read_csv(folder / "comparison.csv")
    assert table["method"].tolist() == [*METHODS, *METHODS]
    for row in table.itertuples():
        written = read_json(Path("data/scores") / row.benchmark / f"seed{row.seed}" / row.method / "metrics.json")["metrics"]
        assert [getattr(row, name) for name in METRICS] == pytest.approx([written[name] for name in METRICS], rel=1e-5)
    assert frame["oracle"].tolist() == [False, False, False, True] * 2

    summary = read_json(folder / "summary.json")
    assert summary["digits"]["accuracy"] == pytest.approx(100 * runs["digits"].correct.mean(), abs=0.01)
    assert summary["digits"]["errors"] == np.sum(~runs["digits"].correct)
    assert set(summary["digits"]["aupr_error"]) == set(METHODS) - {"tcp"} and "mean_iou" not in summary["digits"]
    assert summary["segmentation"]["mean_iou"] == pytest.approx(100 * mean_iou(runs["segmentation"]), abs=0.01)

    text = (folder / "comparison.md").read_text()
    digits, segmentation = re.split("^## segmentation$", text, flags=re.MULTILINE)
    assert "test images: too few to compare scores" in segmentation and "too few" not in digits
    figures = {path.name: image_width(path) for path in (folder / "figures").iterdir()}
    picture_grids = {"digits_seed0_failures.png": 1200, "segmentation_seed0_maps.png": 2400}
    assert figures == {"digits_seed0.png": 1200, "segmentation_seed0.png": 1200, **picture_grids}


def mean_iou(run: Run) -> float:
    places = [(run.labels == label, run.predicted == label) for label in range(len(run.dataset.classes))]
    return float(np.mean([np.sum(truth & said) / np.sum(truth | said) for truth, said in places]))


def test_files_hold_six_significant_digits_so_that_another_machine_writes_the_same(written: tuple):
    for path in written[0].rglob("*.csv"):
        numbers = re.findall(r"(?<![\w.])-?\d+\.\d+(?:e[+-]\d+)?(?=,|$)", path.read_text(), re.MULTILINE)
        assert max((len(re.sub(r"e.*|[-.]", "", number).lstrip("0")) for number in numbers), default=0) <= 6, path


def test_curves_are_those_of_the_confidences(runs: dict[str, Run], written: tuple):
    names = {"risk_coverage": ("coverage", "risk"), "roc": ("fpr", "tpr")}
    curves = {name: pd.read_csv(written[0] / "curves" / f"{name}.csv") for name in (*names, "outcomes")}
    for task, run in runs.items():
        for method in METHODS:
            label = "tcp (oracle)" if method == "tcp" else method
            own = {name: rows[(rows["benchmark"] == task) & (rows["method"] == label)] for name, rows in curves.items()}
            assert own["outcomes"]["count"].sum() == len(run.labels)
            assert own["risk_coverage"].iloc[-1][["coverage", "risk"]].tolist() == pytest.approx([1, 1 - run.correct.mean()], abs=1e-5)
            auroc = read_json(Path("data/scores") / task / "seed0" / method / "metrics.json")["metrics"]["auroc"]
            assert np.trapezoid(own["roc"]["tpr"], own["roc"]["fpr"]) == pytest.approx(auroc, abs=2e-3)


def test_the_maps_put_each_confidence_at_its_pixel_and_nothing_at_void(runs: dict[str, Run], written: tuple):
    (pictures, truth, predicted, maps, void, classes), run = written[2], runs["segmentation"]
    images, labels = run.dataset.split("test")
    assert np.array_equal(pictures, np.moveaxis(images, 1, -1))  # three test images: all are shown
    assert np.array_equal(truth, labels)
    assert np.array_equal(predicted, run.predicted_maps)
    assert (void, classes) == (VOID, run.dataset.classes)
    assert len(maps) == len(METHODS)
    mcp = next(iter(maps.values()))  # what others are compared with stands first
    logits = np.load(run.predictions_folder / run.split / "logits.npy").astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.array_equal(np.isnan(mcp), labels == VOID)
    assert mcp[labels != VOID] == pytest.approx(probabilities.max(1)[labels != VOID])


def test_many_test_images_are_shown_evenly_spread(runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "IMAGES_IN_CONFIDENCE_MAPS", 2)
    drawn = []
    real = report.segmentation_figure
    monkeypatch.setattr(report, "segmentation_figure", lambda *panels: drawn.append(panels) or real(*panels))
    write_report(params({"mcp": {}}, run=("segmentation",)), tmp_path)
    run, (_, truth, _, maps, *_) = runs["segmentation"], drawn[0]
    labels = run.dataset.split("test")[1]
    assert np.array_equal(truth, labels[[0, 2]])
    last = np.load(Path("data/scores/segmentation/seed0/mcp/test.npy"))[-np.sum(labels[2] != VOID) :]
    assert np.array_equal(next(iter(maps.values()))[1][labels[2] != VOID], last)


def test_a_classifier_without_errors_is_reported_with_undefined_metrics(perfect: Run, tmp_path: Path):
    frame, content, verdicts = write_report(params(run=("digits",)), tmp_path / "reports")
    assert (frame["errors"] == 0).all() and verdicts["digits"].best_methods == ()
    assert frame[["auroc", "aupr_error", "fpr_at_95_tpr"]].isna().all(axis=None)
    summary = read_json(tmp_path / "reports" / "summary.json")
    assert summary == content
    assert summary["digits"]["accuracy"] == 100
    assert set(summary["digits"]["aupr_error"].values()) == {None}
    roc = pd.read_csv(tmp_path / "reports" / "curves" / "roc.csv")
    assert list(roc.columns) == ["benchmark", "seed", "method", "fpr", "tpr"] and len(roc) == 0
    outcomes = pd.read_csv(tmp_path / "reports" / "curves" / "outcomes.csv")
    assert outcomes[outcomes["outcome"] == "error"]["count"].sum() == 0
    assert image_width(tmp_path / "reports/figures/digits_seed0.png") == 1200


def test_a_benchmark_of_a_published_name_is_shown_beside_the_published_numbers(runs: dict[str, Run], tmp_path: Path):
    """The digits run under the name of a published benchmark: same scores, other name."""
    named = replace(runs["digits"], benchmark_name="mnist_mlp")
    for folder in ("data/prepared", "data/predictions", "data/histories"):
        link = Path(folder) / "mnist_mlp"
        link.unlink(missing_ok=True)
        link.symlink_to("digits")
    score(named)
    frame, *_ = write_report(params(run=("digits", "mnist_mlp")), tmp_path)
    digits, mnist = (tmp_path / "comparison.md").read_text().split("## mnist_mlp\n")
    assert "published" not in digits.lower()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in mnist.split("### Beside the published numbers")[1].splitlines()]
    ours = {row[0]: row[2:] for row in rows if row[1:2] == ["ours"]}
    assert list(ours) == ["MCP", "Trust Score"]
    row = frame.set_index(["benchmark", "method"]).loc[("mnist_mlp", "mcp")]
    shown = [f"{100 * row[name]:.2f}" for name in ("fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "accuracy")]
    assert [cell.partition(" [")[0] for cell in ours["MCP"]] == [*shown, f"{row['errors']} among 300"]
    assert set(read_json(tmp_path / "summary.json")["mnist_mlp"]) == {"accuracy", "errors", "aupr_error", "best", "best_score"}


def test_a_missing_evaluation_is_named_and_the_former_report_stays(runs: dict[str, Run], tmp_path: Path):
    write_report(params(run=("digits",)), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"data/scores/digits/seed0/entropy/metrics\.json does not exist; `dvc repro` makes it"):
        write_report(params({**METHODS, "entropy": {}}, run=("digits",)), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_evaluations_of_other_predictions_are_refused(runs: dict[str, Run], perfect: Run, tmp_path: Path):
    path = Path("data/scores/digits/seed0/margin/metrics.json")
    write_json(path, {**read_json(path), "errors": 1})
    with pytest.raises(ValueError, match="differ in samples or errors, so they cannot be compared; run `dvc repro`"):
        write_report(params(run=("digits",)), tmp_path / "reports")
