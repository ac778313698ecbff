"""Further tables of a comparison: operating points, calibration, thresholds with a risk guarantee, and mean ranks."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import (
    HEADLINE_METRIC,
    MAIN_METRIC_COLUMNS,
    OPERATING_POINT_COLUMNS,
    mean_over_seeds,
    method_table_row,
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
RISK_GUARANTEE_COLUMNS = (
    Column("threshold", "threshold", number_format=".6g"),
    Column("coverage", "coverage", scale=100),
    Column("test_coverage", "test coverage", scale=100),
    Column("test_risk", "test risk", scale=100),
    Column("test_kept", "target met on test"),
)
# The lowest finite values of float types, stored as a threshold that accepts every prediction.
ACCEPT_ALL_THRESHOLDS = tuple(float(np.finfo(dtype).min) for dtype in (np.float16, np.float32, np.float64))
UNDEFINED_CELL = Cell(np.nan)


def calibration_frame(all_stored_results: Iterable[StoredResults], confidence_level: float) -> pd.DataFrame:
    """Return the metrics CALIBRATION_METRICS with intervals, as a data frame with one row per benchmark, seed and method, without the
    oracle.

    The column `how` says how the score was converted to a probability. confidence_level: of the intervals, such as 0.95
    """
    calibration_rows = []
    for stored_results in all_stored_results:
        for method in stored_results.compared_methods():
            thresholds_folder = stored_results.thresholds_folder(method)
            evaluation_key = {"benchmark": stored_results.benchmark, "seed": stored_results.seed, "method": method}
            calibration = read_json(thresholds_folder / "calibration.json")
            interval_lows, interval_highs = np.nanquantile(
                np.load(thresholds_folder / "replicates.npy"), [(1 - confidence_level) / 2, (1 + confidence_level) / 2], axis=0
            ).astype(float)
            interval_ends = {f"{metric}_low": interval_lows[metric_index] for metric_index, metric in enumerate(CALIBRATION_METRICS)}
            interval_ends |= {f"{metric}_high": interval_highs[metric_index] for metric_index, metric in enumerate(CALIBRATION_METRICS)}
            calibration_rows.append({**evaluation_key, "how": calibration["how"], **calibration["metrics"], **interval_ends})
    return pd.DataFrame(calibration_rows)


def risk_guarantee_frame(all_stored_results: Iterable[StoredResults]) -> pd.DataFrame:
    """Return the thresholds that guarantee a risk, with their results on the test split (columns `test_...`), as a data frame.

    It has one row per benchmark, seed, method and target risk, without the oracle.
    """
    risk_guarantee_rows = []
    for stored_results in all_stored_results:
        for method in stored_results.compared_methods():
            evaluation_key = {"benchmark": stored_results.benchmark, "seed": stored_results.seed, "method": method}
            for guaranteed_threshold in read_json(stored_results.thresholds_folder(method) / "threshold.json")["thresholds"]:
                test_split_results = {f"test_{name}": value for name, value in guaranteed_threshold.pop("test").items()}
                risk_guarantee_rows.append({**evaluation_key, **guaranteed_threshold, **test_split_results})
    return pd.DataFrame(risk_guarantee_rows)


def operating_point_tables(evaluation_rows: pd.DataFrame, intervals_of_means: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of OPERATING_POINT_COLUMNS}, with means over seeds.

    evaluation_rows: from `comparison_frame`; intervals_of_means: of the means, from `evaluation.intervals`
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows[~evaluation_rows["oracle"]], "benchmark"):
        table_rows = (
            method_table_row(method_means, (metric_cell(method_means, column.key) for column in OPERATING_POINT_COLUMNS))
            for method_means in mean_over_seeds(benchmark_rows, intervals_of_means).to_dict("records")
        )
        legend = (
            "Risk@80%: error rate of the 80 % of the predictions with the highest confidence.",
            "Coverage@1%, @5%: the largest fraction of most confident predictions of which at most 1 %, 5 % are errors.",
            "The labels of this very test set decide where to cut, so new data may have more errors. In percent.",
        )
        tables_by_benchmark[benchmark] = [Table("Operating points", OPERATING_POINT_COLUMNS, tuple(table_rows), legend=legend)]
    return tables_by_benchmark


def calibration_tables(calibration_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of calibration metrics}, as means over seeds. calibration_rows: from `calibration_frame`"""
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in _rows_by_benchmark(calibration_rows):
        method_groups = benchmark_rows.groupby("method", sort=False)
        metric_means = method_groups[
            [column_name for column_name in map(str, benchmark_rows) if column_name.startswith(CALIBRATION_METRICS)]
        ].mean()
        probability_source_by_method = method_groups["how"].agg(lambda probability_sources: "; ".join(dict.fromkeys(probability_sources)))
        table_rows = []
        for method_key, method_means in metric_means.iterrows():
            method = str(method_key)
            cells = (metric_cell(method_means, column.key) for column in CALIBRATION_COLUMNS)
            table_rows.append(Row(method, display_name(method), (Cell(text=probability_source_by_method[method]), *cells)))
        legend = (
            "How far a score is from the probability that the prediction is correct: expected calibration error (ECE) in 15 bins of equal",
            "width, the same in bins of equal count (adaptive ECE), Brier score, and negative log-likelihood (NLL) in nats; all times 100.",
            "Probability says where it comes from: the score is one as it is; its sigmoid; or isotonic regression, Platt's sigmoid or a",
            "constant, fitted on the validation split. Resampling adds to an ECE: its interval can lie above it.",
            *(["Means over seeds, of the ends of the intervals, too."] if benchmark_rows["seed"].nunique() > 1 else []),
        )
        tables_by_benchmark[benchmark] = [
            Table("Calibration", (PROBABILITY_SOURCE_COLUMN, *CALIBRATION_COLUMNS), tuple(table_rows), legend=legend)
        ]
    return tables_by_benchmark


