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
from confidnet_core.cli.revisions import commit_by_experiment, read_csv_at_commit, resolve_commit
from confidnet_core.cli.side_by_side import StudyResults, side_by_side_table
from confidnet_core.cli.terminal import print_lines, print_results_table
from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.costs import COST_COLUMNS
from confidnet_core.comparison.differences import methods_by_verdict, verdict_phrase
from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_METRIC_COLUMNS
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.main_table import errors_line, main_table
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import frame_to_csv, table_to_frame, table_to_markdown, tables_to_json
from confidnet_core.comparison.tables import BETTER, Column, Table
from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.result import EVALUATION_KEYS
from confidnet_core.metrics import METRICS
from confidnet_core.tracking.timings import StageTiming

DIFFERENCE_COLUMNS = ["benchmark", "method", "against", "metric", "verdict"]
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
    evaluation_rows, commits, named_benchmarks = _split_benchmarks_and_revisions(reports_folder, options.benchmarks_or_revisions)
    if commits:
        _print_studies(console, reports_folder, commits, named_benchmarks, options)
        return
    assert evaluation_rows is not None
    difference_rows = _read_csv_table(reports_folder / "differences.csv", DIFFERENCE_COLUMNS)
    rows_by_benchmark = _rows_by_benchmark(evaluation_rows, named_benchmarks, options.seeds)
    verdict_rows = None if options.seeds else difference_rows
    table_by_benchmark = {
        name: main_table(rows, _single_seed_intervals(rows), verdict_rows, shown_columns=columns, sort_metric=options.sort_metric)
        for name, rows in rows_by_benchmark.items()
    }
    if options.output_format != TERMINAL_FORMAT:
        caption_by_benchmark = {name: f"{name}: {errors_line(rows)}" for name, rows in rows_by_benchmark.items()}
        print_tables_as_text(console, table_by_benchmark, options, caption_by_benchmark)
        return
    for benchmark, table in table_by_benchmark.items():
        _print_heading(console, benchmark, errors_line(rows_by_benchmark[benchmark]))
        print_results_table(console, table, options.show_intervals)
        if not options.seeds:
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
        score_tables = {benchmark: tables[0] for benchmark, tables in tables_by_benchmark.items()}
        print_tables_as_text(console, score_tables, ShowOptions(output_format=output_format), {})
        return
    for benchmark, benchmark_tables in tables_by_benchmark.items():
        _print_heading(console, benchmark)
        for table in benchmark_tables:
            if table.rows:
                print_results_table(console, table)
    _print_legend(console, [score_table for score_table, _ in tables_by_benchmark.values()])


def read_cost_rows(reports_folder: Path) -> pd.DataFrame:
    """Return the content of costs.csv in the reports folder as a data frame, which `cost_frame` made."""
    return _read_csv_table(reports_folder / "costs.csv", COST_COLUMNS)


def read_reference_method(reports_folder: Path) -> str | None:
    """Return the first score that differences.csv compares others with; None if the file compares none."""
    compared_methods = _read_csv_table(reports_folder / "differences.csv", DIFFERENCE_COLUMNS)["against"]
    return None if compared_methods.empty else compared_methods.iloc[0]


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


