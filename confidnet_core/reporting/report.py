"""Everything evaluated, side by side: the summary for DVC, tables, curves for `dvc plots`, and figures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from confidnet_core import paths
from confidnet_core.comparison.costs import cost_frame, cost_tables, needs
from confidnet_core.comparison.differences import differences, mean_replicates, significance_tables
from confidnet_core.comparison.frames import comparison_frame, summary, write_frame
from confidnet_core.comparison.main_table import document, main_table
from confidnet_core.comparison.published import beside_published, load_published
from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.sections import (
    calibration_tables,
    guarantee_tables,
    guarantees,
    operating_points,
    probabilities,
    rank_table,
)
from confidnet_core.comparison.tables import UNDEFINED
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled, load_dataset
from confidnet_core.evaluation.intervals import intervals
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import atomic_write, write_json, write_text
from confidnet_core.metrics import risk_coverage_curve, roc_curve
from confidnet_core.reporting.curves import curve_rows, histogram_rows, reliability_rows
from confidnet_core.reporting.failures import Failures, failure_rows, picked_failures, shown_methods
from confidnet_core.reporting.highlights import report_styles
from confidnet_core.reporting.histories import history_rows
from confidnet_core.reporting.maps import segmentation_sheet
from confidnet_core.reporting.page import Findings, write_page
from confidnet_core.reporting.palette import Style
from confidnet_core.reporting.plots import comparison_figure, save
from confidnet_core.reporting.sheets import picture_sheet

CURVES = ("risk_coverage", "roc", "outcomes", "reliability", "losses", "validation")
RELIABILITY = ["benchmark", "seed", "method", "probability", "accuracy", "count"]
SHEET_IMAGES = 4  # of a segmentation benchmark, spread evenly over the test split


def stored_results(params: Params) -> list[StoredResults]:
    return [StoredResults(benchmark, seed, tuple(params.methods)) for benchmark in params.run for seed in params.seeds]


class Report(NamedTuple):
    """frame: the `comparison_frame` of all evaluations; summary: what summary.json holds, by benchmark."""

    frame: pd.DataFrame
    summary: dict[str, Any]


def write_report(params: Params, folder: Path) -> Report:
    """summary.json, comparison.md, index.html, {comparison,differences,calibration,thresholds,costs}.csv, curves/*.csv and figures/*.png in
    FOLDER."""
    all_stored, level = stored_results(params), params.bootstrap.level
    frame = comparison_frame(stored.evaluation(method) for stored in all_stored for method in stored.methods)
    replicates = {(stored.benchmark, stored.seed, method): stored.replicates(method) for stored in all_stored for method in stored.methods}
    styles = report_styles(frame, params.against)
    failures = {(stored.benchmark, stored.seed): _failures(stored, params, frame, styles) for stored in all_stored}
    curves = _write_curves(folder, all_stored, failures, styles)
    means = mean_replicates(replicates)
    ends = intervals(means, level, ["benchmark", "method"])
    compared = differences(frame, means, params.against, level)
    keys = ["benchmark", "seed", "method"]
    write_frame(folder / "comparison.csv", frame.join(intervals(replicates, level, keys), on=keys))
    write_frame(folder / "differences.csv", compared)
    calibrated, guaranteed, costs = probabilities(all_stored, level), guarantees(all_stored), cost_frame(all_stored, params)
    for name, rows in (("calibration", calibrated), ("thresholds", guaranteed), ("costs", costs)):
        write_frame(folder / f"{name}.csv", rows)

    overlaps, words = _mean_overlaps(all_stored), needs(params.methods)
    notes = {name: _overlap_note(overlap) for name, overlap in overlaps.items()}
    tables = {
        str(name): main_table(group, ends, compared, needs=words, level=level) for name, group in frame.groupby("benchmark", sort=False)
    }
    asked = [operating_points(frame, ends), calibration_tables(calibrated), guarantee_tables(guaranteed), cost_tables(costs)]
    below = [significance_tables(compared, frame, level), *asked, beside_published(frame, load_published(), ends)]
    ranks = rank_table(frame)
    text = [document(frame, tables, notes, below), *([markdown(ranks, 2) + "\n"] if ranks else [])]
    write_text(folder / "comparison.md", "\n".join(text))
    findings = Findings(frame, ends, compared, tables, notes, below, ranks, curves, failures)
    write_page(folder / "index.html", params, all_stored, findings, folder / "figures")
    content = summary(frame)
    for name, overlap in overlaps.items():
        content[name]["mean_iou"] = round(100 * overlap["mean_iou"], 2)
    write_json(folder / "summary.json", content)
    return Report(frame, content)


def _failures(stored: StoredResults, params: Params, frame: pd.DataFrame, styles: Mapping[str, Style]) -> list[Failures]:
    labels = {method: styles[method].label for method in shown_methods(stored, params.against, frame)}
    return picked_failures(stored, load_dataset(paths.prepared(stored.benchmark)), labels)


def _write_curves(
    folder: Path,
    all_stored: Sequence[StoredResults],
    failures: Mapping[tuple[str, int], Sequence[Failures]],
    styles: Mapping[str, Style],
) -> dict[str, pd.DataFrame]:
    """FOLDER/figures and FOLDER/curves; NAME -> the rows of each of CURVES."""
    curves: dict[str, list[pd.DataFrame]] = {name: [] for name in CURVES}
    with atomic_write(folder / "figures") as figures:
        figures.mkdir()
        for stored in all_stored:
            drawn = _draw(stored, figures, failures[stored.benchmark, stored.seed], styles)
            for name, rows in (*drawn, *history_rows(stored.benchmark, stored.seed)):
                curves[name].append(rows)
    frames = {name: pd.concat(rows) for name, rows in curves.items()}
    with atomic_write(folder / "curves") as temporary:
        temporary.mkdir()
        for name, rows in frames.items():
            write_frame(temporary / f"{name}.csv", rows)
    return frames


def _draw(
    stored: StoredResults, figures: Path, failures: Sequence[Failures], styles: Mapping[str, Style]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The figures of a benchmark and seed, with its FAILURES; its rows of each curve but those of the trainings.

    Rows are in the order of the styles: `dvc plots` gives out its colours in that order.
    """
    dataset = load_dataset(paths.prepared(stored.benchmark))
    images, labels = dataset.split("test")
    is_labelled = labelled(labels, dataset.void)
    correct = (stored.predicted() == labels)[is_labelled]
    risks, rates, outcomes = {}, {}, {}
    for method, style in styles.items():
        confidence, label = stored.confidence(method), style.series
        risks[method], outcomes[method] = risk_coverage_curve(confidence, correct), (confidence, correct)
        yield "risk_coverage", curve_rows(stored.benchmark, stored.seed, label, *risks[method], names=("coverage", "risk"))
        bins = reliability_rows(pd.read_csv(stored.thresholds_folder(method) / "reliability.csv"))
        yield "reliability", bins.assign(benchmark=stored.benchmark, seed=stored.seed, method=label)[RELIABILITY]
        yield "outcomes", histogram_rows(stored.benchmark, stored.seed, label, confidence, correct)
        curve = roc_curve(confidence, correct)
        yield "roc", curve_rows(stored.benchmark, stored.seed, label, *curve, names=("fpr", "tpr"))
        if len(curve[0]):  # empty where every prediction is correct, or every one wrong
            rates[method] = curve
    name = f"{stored.benchmark}_seed{stored.seed}"
    save(comparison_figure(risks, rates, outcomes, styles, stored.benchmark), figures / f"{name}.png")
    if dataset.is_segmentation:
        save(_sheet(stored, dataset, images, labels, is_labelled, styles), figures / f"{name}_maps.png", width=2400)
    else:
        save(picture_sheet(failure_rows(failures)), figures / f"{name}_failures.png")


def _sheet(
    stored: StoredResults, dataset: Dataset, images: np.ndarray, labels: np.ndarray, is_labelled: np.ndarray, styles: Mapping[str, Style]
) -> Figure:
    chosen = np.unique(np.linspace(0, len(images) - 1, SHEET_IMAGES).round().astype(int))
    starts = np.concatenate([[0], np.cumsum(is_labelled.reshape(len(is_labelled), -1).sum(1))])
    maps = {}
    for method, style in styles.items():
        confidence, drawn = stored.confidence(method), np.full((len(chosen), *labels.shape[1:]), np.nan)
        for row, image in enumerate(chosen):
            drawn[row][is_labelled[image]] = confidence[starts[image] : starts[image + 1]]
        maps[style.label] = drawn
    pictures = np.moveaxis(images[chosen], 1, -1)
    return segmentation_sheet(pictures, labels[chosen], np.asarray(stored.predicted()[chosen]), maps, dataset.void, dataset.classes)


def _mean_overlaps(all_stored: list[StoredResults]) -> dict[str, dict]:
    """BENCHMARK -> {"mean_iou", "class_iou"}, means over seeds, of the segmentation benchmarks."""
    overlaps = {}
    for name in dict.fromkeys(stored.benchmark for stored in all_stored):
        found = [stored.classifier_metrics() for stored in all_stored if stored.benchmark == name]
        if all(facts.get("mean_iou") is not None for facts in found):
            classes = pd.DataFrame([facts["class_iou"] for facts in found]).astype(float).mean()
            overlaps[name] = {"mean_iou": float(np.mean([facts["mean_iou"] for facts in found])), "class_iou": classes.to_dict()}
    return overlaps


def _overlap_note(overlap: dict) -> str:
    classes = ", ".join(f"{name} {UNDEFINED if np.isnan(value) else f'{100 * value:.1f}'}" for name, value in overlap["class_iou"].items())
    return f"mean IoU {100 * overlap['mean_iou']:.2f}% ({classes})"
