"""The results of guaranteed thresholds on test data, and the stage that stores them with a score's reliability."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp
from small import VOID, benchmark, small_digits, small_segmentation, trained_run
from small_params import changed, load

from confidnet_core.config.params import Thresholds
from confidnet_core.data import save_dataset
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.thresholds import _thinned, guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.files import read_json
from confidnet_core.metrics.guarantee import threshold_with_guarantee
from confidnet_core.networks.inference import Predictions, save_predictions
from stages import evaluate
from stages import thresholds as stage

RESAMPLING = {"resample_count": 100, "seed": 3}


def scored(seed: int, samples: int = 600) -> ScoredSplit:
    """Return a split whose predictions are correct with the probability that is their confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(samples) ** 0.3
    return ScoredSplit(confidence, rng.random(samples) < confidence)


NOTHING_ACCEPTED = {"coverage": 0, "accepted": 0, "errors": 0, "risk": None, "p": None, "verdict": None}


def test_what_a_threshold_did_on_the_test_split_by_hand():
    val, calibration = scored(0), scored(1, samples=2000)
    (guarantee,) = guaranteed_thresholds(val, calibration, scored(2, samples=900), Thresholds(risks=(0.1,), serve=0.1, delta=0.05))
    reference = {"reference_confidence": val.confidence, "reference_correct": val.correct}
    expected = threshold_with_guarantee(calibration.confidence, calibration.correct, target_risk=0.1, delta=0.05, **reference)
    assert guarantee["threshold"] == expected.threshold and guarantee["bound"] == expected.bound <= 0.1
    test = scored(2, samples=900)
    accepted = test.confidence >= expected.threshold
    coverage, risk = accepted.mean(), (accepted & ~test.correct).sum() / accepted.sum()
    assert 0.05 < risk < 0.15 and coverage > 0.2
    counts = {"accepted": int(accepted.sum()), "errors": int((accepted & ~test.correct).sum())}
    p_value = binomtest(counts["errors"], counts["accepted"], 0.1, alternative="greater").pvalue
    of_test = {"coverage": pytest.approx(coverage), "risk": pytest.approx(risk), "p": pytest.approx(p_value)}
    assert guarantee["test"] == counts | of_test | {"verdict": "met" if risk <= 0.1 else "compatible"}
    assert guarantee["start"] == "learned from validation labels" and guarantee["served"] and guarantee["reason"] is None
    assert guarantee["threshold"] <= guarantee["start_threshold"] and guarantee["start_coverage"] <= guarantee["coverage"]


@pytest.mark.parametrize(
    ("errors", "verdict", "p_value"), [(32, "met", 0.579), (33, "compatible", 0.507), (34, "compatible", 0.436), (43, "exceeded", 0.045)]
)
def test_a_risk_above_the_target_is_compatible_with_it_where_chance_explains_it(errors: int, verdict: str, p_value: float):
    """5.19 % of 655 are no broken promise of 5 %: as many errors come in 44 of 100 such samples."""
    sure, test = ScoredSplit(np.ones(100), np.ones(100, bool)), ScoredSplit(np.ones(655), np.arange(655) >= errors)
    (guarantee,) = guaranteed_thresholds(sure, sure, test, Thresholds(risks=(0.05,), serve=0.05, delta=0.05))
    of_test = {"coverage": 1, "accepted": 655, "errors": errors, "risk": pytest.approx(errors / 655)}
    assert guarantee["test"] == of_test | {"p": pytest.approx(p_value, abs=0.001), "verdict": verdict}


def test_the_thresholds_tried_are_ranks_of_the_validation_confidences():
    """What equals one is accepted; validation confidences below all of the calibration split leave none that rejects any of it."""
    calibration, settings = scored(1, samples=2000), Thresholds(risks=(0.1,), serve=0.1, delta=0.05)
    val = ScoredSplit(np.linspace(0, 1, 101), np.arange(101) > 85)
    (guarantee,) = guaranteed_thresholds(val, calibration, scored(2), settings)
    assert 0.3 < guarantee["threshold"] < 0.9 and round(guarantee["threshold"], 9) in np.linspace(0, 1, 101).round(9)
    (at_it,) = guaranteed_thresholds(val, calibration, ScoredSplit(np.array([guarantee["threshold"], 0]), np.array([True, True])), settings)
    assert at_it["test"] == {"coverage": 0.5, "accepted": 1, "errors": 0, "risk": 0, "p": 1, "verdict": "met"}
    (other,) = guaranteed_thresholds(ScoredSplit(val.confidence - 2, val.correct), calibration, scored(2), settings)
    assert other["threshold"] is None


