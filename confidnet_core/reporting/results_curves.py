"""Curves of all scores of one trained classifier as data frames, and the figure that shows them side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from confidnet_core.comparison.frames import write_frame
from confidnet_core.comparison.results import CountedResults, SampleResults
from confidnet_core.files import atomic_write
from confidnet_core.metrics import risk_coverage_curve, roc_curve
from confidnet_core.metrics._count_curves import Curve, risk_coverage_points, roc_points
from confidnet_core.reporting.curves import curve_rows, histogram_rows, reliability_rows
from confidnet_core.reporting.palette import LineStyle
from confidnet_core.reporting.plots import comparison_figure

RESULTS_CURVE_NAMES = ("risk_coverage", "roc", "outcomes", "reliability")
RELIABILITY_COLUMNS = ["benchmark", "seed", "method", "probability", "accuracy", "count"]


def results_curves(results: SampleResults | CountedResults, line_styles: Mapping[str, LineStyle]) -> tuple[dict[str, pd.DataFrame], Figure]:
    """Return {curve name: data frame of all scores} for RESULTS_CURVE_NAMES, and the figure of risk-coverage and ROC curves and histograms.

    Scores are in the order of `line_styles`, because `dvc plots` assigns its colours in that order. The data frame of a curve that no
    score has is empty.
    """
    benchmark, seed = results.benchmark, results.seed
    frames_by_curve: dict[str, list[pd.DataFrame]] = {curve_name: [] for curve_name in RESULTS_CURVE_NAMES}
    risk_coverage_by_method, roc_by_method, outcomes_by_method = {}, {}, {}
    line_styles = {method: style for method, style in line_styles.items() if method in results.methods}
    for method, style in line_styles.items():
        series_name = style.series_name
        risk_coverage_by_method[method], roc_of_score, outcomes_by_method[method] = _score_curves(results, method)
        risk_coverage_rows = curve_rows(benchmark, seed, series_name, *risk_coverage_by_method[method], axis_names=("coverage", "risk"))
        frames_by_curve["risk_coverage"].append(risk_coverage_rows)
        if reliability := results.reliability(method):
            merged_bins = reliability_rows(reliability.reliability_bins).assign(benchmark=benchmark, seed=seed, method=series_name)
            frames_by_curve["reliability"].append(merged_bins[RELIABILITY_COLUMNS])
        frames_by_curve["outcomes"].append(histogram_rows(benchmark, seed, series_name, *outcomes_by_method[method]))
        frames_by_curve["roc"].append(curve_rows(benchmark, seed, series_name, *roc_of_score, axis_names=("fpr", "tpr")))
        if len(roc_of_score[0]):  # the curve is empty if all predictions are correct or all are errors
            roc_by_method[method] = roc_of_score
    frame_by_curve = {
        curve_name: pd.concat(frames) if frames else pd.DataFrame(columns=RELIABILITY_COLUMNS)
        for curve_name, frames in frames_by_curve.items()
    }
    return frame_by_curve, comparison_figure(risk_coverage_by_method, roc_by_method, outcomes_by_method, line_styles, benchmark)


def _score_curves(results: SampleResults | CountedResults, method: str) -> tuple[Curve, Curve, tuple[np.ndarray, ...]]:
    """Return the risk-coverage curve and the ROC curve of a score, and what its histogram is of: confidences, correctness, and weights."""
    if isinstance(results, CountedResults):
        values, sample_counts, error_counts = results.cells(method)
        is_correct = np.repeat([True, False], len(values))
        weighted_outcomes = np.tile(values, 2), is_correct, np.concatenate([sample_counts - error_counts, error_counts])
        curves = (points_of_counts(sample_counts, error_counts) for points_of_counts in (risk_coverage_points, roc_points))
        risk_coverage, roc = curves
        return risk_coverage, roc, weighted_outcomes
    confidence, (correct, _) = results.confidence(method), results.outcomes()
    return risk_coverage_curve(confidence, correct), roc_curve(confidence, correct), (confidence, correct)


def write_curves(curves_folder: Path, frame_by_curve: Mapping[str, pd.DataFrame]) -> None:
    """Write a CSV file for each curve into a new folder, which replaces the old one as a whole."""
    with atomic_write(curves_folder) as temporary_folder:
        temporary_folder.mkdir()
        for curve_name, curve_frame in frame_by_curve.items():
            write_frame(temporary_folder / f"{curve_name}.csv", curve_frame)