def _print_studies(console: Console, reports_folder: Path, commits: dict[str, str], benchmarks: list[str], options: ShowOptions) -> None:
    studies = [
        StudyResults(revision, _rows_by_benchmark(_read_evaluation_rows_at(commit, revision, reports_folder), [], options.seeds))
        for revision, commit in commits.items()
    ]
    benchmark_names = dict.fromkeys(benchmark for study in studies for benchmark in study.rows_by_benchmark)
    metric_columns = [COLUMN_BY_METRIC[metric] for metric in options.metrics] or [HEADLINE_METRIC]
    tables_by_benchmark = {
        benchmark: [side_by_side_table(studies, benchmark, column, options.sort_metric) for column in metric_columns]
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
    evaluation_rows = _read_csv_table(csv_path, [*EVALUATION_KEYS, *METRICS]) if csv_path.exists() or not benchmarks_or_revisions else None
    known_benchmarks = [] if evaluation_rows is None else list(evaluation_rows["benchmark"].unique())
    commits, named_benchmarks = {}, []
    for name in benchmarks_or_revisions:
        if name in known_benchmarks:
            named_benchmarks.append(name)
        elif commit := resolve_commit(name):
            commits[name] = commit
        else:
            hint = suggestion(name, [*known_benchmarks, *commit_by_experiment()])
            raise ValueError(f"{csv_path} has no benchmark {name}, and git has no experiment of that name{hint}")
    return evaluation_rows, commits, named_benchmarks


def _select_metric_columns(options: ShowOptions) -> list[Column]:
    for metric in (*options.metrics, options.sort_metric):
        _require_known_names("metric", [metric], COLUMN_BY_METRIC, Path("reports/comparison.csv"))
    return [COLUMN_BY_METRIC[metric] for metric in options.metrics] or list(MAIN_METRIC_COLUMNS)


def _rows_by_benchmark(evaluation_rows: pd.DataFrame, benchmarks: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    _require_known_names("seed", seeds, evaluation_rows["seed"].unique(), Path("reports/comparison.csv"))
    evaluation_rows = evaluation_rows[evaluation_rows["seed"].isin(seeds)] if seeds else evaluation_rows
    return {name: rows for name, rows in iterate_groups(evaluation_rows, "benchmark") if name in (benchmarks or [name])}


def _single_seed_intervals(benchmark_rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the columns of interval ends if the results are of a single seed; None for several seeds, whose means have none."""
    interval_columns = [column_name for column_name in map(str, benchmark_rows) if column_name.endswith(("_low", "_high"))]
    return benchmark_rows.set_index(["benchmark", "method"])[interval_columns] if benchmark_rows["seed"].nunique() == 1 else None


def _read_csv_table(csv_path: Path, required_columns: list[str]) -> pd.DataFrame:
    try:
        data_frame = pd.read_csv(csv_path)
    except FileNotFoundError:
        raise ValueError(f"{csv_path} does not exist; `dvc repro` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{csv_path} is no CSV table ({error}); `dvc repro compare` makes it anew") from None
    if missing_columns := [column_name for column_name in required_columns if column_name not in data_frame]:
        raise ValueError(f"{csv_path} lacks the column {missing_columns[0]}: another version wrote it; `dvc repro compare` makes it anew")
    return data_frame


def _read_evaluation_rows_at(commit: str, revision_name: str, reports_folder: Path) -> pd.DataFrame:
    evaluation_rows = read_csv_at_commit(commit, revision_name, f"{reports_folder}/comparison.csv")
    if missing_columns := [column_name for column_name in (*EVALUATION_KEYS, *METRICS) if column_name not in evaluation_rows]:
        raise ValueError(f"reports/comparison.csv of {revision_name} lacks the column {missing_columns[0]}: another version wrote it")
    return evaluation_rows


def _require_known_names(item_kind: str, chosen_names: Iterable, known_names: Iterable, source_file: Path) -> None:
    known_names = list(known_names)
    for name in chosen_names:
        if name not in known_names:
            raise ValueError(f"{source_file} has no {item_kind} {name}{suggestion(name, map(str, known_names))}")


def _print_heading(console: Console, benchmark: str, heading_note: str = "") -> None:
    heading_text = Text.assemble((benchmark, "bold"), (f": {heading_note}" if heading_note else "", "dim"))
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
        for reference_method, reference_rows in iterate_groups(metric_rows, "against"):
            yield 0, Text(f"{metric_column.title} against {display_name(reference_method)}", style="bold")
            for verdict, methods in methods_by_verdict(reference_rows, metric_column.key).items():
                verdict_text = (f"{verdict_phrase(verdict)}: ", "green" if verdict == BETTER else "")
                yield 2, Text.assemble(verdict_text, ", ".join(map(display_name, methods)))


def _print_legend(console: Console, tables: Sequence[Table]) -> None:
    """Print the legends of all tables, with each sentence once."""
    sentences = dict.fromkeys(sentence for table in tables for sentence in table.legend)
    console.print(Text(" ".join(sentences), style="dim"), soft_wrap=not console.is_terminal)
