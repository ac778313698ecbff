"""The verdicts of studies whose bootstrap resamples are not kept, from the values of each seed and the widths of the stored intervals.

python -m docs.study_verdicts

reads   reports/studies/{mnist_convnet,camvid_segnet,quick}/{comparison,differences}.csv, as these studies wrote them with an
        earlier version
writes  reports/studies/{mnist_convnet,camvid_segnet,quick}/{differences.csv, comparison.md}

The stored intervals hold the central 95 % of the resamples; with hundreds of errors their width is 3.92 standard errors. Verdicts and
intervals then follow as evaluation/intervals.py computes them, with one difference: what the test split adds to the scatter of trainings
cannot be taken out of it without resamples, so it counts twice, and the intervals of a method trained anew are too wide rather than too
narrow. A study that is run again has no need of this script.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.comparison import differences as product
from confidnet_core.comparison.frames import write_frame
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.main_table import comparison_markdown, main_table
from confidnet_core.comparison.published import load_published_results, published_tables
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.sections import operating_point_tables, rank_table
from confidnet_core.comparison.uncertainty import (
    UNIT_COLUMNS,
    insufficiency,
    interval_frame,
    question,
    resampled_metrics,
    with_unit_columns,
)
from confidnet_core.evaluation.intervals import ResampledMetrics, UnitCounts
from confidnet_core.files import write_text
from confidnet_core.metrics import METRICS
from docs.study_files import ROOT, read_study

STUDIES = ("mnist_convnet", "camvid_segnet", "quick")
TEST_IMAGES = {"camvid_segnet": 233, "camvid_segnet_quick": 233}  # of segmentations, each with errors and correct predictions
LEVEL, STANDARD_ERRORS_PER_WIDTH = 0.95, 3.919928  # twice the quantile of the normal distribution
# The ends of the stored intervals of differences, which this script keeps beside its own.
STORED_ENDS = ("resamples_low", "resamples_high")


def replicates_as_wide_as(values: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Two replicates (2, metrics) around the values whose standard deviation is the standard error of an interval of resamples."""
    half_distance = (highs - lows) / STANDARD_ERRORS_PER_WIDTH / 2**0.5
    return values + np.stack([-half_distance, half_distance])


def read_evaluations(study: str) -> tuple[pd.DataFrame, dict[tuple[str, int, str], np.ndarray]]:
    """The evaluations with their independent units, and replicates that have the standard errors of the stored intervals."""
    rows = with_unit_columns(read_study(study, "comparison"))
    for benchmark, images in TEST_IMAGES.items():
        rows.loc[rows["benchmark"] == benchmark, list(UNIT_COLUMNS)] = images
    ends = [rows[[f"{metric}_{end}" for metric in METRICS]].to_numpy(float) for end in ("low", "high")]
    replicates = replicates_as_wide_as(rows[list(METRICS)].to_numpy(float), *ends)
    keys = zip(rows["benchmark"], rows["seed"], rows["method"], strict=True)
    return rows, {key: replicates[:, index] for index, key in enumerate(keys)}


def pair_of_trainings(evaluations: pd.DataFrame, method: str, against: str, stored: pd.DataFrame) -> ResampledMetrics:
    """The differences of two methods in each training. stored: the rows of the study's differences.csv of this pair"""
    trainings = evaluations.set_index(["method", "seed"])
    values = (trainings.loc[method] - trainings.loc[against])[list(METRICS)].to_numpy(float)
    ends = stored.set_index("metric").reindex(METRICS)[list(STORED_ENDS)].to_numpy(float).T
    replicates = np.stack([replicates_as_wide_as(training_values, *ends) for training_values in values])
    fewest = trainings.loc[method].sort_values("effective_units").iloc[0]
    counts = UnitCounts(
        int(fewest["samples"]),
        int(fewest["errors"]),
        *(int(fewest[column]) for column in UNIT_COLUMNS[:-1]),
        float(fewest["effective_units"]),
    )
    return ResampledMetrics(values, replicates, counts)


def method_differences(evaluations: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The content of differences.csv as confidnet_core/comparison/differences.py describes it, with STORED_ENDS."""
    frames = []
    for benchmark, rows in iterate_groups(evaluations[~evaluations["oracle"]], "benchmark"):
        asked = question(rows)
        assert insufficiency(rows) is None
        numbers = rows[["method", "seed", "samples", "errors", *UNIT_COLUMNS, *METRICS]]
        for (method, against), pair in stored[stored["benchmark"] == benchmark].groupby(["method", "against"], sort=False):
            differences = pair_of_trainings(numbers, str(method), str(against), pair)
            keys = {"benchmark": benchmark, "method": method, "against": against, "question": asked, "too_little": None}
            frame = product.pair_frame(differences, asked, LEVEL).assign(**keys)
            frames.append(frame.merge(pair[["metric", *STORED_ENDS]], on="metric"))
    return product.with_verdicts(pd.concat(frames, ignore_index=True), LEVEL)[[*product.DIFFERENCE_COLUMNS, *STORED_ENDS]]


def write_study(study: str) -> None:
    folder = ROOT / "reports/studies" / study
    evaluations, replicates = read_evaluations(study)
    stored = read_study(study, "differences")
    if "resamples_low" not in stored:
        stored = stored.rename(columns={"low": "resamples_low", "high": "resamples_high"})
    differences = method_differences(evaluations, stored)
    intervals = interval_frame(resampled_metrics(evaluations, replicates), LEVEL)
    groups = list(iterate_groups(evaluations, "benchmark"))
    tables = {name: main_table(rows, intervals, differences, confidence_level=LEVEL) for name, rows in groups}
    further = [
        product.significance_tables(differences, evaluations, LEVEL),
        operating_point_tables(evaluations, intervals),
        published_tables(evaluations, load_published_results(), intervals),
    ]
    ranks = rank_table(evaluations)
    parts = [comparison_markdown(evaluations, tables, {}, further), *([table_to_markdown(ranks, 2) + "\n"] if ranks else [])]
    write_frame(folder / "differences.csv", differences)
    write_text(folder / "comparison.md", "Written by `python -m docs.study_verdicts`.\n\n" + "\n".join(parts))


if __name__ == "__main__":
    for name in STUDIES:
        write_study(name)
        print(Path("reports/studies") / name)
