"""Writer of the report on all evaluations of a study: summary for DVC, tables, curves for `dvc plots`, figures and the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from confidnet_core import paths
from confidnet_core.comparison.costs import cost_frame, cost_tables, method_requirements
from confidnet_core.comparison.differences import differences, mean_replicates, significance_tables
from confidnet_core.comparison.frames import comparison_frame, summary, write_frame
from confidnet_core.comparison.main_table import comparison_markdown, main_table
from confidnet_core.comparison.published import load_published, published_tables
from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.sections import (
    calibration_frame,
    calibration_tables,
    guarantee_frame,
    guarantee_tables,
    operating_point_tables,
    rank_table,
)
from confidnet_core.comparison.tables import UNDEFINED
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled, load_dataset
from confidnet_core.evaluation.intervals import metric_intervals
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import atomic_write, write_json, write_text
from confidnet_core.metrics import risk_coverage_curve, roc_curve
from confidnet_core.reporting.curves import curve_rows, histogram_rows, reliability_rows
from confidnet_core.reporting.failures import Failures, failure_methods, failure_pictures, pick_failures
from confidnet_core.reporting.highlights import report_styles
from confidnet_core.reporting.histories import history_rows
from confidnet_core.reporting.maps import segmentation_sheet
from confidnet_core.reporting.page import ReportContent, write_page
from confidnet_core.reporting.palette import Style
from confidnet_core.reporting.plots import comparison_figure, save_figure
from confidnet_core.reporting.sheets import picture_sheet

CURVE_NAMES = ("risk_coverage", "roc", "outcomes", "reliability", "losses", "validation")
RELIABILITY_COLUMNS = ["benchmark", "seed", "method", "probability", "accuracy", "count"]
IMAGES_PER_SHEET = 4  # of a segmentation benchmark, evenly spaced in the test split


def stored_results(params: Params) -> list[StoredResults]:
    """Return the reader of the stored evaluation results of each benchmark and seed."""
    return [StoredResults(benchmark, seed, tuple(params.methods)) for benchmark in params.run for seed in params.seeds]


class Report(NamedTuple):
    """What later steps use of a written report.

    frame: a `comparison_frame` of all evaluations; summary: the content of summary.json, by benchmark
    """

    frame: pd.DataFrame
    summary: dict[str, Any]


def write_report(params: Params, folder: Path) -> Report:
    """Evaluate the stored results of a study and write the report on them to `folder`; return what later steps use of it.

    Its files are summary.json, comparison.md, index.html, {comparison,differences,calibration,thresholds,costs}.csv, curves/*.csv and
    figures/*.png.
    """
    all_stored_results, level = stored_results(params), params.bootstrap.level
    frame = comparison_frame(stored.evaluation(method) for stored in all_stored_results for method in stored.methods)
    replicates = {
        (stored.benchmark, stored.seed, method): stored.bootstrap_replicates(method)
        for stored in all_stored_results
        for method in stored.methods
    }
    styles = report_styles(frame, params.against)
    failures = {(stored.benchmark, stored.seed): _pick_report_failures(stored, params, frame, styles) for stored in all_stored_results}
    curves = _write_curves_and_figures(folder, all_stored_results, failures, styles)
    means = mean_replicates(replicates)
    mean_intervals = metric_intervals(means, level, ["benchmark", "method"])
    difference_rows = differences(frame, means, params.against, level)
    key_columns = ["benchmark", "seed", "method"]
    write_frame(folder / "comparison.csv", frame.join(metric_intervals(replicates, level, key_columns), on=key_columns))
    write_frame(folder / "differences.csv", difference_rows)
    calibration, guarantees, costs = (
        calibration_frame(all_stored_results, level),
        guarantee_frame(all_stored_results),
        cost_frame(all_stored_results, params),
    )
    for name, rows in (("calibration", calibration), ("thresholds", guarantees), ("costs", costs)):
        write_frame(folder / f"{name}.csv", rows)

    ious, requirements = _mean_ious(all_stored_results), method_requirements(params.methods)
    notes = {name: _iou_note(iou) for name, iou in ious.items()}
    tables = {
        str(name): main_table(group, mean_intervals, difference_rows, requirements=requirements, level=level)
        for name, group in frame.groupby("benchmark", sort=False)
    }
    engineering_tables = [
        operating_point_tables(frame, mean_intervals),
        calibration_tables(calibration),
        guarantee_tables(guarantees),
        cost_tables(costs),
    ]
    further_tables = [
        significance_tables(difference_rows, frame, level),
        *engineering_tables,
        published_tables(frame, load_published(), mean_intervals),
    ]
    ranks = rank_table(frame)
    markdown_parts = [comparison_markdown(frame, tables, notes, further_tables), *([markdown(ranks, 2) + "\n"] if ranks else [])]
    write_text(folder / "comparison.md", "\n".join(markdown_parts))
    report_content = ReportContent(frame, mean_intervals, difference_rows, tables, notes, further_tables, ranks, curves, failures)
    write_page(folder / "index.html", params, all_stored_results, report_content, folder / "figures")
    summary_content = summary(frame)
    for name, iou in ious.items():
        summary_content[name]["mean_iou"] = round(100 * iou["mean_iou"], 2)
    write_json(folder / "summary.json", summary_content)
    return Report(frame, summary_content)


def _pick_report_failures(stored: StoredResults, params: Params, frame: pd.DataFrame, styles: Mapping[str, Style]) -> list[Failures]:
    label_by_method = {method: styles[method].label for method in failure_methods(stored, params.against, frame)}
    return pick_failures(stored, load_dataset(paths.prepared(stored.benchmark)), label_by_method)


def _write_curves_and_figures(
    report_folder: Path,
    all_stored_results: Sequence[StoredResults],
    failures: Mapping[tuple[str, int], Sequence[Failures]],
    styles: Mapping[str, Style],
) -> dict[str, pd.DataFrame]:
    """Write the folders `figures` and `curves` of the report; return {curve name: data frame} for each of CURVE_NAMES."""
    curves: dict[str, list[pd.DataFrame]] = {name: [] for name in CURVE_NAMES}
    with atomic_write(report_folder / "figures") as figures_folder:
        figures_folder.mkdir()
        for stored in all_stored_results:
            drawn_curves = _draw_figures(stored, figures_folder, failures[stored.benchmark, stored.seed], styles)
            for name, rows in (*drawn_curves, *history_rows(stored.benchmark, stored.seed)):
                curves[name].append(rows)
    frames = {name: pd.concat(rows) for name, rows in curves.items()}
    with atomic_write(report_folder / "curves") as temporary:
        temporary.mkdir()
        for name, rows in frames.items():
            write_frame(temporary / f"{name}.csv", rows)
    return frames


def _draw_figures(
    stored: StoredResults, figures_folder: Path, failures: Sequence[Failures], styles: Mapping[str, Style]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Draw the figures of a benchmark and seed, and yield (curve name, data frame) for each curve but those of the trainings.

    Scores are in the order of the styles, because `dvc plots` assigns its colours in that order. failures: shown in a picture sheet
    """
    dataset = load_dataset(paths.prepared(stored.benchmark))
    images, labels = dataset.split("test")
    is_labelled = labelled(labels, dataset.void)
    correct = (stored.predicted() == labels)[is_labelled]
    risk_coverage_curves, roc_curves, outcomes = {}, {}, {}
    for method, style in styles.items():
        confidence, series_name = stored.confidence(method), style.series
        risk_coverage_curves[method], outcomes[method] = risk_coverage_curve(confidence, correct), (confidence, correct)
        yield (
            "risk_coverage",
            curve_rows(stored.benchmark, stored.seed, series_name, *risk_coverage_curves[method], names=("coverage", "risk")),
        )
        bins = reliability_rows(pd.read_csv(stored.thresholds_folder(method) / "reliability.csv"))
        yield "reliability", bins.assign(benchmark=stored.benchmark, seed=stored.seed, method=series_name)[RELIABILITY_COLUMNS]
        yield "outcomes", histogram_rows(stored.benchmark, stored.seed, series_name, confidence, correct)
        roc_points = roc_curve(confidence, correct)
        yield "roc", curve_rows(stored.benchmark, stored.seed, series_name, *roc_points, names=("fpr", "tpr"))
        if len(roc_points[0]):  # the curve is empty if all predictions are correct or all are errors
            roc_curves[method] = roc_points
    file_stem = f"{stored.benchmark}_seed{stored.seed}"
    save_figure(
        comparison_figure(risk_coverage_curves, roc_curves, outcomes, styles, stored.benchmark), figures_folder / f"{file_stem}.png"
    )
    if dataset.is_segmentation:
        save_figure(
            _confidence_sheet(stored, dataset, images, labels, is_labelled, styles), figures_folder / f"{file_stem}_maps.png", width=2400
        )
    else:
        save_figure(picture_sheet(failure_pictures(failures)), figures_folder / f"{file_stem}_failures.png")


def _confidence_sheet(
    stored: StoredResults, dataset: Dataset, images: np.ndarray, labels: np.ndarray, is_labelled: np.ndarray, styles: Mapping[str, Style]
) -> Figure:
    chosen = np.unique(np.linspace(0, len(images) - 1, IMAGES_PER_SHEET).round().astype(int))
    starts = np.concatenate([[0], np.cumsum(is_labelled.reshape(len(is_labelled), -1).sum(1))])
    confidence_maps = {}
    for method, style in styles.items():
        confidence, confidence_map = stored.confidence(method), np.full((len(chosen), *labels.shape[1:]), np.nan)
        for row, image in enumerate(chosen):
            confidence_map[row][is_labelled[image]] = confidence[starts[image] : starts[image + 1]]
        confidence_maps[style.label] = confidence_map
    pictures = np.moveaxis(images[chosen], 1, -1)
    return segmentation_sheet(
        pictures, labels[chosen], np.asarray(stored.predicted()[chosen]), confidence_maps, dataset.void, dataset.classes
    )


def _mean_ious(all_stored_results: list[StoredResults]) -> dict[str, dict]:
    """Return {benchmark: {"mean_iou": ..., "class_iou": ...}} for the segmentation benchmarks, means over seeds."""
    ious = {}
    for name in dict.fromkeys(stored.benchmark for stored in all_stored_results):
        facts_by_seed = [stored.classifier_metrics() for stored in all_stored_results if stored.benchmark == name]
        if all(facts.get("mean_iou") is not None for facts in facts_by_seed):
            classes = pd.DataFrame([facts["class_iou"] for facts in facts_by_seed]).astype(float).mean()
            ious[name] = {"mean_iou": float(np.mean([facts["mean_iou"] for facts in facts_by_seed])), "class_iou": classes.to_dict()}
    return ious


def _iou_note(iou_facts: dict) -> str:
    classes = ", ".join(
        f"{name} {UNDEFINED if np.isnan(value) else f'{100 * value:.1f}'}" for name, value in iou_facts["class_iou"].items()
    )
    return f"mean IoU {100 * iou_facts['mean_iou']:.2f}% ({classes})"
