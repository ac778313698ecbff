"""Experiments as one table: for a terminal of 80 columns or more, as Markdown, and as CSV.

A row is an experiment; with several benchmarks it has, below it, a row for each. Accuracy and one score are shown at any width: what does
not fit are the scores that matter least, which a line below the table names.
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
    Key,
    benchmark_names,
    changed_keys,
    short_names,
    value_at,
    value_text,
)
from confidnet_core.cli.experiments_order import ACCURACY, OF_BENCHMARK, OF_EXPERIMENT, aupr_error, moved_scores, score_names
from confidnet_core.config.registry import suggestion

UNDEFINED = "–"  # noqa: RUF001
GAP = 2  # blanks between columns, of which rich sets one itself
NAME_WIDTH, NARROW_NAME_WIDTH, CHANGE_WIDTH, HEADING_WIDTH = 26, 18, 28, 12  # characters at most, before a cell is folded
WIDE = 100  # columns of a terminal
STYLES = {"failed": "red", "running": "yellow", "queued": "dim", COMMIT: "bold", WORKSPACE: "italic"}
LEGEND = "Accuracy and AUPR-Error in percent, higher is better, with differences to the commit. Bold: best of its column."
ERROR_RATE = "AUPR-Error grows with the error rate: where the accuracy moved, a difference is not the score's alone."


@dataclass(frozen=True)
class Row:
    """A line of the table: an experiment, one of its benchmarks, or both."""

    experiment: Experiment
    benchmark: str | None  # None where there are no results, and for an experiment above the rows of its benchmarks
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
class Column:
    """Results as text: value, difference, and whether it is the best of its benchmark; "" where there is none."""

    heading: str
    cells: list[tuple[str, str, bool]]

    @property
    def heading_lines(self) -> list[str]:
        return folded([f"{part}_" for part in self.heading.split("_")], HEADING_WIDTH, end="_")

    @property
    def width(self) -> int:
        return max(*(len(self.text(at)) for at in range(len(self.cells))), *map(len, self.heading_lines))

    def text(self, at: int) -> Text:
        """The cell, with its value and its difference below those of the other rows."""
        value, difference, is_best = self.cells[at]
        value_width, room = max(len(cell[0]) for cell in self.cells), max(len(cell[1]) for cell in self.cells)
        style = "green" if difference.startswith("+") else "red"
        return Text.assemble((f"{value:>{value_width}}", "bold" if is_best else ""), (f" {difference:>{room}}" if room else "", style))


def show(console: Console, found: list[Experiment], scores: str | None, form: str) -> None:
    """Print a table of FOUND: form "csv", "md", or "" for one that fits the terminal, Markdown where there is none.

    scores: names with commas between them, or "all"; None for those that moved. ValueError for a name that no experiment has.
    """
    known = score_names(found)
    chosen = moved_scores(found) if scores is None else known if scores == "all" else [name.strip() for name in scores.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"no experiment has the score {unknown[0]}{suggestion(unknown[0], known)}")
    if form == "csv":
        print(csv_text(found), end="", file=console.file)
    elif form == "md" or not console.is_terminal:
        print(markdown(found, chosen), file=console.file)
    else:
        print_table(console, found, chosen)


def print_table(console: Console, found: list[Experiment], scores: list[str]) -> None:
    """As wide as the console at most: name, status, changes, accuracy and the first of SCORES, and more of these as far as they fit."""
    rows, results = _rows(found), _columns(found, scores)
    changes = [_change_texts(row, short_names(changed_keys(found))) for row in rows]
    longest_name = max(len(each) for each in ["experiment", *(row.name for row in rows)])
    name_width = min(longest_name, NAME_WIDTH if console.width >= WIDE else NARROW_NAME_WIDTH)
    left = console.width - name_width - max(len(each) for each in ["status", *(row.status for row in rows)]) - 2 * GAP
    room = min(CHANGE_WIDTH, max(len(text) for texts in [["changed"], *changes] for text in texts))
    shown = results[:2]
    while len(shown) < len(results) and sum(each.width + GAP for each in results[: len(shown) + 1]) + room <= left:
        shown = results[: len(shown) + 1]
    room = max(len("changed"), left - sum(each.width + GAP for each in shown))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    table.add_column("experiment", width=name_width, overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("changed", max_width=room, overflow="fold")
    for column in shown:
        table.add_column(Text("\n".join(column.heading_lines), justify="right"), width=column.width, no_wrap=True)
    for at, row in enumerate(rows):
        style = STYLES.get(row.experiment.status, "")
        change = Text("\n".join(folded(changes[at], room, ", ")))
        table.add_row(Text(row.name, style), Text(row.status, style), change, *(column.text(at) for column in shown))
    console.print(table)
    for note in _notes(found, [column.heading for column in results[len(shown) :]]):
        console.print(Text(note, "dim"))


def markdown(found: list[Experiment], scores: list[str]) -> str:
    """The same with all SCORES, of any width."""
    rows, results = _rows(found), _columns(found, scores)
    lines = [["experiment", "status", "changed", *(column.heading for column in results)]]
    for at, row in enumerate(rows):
        cells = (column.cells[at] for column in results)
        texts = [f"{f'**{value}**' if is_best else value}{difference and f' ({difference})'}" for value, difference, is_best in cells]
        change = ", ".join(_change_texts(row, short_names(changed_keys(found))))
        lines.append([row.name.replace("    ", "· ").strip(), row.status, f"`{change}`" if change else "", *texts])
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = [f"{'-' * (width - 1)}{'-' if at < 3 else ':'}" for at, width in enumerate(widths)]
    pad = [str.ljust] * 3 + [str.rjust] * len(results)
    padded = [[fill(cell, width) for fill, cell, width in zip(pad, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def csv_text(found: list[Experiment]) -> str:
    """A line for each experiment and benchmark, with all results, their differences, and all parameters that some experiment changed."""
    keys = {"accuracy": ACCURACY, **OF_BENCHMARK} | {f"aupr_error.{name}": aupr_error(name) for name in score_names(found)}
    with_differences = {name: key for name, key in keys.items() if name != "errors"}
    parameters = changed_keys(found)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    differences = [f"{name}_difference" for name in with_differences]
    writer.writerow([*OF_EXPERIMENT, "revision", "benchmark", *keys, "best_score", *differences, *map(".".join, parameters)])
    for each in found:
        given = [value_at(each.params, key) for key in parameters]
        values = ["" if value is ABSENT else value_text(value) for value in given]
        for benchmark in each.results or [""]:
            results = [each.value(benchmark, key) for key in keys.values()]
            moves = [each.difference(benchmark, key) for key in with_differences.values()]
            best = value_at(each.results, (benchmark, "best_score"), "")
            known = (getattr(each, name) for name in OF_EXPERIMENT)
            writer.writerow([*known, each.revision, benchmark, *results, best, *moves, *values])
    return text.getvalue()


def folded(parts: Iterable[str], width: int, between: str = "", end: str = "") -> list[str]:
    """PARTS in lines of at most WIDTH characters, as far as a part is no longer, BETWEEN them in a line; END is taken off the last part."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part.removesuffix(end)) <= width:
            lines[-1] += between + part
        else:
            lines.append(part)
    return [*lines[:-1], *(line.removesuffix(end) for line in lines[-1:])]


