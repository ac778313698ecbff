"""The whole comparison of scores, from their results to all tables, as the stage `compare` and the function `judge` report it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.comparison.differences import method_differences, significance_tables
from confidnet_core.comparison.frames import comparison_frame, write_frame
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.main_table import comparison_markdown, main_table
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.results import CountedResults, SampleResults
from confidnet_core.comparison.risk_guarantees import risk_guarantee_frame, risk_guarantee_tables
from confidnet_core.comparison.sections import calibration_frame, calibration_tables, operating_point_tables, rank_table
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.uncertainty import evaluation_interval_frame, insufficiencies, interval_frame, resampled_metrics
from confidnet_core.comparison.units import UNIT_COLUMN
from confidnet_core.comparison.verdicts import BenchmarkVerdict, benchmark_verdicts
from confidnet_core.evaluation.intervals import count_units

AnyResults = SampleResults | CountedResults
TableGroup = Mapping[str, Sequence[Table]]  # {benchmark: tables of one section}


@dataclass(frozen=True)
class Comparison:
    """All scores of all benchmarks and seeds side by side, as data frames; the tables are made of these.

    evaluation_rows: from `comparison_frame`; evaluation_intervals: of each trained network, from `evaluation_interval_frame`
    intervals_of_means: of means over seeds, from `interval_frame`; confidence_level: of all intervals, such as 0.95
    difference_rows: from `method_differences`; calibration_rows, risk_guarantee_rows: empty without validation and calibration data
    """

    evaluation_rows: pd.DataFrame
    evaluation_intervals: pd.DataFrame
    intervals_of_means: pd.DataFrame
    difference_rows: pd.DataFrame
    calibration_rows: pd.DataFrame
    risk_guarantee_rows: pd.DataFrame
    confidence_level: float

    @cached_property
    def verdicts(self) -> dict[str, BenchmarkVerdict]:
        """{benchmark: its verdict in sentences}"""
        return benchmark_verdicts(self.evaluation_rows, self.difference_rows, self.intervals_of_means, self.confidence_level)

    @cached_property
    def rank_table(self) -> Table | None:
        """The table of mean ranks over benchmarks and seeds; None if there is only one."""
        return rank_table(self.evaluation_rows)

    def evaluations_with_intervals(self) -> pd.DataFrame:
        """Return the rows of comparison.csv: the metrics of each trained network, with their intervals."""
        return self.evaluation_rows.join(self.evaluation_intervals, on=["benchmark", "seed", "method"])

    def main_tables(self, requirements_by_benchmark: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Table]:
        """Return {benchmark: its main table}. requirements_by_benchmark: {benchmark: requirement_by_method of `main_table`}"""
        return {
            benchmark: main_table(
                rows,
                self.intervals_of_means,
                self.difference_rows,
                requirement_by_method=None if requirements_by_benchmark is None else requirements_by_benchmark[benchmark],
                confidence_level=self.confidence_level,
            )
            for benchmark, rows in iterate_groups(self.evaluation_rows, "benchmark")
        }

    def further_table_groups(self) -> list[TableGroup]:
        """Return the tables below the main one: differences, operating points, calibration, and thresholds with a guarantee."""
        return [
            significance_tables(self.difference_rows, self.evaluation_rows, self.confidence_level),
            operating_point_tables(self.evaluation_rows, self.intervals_of_means),
            calibration_tables(self.calibration_rows),
            risk_guarantee_tables(self.risk_guarantee_rows),
        ]

    def write_frames(self, folder: Path) -> None:
        """Write comparison.csv and differences.csv, and calibration.csv and thresholds.csv where there is what they hold."""
        write_frame(folder / "comparison.csv", self.evaluations_with_intervals())
        write_frame(folder / "differences.csv", self.difference_rows)
        for file_stem, rows in (("calibration", self.calibration_rows), ("thresholds", self.risk_guarantee_rows)):
            if len(rows):
                write_frame(folder / f"{file_stem}.csv", rows)

    def markdown(
        self, main_tables: Mapping[str, Table], notes_by_benchmark: Mapping[str, Sequence[str]], table_groups: Iterable[TableGroup]
    ) -> str:
        """Return all tables as Markdown text. notes_by_benchmark: {benchmark: lines above its main table}"""
        text = comparison_markdown(self.evaluation_rows, main_tables, notes_by_benchmark, table_groups)
        return "\n".join([text, *([table_to_markdown(self.rank_table, 2) + "\n"] if self.rank_table else [])])


def compare_results(
    all_results: Sequence[AnyResults], reference_methods: Iterable[str], confidence_level: float, unit_name: str | None = None
) -> Comparison:
    """Compare the scores of all benchmarks and seeds.

    reference_methods: scores that all others are compared with, pair by pair; confidence_level: of the intervals, in (0, 1)
    unit_name: what tables call that which errs together, such as "patient"; None for the images of a segmentation
    Raises ValueError as `comparison_frame`.
    """
    evaluation_rows, replicates_by_evaluation = _collect_evaluations(all_results)
    unit_column = {} if unit_name is None else {UNIT_COLUMN: unit_name}
    evaluation_rows = evaluation_rows.assign(**unit_column)
    resampled_by_method = resampled_metrics(evaluation_rows, replicates_by_evaluation)
    return Comparison(
        evaluation_rows=evaluation_rows,
        evaluation_intervals=evaluation_interval_frame(evaluation_rows, replicates_by_evaluation, confidence_level),
        intervals_of_means=interval_frame(resampled_by_method, confidence_level),
        difference_rows=method_differences(evaluation_rows, resampled_by_method, reference_methods, confidence_level),
        calibration_rows=calibration_frame(all_results, confidence_level, insufficiencies(evaluation_rows)),
        risk_guarantee_rows=risk_guarantee_frame(all_results).assign(**unit_column),
        confidence_level=confidence_level,
    )


def _collect_evaluations(
    all_results: Sequence[AnyResults],
) -> tuple[pd.DataFrame, dict[tuple[str, int, str], np.ndarray]]:
    """Return the `comparison_frame` of all evaluations, and {(benchmark, seed, method): bootstrap replicates (resamples, metrics)}."""
    all_evaluations = [results.evaluation(method) for results in all_results for method in results.methods]
    counts_by_training = {
        (results.benchmark, results.seed): results.unit_counts()
        if isinstance(results, CountedResults)
        else count_units(*results.outcomes())
        for results in all_results
    }
    replicates_by_evaluation = {
        (results.benchmark, results.seed, method): results.bootstrap_replicates(method)
        for results in all_results
        for method in results.methods
    }
    return comparison_frame(all_evaluations, counts_by_training), replicates_by_evaluation
