"""The command `confidnet show`: tables of reports/comparison.csv and differences.csv, from this folder or from DVC experiments.

If the output is no terminal, the table is printed as Markdown of any width, as the stage `compare` writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from confidnet_core.cli.latex import table_to_latex
from confidnet_core.cli.result_tables import (
    read_cost_rows,
    read_difference_rows,
    read_evaluation_rows,
    read_evaluation_rows_at_commit,
    read_reference_method,
)
from confidnet_core.cli.revisions import commit_by_experiment, resolve_commit
from confidnet_core.cli.side_by_side import RevisionResults, side_by_side_table
from confidnet_core.cli.terminal import print_lines, print_results_table
from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.differences import methods_by_verdict, verdict_phrase
from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_METRIC_COLUMNS
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.main_table import errors_and_accuracy_phrase, main_table
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import frame_to_csv, table_to_frame, table_to_markdown, tables_to_json
from confidnet_core.comparison.tables import BETTER_VERDICT, Column, Table
from confidnet_core.comparison.uncertainty import insufficiency
from confidnet_core.config.registry import suggestion
from confidnet_core.tracking.timings import StageTiming

TERMINAL_FORMAT = "terminal"  # for reading; the other formats are for files


@dataclass(frozen=True)
class ShowOptions:
    """Options of the command `confidnet show`.

    benchmarks_or_revisions: by default all benchmarks; metrics: keys of COLUMN_BY_METRIC, by default those of MAIN_METRIC_COLUMNS
    sort_metric: the metric that orders the scores; show_intervals: None shows them if they fit; seeds: by default all
    """

    benchmarks_or_revisions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    sort_metric: str = HEADLINE_METRIC.key
    show_intervals: bool | None = None
    seeds: tuple[int, ...] = ()
    output_format: str = TERMINAL_FORMAT


def print_comparison(console: Console, reports_folder: Path, options: ShowOptions) -> None:
    """Print the comparison of scores. Raises ValueError for an unknown benchmark, seed, metric or experiment, or a missing or old file."""
    columns = _select_metric_columns(options)
    evaluation_rows, commit_by_revision, named_benchmarks = _split_benchmarks_and_revisions(reports_folder, options.benchmarks_or_revisions)
    if commit_by_revision:
        _print_side_by_side_tables(console, reports_folder, commit_by_revision, named_benchmarks, options)
        return
    assert evaluation_rows is not None
    difference_rows = read_difference_rows(reports_folder)
    rows_by_benchmark = _rows_by_benchmark(evaluation_rows, named_benchmarks, options.seeds)
    verdict_rows = None if options.seeds else difference_rows
    table_by_benchmark = {
        name: main_table(rows, _single_seed_intervals(rows), verdict_rows, shown_columns=columns, sort_metric=options.sort_metric)
        for name, rows in rows_by_benchmark.items()
    }
    if options.output_format != TERMINAL_FORMAT:
        caption_by_benchmark = {name: f"{name}: {errors_and_accuracy_phrase(rows)}" for name, rows in rows_by_benchmark.items()}
        if options.output_format == "latex":  # the other formats show the notes of a table
            caption_by_benchmark = {
                name: ". ".join([caption, *(note.removesuffix(".") for note in table_by_benchmark[name].notes)])
                for name, caption in caption_by_benchmark.items()
            }
        print_tables_as_text(console, table_by_benchmark, options, caption_by_benchmark)
        return
    for benchmark, table in table_by_benchmark.items():
        _print_heading(console, benchmark, errors_and_accuracy_phrase(rows_by_benchmark[benchmark]))
        print_results_table(console, table, options.show_intervals)
        if not options.seeds and not insufficiency(rows_by_benchmark[benchmark]):
            benchmark_rows = difference_rows[difference_rows["benchmark"] == benchmark]
            _print_verdicts(console, benchmark_rows, columns if options.metrics else [HEADLINE_METRIC])
    _print_legend(console, list(table_by_benchmark.values()))


def print_costs(
    console: Console, reports_folder: Path, benchmarks: Sequence[str], load_timings: Callable[[str], list[StageTiming]], output_format: str
) -> None:
    """Print what each score costs, from costs.csv of the reports folder and run times, which are means over seeds.

    load_timings: returns the run times of a benchmark. Raises ValueError as `print_comparison`.
    """
    cost_rows = read_cost_rows(reports_folder)
    _require_known_names("benchmark", benchmarks, cost_rows["benchmark"].unique(), reports_folder / "costs.csv")
    tables_by_benchmark = {
        benchmark: cost_tables_with_times(benchmark_rows, load_timings(benchmark), read_reference_method(reports_folder))
        for benchmark, benchmark_rows in iterate_groups(cost_rows, "benchmark")
        if not benchmarks or benchmark in benchmarks
    }
    if output_format != TERMINAL_FORMAT:
        score_cost_tables = {benchmark: tables[0] for benchmark, tables in tables_by_benchmark.items()}
        print_tables_as_text(console, score_cost_tables, ShowOptions(output_format=output_format), {})
        return
    for benchmark, benchmark_tables in tables_by_benchmark.items():
        _print_heading(console, benchmark)
        for table in benchmark_tables:
            if table.rows:
                print_results_table(console, table)
    _print_legend(console, [score_cost_table for score_cost_table, _ in tables_by_benchmark.values()])


def print_tables_as_text(console: Console, table_by_name: dict[str, Table], options: ShowOptions, caption_by_name: dict[str, str]) -> None:
    """Print tables in the format options.output_format. caption_by_name: {table name: its caption in LaTeX and Markdown}"""
    if options.show_intervals is False:
        table_by_name = {table_name: table.without_intervals() for table_name, table in table_by_name.items()}
    if options.output_format == "json":
        output_text = tables_to_json(table_by_name)
    elif options.output_format == "csv":
        data_frames = [table_to_frame(table) for table in table_by_name.values()]
        for table_name, data_frame in zip(table_by_name, data_frames, strict=True):
            data_frame.insert(0, "benchmark", table_name)
        output_text = frame_to_csv(pd.concat(data_frames))
    elif options.output_format == "latex":
        output_text = "\n".join(table_to_latex(table, name, caption_by_name.get(name)) for name, table in table_by_name.items())
    else:
        text_by_name = {name: table_to_markdown(table, None) for name, table in table_by_name.items()}
        output_text = "\n\n".join(f"## {caption_by_name.get(name, name)}\n\n{text}" for name, text in text_by_name.items())
    console.print(output_text.rstrip("\n"), soft_wrap=True, markup=False)


def _print_side_by_side_tables(
    console: Console, reports_folder: Path, commit_by_revision: dict[str, str], benchmarks: list[str], options: ShowOptions
) -> None:
    compared_revisions = [
        RevisionResults(revision, _rows_by_benchmark(read_evaluation_rows_at_commit(commit, revision, reports_folder), [], options.seeds))
        for revision, commit in commit_by_revision.items()
    ]
    benchmark_names = dict.fromkeys(benchmark for results in compared_revisions for benchmark in results.rows_by_benchmark)
    metric_columns = [COLUMN_BY_METRIC[metric] for metric in options.metrics] or [HEADLINE_METRIC]
    tables_by_benchmark = {
        benchmark: [side_by_side_table(compared_revisions, benchmark, column, options.sort_metric) for column in metric_columns]
        for benchmark in benchmarks or benchmark_names
    }
    if options.output_format != TERMINAL_FORMAT:
        named_tables = [(name, table) for name, tables in tables_by_benchmark.items() for table in tables]
        table_by_title = {name if len(metric_columns) == 1 else f"{name} {table.title}": table for name, table in named_tables}
        print_tables_as_text(console, table_by_title, options, {})
        return
    for benchmark, tables in tables_by_benchmark.items():
        _print_heading(console, benchmark)
        for table in tables:
            print_lines(console, Text(table.title, style="bold"))
            console.print()
            print_results_table(console, table, options.show_intervals)
    _print_legend(console, [table for tables in tables_by_benchmark.values() for table in tables])


def _split_benchmarks_and_revisions(
    reports_folder: Path, benchmarks_or_revisions: Sequence[str]
) -> tuple[pd.DataFrame | None, dict[str, str], list[str]]:
    """Return (rows of comparison.csv or None without it, {revision: commit} of names that are git revisions, names of benchmarks)."""
    csv_path = reports_folder / "comparison.csv"
    evaluation_rows = read_evaluation_rows(reports_folder) if csv_path.exists() or not benchmarks_or_revisions else None
    known_benchmarks = [] if evaluation_rows is None else list(evaluation_rows["benchmark"].unique())
    commit_by_revision, named_benchmarks = {}, []
    for name in benchmarks_or_revisions:
        if name in known_benchmarks:
            named_benchmarks.append(name)
        elif commit := resolve_commit(name):
            commit_by_revision[name] = commit
        else:
            hint = suggestion(name, [*known_benchmarks, *commit_by_experiment()])
            raise ValueError(f"{csv_path} has no benchmark {name}, and git has no experiment of that name{hint}")
    return evaluation_rows, commit_by_revision, named_benchmarks


def _select_metric_columns(options: ShowOptions) -> list[Column]:
    _require_known_names("metric", (*options.metrics, options.sort_metric), COLUMN_BY_METRIC, Path("reports/comparison.csv"))
    return [COLUMN_BY_METRIC[metric] for metric in options.metrics] or list(MAIN_METRIC_COLUMNS)


def _rows_by_benchmark(evaluation_rows: pd.DataFrame, benchmarks: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    _require_known_names("seed", seeds, evaluation_rows["seed"].unique(), Path("reports/comparison.csv"))
    evaluation_rows = evaluation_rows[evaluation_rows["seed"].isin(seeds)] if seeds else evaluation_rows
    return {name: rows for name, rows in iterate_groups(evaluation_rows, "benchmark") if name in (benchmarks or [name])}


def _single_seed_intervals(benchmark_rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the columns of interval ends if the results are of a single seed; None for several seeds, whose means have none."""
    interval_columns = [column_name for column_name in map(str, benchmark_rows) if column_name.endswith(("_low", "_high"))]
    return benchmark_rows.set_index(["benchmark", "method"])[interval_columns] if benchmark_rows["seed"].nunique() == 1 else None


