"""Writer of the report on all evaluations of a study: summary for DVC, tables, curves for `dvc plots`, figures and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from confidnet_core import paths
from confidnet_core.comparison.costs import cost_frame, cost_tables, method_requirements
from confidnet_core.comparison.frames import benchmark_summaries, write_frame
from confidnet_core.comparison.published import load_published_results, published_tables
from confidnet_core.comparison.shifts import load_shifted_frames, shifted_tables
from confidnet_core.comparison.study import compare_results
from confidnet_core.comparison.verdicts import BenchmarkVerdict
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled_mask, load_dataset
from confidnet_core.evaluation.left_out import left_out_by_benchmark
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import atomic_write, write_json, write_text
from confidnet_core.reporting.failures import MethodFailures, failure_pictures, methods_with_shown_failures, pick_failures
from confidnet_core.reporting.highlights import assign_report_line_styles
from confidnet_core.reporting.histories import history_rows
from confidnet_core.reporting.maps import segmentation_figure
from confidnet_core.reporting.notes import notes_above_table
from confidnet_core.reporting.page import ReportContent, write_page
from confidnet_core.reporting.palette import LineStyle
from confidnet_core.reporting.plots import save_figure
from confidnet_core.reporting.results_curves import RESULTS_CURVE_NAMES, results_curves, write_curves
from confidnet_core.reporting.sheets import picture_grid_figure

REPORT_CURVE_NAMES = (*RESULTS_CURVE_NAMES, "losses", "validation")
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

    The files are summary.json, comparison.md, index.html, {comparison,differences,calibration,thresholds,costs,shifts,foreign}.csv,
    curves/*.csv and figures/*.png.
    """
    all_stored_results = list_stored_results(params)
    comparison = compare_results(all_stored_results, params.against, params.bootstrap.level)
    shifted_frames = load_shifted_frames(all_stored_results)
    shifted = shifted_tables(shifted_frames, comparison.evaluation_rows, params.against)
    line_styles = assign_report_line_styles(comparison.evaluation_rows, params.against)
    failures_by_benchmark_and_seed = {
        (results.benchmark, results.seed): _pick_report_failures(results, params, comparison.evaluation_rows, line_styles)
        for results in all_stored_results
    }
    curve_frames = _write_curves_and_figures(report_folder, all_stored_results, failures_by_benchmark_and_seed, line_styles)
    comparison.write_frames(report_folder)
    cost_rows = cost_frame(all_stored_results, params)
    for file_stem, rows in (("costs", cost_rows), ("shifts", shifted_frames.shifts), ("foreign", shifted_frames.foreign)):
        write_frame(report_folder / f"{file_stem}.csv", rows)
    iou_by_benchmark = _mean_ious(all_stored_results)
    main_tables = comparison.main_tables({name: method_requirements(params.methods, params.benchmarks.get(name)) for name in params.run})
    benchmark_notes = notes_above_table(main_tables, iou_by_benchmark, left_out_by_benchmark(params.run, params.seeds, params.methods))
    table_groups = [
        *comparison.further_table_groups(),
        cost_tables(cost_rows),
        published_tables(comparison.evaluation_rows, load_published_results(), comparison.intervals_of_means),
    ]
    shifted_group = {benchmark: tables.section() for benchmark, tables in shifted.items()}
    write_text(report_folder / "comparison.md", comparison.markdown(main_tables, benchmark_notes, [shifted_group, *table_groups]))
    report_content = ReportContent(
        comparison,
        main_tables,
        benchmark_notes,
        table_groups,
        shifted_frames.shifts,
        shifted,
        curve_frames,
        failures_by_benchmark_and_seed,
    )
    write_page(report_folder / "index.html", params, all_stored_results, report_content, report_folder / "figures")
    summary_by_benchmark = benchmark_summaries(comparison.evaluation_rows)
    for benchmark, iou_metrics in iou_by_benchmark.items():
        summary_by_benchmark[benchmark]["mean_iou"] = round(100 * iou_metrics["mean_iou"], 2)
    write_json(report_folder / "summary.json", summary_by_benchmark)
    return WrittenReport(comparison.evaluation_rows, summary_by_benchmark, comparison.verdicts)


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
            frame_by_curve, curves_figure = results_curves(stored_results, line_styles)
            save_figure(curves_figure, figures_folder / f"{benchmark}_seed{seed}.png")
            _save_image_figure(stored_results, figures_folder, failures_by_benchmark_and_seed[benchmark, seed], line_styles)
            for curve_name, curve_frame in (*frame_by_curve.items(), *history_rows(benchmark, seed)):
                frames_by_curve[curve_name].append(curve_frame)
    frame_by_curve = {curve_name: pd.concat(curve_frames) for curve_name, curve_frames in frames_by_curve.items()}
    write_curves(report_folder / "curves", frame_by_curve)
    return frame_by_curve


def _save_image_figure(
    stored_results: StoredResults, figures_folder: Path, failures_by_method: Sequence[MethodFailures], line_styles: Mapping[str, LineStyle]
) -> None:
    """Save the figure of test images: confidence maps of a segmentation, else the images on which two scores fail worst."""
    dataset = load_dataset(paths.prepared_data_folder(stored_results.benchmark))
    file_stem = f"{stored_results.benchmark}_seed{stored_results.seed}"
    if dataset.is_segmentation:
        images, labels = dataset.split("test")
        is_labelled = labelled_mask(labels, dataset.void)
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
    for method, style in ((method, style) for method, style in line_styles.items() if method in stored_results.methods):
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
