"""Table of DVC experiments: for a terminal of 80 columns or more, as Markdown, and as CSV.

Each experiment has one table row and, with several benchmarks, one row per benchmark below it. Accuracy and one score are shown at any
width; the least important scores are left out if they do not fit, and a line below the table names them.
"""

import csv
import io

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from confidnet_core.cli.experiments import (
    COMMIT_STATUS,
    WORKSPACE_STATUS,
    Experiment,
    changed_key_paths,
    short_param_names,
    value_at_key_path,
    yaml_text,
)
from confidnet_core.cli.experiments_order import (
    ACCURACY_KEY_PATH,
    EXPERIMENT_FIELDS,
    KEY_PATH_BY_RESULT,
    aupr_error_key_path,
    evaluated_methods,
    methods_with_changed_results,
)
from confidnet_core.cli.experiments_rows import build_result_columns, build_table_rows, describe_param_changes, join_into_lines
from confidnet_core.config.registry import suggestion

COLUMN_GAP_SPACES = 2  # spaces between columns, of which rich adds one
MAX_NAME_CHARACTERS, MAX_NAME_CHARACTERS_IF_NARROW, MAX_CHANGE_CHARACTERS = 26, 18, 28  # per line of a cell
WIDE_TERMINAL_CHARACTERS = 100  # characters per line
STATUS_STYLES = {"failed": "red", "running": "yellow", "queued": "dim", COMMIT_STATUS: "bold", WORKSPACE_STATUS: "italic"}
EXPERIMENTS_LEGEND = "Accuracy and AUPR-Error in percent, higher is better, with differences to the commit. Bold: best of its column."
ERROR_RATE_WARNING = "AUPR-Error grows with the error rate: where the accuracy moved, a difference is not the score's alone."


def print_experiments(console: Console, experiments: list[Experiment], scores_option: str | None, output_format: str) -> None:
    """Print a table of experiments as CSV or Markdown (output_format "csv" or "md"), or for "" one that fits the terminal, if there is one.

    scores_option: names separated by commas, or "all"; None for those that changed. ValueError for a name that no experiment has.
    """
    known_methods = evaluated_methods(experiments)
    if scores_option is None:
        chosen_methods = methods_with_changed_results(experiments)
    else:
        chosen_methods = known_methods if scores_option == "all" else [name.strip() for name in scores_option.split(",")]
    if unknown_methods := [method for method in chosen_methods if method not in known_methods]:
        raise ValueError(f"no experiment has the score {unknown_methods[0]}{suggestion(unknown_methods[0], known_methods)}")
    if output_format == "csv":
        print(experiments_to_csv(experiments), end="", file=console.file)
    elif output_format == "md" or not console.is_terminal:
        print(experiments_to_markdown(experiments, chosen_methods), file=console.file)
    else:
        print_experiments_table(console, experiments, chosen_methods)


def print_experiments_table(console: Console, experiments: list[Experiment], methods: list[str]) -> None:
    """Print a table of experiments that fits the terminal: name, status, changes, accuracy, and as many scores as fit, at least one."""
    table_rows, result_columns = build_table_rows(experiments), build_result_columns(experiments, methods)
    change_texts = [describe_param_changes(row, short_param_names(changed_key_paths(experiments))) for row in table_rows]
    longest_name_length = max(map(len, ["experiment", *(row.indented_name for row in table_rows)]))
    name_width = min(
        longest_name_length, MAX_NAME_CHARACTERS if console.width >= WIDE_TERMINAL_CHARACTERS else MAX_NAME_CHARACTERS_IF_NARROW
    )
    free_width = console.width - name_width - max(map(len, ["status", *(row.status_text for row in table_rows)])) - 2 * COLUMN_GAP_SPACES
    changed_column_width = min(MAX_CHANGE_CHARACTERS, max(len(text) for row_texts in [["changed"], *change_texts] for text in row_texts))
    result_column_widths = [column.width_in_characters + COLUMN_GAP_SPACES for column in result_columns]
    shown_columns = result_columns[:2]
    while (
        len(shown_columns) < len(result_columns)
        and sum(result_column_widths[: len(shown_columns) + 1]) + changed_column_width <= free_width
    ):
        shown_columns = result_columns[: len(shown_columns) + 1]
    changed_column_width = max(len("changed"), free_width - sum(result_column_widths[: len(shown_columns)]))
    rich_table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP_SPACES - 1, 0, 0), header_style="bold")
    rich_table.add_column("experiment", width=name_width, overflow="fold")
    rich_table.add_column("status", no_wrap=True)
    rich_table.add_column("changed", max_width=changed_column_width, overflow="fold")
    for column in shown_columns:
        rich_table.add_column(Text("\n".join(column.heading_lines), justify="right"), width=column.width_in_characters, no_wrap=True)
    for row_index, row in enumerate(table_rows):
        style = STATUS_STYLES.get(row.experiment.status, "")
        change_text = Text("\n".join(join_into_lines(change_texts[row_index], changed_column_width, ", ")))
        result_texts = (column.cell_text(row_index) for column in shown_columns)
        rich_table.add_row(Text(row.indented_name, style), Text(row.status_text, style), change_text, *result_texts)
    console.print(rich_table)
    for note_line in _lines_below_table(experiments, [column.heading for column in result_columns[len(shown_columns) :]]):
        console.print(Text(note_line, "dim"))


