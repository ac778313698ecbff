"""Everything evaluated, side by side: the summary for DVC, tables, curves for `dvc plots`, and figures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core import paths
from confidnet_core.comparison.costs import cost_frame, cost_tables, learned
from confidnet_core.comparison.differences import differences, mean_replicates, told_apart
from confidnet_core.comparison.published import beside_published, load_published
from confidnet_core.comparison.sections import as_probabilities, probabilities, promises, ranks, with_guarantee, working_points
from confidnet_core.comparison.table import UNDEFINED, markdown, summary, table
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled, load_dataset
from confidnet_core.evaluation.intervals import intervals
from confidnet_core.evaluation.stored import Place
from confidnet_core.files import replacing, write_json, write_text
from confidnet_core.metrics import risk_coverage_curve, roc_curve
from confidnet_core.reporting.curves import curve_rows, histogram_rows, reliability_rows
from confidnet_core.reporting.failures import failure_rows, shown_methods
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


def places(params: Params) -> list[Place]:
    return [Place(benchmark, seed, tuple(params.methods)) for benchmark in params.run for seed in params.seeds]


def write_report(params: Params, folder: Path) -> pd.DataFrame:
    """summary.json, comparison.md, index.html, {comparison,differences,calibration,thresholds,costs}.csv, curves/*.csv and figures/*.png in
    FOLDER.

    The table of all evaluations.
    """
    everywhere, level = places(params), params.bootstrap.level
    frame = table(place.evaluation(method) for place in everywhere for method in place.methods)
    replicates = {(place.benchmark, place.seed, method): place.replicates(method) for place in everywhere for method in place.methods}
    curves: dict[str, list[pd.DataFrame]] = {name: [] for name in CURVES}
    styles = report_styles(frame, params.against)
    with replacing(folder / "figures") as figures:
        figures.mkdir()
        for place in everywhere:
            for name, rows in (
                *_draw(place, figures, shown_methods(place, params.against, frame), styles),
                *history_rows(place.benchmark, place.seed),
            ):
                curves[name].append(rows)
    drawn = {name: pd.concat(rows) for name, rows in curves.items()}
    with replacing(folder / "curves") as temporary:
        temporary.mkdir()
        for name, rows in drawn.items():
            rows.to_csv(temporary / f"{name}.csv", index=False, float_format="%.6g")
    means = mean_replicates(replicates)
    ends = intervals(means, level, ["benchmark", "method"])
    found = differences(frame, means, params.against, level)
    keys = ["benchmark", "seed", "method"]
    write_text(folder / "comparison.csv", frame.join(intervals(replicates, level, keys), on=keys).to_csv(index=False))
    write_text(folder / "differences.csv", found.to_csv(index=False))
    overlaps = _mean_overlaps(everywhere)
    notes = {name: _overlap_note(overlap) for name, overlap in overlaps.items()}
    calibrated, promised = probabilities(everywhere, level), promises(everywhere)
    write_text(folder / "calibration.csv", calibrated.to_csv(index=False))
    write_text(folder / "thresholds.csv", promised.to_csv(index=False))
    costs = cost_frame(everywhere, params)
    write_text(folder / "costs.csv", costs.to_csv(index=False))
    asked = [working_points(frame, ends), as_probabilities(calibrated), with_guarantee(promised), cost_tables(costs)]
    below = [told_apart(found, frame, level), *asked, beside_published(frame, load_published(), ends)]
    ranked, made = ranks(frame), learned(params.methods)
    write_text(folder / "comparison.md", "\n".join(part for part in (markdown(frame, ends, notes, below, made), ranked) if part))
    findings = Findings(frame, ends, found, notes, below, ranked, drawn, made)
    write_page(folder / "index.html", params, everywhere, findings, folder / "figures")
    content = summary(frame)
    for name, overlap in overlaps.items():
        content[name]["mean_iou"] = round(100 * overlap["mean_iou"], 2)
    write_json(folder / "summary.json", content)
    return frame


def _draw(place: Place, figures: Path, shown: Sequence[str], styles: Mapping[str, Style]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The figures of a benchmark and seed, failures of the methods SHOWN; its rows of each curve but those of the trainings.

    Rows are in the order of the styles: `dvc plots` gives out its colours in that order.
    """
    dataset = load_dataset(paths.prepared(place.benchmark))
    images, labels = dataset.split("test")
    counted = labelled(labels, dataset.void)
    correct = (place.predicted() == labels)[counted]
    risks, rates, outcomes = {}, {}, {}
    for method, style in styles.items():
        confidence, label = place.confidence(method), style.series
        risks[method], outcomes[method] = risk_coverage_curve(confidence, correct), (confidence, correct)
        yield "risk_coverage", curve_rows(place.benchmark, place.seed, label, *risks[method], names=("coverage", "risk"))
        bins = reliability_rows(pd.read_csv(place.operating(method) / "reliability.csv"))
        yield "reliability", bins.assign(benchmark=place.benchmark, seed=place.seed, method=label)[RELIABILITY]
        yield "outcomes", histogram_rows(place.benchmark, place.seed, label, confidence, correct)
        curve = roc_curve(confidence, correct)
        yield "roc", curve_rows(place.benchmark, place.seed, label, *curve, names=("fpr", "tpr"))
        if len(curve[0]):  # empty where every prediction is right, or every one wrong
            rates[method] = curve
    name = f"{place.benchmark}_seed{place.seed}"
    save(comparison_figure(risks, rates, outcomes, styles, place.benchmark), figures / f"{name}.png")
    if dataset.is_segmentation:
        save(_sheet(place, dataset, images, labels, counted, styles), figures / f"{name}_maps.png", width=2400)
    else:
        save(
            picture_sheet(failure_rows(place, dataset, {method: styles[method].label for method in shown})),
            figures / f"{name}_failures.png",
        )


def _sheet(place: Place, dataset: Dataset, images: np.ndarray, labels: np.ndarray, counted: np.ndarray, styles: Mapping[str, Style]):
    shown = np.unique(np.linspace(0, len(images) - 1, SHEET_IMAGES).round().astype(int))
    starts = np.concatenate([[0], np.cumsum(counted.reshape(len(counted), -1).sum(1))])
    maps = {}
    for method, style in styles.items():
        confidence, drawn = place.confidence(method), np.full((len(shown), *labels.shape[1:]), np.nan)
        for row, image in enumerate(shown):
            drawn[row][counted[image]] = confidence[starts[image] : starts[image + 1]]
        maps[style.label] = drawn
    pictures = np.moveaxis(images[shown], 1, -1)
    return segmentation_sheet(pictures, labels[shown], np.asarray(place.predicted()[shown]), maps, dataset.void, dataset.classes)


def _mean_overlaps(everywhere: list[Place]) -> dict[str, dict]:
    """BENCHMARK -> {"mean_iou", "class_iou"}, means over seeds, of the segmentation benchmarks."""
    overlaps = {}
    for name in dict.fromkeys(place.benchmark for place in everywhere):
        found = [place.classifier() for place in everywhere if place.benchmark == name]
        if all(facts.get("mean_iou") is not None for facts in found):
            classes = pd.DataFrame([facts["class_iou"] for facts in found]).astype(float).mean()
            overlaps[name] = {"mean_iou": float(np.mean([facts["mean_iou"] for facts in found])), "class_iou": classes.to_dict()}
    return overlaps


def _overlap_note(overlap: dict) -> str:
    classes = ", ".join(f"{name} {UNDEFINED if np.isnan(value) else f'{100 * value:.1f}'}" for name, value in overlap["class_iou"].items())
    return f"mean IoU {100 * overlap['mean_iou']:.2f}% ({classes})"
