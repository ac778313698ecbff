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
GUARANTEE_COLUMNS = (
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
            thresholds_folder, evaluation_key = (
                stored_results.thresholds_folder(method),
                {"benchmark": stored_results.benchmark, "seed": stored_results.seed, "method": method},
            )
            calibration = read_json(thresholds_folder / "calibration.json")
            interval_lows, interval_highs = np.nanquantile(
                np.load(thresholds_folder / "replicates.npy"), [(1 - confidence_level) / 2, (1 + confidence_level) / 2], axis=0
            ).astype(float)
            interval_ends = {f"{metric}_low": interval_lows[metric_index] for metric_index, metric in enumerate(CALIBRATION_METRICS)}
            interval_ends |= {f"{metric}_high": interval_highs[metric_index] for metric_index, metric in enumerate(CALIBRATION_METRICS)}
            calibration_rows.append({**evaluation_key, "how": calibration["how"], **calibration["metrics"], **interval_ends})
    return pd.DataFrame(calibration_rows)


def guarantee_frame(all_stored_results: Iterable[StoredResults]) -> pd.DataFrame:
    """Return the thresholds that guarantee a risk, with their results on the test split (columns `test_...`), as a data frame.

    It has one row per benchmark, seed, method and target risk, without the oracle.
    """
    guarantee_rows = []
    for stored_results in all_stored_results:
        for method in stored_results.compared_methods():
            for guarantee in read_json(stored_results.thresholds_folder(method) / "threshold.json")["thresholds"]:
                test_results = {f"test_{result_name}": result_value for result_name, result_value in guarantee.pop("test").items()}
                guarantee_rows.append(
                    {"benchmark": stored_results.benchmark, "seed": stored_results.seed, "method": method, **guarantee, **test_results}
                )
    return pd.DataFrame(guarantee_rows)


def operating_point_tables(evaluation_rows: pd.DataFrame, mean_intervals: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of OPERATING_POINT_COLUMNS}, with means over seeds.

    evaluation_rows: from `comparison_frame`; mean_intervals: of the means, from `evaluation.intervals`
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows[~evaluation_rows["oracle"]], "benchmark"):
        table_rows = (
            method_table_row(method_means, (metric_cell(method_means, column.key) for column in OPERATING_POINT_COLUMNS))
            for method_means in mean_over_seeds(benchmark_rows, mean_intervals).to_dict("records")
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
        source_by_method = method_groups["how"].agg(lambda source_texts: "; ".join(dict.fromkeys(source_texts)))
        table_rows = []
        for method_key, method_means in metric_means.iterrows():
            method = str(method_key)
            cells = (metric_cell(method_means, column.key) for column in CALIBRATION_COLUMNS)
            table_rows.append(Row(method, display_name(method), (Cell(text=source_by_method[method]), *cells)))
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


def guarantee_tables(guarantee_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: its tables of guaranteed thresholds, one per target risk}, with means over seeds; the last table has the legend.

    guarantee_rows: from `guarantee_frame`
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in _rows_by_benchmark(guarantee_rows):
        risk_tables = [
            _target_risk_table(cast("float", target_risk), risk_rows) for target_risk, risk_rows in benchmark_rows.groupby("risk")
        ]
        risk_tables[0] = replace(risk_tables[0], title="Thresholds with a guarantee")
        risk_tables[-1] = replace(risk_tables[-1], legend=_guarantee_legend(benchmark_rows))
        tables_by_benchmark[benchmark] = risk_tables
    return tables_by_benchmark


def rank_table(evaluation_rows: pd.DataFrame) -> Table | None:
    """Return a table of each method's mean rank over all pairs of benchmark and seed, where 1 is best; None if there is only one pair.

    The oracle and undefined metrics are left out. evaluation_rows: from `comparison_frame`
    """
    evaluation_rows = evaluation_rows[~evaluation_rows["oracle"]]
    benchmark_seed_pairs = evaluation_rows.groupby(["benchmark", "seed"], sort=False).ngroups
    if benchmark_seed_pairs < 2:
        return None
    rank_frame = evaluation_rows[["method"]].copy()
    for column in MAIN_METRIC_COLUMNS:
        rank_frame[column.key] = evaluation_rows.groupby(["benchmark", "seed"])[column.key].rank(ascending=not column.higher_is_better)
    mean_ranks = rank_frame.groupby("method", sort=False).mean()
    mean_ranks = mean_ranks.loc[mean_ranks[HEADLINE_METRIC.key].sort_values(kind="stable").index]
    legend_lines = [
        f"Mean rank among {len(mean_ranks)} methods over {benchmark_seed_pairs} pairs of benchmark and seed; 1 is best, "
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


def _guarantee_legend(benchmark_rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the sentences below the last table of thresholds with a guaranteed risk.

    benchmark_rows: one benchmark's rows of `guarantee_frame`
    """
    units_in_words, samples_in_words, errors_in_words = (
        _range_in_words(benchmark_rows.groupby("seed")[count_column].first()) for count_column in ("units", "samples", "errors")
    )
    delta = benchmark_rows["delta"].iloc[0]  # the probability with which the guarantee may fail
    is_by_image, has_several_seeds = (benchmark_rows["units"] < benchmark_rows["samples"]).any(), benchmark_rows["seed"].nunique() > 1
    size_in_words = f"{units_in_words} images with {samples_in_words} labelled pixels" if is_by_image else f"{units_in_words} samples"
    legend_lines = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - delta:g}, at most the target's fraction of what is accepted is wrong, on new data like",
        f"the calibration split: for each method{', seed' if has_several_seeds else ''} and target alone, not for all of them at once.",
        f"The calibration split has {size_in_words}, of which {errors_in_words} are predicted incorrectly.",
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
    if is_by_image:
        legend_lines.append("In coverage and risk every image weighs the same, whatever its number of labelled pixels.")
    return tuple(legend_lines)


def _target_risk_table(target_risk: float, guarantee_rows: pd.DataFrame) -> Table:
    """Return the table of guaranteed thresholds for one target risk in [0, 1], with one row per method."""
    if guarantee_rows["threshold"].isna().all():
        return Table("", notes=(f"At most {100 * target_risk:g} % errors: no threshold satisfies the guarantee for any method.",))
    table_rows = (
        Row(method, display_name(method), _guarantee_cells(seed_rows)) for method, seed_rows in iterate_groups(guarantee_rows, "method")
    )
    return Table("", GUARANTEE_COLUMNS, tuple(table_rows), notes=(f"At most {100 * target_risk:g} % errors:",))


def _guarantee_cells(guarantee_rows: pd.DataFrame) -> tuple[Cell, ...]:
    """Return the cells of GUARANTEE_COLUMNS for one method and one target risk. guarantee_rows: one row per seed, averaged here"""
    feasible_rows = guarantee_rows[guarantee_rows["threshold"].notna()]
    if feasible_rows.empty:
        return Cell(text="none"), *[UNDEFINED_CELL] * 4
    mean_cells = (Cell(feasible_rows[column_name].astype(float).mean()) for column_name in ("coverage", "test_coverage", "test_risk"))
    target_met_by_seed = (
        feasible_rows["test_kept"].dropna().astype(bool)
    )  # None where nothing is accepted: such a seed neither meets nor misses the target
    if len(guarantee_rows) > 1:
        met_count_cell = (
            Cell(text=f"{target_met_by_seed.sum()} of {len(target_met_by_seed)}") if len(target_met_by_seed) else UNDEFINED_CELL
        )
        return Cell(text=f"{len(feasible_rows)} of {len(guarantee_rows)}"), *mean_cells, met_count_cell
    threshold = feasible_rows["threshold"].iloc[0]
    met_cell = UNDEFINED_CELL if target_met_by_seed.empty else Cell(text="yes" if target_met_by_seed.all() else "no")
    return Cell(text="all") if threshold in ACCEPT_ALL_THRESHOLDS else Cell(float(threshold)), *mean_cells, met_cell


def _range_in_words(counts: pd.Series) -> str:
    """Return counts as text: "900" if all are equal, else the range, such as "850 to 900"."""
    return f"{counts.min():,}" if counts.min() == counts.max() else f"{counts.min():,} to {counts.max():,}"
