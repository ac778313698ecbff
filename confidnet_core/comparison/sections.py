"""Further tables of a comparison: operating points, calibration, and mean ranks."""

from collections.abc import Iterable

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
from confidnet_core.comparison.uncertainty import insufficiencies
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


def rank_table(evaluation_rows: pd.DataFrame) -> Table | None:
    """Return a table of each method's mean rank over all pairs of benchmark and seed, where 1 is best; None if there is only one pair.

    The oracle, undefined metrics and benchmarks with too little data to compare scores are left out.
    evaluation_rows: from `comparison_frame`
    """
    is_left_out = evaluation_rows["oracle"] | evaluation_rows["benchmark"].isin(insufficiencies(evaluation_rows))
    evaluation_rows = evaluation_rows[~is_left_out]
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