def _require_known_names(name_kind: str, chosen_names: Iterable, known_names: Iterable, source_file: Path) -> None:
    known_names = list(known_names)
    for name in chosen_names:
        if name not in known_names:
            raise ValueError(f"{source_file} has no {name_kind} {name}{suggestion(name, map(str, known_names))}")


def _print_heading(console: Console, benchmark: str, note_after_benchmark_name: str = "") -> None:
    heading_text = Text.assemble((benchmark, "bold"), (f": {note_after_benchmark_name}" if note_after_benchmark_name else "", "dim"))
    console.print(heading_text, soft_wrap=not console.is_terminal)
    console.print()


def _print_verdicts(console: Console, difference_rows: pd.DataFrame, metric_columns: Sequence[Column]) -> None:
    """Print which scores are significantly better or worse: a heading per metric and reference score, then one line per verdict."""
    for indent_spaces, line in _verdict_lines(difference_rows, metric_columns):
        print_lines(console, line, indent_spaces=indent_spaces)
    console.print()


def _verdict_lines(difference_rows: pd.DataFrame, metric_columns: Sequence[Column]) -> Iterator[tuple[int, Text]]:
    for metric_column in metric_columns:
        metric_rows = difference_rows[difference_rows["metric"] == metric_column.key]
        for reference_method, reference_method_rows in iterate_groups(metric_rows, "against"):
            asked = reference_method_rows["question"].iloc[0]
            yield 0, Text(f"{metric_column.title} against {display_name(reference_method)}, {asked}", style="bold")
            for verdict, methods in methods_by_verdict(reference_method_rows, metric_column.key).items():
                verdict_text = (f"{verdict_phrase(verdict)}: ", "green" if verdict == BETTER_VERDICT else "")
                yield 2, Text.assemble(verdict_text, ", ".join(map(display_name, methods)))


def _print_legend(console: Console, tables: Sequence[Table]) -> None:
    """Print the legends of all tables, with each sentence once."""
    legend_sentences = dict.fromkeys(sentence for table in tables for sentence in table.legend)
    console.print(Text(" ".join(legend_sentences), style="dim"), soft_wrap=not console.is_terminal)
