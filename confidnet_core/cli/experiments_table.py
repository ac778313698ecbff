"""Table of DVC experiments: for a terminal of 80 columns or more, as Markdown, and as CSV.

Each experiment has one table row and, with several benchmarks, one row per benchmark below it. Accuracy and one score are shown at any
width; the least important scores are left out if they do not fit, and a line below the table names them.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from confidnet_core.cli.experiments import (
    ABSENT,
    COMMIT,
    WORKSPACE,
    Experiment,
    KeyPath,
    benchmark_names,
    changed_keys,
    short_names,
    value_at,
    yaml_text,
)
from confidnet_core.cli.experiments_order import (
    ACCURACY_KEY,
    BENCHMARK_RESULT_KEYS,
    EXPERIMENT_FIELDS,
    aupr_error_key,
    changed_scores,
    score_names,
)
from confidnet_core.config.registry import suggestion

UNDEFINED = "–"  # noqa: RUF001
COLUMN_GAP = 2  # spaces between columns, of which rich adds one
NAME_WIDTH, NARROW_NAME_WIDTH, CHANGE_WIDTH, HEADING_WIDTH = 26, 18, 28, 12  # most characters per line of a cell
WIDE_TERMINAL_COLUMNS = 100  # characters per line
STATUS_STYLES = {"failed": "red", "running": "yellow", "queued": "dim", COMMIT: "bold", WORKSPACE: "italic"}
LEGEND = "Accuracy and AUPR-Error in percent, higher is better, with differences to the commit. Bold: best of its column."
ERROR_RATE = "AUPR-Error grows with the error rate: where the accuracy moved, a difference is not the score's alone."


@dataclass(frozen=True)
class TableRow:
    """A row of the table of experiments: an experiment, one of its benchmarks, or both in one."""

    experiment: Experiment
    benchmark: str | None  # None without results, and for an experiment with rows of its benchmarks below it
    is_experiment: bool = True

    @property
    def name(self) -> str:
        if not self.is_experiment:
            return f"    {self.benchmark}"
        return self.experiment.name if self.experiment.status in (COMMIT, WORKSPACE) else f"  {self.experiment.name}"

    @property
    def status(self) -> str:
        return self.experiment.status if self.is_experiment else ""


@dataclass(frozen=True)
class ResultColumn:
    """A column of results in the table of experiments. cells: (value, difference, whether best of its benchmark), "" where unknown"""

    heading: str
    cells: list[tuple[str, str, bool]]

    @property
    def heading_lines(self) -> list[str]:
        return fold_parts([f"{part}_" for part in self.heading.split("_")], HEADING_WIDTH, last_suffix="_")

    @property
    def width(self) -> int:
        return max(*(len(self.text(at)) for at in range(len(self.cells))), *map(len, self.heading_lines))

    def text(self, at: int) -> Text:
        """Return the text of the cell in row number `at`, with value and difference aligned to those of the other rows."""
        value, difference, is_best = self.cells[at]
        value_width, difference_width = max(len(cell[0]) for cell in self.cells), max(len(cell[1]) for cell in self.cells)
        style = "green" if difference.startswith("+") else "red"
        return Text.assemble(
            (f"{value:>{value_width}}", "bold" if is_best else ""),
            (f" {difference:>{difference_width}}" if difference_width else "", style),
        )


def show_experiments(console: Console, experiments: list[Experiment], scores: str | None, output_format: str) -> None:
    """Print a table of experiments as "csv" or "md" (output_format), or for "" to fit the terminal; Markdown if there is no terminal.

    scores: names separated by commas, or "all"; None for those that changed. ValueError for a name that no experiment has.
    """
    known_scores = score_names(experiments)
    chosen_scores = (
        changed_scores(experiments) if scores is None else known_scores if scores == "all" else [name.strip() for name in scores.split(",")]
    )
    if unknown_scores := [name for name in chosen_scores if name not in known_scores]:
        raise ValueError(f"no experiment has the score {unknown_scores[0]}{suggestion(unknown_scores[0], known_scores)}")
    if output_format == "csv":
        print(csv_text(experiments), end="", file=console.file)
    elif output_format == "md" or not console.is_terminal:
        print(markdown(experiments, chosen_scores), file=console.file)
    else:
        print_table(console, experiments, chosen_scores)


def print_table(console: Console, experiments: list[Experiment], scores: list[str]) -> None:
    """Print a table of experiments that fits the terminal: name, status, changes, accuracy, and as many of SCORES as fit, at least one."""
    rows, results = _table_rows(experiments), _result_columns(experiments, scores)
    changes = [_describe_changes(row, short_names(changed_keys(experiments))) for row in rows]
    longest_name = max(len(each) for each in ["experiment", *(row.name for row in rows)])
    name_width = min(longest_name, NAME_WIDTH if console.width >= WIDE_TERMINAL_COLUMNS else NARROW_NAME_WIDTH)
    free_width = console.width - name_width - max(len(each) for each in ["status", *(row.status for row in rows)]) - 2 * COLUMN_GAP
    change_width = min(CHANGE_WIDTH, max(len(text) for texts in [["changed"], *changes] for text in texts))
    shown = results[:2]
    while len(shown) < len(results) and sum(each.width + COLUMN_GAP for each in results[: len(shown) + 1]) + change_width <= free_width:
        shown = results[: len(shown) + 1]
    change_width = max(len("changed"), free_width - sum(each.width + COLUMN_GAP for each in shown))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="bold")
    table.add_column("experiment", width=name_width, overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("changed", max_width=change_width, overflow="fold")
    for column in shown:
        table.add_column(Text("\n".join(column.heading_lines), justify="right"), width=column.width, no_wrap=True)
    for at, row in enumerate(rows):
        style = STATUS_STYLES.get(row.experiment.status, "")
        change = Text("\n".join(fold_parts(changes[at], change_width, ", ")))
        table.add_row(Text(row.name, style), Text(row.status, style), change, *(column.text(at) for column in shown))
    console.print(table)
    for note in _lines_below_table(experiments, [column.heading for column in results[len(shown) :]]):
        console.print(Text(note, "dim"))


def markdown(experiments: list[Experiment], scores: list[str]) -> str:
    """Return a Markdown table of experiments, of any width: name, status, changes, accuracy, and the AUPR-Error of all SCORES."""
    rows, results = _table_rows(experiments), _result_columns(experiments, scores)
    lines = [["experiment", "status", "changed", *(column.heading for column in results)]]
    for at, row in enumerate(rows):
        cells = (column.cells[at] for column in results)
        texts = [f"{f'**{value}**' if is_best else value}{difference and f' ({difference})'}" for value, difference, is_best in cells]
        change = ", ".join(_describe_changes(row, short_names(changed_keys(experiments))))
        lines.append([row.name.replace("    ", "· ").strip(), row.status, f"`{change}`" if change else "", *texts])
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule_cells = [f"{'-' * (width - 1)}{'-' if at < 3 else ':'}" for at, width in enumerate(widths)]
    pad_functions = [str.ljust] * 3 + [str.rjust] * len(results)
    padded_lines = [[fill(cell, width) for fill, cell, width in zip(pad_functions, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded_lines[0], rule_cells, *padded_lines[1:]])


def csv_text(experiments: list[Experiment]) -> str:
    """Return CSV text with a line per experiment and benchmark: all results, their differences, and parameters that some experiment
    changed.
    """
    keys = {"accuracy": ACCURACY_KEY, **BENCHMARK_RESULT_KEYS} | {
        f"aupr_error.{name}": aupr_error_key(name) for name in score_names(experiments)
    }
    with_differences = {name: key for name, key in keys.items() if name != "errors"}
    parameters = changed_keys(experiments)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    differences = [f"{name}_difference" for name in with_differences]
    writer.writerow([*EXPERIMENT_FIELDS, "revision", "benchmark", *keys, "best_score", *differences, *map(".".join, parameters)])
    for each in experiments:
        parameter_values = [value_at(each.params, key) for key in parameters]
        values = ["" if value is ABSENT else yaml_text(value) for value in parameter_values]
        for benchmark in each.results or [""]:
            results = [each.value(benchmark, key) for key in keys.values()]
            difference_values = [each.difference(benchmark, key) for key in with_differences.values()]
            best = value_at(each.results, (benchmark, "best_score"), "")
            experiment_fields = (getattr(each, name) for name in EXPERIMENT_FIELDS)
            writer.writerow([*experiment_fields, each.revision, benchmark, *results, best, *difference_values, *values])
    return text.getvalue()


def fold_parts(parts: Iterable[str], width: int, separator: str = "", last_suffix: str = "") -> list[str]:
    """Return lines of at most WIDTH characters into which PARTS are joined, with SEPARATOR between them; a longer part gets its own line.

    last_suffix: removed from the end of the last line
    """
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(separator) + len(part.removesuffix(last_suffix)) <= width:
            lines[-1] += separator + part
        else:
            lines.append(part)
    return [*lines[:-1], *(line.removesuffix(last_suffix) for line in lines[-1:])]


def _table_rows(experiments: list[Experiment]) -> list[TableRow]:
    if len(benchmark_names(experiments)) < 2:
        return [TableRow(each, next(iter(each.results), None)) for each in experiments]
    return [
        row for each in experiments for row in (TableRow(each, None), *(TableRow(each, name, is_experiment=False) for name in each.results))
    ]


def _result_columns(experiments: list[Experiment], scores: list[str]) -> list[ResultColumn]:
    """Return the columns of results in the table of experiments: accuracy, and the AUPR-Error of these scores."""
    keys = [ACCURACY_KEY, *map(aupr_error_key, scores)]
    return [ResultColumn(key[-1], _column_cells(_table_rows(experiments), key)) for key in keys]


def _column_cells(rows: list[TableRow], key: KeyPath) -> list[tuple[str, str, bool]]:
    values = [None if row.benchmark is None else row.experiment.value(row.benchmark, key) for row in rows]
    values_by_benchmark: dict[str | None, set[float]] = {row.benchmark: set() for row in rows}
    for row, value in zip(rows, values, strict=True):
        values_by_benchmark[row.benchmark].update([] if value is None else [value])
    return [_result_cell(row, key, value, values_by_benchmark[row.benchmark]) for row, value in zip(rows, values, strict=True)]


def _result_cell(row: TableRow, key: KeyPath, value: float | None, column_values: set[float]) -> tuple[str, str, bool]:
    """Return (value, difference, whether best) of one cell as texts. column_values: all values of that benchmark in the column"""
    if row.benchmark is None:
        return "", "", False
    if value is None:
        return UNDEFINED if row.experiment.has(row.benchmark, key) else "", "", False
    difference = row.experiment.difference(row.benchmark, key)
    return f"{value:.2f}", f"{difference:+.2f}" if difference else "", len(column_values) > 1 and value == max(column_values)


def _describe_changes(row: TableRow, names: dict[KeyPath, str]) -> list[str]:
    """Return an experiment's changed parameters as `dvc exp run -S` takes them: name=value, +name=value if new, ~name if removed."""
    if not row.is_experiment:
        return []
    baseline_params = row.experiment.baseline.params if row.experiment.baseline else {}
    added_keys = [key for key in row.experiment.changes if value_at(baseline_params, key) is ABSENT]
    return [
        f"~{names[key]}" if value is ABSENT else f"{'+' * (key in added_keys)}{names[key]}={yaml_text(value)}"
        for key, value in row.experiment.changes.items()
    ]


def _lines_below_table(experiments: list[Experiment], hidden_scores: list[str]) -> list[str]:
    """Return the lines to print below a table of experiments: legend, scores that did not fit, and problems."""
    lines = [LEGEND]
    if any(each.difference(benchmark, ACCURACY_KEY) for each in experiments for benchmark in each.results):
        lines.append(ERROR_RATE)
    if hidden_scores:
        lines.append(f"Not shown at this width: {', '.join(hidden_scores)}. --scores NAME chooses others, --md and --csv show all.")
    lines += [f"{each.name}: {each.problem}" for each in experiments if each.problem]
    if any(each.status == "failed" for each in experiments):
        lines.append("failed: `dvc queue logs NAME` shows why; `dvc queue remove --failed` clears the list.")
    return lines
