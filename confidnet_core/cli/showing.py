"""The command `confidnet show`: tables of reports/comparison.csv and differences.csv, from this folder or from DVC experiments.

If the output is no terminal, the table is printed as Markdown of any width, as the stage `compare` writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from confidnet_core.cli.latex import latex
from confidnet_core.cli.revisions import experiment_commits, read_csv_at, resolve_commit
from confidnet_core.cli.side_by_side import StudyResults, side_by_side_table
from confidnet_core.cli.terminal import print_lines, print_table
from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.costs import COST_COLUMNS
from confidnet_core.comparison.differences import methods_by_verdict, verdict_phrase
from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_COLUMNS
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.main_table import errors_line, main_table
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import as_csv, as_frame, as_json, markdown
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

    names: benchmarks and git revisions, by default all benchmarks; metrics: keys of COLUMN_BY_METRIC, by default MAIN_COLUMNS
    sort: the metric that orders the scores; intervals: None shows them if they fit; seeds: by default all
    """

    names: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    sort: str = HEADLINE_METRIC.key
    intervals: bool | None = None
    seeds: tuple[int, ...] = ()
    output_format: str = TERMINAL_FORMAT


def show_comparison(console: Console, reports: Path, options: ShowOptions) -> None:
    """Print the comparison of scores. ValueError for an unknown benchmark, seed, metric or experiment, and for a missing or old file."""
    columns = _select_columns(options)
    frame, revisions, benchmarks = _split_names(reports, options.names)
    if revisions:
        _show_side_by_side(console, reports, revisions, benchmarks, options)
        return
    assert frame is not None
    difference_rows = _read_table(reports / "differences.csv", DIFFERENCE_COLUMNS)
    groups = _group_by_benchmark(frame, benchmarks, options.seeds)
    tables = {
        name: main_table(
            group, _single_seed_intervals(group), None if options.seeds else difference_rows, columns=columns, sort=options.sort
        )
        for name, group in groups.items()
    }
    if options.output_format != TERMINAL_FORMAT:
        print_as_text(console, tables, options, {name: f"{name}: {errors_line(group)}" for name, group in groups.items()})
        return
    for name, table in tables.items():
        _print_heading(console, name, errors_line(groups[name]))
        print_table(console, table, options.intervals)
        if not options.seeds:
            _print_verdicts(
                console, difference_rows[difference_rows["benchmark"] == name], columns if options.metrics else [HEADLINE_METRIC]
            )
    _print_legend(console, list(tables.values()))


def show_costs(
    console: Console, reports: Path, names: Sequence[str], load_timings: Callable[[str], Iterable[StageTiming]], output_format: str
) -> None:
    """Print what each score costs, from reports/costs.csv and the run times that LOAD_TIMINGS returns for a benchmark, as means over seeds.

    ValueError as from `show_comparison`.
    """
    costs = read_costs(reports)
    benchmarks = _require_known("benchmark", names, costs["benchmark"].unique(), reports / "costs.csv")
    tables = {
        name: cost_tables_with_times(rows, load_timings(name), read_reference(reports))
        for name, rows in iterate_groups(costs, "benchmark")
        if name in (benchmarks or [name])
    }
    if output_format != TERMINAL_FORMAT:
        print_as_text(console, {name: scores for name, (scores, _) in tables.items()}, ShowOptions(output_format=output_format), {})
        return
    for name, benchmark_tables in tables.items():
        _print_heading(console, name)
        for table in benchmark_tables:
            if table.rows:
                print_table(console, table)
    _print_legend(console, [scores for scores, _ in tables.values()])


def read_costs(reports: Path) -> pd.DataFrame:
    """Return the table in costs.csv of the folder REPORTS, a `cost_frame`."""
    return _read_table(reports / "costs.csv", COST_COLUMNS)


def read_reference(reports: Path) -> str | None:
    """Return the first score that differences.csv compares others with; None if the file compares none."""
    against = _read_table(reports / "differences.csv", DIFFERENCE_COLUMNS)["against"]
    return None if against.empty else against.iloc[0]


def print_as_text(console: Console, tables: dict[str, Table], options: ShowOptions, captions: dict[str, str]) -> None:
    """Print tables (by benchmark) in the file format that OPTIONS names. captions: benchmark -> text for LaTeX and Markdown"""
    if options.intervals is False:
        tables = {name: table.without_intervals() for name, table in tables.items()}
    if options.output_format == "json":
        text = as_json(tables)
    elif options.output_format == "csv":
        frames = [as_frame(table) for table in tables.values()]
        for name, frame in zip(tables, frames, strict=True):
            frame.insert(0, "benchmark", name)
        text = as_csv(pd.concat(frames))
    elif options.output_format == "latex":
        text = "\n".join(latex(table, name, captions.get(name)) for name, table in tables.items())
    else:
        text = "\n\n".join(f"## {captions.get(name, name)}\n\n{markdown(table, None)}" for name, table in tables.items())
    console.print(text.rstrip("\n"), soft_wrap=True, markup=False)


