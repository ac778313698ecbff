"""The comparison on a terminal or for a paper: reports/comparison.csv and differences.csv as tables, here or in other experiments.

Where the output is no terminal: the same as Markdown, of any width, as `compare` writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from confidnet_core.cli.latex import latex
from confidnet_core.cli.revisions import experiments, read_at, resolve
from confidnet_core.cli.side_by_side import Study, side_by_side
from confidnet_core.cli.terminal import print_lines, print_table
from confidnet_core.cli.timed_costs import timed_costs
from confidnet_core.comparison.costs import COLUMNS as COST_COLUMNS
from confidnet_core.comparison.differences import by_verdict, sentence_of
from confidnet_core.comparison.frames import BY_METRIC, HEADLINE, SHOWN
from confidnet_core.comparison.lines import groups_of
from confidnet_core.comparison.main_table import errors_line, main_table
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import as_csv, as_frame, as_json, markdown
from confidnet_core.comparison.tables import BETTER, Column, Table
from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.result import EVALUATION_KEYS
from confidnet_core.metrics import METRICS
from confidnet_core.tracking.timings import Timing

PAIR = ["benchmark", "method", "against", "metric", "verdict"]
TERMINAL = "terminal"  # the format for people; the others are for files


@dataclass(frozen=True)
class Choice:
    """What to show. names: benchmarks and revisions; nothing is all benchmarks. metrics: keys of BY_METRIC, by default SHOWN. sort: one of
    them. intervals: None shows them where they fit. seeds: nothing is all."""

    names: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    sort: str = HEADLINE.key
    intervals: bool | None = None
    seeds: tuple[int, ...] = ()
    form: str = TERMINAL


def show(console: Console, reports: Path, choice: Choice) -> None:
    """Print it. ValueError for a benchmark, seed, metric or experiment that is not there, and for a file that is missing or of an older
    version."""
    columns = _columns(choice)
    frame, revisions, benchmarks = _chosen(reports, choice.names)
    if revisions:
        _show_side_by_side(console, reports, revisions, benchmarks, choice)
        return
    assert frame is not None
    compared = _read(reports / "differences.csv", PAIR)
    groups = _groups(frame, benchmarks, choice.seeds)
    tables = {
        name: main_table(group, _intervals(group), None if choice.seeds else compared, columns=columns, sort=choice.sort)
        for name, group in groups.items()
    }
    if choice.form != TERMINAL:
        print_for_files(console, tables, choice, {name: f"{name}: {errors_line(group)}" for name, group in groups.items()})
        return
    for name, table in tables.items():
        _heading(console, name, errors_line(groups[name]))
        print_table(console, table, choice.intervals)
        if not choice.seeds:
            _print_verdicts(console, compared[compared["benchmark"] == name], columns if choice.metrics else [HEADLINE])
    _print_legend(console, list(tables.values()))


def show_costs(console: Console, reports: Path, names: Sequence[str], took: Callable[[str], Iterable[Timing]], form: str) -> None:
    """Print reports/costs.csv with the times that TOOK knows of a benchmark, means over seeds. ValueError as from `show`."""
    costs = costs_of(reports)
    benchmarks = _known("benchmark", names, costs["benchmark"].unique(), reports / "costs.csv")
    tables = {
        name: timed_costs(rows, took(name), reference_of(reports))
        for name, rows in groups_of(costs, "benchmark")
        if name in (benchmarks or [name])
    }
    if form != TERMINAL:
        print_for_files(console, {name: scores for name, (scores, _) in tables.items()}, Choice(form=form), {})
        return
    for name, drawn in tables.items():
        _heading(console, name)
        for table in drawn:
            if table.rows:
                print_table(console, table)
    _print_legend(console, [scores for scores, _ in tables.values()])


def costs_of(reports: Path) -> pd.DataFrame:
    """The `cost_frame` in costs.csv."""
    return _read(reports / "costs.csv", COST_COLUMNS)


def reference_of(reports: Path) -> str | None:
    """The first score that others are compared with; None where none is."""
    against = _read(reports / "differences.csv", PAIR)["against"]
    return None if against.empty else against.iloc[0]


def print_for_files(console: Console, tables: dict[str, Table], choice: Choice, captions: dict[str, str]) -> None:
    """TABLES by benchmark in the format that CHOICE names, for a file. captions: by benchmark, for LaTeX and Markdown."""
    if choice.intervals is False:
        tables = {name: table.without_intervals() for name, table in tables.items()}
    if choice.form == "json":
        text = as_json(tables)
    elif choice.form == "csv":
        frames = [as_frame(table) for table in tables.values()]
        for name, frame in zip(tables, frames, strict=True):
            frame.insert(0, "benchmark", name)
        text = as_csv(pd.concat(frames))
    elif choice.form == "latex":
        text = "\n".join(latex(table, name, captions.get(name)) for name, table in tables.items())
    else:
        text = "\n\n".join(f"## {captions.get(name, name)}\n\n{markdown(table, None)}" for name, table in tables.items())
    console.print(text.rstrip("\n"), soft_wrap=True, markup=False)


def _show_side_by_side(console: Console, reports: Path, revisions: dict[str, str], benchmarks: list[str], choice: Choice) -> None:
    studies = [
        Study(name, _groups(_checked(read_at(commit, name, f"{reports}/comparison.csv"), name), [], choice.seeds))
        for name, commit in revisions.items()
    ]
    own = dict.fromkeys(name for study in studies for name in study.groups)
    chosen = benchmarks or list(own)
    metrics = [BY_METRIC[key] for key in choice.metrics] or [HEADLINE]
    drawn = {name: [side_by_side(studies, name, metric, choice.sort) for metric in metrics] for name in chosen}
    if choice.form != TERMINAL:
        named = {(name if len(metrics) == 1 else f"{name} {table.title}"): table for name, tables in drawn.items() for table in tables}
        print_for_files(console, named, choice, {})
        return
    for name, tables in drawn.items():
        _heading(console, name)
        for table in tables:
            print_lines(console, Text(table.title, style="bold"))
            console.print()
            print_table(console, table, choice.intervals)
    _print_legend(console, [table for tables in drawn.values() for table in tables])


def _chosen(reports: Path, names: Sequence[str]) -> tuple[pd.DataFrame | None, dict[str, str], list[str]]:
    """The frame of this folder, and which of NAMES are revisions, NAME -> commit, and which benchmarks."""
    path = reports / "comparison.csv"
    frame = _read(path, [*EVALUATION_KEYS, *METRICS]) if path.exists() or not names else None
    here = [] if frame is None else list(frame["benchmark"].unique())
    revisions, benchmarks = {}, []
    for name in names:
        if name in here:
            benchmarks.append(name)
        elif commit := resolve(name):
            revisions[name] = commit
        else:
            raise ValueError(
                f"{path} has no benchmark {name}, and git has no experiment of that name{suggestion(name, [*here, *experiments()])}"
            )
    return frame, revisions, benchmarks


def _columns(choice: Choice) -> list[Column]:
    for name in (*choice.metrics, choice.sort):
        _known("metric", [name], BY_METRIC, Path("reports/comparison.csv"))
    return [BY_METRIC[name] for name in choice.metrics] or list(SHOWN)


def _groups(frame: pd.DataFrame, benchmarks: Sequence[str], seeds: Sequence[int]) -> dict[str, pd.DataFrame]:
    _known("seed", seeds, frame["seed"].unique(), Path("reports/comparison.csv"))
    frame = frame[frame["seed"].isin(seeds)] if seeds else frame
    return {name: group for name, group in groups_of(frame, "benchmark") if name in (benchmarks or [name])}


def _intervals(group: pd.DataFrame) -> pd.DataFrame | None:
    """Those of the file, which has them of single seeds and not of means."""
    ends = [name for name in map(str, group) if name.endswith(("_low", "_high"))]
    return group.set_index(["benchmark", "method"])[ends] if group["seed"].nunique() == 1 else None


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV table ({error}); `dvc repro compare` makes it anew") from None
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"{path} lacks the column {missing[0]}: another version wrote it; `dvc repro compare` makes it anew")
    return frame


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if missing := [column for column in (*EVALUATION_KEYS, *METRICS) if column not in frame]:
        raise ValueError(f"reports/comparison.csv of {name} lacks the column {missing[0]}: another version wrote it")
    return frame


def _known(kind: str, chosen: Iterable, known: Iterable, file: Path) -> list:
    chosen, known = list(chosen), list(known)
    for name in chosen:
        if name not in known:
            raise ValueError(f"{file} has no {kind} {name}{suggestion(name, map(str, known))}")
    return chosen


def _heading(console: Console, name: str, facts: str = "") -> None:
    console.print(Text.assemble((name, "bold"), (f": {facts}" if facts else "", "dim")), soft_wrap=not console.is_terminal)
    console.print()


def _print_verdicts(console: Console, compared: pd.DataFrame, columns: Sequence[Column]) -> None:
    """A heading for each metric and score that is compared with, and a line for each verdict below it."""
    for indent, line in _verdicts(compared, columns):
        print_lines(console, line, indent=indent)
    console.print()


def _verdicts(compared: pd.DataFrame, columns: Sequence[Column]) -> Iterator[tuple[int, Text]]:
    for column in columns:
        own = compared[compared["metric"] == column.key]
        for other, rows in groups_of(own, "against"):
            yield 0, Text(f"{column.title} against {display_name(other)}", style="bold")
            for verdict, methods in by_verdict(rows, column.key).items():
                style = "green" if verdict == BETTER else ""
                yield 2, Text.assemble((f"{sentence_of(verdict)}: ", style), ", ".join(map(display_name, methods)))


def _print_legend(console: Console, tables: Sequence[Table]) -> None:
    """The sentences of all tables, each once."""
    sentences = dict.fromkeys(sentence for table in tables for sentence in table.legend)
    console.print(Text(" ".join(sentences), style="dim"), soft_wrap=not console.is_terminal)