def risk_guarantee_tables(risk_guarantee_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: its tables of guaranteed thresholds, one per target risk}, with means over seeds; the last table has the legend.

    risk_guarantee_rows: from `risk_guarantee_frame`
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in _rows_by_benchmark(risk_guarantee_rows):
        target_risk_tables = [
            _target_risk_table(cast("float", target_risk), target_risk_rows)
            for target_risk, target_risk_rows in benchmark_rows.groupby("risk")
        ]
        target_risk_tables[0] = replace(target_risk_tables[0], title="Thresholds with a guarantee")
        target_risk_tables[-1] = replace(target_risk_tables[-1], legend=_risk_guarantee_legend(benchmark_rows))
        tables_by_benchmark[benchmark] = target_risk_tables
    return tables_by_benchmark


def rank_table(evaluation_rows: pd.DataFrame) -> Table | None:
    """Return a table of each method's mean rank over all pairs of benchmark and seed, where 1 is best; None if there is only one pair.

    The oracle and undefined metrics are left out. evaluation_rows: from `comparison_frame`
    """
    evaluation_rows = evaluation_rows[~evaluation_rows["oracle"]]
    benchmark_seed_pair_count = evaluation_rows.groupby(["benchmark", "seed"], sort=False).ngroups
    if benchmark_seed_pair_count < 2:
        return None
    rank_frame = evaluation_rows[["method"]].copy()
    for column in MAIN_METRIC_COLUMNS:
        rank_frame[column.key] = evaluation_rows.groupby(["benchmark", "seed"])[column.key].rank(ascending=not column.higher_is_better)
    mean_ranks = rank_frame.groupby("method", sort=False).mean()
    mean_ranks = mean_ranks.loc[mean_ranks[HEADLINE_METRIC.key].sort_values(kind="stable").index]
    legend_lines = [
        f"Mean rank among {len(mean_ranks)} methods over {benchmark_seed_pair_count} pairs of benchmark and seed; 1 is best, "
        "equal values share a mean rank."
    ]
    if rank_frame.isna().any(axis=None):
        legend_lines.append("Pairs where a metric is undefined are left out of its means.")
    columns = tuple(Column(column.key, column.title) for column in MAIN_METRIC_COLUMNS)
    table_rows = (
        Row(str(method), display_name(str(method)), tuple(Cell(mean_rank) for mean_rank in method_ranks))
        for method, method_ranks in mean_ranks.iterrows()
    )
    return Table("Ranks", columns, tuple(table_rows), legend=tuple(legend_lines))