def _show_side_by_side(console: Console, reports: Path, revisions: dict[str, str], benchmarks: list[str], options: ShowOptions) -> None:
    studies = [
        StudyResults(
            name, _group_by_benchmark(_require_columns(read_csv_at(commit, name, f"{reports}/comparison.csv"), name), [], options.seeds)
        )
        for name, commit in revisions.items()
    ]
    benchmark_names = dict.fromkeys(name for study in studies for name in study.groups)
    chosen = benchmarks or list(benchmark_names)
    metrics = [COLUMN_BY_METRIC[key] for key in options.metrics] or [HEADLINE_METRIC]
    tables_by_name = {name: [side_by_side_table(studies, name, metric, options.sort) for metric in metrics] for name in chosen}
    if options.output_format != TERMINAL_FORMAT:
        table_by_name = {
            (name if len(metrics) == 1 else f"{name} {table.title}"): table for name, tables in tables_by_name.items() for table in tables
        }
        print_as_text(console, table_by_name, options, {})
        return
    for name, tables in tables_by_name.items():
        _print_heading(console, name)
        for table in tables:
            print_lines(console, Text(table.title, style="bold"))
            console.print()
            print_table(console, table, options.intervals)
    _print_legend(console, [table for tables in tables_by_name.values() for table in tables])


def _split_names(reports: Path, names: Sequence[str]) -> tuple[pd.DataFrame | None, dict[str, str], list[str]]:
    """Return this folder's comparison table (None if missing), NAME -> commit of those NAMES that are git revisions, and the benchmarks."""
    path = reports / "comparison.csv"
    frame = _read_table(path, [*EVALUATION_KEYS, *METRICS]) if path.exists() or not names else None
    benchmark_names = [] if frame is None else list(frame["benchmark"].unique())
    revisions, benchmarks = {}, []
    for name in names:
        if name in benchmark_names:
            benchmarks.append(name)
        elif commit := resolve_commit(name):
            revisions[name] = commit
        else:
            raise ValueError(
                f"{path} has no benchmark {name}, and git has no experiment of that name"
                f"{suggestion(name, [*benchmark_names, *experiment_commits()])}"
            )
    return frame, revisions, benchmarks


def _select_columns(options: ShowOptions) -> list[Column]:
    for name in (*options.metrics, options.sort):
        _require_known("metric", [name], COLUMN_BY_METRIC, Path("reports/comparison.csv"))
    return [COLUMN_BY_METRIC[name] for name in options.metrics] or list(MAIN_COLUMNS)


def _group_by_benchmark(frame: pd.DataFrame, benchmarks: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    _require_known("seed", seeds, frame["seed"].unique(), Path("reports/comparison.csv"))
    frame = frame[frame["seed"].isin(seeds)] if seeds else frame
    return {name: group for name, group in iterate_groups(frame, "benchmark") if name in (benchmarks or [name])}


def _single_seed_intervals(group: pd.DataFrame) -> pd.DataFrame | None:
    """Return the columns of interval ends if the results are of a single seed; None for several seeds, whose means have none."""
    interval_columns = [name for name in map(str, group) if name.endswith(("_low", "_high"))]
    return group.set_index(["benchmark", "method"])[interval_columns] if group["seed"].nunique() == 1 else None


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV table ({error}); `dvc repro compare` makes it anew") from None
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"{path} lacks the column {missing[0]}: another version wrote it; `dvc repro compare` makes it anew")
    return frame


def _require_columns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if missing := [column for column in (*EVALUATION_KEYS, *METRICS) if column not in frame]:
        raise ValueError(f"reports/comparison.csv of {name} lacks the column {missing[0]}: another version wrote it")
    return frame


def _require_known(kind: str, chosen_names: Iterable, known_names: Iterable, file: Path) -> list:
    chosen_names, known_names = list(chosen_names), list(known_names)
    for name in chosen_names:
        if name not in known_names:
            raise ValueError(f"{file} has no {kind} {name}{suggestion(name, map(str, known_names))}")
    return chosen_names


def _print_heading(console: Console, name: str, heading_facts: str = "") -> None:
    console.print(Text.assemble((name, "bold"), (f": {heading_facts}" if heading_facts else "", "dim")), soft_wrap=not console.is_terminal)
    console.print()


def _print_verdicts(console: Console, difference_rows: pd.DataFrame, columns: Sequence[Column]) -> None:
    """Print which scores are significantly better or worse: a heading per metric and reference score, then one line per verdict."""
    for indent, line in _verdict_lines(difference_rows, columns):
        print_lines(console, line, indent=indent)
    console.print()


def _verdict_lines(difference_rows: pd.DataFrame, columns: Sequence[Column]) -> Iterator[tuple[int, Text]]:
    for column in columns:
        metric_rows = difference_rows[difference_rows["metric"] == column.key]
        for reference, rows in iterate_groups(metric_rows, "against"):
            yield 0, Text(f"{column.title} against {display_name(reference)}", style="bold")
            for verdict, methods in methods_by_verdict(rows, column.key).items():
                style = "green" if verdict == BETTER else ""
                yield 2, Text.assemble((f"{verdict_phrase(verdict)}: ", style), ", ".join(map(display_name, methods)))


def _print_legend(console: Console, tables: Sequence[Table]) -> None:
    """Print the explanations (legends) of all tables, with each sentence once."""
    sentences = dict.fromkeys(sentence for table in tables for sentence in table.legend)
    console.print(Text(" ".join(sentences), style="dim"), soft_wrap=not console.is_terminal)