def test_of_segmentation_every_image_weighs_the_same():
    """Images of 1, 0 and 3 pixels: accepted and wrong are all of the first, and one pixel of the third."""
    sure = ScoredSplit(np.ones(400), np.ones(400, bool), np.full(100, 4))
    test = ScoredSplit(np.ones(4), np.array([False, True, True, False]), np.array([1, 0, 3]))
    (guarantee,) = guaranteed_thresholds(sure, sure, test, Thresholds(risks=(0.5,), serve=0.5, delta=0.1))
    assert guarantee["units"] == 100
    p_value = ttest_1samp([1 - 0.5, 1 / 3 - 0.5], 0, alternative="greater").pvalue  # of wrong less half of what is accepted, by image
    of_test = {"coverage": pytest.approx(1), "risk": pytest.approx((1 + 1 / 3) / 2), "p": pytest.approx(p_value)}
    assert guarantee["test"] == of_test | {"accepted": 4, "errors": 2, "verdict": "compatible"}


def test_the_coverage_of_calibration_images_is_theirs_and_not_that_of_their_pixels():
    """100 images of one sure pixel and 100 of nine unsure ones; a third of those unsure are wrong."""
    sizes = np.tile([1, 9, 0], 100)
    sure = np.repeat(np.tile([True, False, False], 100), sizes)
    calibration = ScoredSplit(np.where(sure, 0.9, 0.1), sure | (np.arange(1000) % 3 > 0), sizes)
    val = ScoredSplit(np.repeat([0.1, 0.5, 0.9], 30), np.arange(90) % 3 + np.arange(90) // 30 > 0, np.full(9, 10))
    (guarantee,) = guaranteed_thresholds(val, calibration, calibration, Thresholds(risks=(0.1,), serve=0.1, delta=0.1))
    assert 0.1 < guarantee["threshold"] <= 0.9 and guarantee["units"] == 200
    assert guarantee["coverage"] == 0.5
    assert guarantee["test"] == {"coverage": 0.5, "accepted": 100, "errors": 0, "risk": 0, "p": pytest.approx(1), "verdict": "met"}


def test_where_no_threshold_is_feasible_nothing_is_accepted_and_no_target_is_met_or_missed():
    wrong = ScoredSplit(np.linspace(0, 1, 50), np.zeros(50, bool))
    (guarantee,) = guaranteed_thresholds(wrong, wrong, wrong, Thresholds(risks=(0.1,), serve=0.1, delta=0.1))
    assert (guarantee["threshold"], guarantee["coverage"], guarantee["bound"]) == (None, 0, None)
    needed = "the calibration split has 50 samples, and at least 22 of them accepted without an error are needed, or more with few errors"
    assert guarantee["reason"].startswith(needed) and guarantee["reason"].endswith("which does not prove the target")
    assert guarantee["test"] == NOTHING_ACCEPTED


def test_where_the_test_split_has_nothing_above_the_threshold_its_risk_is_undefined():
    calibration = ScoredSplit(np.linspace(0, 1, 400), np.linspace(0, 1, 400) > 0.3)
    (guarantee,) = guaranteed_thresholds(
        calibration, calibration, ScoredSplit(np.array([0.0]), np.array([False])), Thresholds(risks=(0.1,), serve=0.1, delta=0.1)
    )
    assert guarantee["threshold"] > 0.2
    assert guarantee["test"] == NOTHING_ACCEPTED


@pytest.mark.parametrize(("pixels", "unit"), [(None, "samples"), (3, "images")])
def test_with_too_few_units_it_says_how_many_are_needed(pixels: int | None, unit: str):
    few = ScoredSplit(np.ones(40 * (pixels or 1)), np.ones(40 * (pixels or 1), bool), None if pixels is None else np.full(40, pixels))
    found = guaranteed_thresholds(few, few, few, Thresholds(risks=(0.01, 0.05, 0.1), serve=0.05, delta=0.05))
    assert [guarantee["min_units"] for guarantee in found] == [299, 59, 29]
    needed = f"the calibration split has 40 {unit}, and at least 59 of them accepted without an error are needed"
    assert found[1]["reason"] == needed and found[2]["reason"] is None
    assert [guarantee["served"] for guarantee in found] == [False, True, False]


def test_a_large_validation_split_is_thinned_with_its_labels_and_its_images(monkeypatch: pytest.MonkeyPatch):
    """Images of 4, 0, 7 and 1 pixels: every fifth pixel of the split is of the first, the third twice, and never of the last."""
    monkeypatch.setattr("confidnet_core.evaluation.thresholds.MAX_FIT_SAMPLES", 3)
    split = ScoredSplit(np.arange(12.0), np.arange(12) % 2 == 0, np.array([4, 0, 7, 1]))
    thinned = _thinned(split)
    assert thinned.confidence.tolist() == [0, 4, 8] and thinned.correct.tolist() == [True, True, True]
    assert thinned.pixels_per_image.tolist() == [1, 0, 2, 0]


def test_the_files_are_whole_json_and_replace_former_ones(tmp_path: Path):
    guarantees = guaranteed_thresholds(scored(0), scored(1), scored(2), Thresholds(risks=(0.001, 0.2), serve=0.2, delta=0.1))
    for samples in (300, 600):
        measured = reliability(scored(0, samples), scored(2), "rank", **RESAMPLING)
        save_thresholds(tmp_path / "mcp", measured, guarantees)
    assert sorted(path.name for path in (tmp_path / "mcp").iterdir()) == [
        "calibration.json",
        "reliability.csv",
        "replicates.npy",
        "threshold.json",
    ]
    assert read_json(tmp_path / "mcp/calibration.json") == {
        "how": measured.calibrator_description,
        "metrics": measured.metrics,
        "raw": measured.raw_metrics,
    }
    assert json.loads((tmp_path / "mcp/threshold.json").read_text())["thresholds"] == guarantees
    assert guarantees[0]["threshold"] is None and guarantees[1]["threshold"] is not None
    assert pd.read_csv(tmp_path / "mcp/reliability.csv")["count"].sum() == 600
    assert [path.name for path in tmp_path.iterdir()] == ["mcp"]


def test_a_failed_save_leaves_the_former_files_and_nan_is_stored_as_null(tmp_path: Path):
    measured = reliability(scored(0), scored(2), "rank", **RESAMPLING)
    save_thresholds(tmp_path / "mcp", replace(measured, metrics={"ece": np.nan}), [{"risk": 0.1, "coverage": np.nan}])
    before = {path.name: path.read_bytes() for path in (tmp_path / "mcp").iterdir()}
    for name in ("calibration", "threshold"):
        content = json.loads(before[f"{name}.json"], parse_constant=pytest.fail)
        assert None in (content["metrics"] if name == "calibration" else content["thresholds"][0]).values()
    with pytest.raises(TypeError):
        save_thresholds(tmp_path / "mcp", measured, [{"risk": object()}])
    assert {path.name: path.read_bytes() for path in (tmp_path / "mcp").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mcp"]


def test_the_stage_writes_a_folder_for_each_method(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    params = load(tmp_path, changed(("methods",), {"mcp": {}, "margin": {}}))
    trained_run(Path(), small_digits(), benchmark(params.benchmark("small").model))
    for method in ("mcp", "margin"):
        evaluate.main(params, "small", 0, method)
    for method in ("mcp", "margin"):
        stage.main(params, "small", 0, method)
    folder = Path("data/thresholds/small/seed0")
    assert sorted(path.name for path in folder.iterdir()) == ["margin", "mcp"]
    calibration = {method: read_json(folder / method / "calibration.json") for method in ("mcp", "margin")}
    assert {one["how"] for one in calibration.values()} == {"isotonic and Platt on 300 validation samples"}
    assert set(calibration["mcp"]["raw"]) == set(calibration["mcp"]["metrics"]) and calibration["margin"]["raw"] is None
    guarantees = read_json(folder / "mcp/threshold.json")["thresholds"]
    assert [guarantee["risk"] for guarantee in guarantees] == [0.05, 0.3]
    assert {guarantee["units"] for guarantee in guarantees} == {150}


def test_the_stage_counts_images_as_units_and_void_never(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    """An untrained classifier's logits lean to the truth; of the validation split alone they are learned."""
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    params, dataset, rng = load(tmp_path, changed(("methods",), {"margin": {}})), small_segmentation(), np.random.default_rng(0)
    save_dataset(dataset, Path("data/prepared/small"))
    answers = {}
    for split in ("test", "val", "calibration"):
        labels = dataset.split(split)[1]
        truth = np.moveaxis(np.eye(VOID + 1)[labels][..., :VOID], -1, 1)
        logits = (2 * truth + rng.normal(size=truth.shape)).astype(np.float32)
        answers[split] = Predictions(logits, logits.argmax(1).astype(np.uint8))
    save_predictions(Path("data/predictions/small/seed0"), answers, {})
    evaluate.main(params, "small", 0, "margin")
    stage.main(params, "small", 0, "margin")
    folder = Path("data/thresholds/small/seed0/margin")
    labelled_pixels = {split: int(np.sum(dataset.split(split)[1] != VOID)) for split in answers}
    assert read_json(folder / "calibration.json")["how"] == f"isotonic and Platt on {labelled_pixels['val']:,} validation samples"
    assert pd.read_csv(folder / "reliability.csv")["count"].sum() == labelled_pixels["test"]
    images, labels = len(dataset.splits["calibration"]), dataset.split("calibration")[1]
    wrong = int(np.sum((answers["calibration"].predicted != labels) & (labels != VOID)))
    for guarantee in read_json(folder / "threshold.json")["thresholds"]:
        assert (guarantee["units"], guarantee["samples"], guarantee["errors"]) == (images, labelled_pixels["calibration"], wrong)
    brier = np.load(folder / "replicates.npy")[:, 2]
    assert len(np.unique(brier)) <= 10  # resamples of three test images
