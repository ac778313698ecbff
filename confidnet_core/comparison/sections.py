"""Further tables of a comparison: operating points, calibration, thresholds with a risk guarantee, and mean ranks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import (
    HEADLINE_METRIC,
    MAIN_COLUMNS,
    OPERATING_POINT_COLUMNS,
    mean_over_seeds,
    method_row,
    metric_cell,
)
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json
from confidnet_core.metrics.calibration import CALIBRATION_METRICS

CALIBRATION_COLUMNS = (
    Column("ece", "ECE", False, 100),
    Column("adaptive_ece", "adaptive ECE", False, 100),
    Column("brier", "Brier", False, 100),
    Column("nll", "NLL", False, 100),
)
PROBABILITY_SOURCE_COLUMN = Column("how", "probability", is_text=True)
GUARANTEE_COLUMNS = (
    Column("threshold", "threshold", number_format=".6g"),
    Column("coverage", "coverage", scale=100),
    Column("test_coverage", "test coverage", scale=100),
    Column("test_risk", "test risk", scale=100),
    Column("test_kept", "target met on test"),
)
ACCEPT_ALL_THRESHOLDS = tuple(
    float(np.finfo(kind).min) for kind in (np.float16, np.float32, np.float64)
)  # the lowest finite values of float types, stored as a threshold that accepts every prediction
UNDEFINED_CELL = Cell(np.nan)


def calibration_frame(all_stored_results: Iterable[StoredResults], level: float) -> pd.DataFrame:
    """Return a data frame with the metrics of CALIBRATION and their intervals, one row per benchmark, seed and method, no oracle.

    The column `how` says how the score was converted to a probability. level: confidence level of the intervals, as 0.95
    """
    rows = []
    for stored in all_stored_results:
        for method in stored.compared_methods():
            folder, row_key = stored.thresholds_folder(method), {"benchmark": stored.benchmark, "seed": stored.seed, "method": method}
            calibration = read_json(folder / "calibration.json")
            low_ends, high_ends = np.nanquantile(np.load(folder / "replicates.npy"), [(1 - level) / 2, (1 + level) / 2], axis=0).astype(
                float
            )
            interval_ends = {f"{metric}_low": low_ends[index] for index, metric in enumerate(CALIBRATION_METRICS)}
            interval_ends |= {f"{metric}_high": high_ends[index] for index, metric in enumerate(CALIBRATION_METRICS)}
            rows.append({**row_key, "how": calibration["how"], **calibration["metrics"], **interval_ends})
    return pd.DataFrame(rows)


def guarantee_frame(all_stored_results: Iterable[StoredResults]) -> pd.DataFrame:
    """Return a data frame of the thresholds that guarantee a risk, with their results on the test split.

    It has one row per benchmark, seed, method and target risk, without the oracle.
    """
    rows = []
    for stored in all_stored_results:
        for method in stored.compared_methods():
            for guarantee in read_json(stored.thresholds_folder(method) / "threshold.json")["thresholds"]:
                on_test = {f"test_{key}": value for key, value in guarantee.pop("test").items()}
                rows.append({"benchmark": stored.benchmark, "seed": stored.seed, "method": method, **guarantee, **on_test})
    return pd.DataFrame(rows)


def operating_point_tables(frame: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of OPERATING_POINT_COLUMNS}, with means over seeds.

    frame: from `comparison_frame`; intervals: of the means, from `evaluation.intervals`
    """
    tables = {}
    for benchmark, group in iterate_groups(frame[~frame["oracle"]], "benchmark"):
        rows = (
            method_row(row, (metric_cell(row, column.key) for column in OPERATING_POINT_COLUMNS))
            for row in mean_over_seeds(group, intervals).to_dict("records")
        )
        legend = (
            "Risk@80%: error rate of the 80 % of the predictions with the highest confidence.",
            "Coverage@1%, @5%: the largest fraction of most confident predictions of which at most 1 %, 5 % are errors.",
            "The labels of this very test set decide where to cut, so new data may have more errors. In percent.",
        )
        tables[benchmark] = [Table("Operating points", OPERATING_POINT_COLUMNS, tuple(rows), legend=legend)]
    return tables


def calibration_tables(calibration_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of calibration metrics}, means over seeds, from the data frame of `calibration_frame`."""
    tables = {}
    for benchmark, group in _rows_by_benchmark(calibration_rows):
        methods = group.groupby("method", sort=False)
        means = methods[[name for name in map(str, group) if name.startswith(CALIBRATION_METRICS)]].mean()
        probability_sources = methods["how"].agg(lambda texts: "; ".join(dict.fromkeys(texts)))
        rows = []
        for key, row in means.iterrows():
            method = str(key)
            cells = (metric_cell(row, column.key) for column in CALIBRATION_COLUMNS)
            rows.append(Row(method, display_name(method), (Cell(text=probability_sources[method]), *cells)))
        legend = (
            "How far a score is from the probability that the prediction is correct: expected calibration error (ECE) in 15 bins of equal",
            "width, the same in bins of equal count (adaptive ECE), Brier score, and negative log-likelihood (NLL) in nats; all times 100.",
            "Probability says where it comes from: the score is one as it is; its sigmoid; or isotonic regression, Platt's sigmoid or a",
            "constant, fitted on the validation split. Resampling adds to an ECE: its interval can lie above it.",
            *(["Means over seeds, of the ends of the intervals, too."] if group["seed"].nunique() > 1 else []),
        )
        tables[benchmark] = [Table("Calibration", (PROBABILITY_SOURCE_COLUMN, *CALIBRATION_COLUMNS), tuple(rows), legend=legend)]
    return tables


def guarantee_tables(guarantee_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: its tables of guaranteed thresholds, one per target risk}, with means over seeds; the last table has the legend.

    guarantee_rows: from `guarantee_frame`
    """
    tables = {}
    for benchmark, group in _rows_by_benchmark(guarantee_rows):
        risk_tables = [_target_risk_table(cast("float", risk), rows) for risk, rows in group.groupby("risk")]
        risk_tables[0] = replace(risk_tables[0], title="Thresholds with a guarantee")
        risk_tables[-1] = replace(risk_tables[-1], legend=_guarantee_legend(group))
        tables[benchmark] = risk_tables
    return tables


