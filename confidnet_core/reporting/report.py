"""Writer of the report on all evaluations of a study: summary for DVC, tables, curves for `dvc plots`, figures and the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from confidnet_core import paths
from confidnet_core.comparison.costs import cost_frame, cost_tables, method_requirements
from confidnet_core.comparison.differences import method_differences, significance_tables
from confidnet_core.comparison.frames import benchmark_summaries, comparison_frame, write_frame
from confidnet_core.comparison.main_table import comparison_markdown, main_table
from confidnet_core.comparison.published import load_published_results, published_tables
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.risk_guarantees import risk_guarantee_frame, risk_guarantee_tables
from confidnet_core.comparison.sections import (
    calibration_frame,
    calibration_tables,
    operating_point_tables,
    rank_table,
)
from confidnet_core.comparison.uncertainty import evaluation_interval_frame, insufficiencies, interval_frame, resampled_metrics
from confidnet_core.comparison.verdicts import BenchmarkVerdict, benchmark_verdicts
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled_mask, load_dataset
from confidnet_core.evaluation.intervals import count_units
from confidnet_core.evaluation.left_out import left_out_by_benchmark
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import atomic_write, write_json, write_text
from confidnet_core.metrics import risk_coverage_curve, roc_curve
from confidnet_core.reporting.curves import curve_rows, histogram_rows, reliability_rows
from confidnet_core.reporting.failures import MethodFailures, failure_pictures, methods_with_shown_failures, pick_failures
from confidnet_core.reporting.highlights import assign_report_line_styles
from confidnet_core.reporting.histories import history_rows
from confidnet_core.reporting.maps import segmentation_figure
from confidnet_core.reporting.notes import notes_above_table
from confidnet_core.reporting.page import ReportContent, write_page
from confidnet_core.reporting.palette import LineStyle
from confidnet_core.reporting.plots import comparison_figure, save_figure
from confidnet_core.reporting.sheets import picture_grid_figure

REPORT_CURVE_NAMES = ("risk_coverage", "roc", "outcomes", "reliability", "losses", "validation")
RELIABILITY_COLUMNS = ["benchmark", "seed", "method", "probability", "accuracy", "count"]
IMAGES_IN_CONFIDENCE_MAPS = 4  # of a segmentation benchmark, evenly spaced in the test split


def list_stored_results(params: Params) -> list[StoredResults]:
    """Return a reader of stored evaluation results (class StoredResults) for each benchmark and seed, without scores that are left out."""
    return [StoredResults.without_left_out(benchmark, seed, params.methods) for benchmark in params.run for seed in params.seeds]


class WrittenReport(NamedTuple):
    """The part of a written report that the stage `compare` goes on to use.

    evaluation_rows: from `comparison_frame`, of all evaluations; summary_by_benchmark: the content of summary.json
    verdicts: {benchmark: its BenchmarkVerdict}
    """

    evaluation_rows: pd.DataFrame
    summary_by_benchmark: dict[str, Any]
    verdicts: dict[str, BenchmarkVerdict]


def write_report(params: Params, report_folder: Path) -> WrittenReport:
    """Write the report on the stored results of a study to a folder, and return its evaluations and its summary.

    The files are summary.json, comparison.md, index.html, {comparison,differences,calibration,thresholds,costs}.csv, curves/*.csv and
    figures/*.png.
    """
    all_stored_results, confidence_level = list_stored_results(params), params.bootstrap.level
    evaluation_rows, replicates_by_evaluation = _read_evaluations(all_stored_results)
    line_styles = assign_report_line_styles(evaluation_rows, params.against)
    failures_by_benchmark_and_seed = {
        (results.benchmark, results.seed): _pick_report_failures(results, params, evaluation_rows, line_styles)
        for results in all_stored_results
    }
    curve_frames = _write_curves_and_figures(report_folder, all_stored_results, failures_by_benchmark_and_seed, line_styles)
    resampled_by_method = resampled_metrics(evaluation_rows, replicates_by_evaluation)
    intervals_of_means = interval_frame(resampled_by_method, confidence_level)
    difference_rows = method_differences(evaluation_rows, resampled_by_method, params.against, confidence_level)
    evaluation_intervals = evaluation_interval_frame(evaluation_rows, replicates_by_evaluation, confidence_level)
    write_frame(report_folder / "comparison.csv", evaluation_rows.join(evaluation_intervals, on=["benchmark", "seed", "method"]))
    write_frame(report_folder / "differences.csv", difference_rows)
    calibration_rows = calibration_frame(all_stored_results, confidence_level, insufficiencies(evaluation_rows))
    risk_guarantee_rows = risk_guarantee_frame(all_stored_results)
    cost_rows, requirement_by_method = cost_frame(all_stored_results, params), method_requirements(params.methods)
    for file_stem, csv_rows in (("calibration", calibration_rows), ("thresholds", risk_guarantee_rows), ("costs", cost_rows)):
        write_frame(report_folder / f"{file_stem}.csv", csv_rows)
    iou_by_benchmark = _mean_ious(all_stored_results)
    main_tables = {
        str(benchmark): main_table(
            rows, intervals_of_means, difference_rows, requirement_by_method=requirement_by_method, confidence_level=confidence_level
        )
        for benchmark, rows in evaluation_rows.groupby("benchmark", sort=False)
    }
    benchmark_notes = notes_above_table(main_tables, iou_by_benchmark, left_out_by_benchmark(params.run, params.seeds, params.methods))
    further_table_groups = [
        significance_tables(difference_rows, evaluation_rows, confidence_level),
        operating_point_tables(evaluation_rows, intervals_of_means),
        calibration_tables(calibration_rows),
        risk_guarantee_tables(risk_guarantee_rows),
        cost_tables(cost_rows),
        published_tables(evaluation_rows, load_published_results(), intervals_of_means),
    ]
    table_of_ranks = rank_table(evaluation_rows)
    comparison_text = comparison_markdown(evaluation_rows, main_tables, benchmark_notes, further_table_groups)
    markdown_sections = [comparison_text, *([table_to_markdown(table_of_ranks, 2) + "\n"] if table_of_ranks else [])]
    write_text(report_folder / "comparison.md", "\n".join(markdown_sections))
    verdicts = benchmark_verdicts(evaluation_rows, difference_rows, intervals_of_means, confidence_level)
    page_tables = main_tables, benchmark_notes, further_table_groups, table_of_ranks
    report_content = ReportContent(evaluation_rows, verdicts, *page_tables, curve_frames, failures_by_benchmark_and_seed)
    write_page(report_folder / "index.html", params, all_stored_results, report_content, report_folder / "figures")
    summary_by_benchmark = benchmark_summaries(evaluation_rows)
    for benchmark, iou_metrics in iou_by_benchmark.items():
        summary_by_benchmark[benchmark]["mean_iou"] = round(100 * iou_metrics["mean_iou"], 2)
    write_json(report_folder / "summary.json", summary_by_benchmark)
    return WrittenReport(evaluation_rows, summary_by_benchmark, verdicts)


def _read_evaluations(all_stored_results: Sequence[StoredResults]) -> tuple[pd.DataFrame, dict[tuple[str, int, str], np.ndarray]]:
    """Return the `comparison_frame` of all evaluations, and {(benchmark, seed, method): bootstrap replicates (resamples, metrics)}."""
    all_evaluations = [results.evaluation(method) for results in all_stored_results for method in results.methods]
    counts_by_training = {(results.benchmark, results.seed): count_units(*results.outcomes()) for results in all_stored_results}
    evaluation_rows = comparison_frame(all_evaluations, counts_by_training)
    replicates_by_evaluation = {
        (results.benchmark, results.seed, method): results.bootstrap_replicates(method)
        for results in all_stored_results
        for method in results.methods
    }
    return evaluation_rows, replicates_by_evaluation


def _pick_report_failures(
    stored_results: StoredResults, params: Params, evaluation_rows: pd.DataFrame, line_styles: Mapping[str, LineStyle]
) -> list[MethodFailures]:
    """Return the test images on which the two methods of `methods_with_shown_failures` fail worst, for their figure and the page."""
    display_name_by_method = {
        method: line_styles[method].label for method in methods_with_shown_failures(stored_results, params.against, evaluation_rows)
    }
    return pick_failures(stored_results, load_dataset(paths.prepared_data_folder(stored_results.benchmark)), display_name_by_method)


def _write_curves_and_figures(
    report_folder: Path,
    all_stored_results: Sequence[StoredResults],
    failures_by_benchmark_and_seed: Mapping[tuple[str, int], Sequence[MethodFailures]],
    line_styles: Mapping[str, LineStyle],
) -> dict[str, pd.DataFrame]:
    """Write the folders `figures` and `curves` of the report; return {curve name: data frame} for each of REPORT_CURVE_NAMES.

    failures_by_benchmark_and_seed: {(benchmark, seed): failures of each method}; line_styles: {method: line style}
    """
    frames_by_curve: dict[str, list[pd.DataFrame]] = {curve_name: [] for curve_name in REPORT_CURVE_NAMES}
    with atomic_write(report_folder / "figures") as figures_folder:
        figures_folder.mkdir()
        for stored_results in all_stored_results:
            benchmark, seed = stored_results.benchmark, stored_results.seed
            drawn_curves = _draw_figures(stored_results, figures_folder, failures_by_benchmark_and_seed[benchmark, seed], line_styles)
            for curve_name, curve_frame in (*drawn_curves, *history_rows(benchmark, seed)):
                frames_by_curve[curve_name].append(curve_frame)
    frame_by_curve = {curve_name: pd.concat(curve_frame) for curve_name, curve_frame in frames_by_curve.items()}
    with atomic_write(report_folder / "curves") as curves_folder:
        curves_folder.mkdir()
        for curve_name, curve_frame in frame_by_curve.items():
            write_frame(curves_folder / f"{curve_name}.csv", curve_frame)
    return frame_by_curve


def _draw_figures(
    stored_results: StoredResults, figures_folder: Path, failures_by_method: Sequence[MethodFailures], line_styles: Mapping[str, LineStyle]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Draw the figures of a benchmark and seed, and yield (curve name, data frame) for each curve but those of the trainings.

    Scores are in the order of `line_styles`, because `dvc plots` assigns its colours in that order.
    failures_by_method: for the figure of failures
    """
    benchmark, seed = stored_results.benchmark, stored_results.seed
    dataset = load_dataset(paths.prepared_data_folder(benchmark))
    images, labels = dataset.split("test")
    is_labelled = labelled_mask(labels, dataset.void)
    correct = (stored_results.predicted() == labels)[is_labelled]
    risk_coverage_by_method, roc_by_method, outcomes_by_method = {}, {}, {}
    line_styles = {method: style for method, style in line_styles.items() if method in stored_results.methods}
    for method, style in line_styles.items():
        confidence, series_name = stored_results.confidence(method), style.series_name
        risk_coverage_by_method[method], outcomes_by_method[method] = risk_coverage_curve(confidence, correct), (confidence, correct)
        risk_coverage_rows = curve_rows(benchmark, seed, series_name, *risk_coverage_by_method[method], axis_names=("coverage", "risk"))
        yield "risk_coverage", risk_coverage_rows
        reliability_bins = reliability_rows(pd.read_csv(stored_results.thresholds_folder(method) / "reliability.csv"))
        yield "reliability", reliability_bins.assign(benchmark=benchmark, seed=seed, method=series_name)[RELIABILITY_COLUMNS]
        yield "outcomes", histogram_rows(benchmark, seed, series_name, confidence, correct)
        roc_points = roc_curve(confidence, correct)
        yield "roc", curve_rows(benchmark, seed, series_name, *roc_points, axis_names=("fpr", "tpr"))
        if len(roc_points[0]):  # the curve is empty if all predictions are correct or all are errors
            roc_by_method[method] = roc_points
    file_stem = f"{benchmark}_seed{seed}"
    curves_and_histograms_figure = comparison_figure(risk_coverage_by_method, roc_by_method, outcomes_by_method, line_styles, benchmark)
    save_figure(curves_and_histograms_figure, figures_folder / f"{file_stem}.png")
    if dataset.is_segmentation:
        confidence_maps_figure = _confidence_maps_figure(stored_results, dataset, images, labels, is_labelled, line_styles)
        save_figure(confidence_maps_figure, figures_folder / f"{file_stem}_maps.png", width_px=2400)
    else:
        save_figure(picture_grid_figure(failure_pictures(failures_by_method)), figures_folder / f"{file_stem}_failures.png")


def _confidence_maps_figure(
    stored_results: StoredResults,
    dataset: Dataset,
    images: np.ndarray,
    labels: np.ndarray,
    is_labelled: np.ndarray,
    line_styles: Mapping[str, LineStyle],
) -> Figure:
    """Return the figure of some test images of a segmentation benchmark, with a confidence map of each score."""
    image_indices = np.unique(np.linspace(0, len(images) - 1, IMAGES_IN_CONFIDENCE_MAPS).round().astype(int))
    first_pixel_indices = np.concatenate([[0], np.cumsum(is_labelled.reshape(len(is_labelled), -1).sum(1))])
    confidence_map_by_method = {}
    for method, style in line_styles.items():
        confidence, confidence_map = stored_results.confidence(method), np.full((len(image_indices), *labels.shape[1:]), np.nan)
        for figure_row, image_index in enumerate(image_indices):
            confidence_map[figure_row][is_labelled[image_index]] = confidence[
                first_pixel_indices[image_index] : first_pixel_indices[image_index + 1]
            ]
        confidence_map_by_method[style.label] = confidence_map
    image_pixels = np.moveaxis(images[image_indices], 1, -1)
    return segmentation_figure(
        image_pixels,
        labels[image_indices],
        np.asarray(stored_results.predicted()[image_indices]),
        confidence_map_by_method,
        dataset.void,
        dataset.classes,
    )


def _mean_ious(all_stored_results: list[StoredResults]) -> dict[str, dict]:
    """Return {benchmark: {"mean_iou": IoU, "class_iou": {class: IoU}}} for the segmentation benchmarks, as means over seeds in [0, 1]."""
    iou_by_benchmark = {}
    for benchmark in dict.fromkeys(results.benchmark for results in all_stored_results):
        metrics_by_seed = [results.classifier_metrics() for results in all_stored_results if results.benchmark == benchmark]
        if all(metrics.get("mean_iou") is not None for metrics in metrics_by_seed):
            mean_class_ious = pd.DataFrame([metrics["class_iou"] for metrics in metrics_by_seed]).astype(float).mean()
            iou_by_benchmark[benchmark] = {
                "mean_iou": float(np.mean([metrics["mean_iou"] for metrics in metrics_by_seed])),
                "class_iou": mean_class_ious.to_dict(),
            }
    return iou_by_benchmark
