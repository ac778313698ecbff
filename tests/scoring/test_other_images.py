"""All scores on images of no split: unchanged test images get the stored confidences, foreign ones count as failures; their tables."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from served import RISKS, score
from sklearn.metrics import roc_auc_score
from small import trained_runs

from confidnet_core import paths
from confidnet_core.config.registry import entry_names
from confidnet_core.config.shifts import Shifts
from confidnet_core.data import labelled_mask
from confidnet_core.datasets._foreign import save_foreign_images
from confidnet_core.evaluation.left_out import save_left_out
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.networks.weights_file import load_tensors
from confidnet_core.scoring.other_images import BenchmarkScores, ImageSet
from confidnet_core.scoring.run import Run
from confidnet_core.scoring.shifted_results import (
    FOREIGN_COLUMNS,
    SHIFT_COLUMNS,
    ShiftedResults,
    corrupted_test_images,
    judge_image_sets,
    save_shifted_results,
)

METHODS = entry_names("scores")
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Every score of seed 0 of both tasks; seed 1 has a classifier alone, for the ensembles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        root = tmp_path_factory.mktemp("scored")
        found = trained_runs(tmp_path_factory, root / "networks")
        patch.chdir(root / "networks")
        for task, run in found.items():
            score(run, METHODS if task == "digits" else [method for method in METHODS if method not in ("knn", "trust_score")], Path())
            torch.manual_seed(1)  # as in trained_run
            other, folder = build_classifier(run.benchmark.model, run.dataset), paths.network_folder(task, 1, "baseline")
            folder.mkdir(parents=True)
            torch.save(other.state_dict(), folder / "weights.pt")
            (folder / "model.json").write_text((run.models_folder / "baseline/model.json").read_text())
            assert load_tensors(folder / "weights.pt").keys() == load_tensors(run.models_folder / "baseline/weights.pt").keys()
            for method in METHODS:
                save_left_out(paths.score_folder(task, 1, method), "seed 1 has no scores")
        yield found


def scores_of(run: Run, methods: list[str] = METHODS) -> BenchmarkScores:
    for method in methods:
        if not paths.score_folder(run.benchmark_name, 0, method).exists():
            save_left_out(paths.score_folder(run.benchmark_name, 0, method), "not for this task")
    return BenchmarkScores(run.benchmark_name, run.benchmark, [0, 1], {method: {} for method in methods})


def unchanged(run: Run) -> ImageSet:
    images, label_maps = run.dataset.split("test")
    return ImageSet(np.array(images), np.array(label_maps), labelled_mask(label_maps, run.dataset.void))


@both_tasks
def test_unchanged_test_images_get_the_stored_confidences_of_every_score(runs: dict[str, Run], task: str):
    run, scored_methods = runs[task], []
    for scored in scores_of(run).score(unchanged(run)):
        stored = StoredResults(task, scored.seed, (scored.method,)).confidence(scored.method)
        np.testing.assert_allclose(scored.confidence, stored, rtol=2e-4, atol=2e-5, err_msg=scored.method)
        np.testing.assert_array_equal(scored.correct, run.correct)
        assert scored.seed == 0 and (scored.pixels_per_image is None) == (task == "digits")
        scored_methods.append(scored.method)
    assert {"mcp", "tcp", "stack", "mc_dropout", "ensemble", "ensemble_of_two", "second_opinion", "confidnet"} <= {*scored_methods}
    assert len(scored_methods) == len(METHODS) - 2 * (task == "segmentation")


@both_tasks
def test_nothing_is_fitted_on_other_images(runs: dict[str, Run], task: str):
    run = runs[task]
    dark = ImageSet(np.zeros_like(unchanged(run).images[:3]), unchanged(run).label_maps[:3], unchanged(run).is_labelled[:3])
    alone = {scored.method: scored.confidence for scored in scores_of(run, ["stack", "temperature"]).score(dark)}
    with_others = scores_of(run, ["stack", "temperature"])
    list(with_others.score(unchanged(run)))
    for scored in with_others.score(dark):
        np.testing.assert_array_equal(scored.confidence, alone[scored.method])


@both_tasks
def test_foreign_images_are_failures_and_have_no_oracle(runs: dict[str, Run], task: str):
    run, images = runs[task], unchanged(runs[task]).images[:2]
    found = list(scores_of(run, ["mcp", "tcp", "energy"]).score(ImageSet(images)))
    assert [scored.method for scored in found] == ["mcp", "energy"]
    count = 2 if task == "digits" else images[:, 0].size  # void pixels of foreign images do not exist
    assert all(len(scored.confidence) == count and not scored.correct.any() for scored in found)


@both_tasks
def test_rows_under_shift_are_the_metrics_of_the_moved_images(runs: dict[str, Run], task: str):
    run = runs[task]
    results = ShiftedResults(scores_of(run, ["mcp", "tcp"]))
    unshifted, (mcp, tcp) = results.unshifted_rows(), results.shift_rows("rotation", 3, seed=4)
    assert [(row["corruption"], row["severity"], row["oracle"]) for row in (*unshifted, mcp, tcp)] == [
        *[("none", 0, False), ("none", 0, True)],
        *[("rotation", 3, False), ("rotation", 3, True)],
    ]
    stored = read_json(paths.score_folder(task, 0, "mcp") / "metrics.json")
    assert (unshifted[0]["auroc"], unshifted[0]["errors"]) == (stored["metrics"]["auroc"], stored["errors"])
    (by_hand, _) = scores_of(run, ["mcp", "tcp"]).score(corrupted_test_images(run.dataset, "rotation", 3, 4))
    assert mcp["samples"] == len(by_hand.correct) <= unshifted[0]["samples"] and mcp["errors"] == (~by_hand.correct).sum()
    assert (mcp["samples"] < unshifted[0]["samples"]) == (task == "segmentation")  # pixels from outside the image do not count
    assert mcp["auroc"] == pytest.approx(roc_auc_score(by_hand.correct, by_hand.confidence), abs=1e-12)
    assert mcp["accuracy"] < unshifted[0]["accuracy"]
    threshold = next(each for each in StoredResults(task, 0, ("mcp",)).guarantees("mcp") if each["served"])["threshold"]
    if task == "digits":
        accepted = by_hand.confidence >= threshold
        assert (mcp["target_risk"], mcp["coverage"]) == (RISKS[2], accepted.mean())
        assert mcp["risk"] == (accepted & ~by_hand.correct).sum() / accepted.sum()


def test_a_row_of_foreign_images_holds_them_against_correct_predictions_and_both_kinds_of_failures(runs: dict[str, Run], tmp_path: Path):
    run = runs["digits"]
    save_foreign_images(tmp_path / "foreign", [("inverted", _Inverted(run))], (1, 8, 8))
    results = ShiftedResults(scores_of(run, ["mcp", "tcp"]))
    (row,) = results.foreign_rows(tmp_path / "foreign", "inverted")
    confidence, correct = StoredResults("digits", 0, ("mcp",)).confidence("mcp"), run.correct
    (foreign,) = scores_of(run, ["mcp", "tcp"]).score(ImageSet(255 - unchanged(run).images))
    of_correct = np.r_[confidence[correct], foreign.confidence], np.r_[np.ones(correct.sum()), np.zeros(len(foreign.confidence))]
    assert row["foreign_auroc"] == pytest.approx(roc_auc_score(of_correct[1], of_correct[0]), abs=1e-12)
    both = np.r_[confidence, foreign.confidence], np.r_[correct, foreign.correct]
    assert row["auroc"] == pytest.approx(roc_auc_score(both[1], both[0]), abs=1e-12)
    least_of_95_percent = np.sort(confidence[correct])[::-1][int(np.ceil(0.95 * correct.sum())) - 1]
    assert row["foreign_fpr_at_95_tpr"] == (foreign.confidence >= least_of_95_percent).mean()
    order = np.argsort(-both[0], kind="stable")
    assert len(np.unique(both[0])) == len(both[0])  # so that a mean over the accepted first k needs no care for ties
    assert row["aurc"] == pytest.approx(np.mean(np.cumsum(~both[1][order]) / np.arange(1, len(order) + 1)), abs=1e-12)
    threshold = next(each for each in StoredResults("digits", 0, ("mcp",)).guarantees("mcp") if each["served"])["threshold"]
    assert row["foreign_accepted"] == (foreign.confidence >= threshold).mean()
    assert row["risk"] == (~both[1])[both[0] >= threshold].mean()
    assert (row["samples"], row["errors"], row["foreign_images"]) == (len(correct), (~correct).sum(), len(correct))


class _Inverted:
    """A data set of inverted digits, none of which are for training."""

    def __init__(self, run: Run) -> None:
        self.images, self.splits, self.notes = 255 - unchanged(run).images, {"train": ()}, ()
        self.image_shape, self.source = self.images.shape[1:], "inverted digits"


def test_an_interrupted_judgement_goes_on_after_the_last_image_set(runs: dict[str, Run], tmp_path: Path):
    run, shifts = runs["digits"], Shifts(corruptions=("noise", "blur"), severities=(1, 3))
    save_foreign_images(tmp_path / "foreign", [("inverted", _Inverted(run))], (1, 8, 8))

    def judged(finished: dict, sets_before_the_end: int = 99) -> tuple[dict, int]:
        stored = []

        def save(rows_of_set: dict) -> None:
            stored.append(dict(rows_of_set))
            if len(stored) == sets_before_the_end:
                raise KeyboardInterrupt

        results = ShiftedResults(scores_of(run, ["mcp", "mc_dropout"]))
        try:
            return judge_image_sets(results, shifts, tmp_path / "foreign", finished, save), len(stored)
        except KeyboardInterrupt:
            return stored[-1], len(stored)

    whole, count = judged({})
    assert list(whole) == ["unshifted", "shift noise 1", "shift noise 3", "shift blur 1", "shift blur 3", "foreign inverted"] and count == 6
    part, _ = judged({}, sets_before_the_end=3)
    assert list(part) == list(whole)[:3]
    continued, count = judged(part)
    assert continued == whole and count == 3


def test_the_tables_hold_their_columns_where_there_are_no_rows(tmp_path: Path):
    save_shifted_results(tmp_path / "results", ())
    for name, columns in (("shifts", SHIFT_COLUMNS), ("foreign", FOREIGN_COLUMNS)):
        assert (tmp_path / f"results/{name}.csv").read_text() == ",".join(columns) + "\n"


def test_undefined_numbers_are_empty_in_the_tables(runs: dict[str, Run], tmp_path: Path):
    rows = ShiftedResults(scores_of(runs["digits"], ["mcp"])).unshifted_rows()
    save_shifted_results(tmp_path / "results", [rows[0] | {"auroc": None, "risk": None, "verdict": None}])
    with (tmp_path / "results/shifts.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["auroc"], row["risk"], row["verdict"]) == ("", "", "") and float(row["accuracy"]) == rows[0]["accuracy"]