def _rows_by_benchmark(data_frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Yield (benchmark, its rows of the data frame); nothing if the data frame is empty, as it is if the oracle is the only method."""
    return iterate_groups(data_frame, "benchmark") if len(data_frame) else ()


def _risk_guarantee_legend(benchmark_rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the sentences below the last table of thresholds with a guaranteed risk.

    benchmark_rows: one benchmark's rows of `risk_guarantee_frame`
    """
    unit_count_in_words, sample_count_in_words, error_count_in_words = (
        _count_range_in_words(benchmark_rows.groupby("seed")[count_column].first()) for count_column in ("units", "samples", "errors")
    )
    delta = benchmark_rows["delta"].iloc[0]  # the probability with which the guarantee may fail
    is_segmentation, has_several_seeds = (benchmark_rows["units"] < benchmark_rows["samples"]).any(), benchmark_rows["seed"].nunique() > 1
    calibration_size_in_words = (
        f"{unit_count_in_words} images with {sample_count_in_words} labelled pixels"
        if is_segmentation
        else f"{unit_count_in_words} samples"
    )
    legend_lines = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - delta:g}, at most the target's fraction of what is accepted is wrong, on new data like",
        f"the calibration split: for each method{', seed' if has_several_seeds else ''} and target alone, not for all of them at once.",
        f"The calibration split has {calibration_size_in_words}, of which {error_count_in_words} are predicted incorrectly.",
        "Coverage: the fraction of the calibration split that is accepted; test coverage: of the test split;",
        "test risk: the error rate of what is accepted there; in percent. None: no threshold satisfies the guarantee.",
    ]
    if has_several_seeds:
        legend_lines += [
            "Threshold: for how many seeds one satisfies it, as thresholds.csv has them; the numbers beside it are means over these.",
            "Target met on test: for how many of those that accept anything of the test split its risk is within the target.",
        ]
    else:
        legend_lines.append("Target met on test: whether that is within the target. All, as a threshold: everything is accepted.")
    if is_segmentation:
        legend_lines.append("In coverage and risk every image weighs the same, whatever its number of labelled pixels.")
    return tuple(legend_lines)


def _target_risk_table(target_risk: float, risk_guarantee_rows: pd.DataFrame) -> Table:
    """Return the table of guaranteed thresholds for one target risk in [0, 1], with one row per method."""
    if risk_guarantee_rows["threshold"].isna().all():
        return Table("", notes=(f"At most {100 * target_risk:g} % errors: no threshold satisfies the guarantee for any method.",))
    table_rows = (
        Row(method, display_name(method), _risk_guarantee_cells(method_rows))
        for method, method_rows in iterate_groups(risk_guarantee_rows, "method")
    )
    return Table("", RISK_GUARANTEE_COLUMNS, tuple(table_rows), notes=(f"At most {100 * target_risk:g} % errors:",))


def _risk_guarantee_cells(risk_guarantee_rows: pd.DataFrame) -> tuple[Cell, ...]:
    """Return the cells of RISK_GUARANTEE_COLUMNS for one method and one target risk.

    risk_guarantee_rows: one row per seed, averaged here
    """
    rows_with_threshold = risk_guarantee_rows[risk_guarantee_rows["threshold"].notna()]
    if rows_with_threshold.empty:
        return Cell(text="none"), *[UNDEFINED_CELL] * 4
    mean_cells = (Cell(rows_with_threshold[column_name].astype(float).mean()) for column_name in ("coverage", "test_coverage", "test_risk"))
    # The value is None where nothing is accepted: such a seed neither meets nor misses the target.
    target_met_by_seed = rows_with_threshold["test_kept"].dropna().astype(bool)
    if len(risk_guarantee_rows) > 1:
        target_met_count_cell = (
            Cell(text=f"{target_met_by_seed.sum()} of {len(target_met_by_seed)}") if len(target_met_by_seed) else UNDEFINED_CELL
        )
        return Cell(text=f"{len(rows_with_threshold)} of {len(risk_guarantee_rows)}"), *mean_cells, target_met_count_cell
    threshold = rows_with_threshold["threshold"].iloc[0]
    target_met_cell = UNDEFINED_CELL if target_met_by_seed.empty else Cell(text="yes" if target_met_by_seed.all() else "no")
    return Cell(text="all") if threshold in ACCEPT_ALL_THRESHOLDS else Cell(float(threshold)), *mean_cells, target_met_cell


def _count_range_in_words(counts: pd.Series) -> str:
    """Return counts as text: "900" if all are equal, else the range, such as "850 to 900"."""
    return f"{counts.min():,}" if counts.min() == counts.max() else f"{counts.min():,} to {counts.max():,}"
