"""Tables of thresholds with a guaranteed risk, and whether the test split agrees with the target."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.results import Results
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.comparison.units import unit_words
from confidnet_core.evaluation.stored import COMPATIBLE, EXCEEDED, MET

RISK_GUARANTEE_COLUMNS = (
    Column("threshold", "threshold", number_format=".6g"),
    Column("coverage", "coverage", scale=100),
    Column("test_coverage", "test coverage", scale=100),
    Column("test_risk", "test risk", scale=100),
    Column("test_p", "target on test"),
)
# The lowest finite values of float types, stored as a threshold that accepts every prediction.
ACCEPT_ALL_THRESHOLDS = tuple(float(np.finfo(dtype).min) for dtype in (np.float16, np.float32, np.float64))


def risk_guarantee_frame(all_results: Iterable[Results]) -> pd.DataFrame:
    """Return the thresholds that guarantee a risk, with their results on the test split (columns `test_...`), as a data frame.

    It has one row per benchmark, seed, method and target risk, without the oracle.
    """
    risk_guarantee_rows = []
    for results in all_results:
        for method in results.compared_methods():
            evaluation_key = {"benchmark": results.benchmark, "seed": results.seed, "method": method}
            for guarantee in results.guarantees(method):
                test_split_results = {f"test_{name}": value for name, value in guarantee["test"].items()}
                # The reason is a sentence of the counts that the row has.
                row = {name: value for name, value in guarantee.items() if name not in ("test", "reason")}
                risk_guarantee_rows.append({**evaluation_key, **row, **test_split_results})
    return pd.DataFrame(risk_guarantee_rows)


def risk_guarantee_tables(risk_guarantee_rows: pd.DataFrame) -> dict[str, list[Table]]:
    """Return {benchmark: its tables of guaranteed thresholds, one per target risk}, with means over seeds; the last table has the legend.

    risk_guarantee_rows: from `risk_guarantee_frame`
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(risk_guarantee_rows, "benchmark"):
        target_risk_tables = [
            _target_risk_table(cast("float", target_risk), target_risk_rows)
            for target_risk, target_risk_rows in benchmark_rows.groupby("risk")
        ]
        target_risk_tables[0] = replace(target_risk_tables[0], title="Thresholds with a guarantee")
        target_risk_tables[-1] = replace(target_risk_tables[-1], legend=_risk_guarantee_legend(benchmark_rows))
        tables_by_benchmark[benchmark] = target_risk_tables
    return tables_by_benchmark