def experiments_to_markdown(experiments: list[Experiment], methods: list[str]) -> str:
    """Return a Markdown table of experiments, of any width: name, status, changes, accuracy, and the AUPR-Error of all `methods`."""
    table_rows, result_columns = build_table_rows(experiments), build_result_columns(experiments, methods)
    text_rows = [["experiment", "status", "changed", *(column.heading for column in result_columns)]]
    for row_index, row in enumerate(table_rows):
        cells = (column.cells[row_index] for column in result_columns)
        result_texts = [
            f"{f'**{value}**' if is_best else value}{difference and f' ({difference})'}" for value, difference, is_best in cells
        ]
        changed_params_text = ", ".join(describe_param_changes(row, short_param_names(changed_key_paths(experiments))))
        markdown_name = row.indented_name.replace("    ", "· ").strip()
        text_rows.append([markdown_name, row.status_text, f"`{changed_params_text}`" if changed_params_text else "", *result_texts])
    text_rows = [[cell_text.replace("|", "\\|") for cell_text in text_row] for text_row in text_rows]
    column_widths = [max(map(len, column_texts)) for column_texts in zip(*text_rows, strict=True)]
    separator_cells = [f"{'-' * (width - 1)}{'-' if index < 3 else ':'}" for index, width in enumerate(column_widths)]
    pad_functions = [str.ljust] * 3 + [str.rjust] * len(result_columns)
    padded_rows = [[pad(text, width) for pad, text, width in zip(pad_functions, row, column_widths, strict=True)] for row in text_rows]
    return "\n".join(f"| {' | '.join(text_row)} |" for text_row in [padded_rows[0], separator_cells, *padded_rows[1:]])


def experiments_to_csv(experiments: list[Experiment]) -> str:
    """Return CSV text with a line per experiment and benchmark: results, differences to the commit, and all changed parameters."""
    methods, changed_param_paths = evaluated_methods(experiments), changed_key_paths(experiments)
    key_path_by_column = KEY_PATH_BY_RESULT | {f"aupr_error.{method}": aupr_error_key_path(method) for method in methods}
    difference_key_paths = {f"{column}_difference": path for column, path in key_path_by_column.items() if column != "errors"}
    csv_writer = csv.writer(csv_buffer := io.StringIO(), lineterminator="\n")
    result_columns = [*key_path_by_column, "best_score", *difference_key_paths]
    csv_writer.writerow([*EXPERIMENT_FIELDS, "revision", "benchmark", *result_columns, *map(".".join, changed_param_paths)])
    for experiment in experiments:
        param_texts = [yaml_text(value_at_key_path(experiment.params, path, "")) for path in changed_param_paths]
        experiment_fields = [getattr(experiment, field_name) for field_name in EXPERIMENT_FIELDS]
        for benchmark in experiment.results_by_benchmark or [""]:
            results = [experiment.result_value(benchmark, path) for path in key_path_by_column.values()]
            differences = [experiment.difference_from_commit(benchmark, path) for path in difference_key_paths.values()]
            best_method = value_at_key_path(experiment.results_by_benchmark, (benchmark, "best_score"), "")
            csv_writer.writerow([*experiment_fields, experiment.revision, benchmark, *results, best_method, *differences, *param_texts])
    return csv_buffer.getvalue()


def _lines_below_table(experiments: list[Experiment], hidden_methods: list[str]) -> list[str]:
    """Return the lines to print below a table of experiments: legend, scores that did not fit, and problems."""
    note_lines = [EXPERIMENTS_LEGEND]
    if any(
        experiment.difference_from_commit(benchmark, ACCURACY_KEY_PATH)
        for experiment in experiments
        for benchmark in experiment.results_by_benchmark
    ):
        note_lines.append(ERROR_RATE_WARNING)
    if hidden_methods:
        note_lines.append(f"Not shown at this width: {', '.join(hidden_methods)}. --scores NAME chooses others, --md and --csv show all.")
    note_lines += [f"{experiment.name}: {experiment.problem}" for experiment in experiments if experiment.problem]
    if any(experiment.status == "failed" for experiment in experiments):
        note_lines.append("failed: `dvc queue logs NAME` shows why; `dvc queue remove --failed` clears the list.")
    return note_lines