def _rows(found: list[Experiment]) -> list[Row]:
    if len(benchmark_names(found)) < 2:
        return [Row(each, next(iter(each.results), None)) for each in found]
    return [row for each in found for row in (Row(each, None), *(Row(each, name, is_experiment=False) for name in each.results))]


def _columns(found: list[Experiment], scores: list[str]) -> list[Column]:
    """Accuracy, then the AUPR-Error of these scores."""
    keys = [ACCURACY, *map(aupr_error, scores)]
    return [Column(key[-1], _cells(_rows(found), key)) for key in keys]


def _cells(rows: list[Row], key: Key) -> list[tuple[str, str, bool]]:
    values = [None if row.benchmark is None else row.experiment.value(row.benchmark, key) for row in rows]
    seen: dict[str | None, set[float]] = {row.benchmark: set() for row in rows}
    for row, value in zip(rows, values, strict=True):
        seen[row.benchmark].update([] if value is None else [value])
    return [_cell(row, key, value, seen[row.benchmark]) for row, value in zip(rows, values, strict=True)]


def _cell(row: Row, key: Key, value: float | None, seen: set[float]) -> tuple[str, str, bool]:
    """seen: all values of that benchmark in the column"""
    if row.benchmark is None:
        return "", "", False
    if value is None:
        return UNDEFINED if row.experiment.has(row.benchmark, key) else "", "", False
    difference = row.experiment.difference(row.benchmark, key)
    return f"{value:.2f}", f"{difference:+.2f}" if difference else "", len(seen) > 1 and value == max(seen)


def _change_texts(row: Row, names: dict[Key, str]) -> list[str]:
    """As for `dvc exp run -S`: name=value, +name=value where the baseline has none, ~name where it was taken away."""
    if not row.is_experiment:
        return []
    before = row.experiment.baseline.params if row.experiment.baseline else {}
    added = [key for key in row.experiment.changes if value_at(before, key) is ABSENT]
    return [
        f"~{names[key]}" if value is ABSENT else f"{'+' * (key in added)}{names[key]}={value_text(value)}"
        for key, value in row.experiment.changes.items()
    ]


def _notes(found: list[Experiment], hidden: list[str]) -> list[str]:
    """What stands below the table."""
    notes = [LEGEND]
    if any(each.difference(benchmark, ACCURACY) for each in found for benchmark in each.results):
        notes.append(ERROR_RATE)
    if hidden:
        notes.append(f"Not shown at this width: {', '.join(hidden)}. --scores NAME chooses others, --md and --csv show all.")
    notes += [f"{each.name}: {each.problem}" for each in found if each.problem]
    if any(each.status == "failed" for each in found):
        notes.append("failed: `dvc queue logs NAME` shows why; `dvc queue remove --failed` clears the list.")
    return notes