def _risk_guarantee_legend(benchmark_rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the sentences below the last table of thresholds with a guaranteed risk.

    benchmark_rows: one benchmark's rows of `risk_guarantee_frame`
    """
    unit_count_in_words, sample_count_in_words, error_count_in_words = (
        _count_range_in_words(benchmark_rows.groupby("seed")[count_column].first()) for count_column in ("units", "samples", "errors")
    )
    delta = benchmark_rows["delta"].iloc[0]  # the probability with which the guarantee may fail
    words, has_several_seeds = unit_words(benchmark_rows), benchmark_rows["seed"].nunique() > 1
    labelled_parts = words.parts and words.parts.replace("pixels", "labelled pixels")
    calibration_size_in_words = f"{unit_count_in_words} {words.units}"
    if labelled_parts:
        calibration_size_in_words += f" with {sample_count_in_words} {labelled_parts}"
    legend_lines = [
        "A prediction is accepted if its confidence is at least the threshold.",
        f"With probability {1 - delta:g}, at most the target's fraction of what is accepted is wrong, on new data like",
        f"the calibration split: for each method{', seed' if has_several_seeds else ''} and target alone, not for all of them at once.",
        f"The calibration split has {calibration_size_in_words}, of which {error_count_in_words} are predicted incorrectly.",
        "Coverage: the fraction of the calibration split that is accepted; test coverage: of the test split;",
        "test risk: the error rate of what is accepted there; in percent. None: no threshold satisfies the guarantee.",
        f"It takes at least {_needed_units_in_words(benchmark_rows)} accepted without an error.",
    ]
    if has_several_seeds:
        legend_lines += [
            "Threshold: for how many seeds one satisfies it, as thresholds.csv has them; the numbers beside it are means over these.",
            "Target on test: for how many seeds the test risk is at most the target (met), above it by what chance explains (compatible),",
            "or above it by more (exceeded).",
        ]
    else:
        legend_lines.append(
            "Target on test: met, or compatible with it where chance explains a higher test risk (p of 0.05 and more), or exceeded; in "
            "brackets the errors among what is accepted."
        )
        legend_lines.append("All, as a threshold: everything is accepted.")
    if labelled_parts:
        legend_lines.append(f"In coverage and risk every {words.unit} weighs the same, whatever its number of {labelled_parts}.")
    return tuple(legend_lines)


def _needed_units_in_words(benchmark_rows: pd.DataFrame) -> str:
    """Return the least numbers of units in words, such as "59 samples for 5 % and 29 for 10 %"."""
    words = unit_words(benchmark_rows)
    least_unit_counts = benchmark_rows.groupby("risk")["min_units"].max()
    parts = [f"{count:,} for {100 * cast('float', target_risk):g} %" for target_risk, count in least_unit_counts.items()]
    first_count, _, rest = parts[0].partition(" ")
    in_words = [f"{first_count} {words.unit if first_count == '1' else words.units} {rest}", *parts[1:]]
    return in_words[0] if len(in_words) == 1 else f"{', '.join(in_words[:-1])} and {in_words[-1]}"


def _target_risk_table(target_risk: float, risk_guarantee_rows: pd.DataFrame) -> Table:
    """Return the table of guaranteed thresholds for one target risk in [0, 1], with one row per method."""
    if risk_guarantee_rows["threshold"].isna().all():
        reason = _reason_without_threshold(risk_guarantee_rows)
        note = f"At most {100 * target_risk:g} % errors: no threshold satisfies the guarantee for any method; {reason}."
        return Table("", notes=(note,))
    table_rows = (
        Row(method, display_name(method), _risk_guarantee_cells(method_rows))
        for method, method_rows in iterate_groups(risk_guarantee_rows, "method")
    )
    return Table("", RISK_GUARANTEE_COLUMNS, tuple(table_rows), notes=(f"At most {100 * target_risk:g} % errors:",))


def _reason_without_threshold(risk_guarantee_rows: pd.DataFrame) -> str:
    """Return why no method has a threshold, from the counts of the rows of one target risk, in a clause."""
    unit_count, min_unit_count = risk_guarantee_rows["units"], risk_guarantee_rows["min_units"].max()
    words = unit_words(risk_guarantee_rows)
    counted = f"the calibration split has {_count_range_in_words(unit_count)} {words.unit if unit_count.max() == 1 else words.units}"
    needed = f"at least {min_unit_count:,} of them accepted without an error are needed"
    if unit_count.max() < min_unit_count:
        return f"{counted}, and {needed}"
    return f"{counted}, and {needed}, or more with few errors, but what each method accepts first does not prove the target"


def _risk_guarantee_cells(risk_guarantee_rows: pd.DataFrame) -> tuple[Cell, ...]:
    """Return the cells of RISK_GUARANTEE_COLUMNS for one method and one target risk.

    risk_guarantee_rows: one row per seed, averaged here
    """
    rows_with_threshold = risk_guarantee_rows[risk_guarantee_rows["threshold"].notna()]
    if rows_with_threshold.empty:
        return Cell(text="none"), *[Cell(np.nan)] * 4
    mean_cells = (Cell(rows_with_threshold[column_name].astype(float).mean()) for column_name in ("coverage", "test_coverage", "test_risk"))
    # There is no verdict where nothing is accepted: such a seed neither meets nor exceeds the target.
    outcomes = list(rows_with_threshold["test_verdict"].dropna())
    if len(risk_guarantee_rows) > 1:
        outcome_texts = (f"{outcomes.count(outcome)} {outcome}" for outcome in (MET, COMPATIBLE, EXCEEDED) if outcome in outcomes)
        outcome_cell = Cell(text=", ".join(outcome_texts)) if outcomes else Cell(np.nan)
        return Cell(text=f"{len(rows_with_threshold)} of {len(risk_guarantee_rows)}"), *mean_cells, outcome_cell
    outcome_cell = Cell(text=_target_on_test_in_words(outcomes[0], rows_with_threshold.iloc[0])) if outcomes else Cell(np.nan)
    threshold = rows_with_threshold["threshold"].iloc[0]
    return Cell(text="all") if threshold in ACCEPT_ALL_THRESHOLDS else Cell(float(threshold)), *mean_cells, outcome_cell


def _target_on_test_in_words(outcome: str, risk_guarantee_row: pd.Series) -> str:
    """Return what the test split says of a target, such as "compatible (34 of 655, p = 0.44)"; the counts are given for samples alone."""
    p_value, is_segmentation = float(risk_guarantee_row["test_p"]), risk_guarantee_row["units"] < risk_guarantee_row["samples"]
    counts = [] if is_segmentation else [f"{int(risk_guarantee_row['test_errors']):,} of {int(risk_guarantee_row['test_accepted']):,}"]
    details = [*counts, *([] if outcome == MET or np.isnan(p_value) else [f"p = {p_value:.2g}"])]
    return f"{outcome} ({', '.join(details)})" if details else outcome


def _count_range_in_words(counts: pd.Series) -> str:
    """Return counts as text: "900" if all are equal, else the range, such as "850 to 900"."""
    return f"{counts.min():,}" if counts.min() == counts.max() else f"{counts.min():,} to {counts.max():,}"