def rank_table(frame: pd.DataFrame) -> Table | None:
    """Return a table of each method's mean rank over all pairs of benchmark and seed of a `comparison_frame`, where 1 is best.

    The oracle and undefined metrics are left out. Returns None if there is only one pair of benchmark and seed.
    """
    frame = frame[~frame["oracle"]]
    pair_count = frame.groupby(["benchmark", "seed"], sort=False).ngroups
    if pair_count < 2:
        return None
    rank_frame = frame[["method"]].copy()
    for column in MAIN_COLUMNS:
        rank_frame[column.key] = frame.groupby(["benchmark", "seed"])[column.key].rank(ascending=not column.higher_is_better)
    means = rank_frame.groupby("method", sort=False).mean()
    means = means.loc[means[HEADLINE_METRIC.key].sort_values(kind="stable").index]
    legend = [
        f"Mean rank among {len(means)} methods over {pair_count} pairs of benchmark and seed; 1 is best, equal values share a mean rank."
    ]
    if rank_frame.isna().any(axis=None):
        legend.append("Pairs where a metric is undefined are left out of its means.")
    columns = tuple(Column(column.key, column.title) for column in MAIN_COLUMNS)
    rows = (Row(str(method), display_name(str(method)), tuple(Cell(value) for value in row)) for method, row in means.iterrows())
    return Table("Ranks", columns, tuple(rows), legend=tuple(legend))


def _rows_by_benchmark(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Iterate over each benchmark with its rows; over nothing if the frame is empty, which it is if the oracle is the only method."""
    return iterate_groups(frame, "benchmark") if len(frame) else ()


def _guarantee_legend(group: pd.DataFrame) -> tuple[str, ...]:
    unit_count, sample_count, error_count = (
        _range_in_words(group.groupby("seed")[name].first()) for name in ("units", "samples", "errors")
    )
    is_by_image, has_several_seeds = (group["units"] < group["samples"]).any(), group["seed"].nunique() > 1
    size_in_words = f"{unit_count} images with {sample_count} labelled pixels" if is_by_image else f"{unit_count} samples"
    legend = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - group['delta'].iloc[0]:g}, at most the target's fraction of what is accepted is wrong, on new data like",
        f"the calibration split: for each method{', seed' if has_several_seeds else ''} and target alone, not for all of them at once.",
        f"The calibration split has {size_in_words}, of which {error_count} are predicted incorrectly.",
        "Coverage: the fraction of the calibration split that is accepted; test coverage: of the test split;",
        "test risk: the error rate of what is accepted there; in percent. None: no threshold satisfies the guarantee.",
    ]
    if has_several_seeds:
        legend += [
            "Threshold: for how many seeds one satisfies it, as thresholds.csv has them; the numbers beside it are means over these.",
            "Target met on test: for how many of those that accept anything of the test split its risk is within the target.",
        ]
    else:
        legend.append("Target met on test: whether that is within the target. All, as a threshold: everything is accepted.")
    if is_by_image:
        legend.append("In coverage and risk every image weighs the same, whatever its number of labelled pixels.")
    return tuple(legend)


def _target_risk_table(target_risk: float, guarantee_rows: pd.DataFrame) -> Table:
    if guarantee_rows["threshold"].isna().all():
        return Table("", notes=(f"At most {100 * target_risk:g} % errors: no threshold satisfies the guarantee for any method.",))
    rows = (Row(method, display_name(method), _guarantee_cells(seeds)) for method, seeds in iterate_groups(guarantee_rows, "method"))
    return Table("", GUARANTEE_COLUMNS, tuple(rows), notes=(f"At most {100 * target_risk:g} % errors:",))


def _guarantee_cells(guarantee_rows: pd.DataFrame) -> tuple[Cell, ...]:
    """Return the cells of GUARANTEE_COLUMNS for one method and one target risk, means over the rows of its seeds."""
    feasible_rows = guarantee_rows[guarantee_rows["threshold"].notna()]
    if feasible_rows.empty:
        return Cell(text="none"), *[UNDEFINED_CELL] * 4
    numbers = (Cell(feasible_rows[name].astype(float).mean()) for name in ("coverage", "test_coverage", "test_risk"))
    is_target_met = (
        feasible_rows["test_kept"].dropna().astype(bool)
    )  # None where nothing is accepted: such a seed neither meets nor misses the target
    if len(guarantee_rows) > 1:
        met_count_cell = Cell(text=f"{is_target_met.sum()} of {len(is_target_met)}") if len(is_target_met) else UNDEFINED_CELL
        return Cell(text=f"{len(feasible_rows)} of {len(guarantee_rows)}"), *numbers, met_count_cell
    threshold = feasible_rows["threshold"].iloc[0]
    met_cell = UNDEFINED_CELL if is_target_met.empty else Cell(text="yes" if is_target_met.all() else "no")
    return Cell(text="all") if threshold in ACCEPT_ALL_THRESHOLDS else Cell(float(threshold)), *numbers, met_cell


def _range_in_words(values: pd.Series) -> str:
    return f"{values.min():,}" if values.min() == values.max() else f"{values.min():,} to {values.max():,}"
