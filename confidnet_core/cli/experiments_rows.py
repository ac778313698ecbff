"""Rows and columns of the table of DVC experiments, before a renderer prints them: which there are, and what their cells say."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

from confidnet_core.cli.experiments import (
    ABSENT_VALUE,
    COMMIT_STATUS,
    WORKSPACE_STATUS,
    Experiment,
    KeyPath,
    benchmarks_with_results,
    value_at_key_path,
    yaml_text,
)
from confidnet_core.cli.experiments_order import ACCURACY_KEY_PATH, aupr_error_key_path
from confidnet_core.comparison.tables import UNDEFINED_SIGN

MAX_HEADING_CHARACTERS = 12  # per line


@dataclass(frozen=True)
class ExperimentRow:
    """A row of the table of experiments: an experiment, the results of one of its benchmarks, or both in one."""

    experiment: Experiment
    benchmark: str | None  # None without results, and for an experiment with rows of its benchmarks below it
    is_experiment: bool = True

    @property
    def indented_name(self) -> str:
        if not self.is_experiment:
            return f"    {self.benchmark}"
        return self.experiment.name if self.experiment.status in (COMMIT_STATUS, WORKSPACE_STATUS) else f"  {self.experiment.name}"

    @property
    def status_text(self) -> str:
        """Return the status; empty for the workspace, whose name says it, so that 80 columns have room for one more score."""
        return self.experiment.status if self.is_experiment and self.experiment.status != WORKSPACE_STATUS else ""


@dataclass(frozen=True)
class ResultColumn:
    """A column of results in the table of experiments. cells: (value, difference, whether best of its benchmark), "" if unknown"""

    heading: str
    cells: list[tuple[str, str, bool]]

    @property
    def heading_lines(self) -> list[str]:
        return join_into_lines(
            [f"{heading_part}_" for heading_part in self.heading.split("_")], MAX_HEADING_CHARACTERS, last_line_suffix="_"
        )

    @property
    def width_in_characters(self) -> int:
        return max(*(len(self.cell_text(row_index)) for row_index in range(len(self.cells))), *map(len, self.heading_lines))

    def cell_text(self, row_index: int) -> Text:
        """Return the text of one cell, with value and difference aligned to those of the other rows. row_index: from 0"""
        value, difference, is_best = self.cells[row_index]
        value_width, difference_width = max(len(cell[0]) for cell in self.cells), max(len(cell[1]) for cell in self.cells)
        difference_style = "green" if difference.startswith("+") else "red"
        return Text.assemble(
            (f"{value:>{value_width}}", "bold" if is_best else ""),
            (f" {difference:>{difference_width}}" if difference_width else "", difference_style),
        )


def build_table_rows(experiments: list[Experiment]) -> list[ExperimentRow]:
    if len(benchmarks_with_results(experiments)) < 2:
        return [ExperimentRow(experiment, next(iter(experiment.results_by_benchmark), None)) for experiment in experiments]
    benchmark_rows = (
        [ExperimentRow(experiment, name, is_experiment=False) for name in experiment.results_by_benchmark] for experiment in experiments
    )
    return [row for experiment, rows in zip(experiments, benchmark_rows, strict=True) for row in (ExperimentRow(experiment, None), *rows)]


def build_result_columns(experiments: list[Experiment], methods: list[str]) -> list[ResultColumn]:
    """Return the columns of results in the table of experiments: accuracy, and the AUPR-Error of these scores."""
    key_paths = [ACCURACY_KEY_PATH, *map(aupr_error_key_path, methods)]
    return [ResultColumn(key_path[-1], _column_cells(build_table_rows(experiments), key_path)) for key_path in key_paths]


def _column_cells(table_rows: list[ExperimentRow], key_path: KeyPath) -> list[tuple[str, str, bool]]:
    results = [None if row.benchmark is None else row.experiment.result_value(row.benchmark, key_path) for row in table_rows]
    distinct_results_by_benchmark: dict[str | None, set[float]] = {row.benchmark: set() for row in table_rows}
    for row, result in zip(table_rows, results, strict=True):
        distinct_results_by_benchmark[row.benchmark].update([result] if result is not None and _is_ranked(row, key_path) else [])
    return [
        _result_cell(row, key_path, result, distinct_results_by_benchmark[row.benchmark])
        for row, result in zip(table_rows, results, strict=True)
    ]


def _is_ranked(table_row: ExperimentRow, key_path: KeyPath) -> bool:
    """Return whether a result may be the best of its column: not that of a score where the experiment has too few errors for a best one."""
    if key_path == ACCURACY_KEY_PATH or table_row.benchmark is None:
        return True
    return value_at_key_path(table_row.experiment.results_by_benchmark, (table_row.benchmark, "best_score"), "") is not None


def _result_cell(table_row: ExperimentRow, key_path: KeyPath, result: float | None, benchmark_results: set[float]) -> tuple[str, str, bool]:
    """Return (value, difference, whether best) of one cell, the first two as texts. benchmark_results: the benchmark's whole column"""
    if table_row.benchmark is None:
        return "", "", False
    if result is None:
        return UNDEFINED_SIGN if table_row.experiment.has_result(table_row.benchmark, key_path) else "", "", False
    difference = table_row.experiment.difference_from_commit(table_row.benchmark, key_path)
    is_best = _is_ranked(table_row, key_path) and len(benchmark_results) > 1 and result == max(benchmark_results)
    return f"{result:.2f}", f"{difference:+.2f}" if difference else "", is_best


def describe_param_changes(table_row: ExperimentRow, name_by_key_path: dict[KeyPath, str]) -> list[str]:
    """Return an experiment's changed parameters as `dvc exp run -S` takes them: name=value, +name=value if new, ~name if removed."""
    if not table_row.is_experiment:
        return []
    experiment = table_row.experiment
    baseline_commit_params = experiment.baseline_commit.params if experiment.baseline_commit else {}
    added_key_paths = [path for path in experiment.changed_params if value_at_key_path(baseline_commit_params, path) is ABSENT_VALUE]
    return [
        f"~{name_by_key_path[path]}"
        if value is ABSENT_VALUE
        else f"{'+' * (path in added_key_paths)}{name_by_key_path[path]}={yaml_text(value)}"
        for path, value in experiment.changed_params.items()
    ]


def join_into_lines(text_parts: Iterable[str], max_width: int, separator: str = "", last_line_suffix: str = "") -> list[str]:
    """Join text parts, with the separator between them, into lines of at most `max_width` characters; a longer part gets its own line.

    last_line_suffix: a suffix that is removed from the end of the last line
    """
    text_lines: list[str] = []
    for text_part in text_parts:
        if text_lines and len(text_lines[-1]) + len(separator) + len(text_part.removesuffix(last_line_suffix)) <= max_width:
            text_lines[-1] += separator + text_part
        else:
            text_lines.append(text_part)
    return [*text_lines[:-1], *(line.removesuffix(last_line_suffix) for line in text_lines[-1:])]
