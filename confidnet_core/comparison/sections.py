"""Further tables of a comparison: operating points, calibration, and mean ranks."""

from collections.abc import Collection, Iterable

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
from confidnet_core.comparison.results import Results
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table, join_names
from confidnet_core.comparison.uncertainty import insufficiencies
from confidnet_core.metrics.calibration import CALIBRATION_METRICS

CALIBRATION_COLUMNS = (
    Column("ece", "ECE", False, 100),
    Column("adaptive_ece", "adaptive ECE", False, 100),
    Column("brier", "Brier", False, 100),
    Column("nll", "NLL", False, 100),
)
RAW_COLUMNS = (
    Column("raw_ece", "raw ECE", False, 100),
    Column("raw_nll", "raw NLL", False, 100),
)
# A calibration error is a sum of absolute values. Where the calibration is good, the data and all resamples lie above the truth, which
# the interval of the resamples then misses: `python -m benchmarks.probabilities`.
CALIBRATION_METRICS_WITH_INTERVAL = ("brier", "nll")
UNDEFINED_CELL = Cell(np.nan)


def calibration_frame(
    all_results: Iterable[Results], confidence_level: float, benchmarks_without_intervals: Collection[str] = ()
) -> pd.DataFrame:
    """Return the metrics CALIBRATION_METRICS, as a data frame with one row per benchmark, seed and method, without the oracle.

    It is empty where no result has a reliability. The column `how` says how the score was converted to a probability. The columns
    `raw_<metric>` are those of the score's own probability, NaN for a score that is only a ranking. CALIBRATION_METRICS_WITH_INTERVAL
    have the columns `<metric>_low` and `<metric>_high`.
    confidence_level: of the intervals, such as 0.95; benchmarks_without_intervals: those with too little data, whose ends are NaN
    """
    calibration_rows = []
    for results in all_results:
        without_intervals = results.benchmark in benchmarks_without_intervals
        for method in results.compared_methods():
            reliability = results.reliability(method)
            if reliability is None:
                continue
            evaluation_key = {"benchmark": results.benchmark, "seed": results.seed, "method": method}
            interval_lows, interval_highs = np.nanquantile(
                reliability.metric_replicates, [(1 - confidence_level) / 2, (1 + confidence_level) / 2], axis=0
            ).astype(float)
            interval_ends = {
                f"{metric}_{end}": np.nan if without_intervals else end_values[CALIBRATION_METRICS.index(metric)]
                for end, end_values in (("low", interval_lows), ("high", interval_highs))
                for metric in CALIBRATION_METRICS_WITH_INTERVAL
            }
            raw_metrics = reliability.raw_metrics or {}
            raw_columns = {f"raw_{metric}": raw_metrics.get(metric, np.nan) for metric in CALIBRATION_METRICS}
            how = {"how": reliability.calibrator_description}
            calibration_rows.append({**evaluation_key, **how, **reliability.metrics, **interval_ends, **raw_columns})
    return pd.DataFrame(calibration_rows)


def operating_point_tables(evaluation_rows: pd.DataFrame, intervals_of_means: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of OPERATING_POINT_COLUMNS}, with means over seeds.

    evaluation_rows: from `comparison_frame`; intervals_of_means: of the means, from `interval_frame`
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
            "The labels of this very test set decide where to cut, so new data may have more errors. In percent. Coverages at a risk have",
            "no interval: where one more error is accepted, they jump.",
        )
        tables_by_benchmark[benchmark] = [Table("Operating points", OPERATING_POINT_COLUMNS, tuple(table_rows), legend=legend)]
    return tables_by_benchmark


def calibration_tables(calibration_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of calibration metrics}, as means over seeds. calibration_rows: from `calibration_frame`"""
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(calibration_rows, "benchmark"):
        method_groups = benchmark_rows.groupby("method", sort=False)
        metric_means = method_groups[
            [column_name for column_name in map(str, benchmark_rows) if column_name.removeprefix("raw_").startswith(CALIBRATION_METRICS)]
        ].mean()
        table_rows = []
        for method_key, method_means in metric_means.iterrows():
            method = str(method_key)
            cells = (metric_cell(method_means, column.key) for column in (*CALIBRATION_COLUMNS, *RAW_COLUMNS))
            table_rows.append(Row(method, display_name(method), tuple(cells)))
        legend = (
            "How far the probability of a correct prediction is from the outcomes: expected calibration error (ECE) in 15 bins of equal",
            "width, the same in bins of equal count (adaptive ECE), Brier score, and negative log-likelihood (NLL) in nats; all times 100.",
            "Every score becomes a probability by one rule, which keeps its order: a mean of centred isotonic regression and Platt's",
            f"sigmoid of the ranks ({', '.join(dict.fromkeys(benchmark_rows['how']))}).",
            f"Raw: the score as it is, or the sigmoid of log-odds; {UNDEFINED_SIGN} for a score that only ranks.",
            "Chance alone raises an ECE, most where the calibration is good and the samples are few, so it has no interval.",
            *(["Means over seeds, of the ends of the intervals, too."] if benchmark_rows["seed"].nunique() > 1 else []),
        )
        tables_by_benchmark[benchmark] = [Table("Calibration", (*CALIBRATION_COLUMNS, *RAW_COLUMNS), tuple(table_rows), legend=legend)]
    return tables_by_benchmark


def rank_table(evaluation_rows: pd.DataFrame) -> Table | None:
    """Return a table of each method's mean rank over all pairs of benchmark and seed, where 1 is best; None if there is only one pair.

    The oracle, undefined metrics, benchmarks with too little data to compare scores, and methods that some pair lacks are left out.
    evaluation_rows: from `comparison_frame`
    """
    is_left_out = evaluation_rows["oracle"] | evaluation_rows["benchmark"].isin(insufficiencies(evaluation_rows))
    evaluation_rows = evaluation_rows[~is_left_out]
    benchmark_seed_pair_count = evaluation_rows.groupby(["benchmark", "seed"], sort=False).ngroups
    if benchmark_seed_pair_count < 2:
        return None
    pairs_of_method = evaluation_rows.groupby("method", sort=False).size()
    partial_methods = [str(method) for method, pair_count in pairs_of_method.items() if pair_count < benchmark_seed_pair_count]
    evaluation_rows = evaluation_rows[~evaluation_rows["method"].isin(partial_methods)]
    if evaluation_rows.empty:
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
    if partial_methods:
        legend_lines.append(f"Without {join_names(map(display_name, partial_methods))}, which some of the pairs lack.")
    if rank_frame.isna().any(axis=None):
        legend_lines.append("Pairs where a metric is undefined are left out of its means.")
    columns = tuple(Column(column.key, column.title) for column in MAIN_METRIC_COLUMNS)
    table_rows = (
        Row(str(method), display_name(str(method)), tuple(Cell(mean_rank) for mean_rank in method_ranks))
        for method, method_ranks in mean_ranks.iterrows()
    )
    return Table("Ranks", columns, tuple(table_rows), legend=tuple(legend_lines))
