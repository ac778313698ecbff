"""The comparison in a terminal: reports/comparison.csv as tables that fit its width, and the verdicts of reports/differences.csv in words.

Where the output is no terminal: the same as Markdown, of any width, as `compare` writes it.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from confidnet_core.comparison.differences import ALIKE, BETTER, HEADLINE, SHOWN, WORSE
from confidnet_core.comparison.table import (
    COLUMNS,
    UNDEFINED,
    WORKING_POINTS,
    Column,
    aligned,
    counted,
    mean_over_seeds,
    shown,
    spans,
    values,
)
from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.result import KEYS
from confidnet_core.metrics import METRICS
from confidnet_core.tracking.timings import LEGEND, Timing, of_scores, of_stages

EVERY = {column.metric: column for column in (*COLUMNS, *WORKING_POINTS)}
PAIR = ["benchmark", "method", "against", "metric", "verdict"]
GAP = 2  # blanks between columns, of which rich sets one itself


def show(console: Console, reports: Path, benchmarks: Iterable[str], metrics: Iterable[str], intervals: bool | None) -> None:
    """Print it. Nothing chosen: all benchmarks, the metrics of the report's differences, intervals where they fit beside each other.

    ValueError for a benchmark or metric that is not there, and for a file that is missing or of an older version.
    """
    frame = _read(reports / "comparison.csv", [*KEYS, *METRICS])
    found = _read(reports / "differences.csv", PAIR)
    chosen = _known("benchmark", benchmarks, frame["benchmark"].unique())
    columns = [EVERY[name] for name in _known("metric", metrics, EVERY)]
    for benchmark, group in frame[frame["benchmark"].isin(chosen or frame["benchmark"])].groupby("benchmark", sort=False):
        console.print(Text.assemble((benchmark, "bold"), (f": {_facts(group)}", "dim")), soft_wrap=not console.is_terminal)
        console.print()
        if console.is_terminal:
            _print_tables(console, _means(group), columns or list(SHOWN), intervals)
        else:
            _print_markdown(console, _means(group), columns or list(SHOWN), intervals is not False)
        for indent, line in _verdicts(found[found["benchmark"] == benchmark], columns or [HEADLINE]):
            if console.is_terminal:
                console.print(Padding(line, (0, 0, 0, indent), expand=False))
            else:
                console.print(Text.assemble(" " * indent, line), soft_wrap=True)
        console.print()
    console.print(Text(_legend(frame), style="dim"), soft_wrap=not console.is_terminal)


def show_costs(console: Console, reports: Path, benchmarks: Iterable[str], took: Callable[[str], Iterable[Timing]]) -> None:
    """Print reports/costs.csv with the seconds that TOOK knows of a benchmark, means over seeds. ValueError as from `show`."""
    frame = _read(reports / "costs.csv", ["benchmark", "method", "learned", "passes"])
    chosen = _known("benchmark", benchmarks, frame["benchmark"].unique(), "costs.csv")
    for benchmark, costs in frame[frame["benchmark"].isin(chosen or frame["benchmark"])].groupby("benchmark", sort=False):
        scored, stages = of_scores(found := list(took(benchmark))), of_stages(found)
        rows = [[one.method, one.learned, str(one.passes), scored.get(one.method, UNDEFINED)] for one in costs.itertuples()]
        console.print(Text(benchmark, style="bold"))
        console.print()
        _print_plain(console, [["method", "learned", "further passes", "seconds"], *rows], left=2)
        _print_plain(console, [["stage", "seconds"], *map(list, stages.items())], left=1)
    console.print(Text(LEGEND, style="dim"), soft_wrap=not console.is_terminal)


def _print_plain(console: Console, rows: list[list[str]], left: int) -> None:
    """Header and rows, the first LEFT columns to the left, as a table or as Markdown."""
    if console.is_terminal:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
        for place, title in enumerate(rows[0]):
            table.add_column(title, justify="left" if place < left else "right")
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
        console.print()
    else:
        console.print("\n".join([*aligned(rows, left), ""]), soft_wrap=True, markup=False)


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


def _known(kind: str, chosen: Iterable[str], known: Iterable[str], file: str = "comparison.csv") -> list[str]:
    for name in chosen:
        if name not in known:
            raise ValueError(f"reports/{file} has no {kind} {name}{suggestion(name, known)}")
    return list(chosen)


def _facts(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    errors, samples = seeds["errors"].mean(), seeds["samples"].mean()
    text = f"{counted(errors)} errors among {counted(samples)}, accuracy {shown(100 * seeds['accuracy'].mean())} %"
    return text if len(seeds) == 1 else f"{text}, means over {len(seeds)} seeds"


def _means(group: pd.DataFrame) -> pd.DataFrame:
    """`mean_over_seeds`, the oracle last, with the intervals of the file: it has those of single seeds, not of means."""
    ends = [name for name in group if name.endswith(("_low", "_high"))]
    intervals = group.set_index(["benchmark", "method"])[ends] if group["seed"].nunique() == 1 else None
    return mean_over_seeds(group, intervals).sort_values("oracle", kind="stable")


def _print_markdown(console: Console, means: pd.DataFrame, columns: list[Column], intervals: bool) -> None:
    lines = [["method", *(column.heading for column in columns)]]
    for name, row in _rows(means, [_cells(means, column, intervals) for column in columns]):
        lines.append([name, *(f"**{value}**{span}" if best else f"{value}{span}" for value, span, best in row)])
    console.print("\n".join([*aligned(lines), ""]), soft_wrap=True, markup=False)


def _print_tables(console: Console, means: pd.DataFrame, columns: list[Column], intervals: bool | None) -> None:
    """One table, or several below each other where one is too wide."""
    first = max(len(name) for name in ["method", *_names(means)])
    fits = len(_parts([_width(means, column, True) for column in columns], console.width - first)) == 1
    cells = [_cells(means, column, fits if intervals is None else intervals) for column in columns]
    widths = [_width(means, column, fits if intervals is None else intervals) for column in columns]
    for part in _parts(widths, console.width - first):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
        table.add_column("method", min_width=first, no_wrap=True)
        for column in columns[part]:
            table.add_column(column.heading, justify="right", no_wrap=True)
        for name, row in _rows(means, cells[part]):
            styled = [Text.assemble((value, "bold green" if best else ""), (span, "dim")) for value, span, best in row]
            table.add_row(Text(name, style="dim" if name.endswith("(oracle)") else ""), *styled)
        console.print(table)
        console.print()


def _cells(means: pd.DataFrame, column: Column, intervals: bool) -> list[tuple[str, str, bool]]:
    """value, interval, and whether it is the best of the column in print, the oracle aside"""
    printed = (means[column.metric] * column.scale).map(lambda value: float(f"{value:.2f}")).where(~means["oracle"])
    best = printed == (printed.max() if column.higher_is_better else printed.min())
    return list(zip(values(means, column), spans(means, column) if intervals else [""] * len(means), best, strict=True))


def _width(means: pd.DataFrame, column: Column, intervals: bool) -> int:
    return max(len(column.heading), *(len(value + span) for value, span, _ in _cells(means, column, intervals)))


def _rows(means: pd.DataFrame, cells: list[list[tuple]]) -> Iterator[tuple[str, list[tuple]]]:
    for at, name in enumerate(_names(means)):
        yield name, [column[at] for column in cells]


def _names(means: pd.DataFrame) -> list[str]:
    return [f"{row.method} (oracle)" if row.oracle else row.method for row in means.itertuples()]


def _parts(widths: list[int], room: int) -> list[slice]:
    """The columns in groups that fit, a column at least."""
    parts, start, used = [], 0, 0
    for at, width in enumerate(widths):
        used += width + GAP
        if used > room and at > start:
            parts.append(slice(start, at))
            start, used = at, width + GAP
    return [*parts, slice(start, len(widths))]


def _verdicts(found: pd.DataFrame, columns: list[Column]) -> Iterator[tuple[int, Text]]:
    """Indentation and text: a heading for each metric and score that is compared with, and a line for each verdict below it."""
    for column in columns:
        for other, rows in found[found["metric"] == column.metric].groupby("against", sort=False):
            yield 0, Text(f"{column.title} against {other}", style="bold")
            methods = rows.groupby(rows["verdict"].fillna(UNDEFINED))["method"].agg(", ".join)
            for verdict in (verdict for verdict in (BETTER, WORSE, ALIKE, UNDEFINED) if verdict in methods):
                yield 2, Text.assemble((f"{verdict}: ", "green" if verdict == BETTER else ""), methods[verdict])


def _legend(frame: pd.DataFrame) -> str:
    return (
        "FPR, AUPR, AUROC, risks and coverages in percent, AURC, E-AURC and AUGRC times 1000"
        + ("; ± sample standard deviation over seeds" if frame["seed"].nunique() > 1 else "")
        + f". ↑ higher is better, ↓ lower is better. {UNDEFINED} undefined. "
        + ("The oracle reads the labels: it is no result." if np.any(frame["oracle"]) else "")
    )
