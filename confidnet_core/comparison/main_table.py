"""The main table of a benchmark: every score by every metric, best first, with its significance against the reference; and all tables of a
study as one Markdown text."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from confidnet_core.comparison.frames import BY_METRIC, COLUMNS, HEADLINE, mean_over_seeds, method_row, metric_cell
from confidnet_core.comparison.lines import groups_of, lines_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.tables import BETTER, MARKS, UNDEFINED, WORSE, Cell, Column, Table, format_count, format_value, joined

NEEDS = Column("needs", "needs", words=True)


def main_table(
    group: pd.DataFrame,
    intervals: pd.DataFrame | None = None,
    compared: pd.DataFrame | None = None,
    *,
    needs: Mapping[str, str] | None = None,
    columns: Sequence[Column] = COLUMNS,
    sort: str = HEADLINE.key,
    level: float | None = None,
) -> Table:
    """One benchmark of a `comparison_frame`, means over seeds, the best score first, the oracle last and never best.

    intervals: see mean_over_seeds; level: theirs. compared: of `differences`: its verdicts against the first reference are marked.
    needs: METHOD -> what a score needs beside the classifier, for a column of its own. sort: a metric of BY_METRIC.
    """
    means = mean_over_seeds(group, intervals)
    verdicts, reference = significance(compared, group["benchmark"].iloc[0])
    ranked = [*columns] if sort in (column.key for column in columns) else [*columns, BY_METRIC[sort]]
    rows = []
    for row in means.to_dict("records"):
        beside = [] if needs is None else [Cell(text=needs[row["method"]])]
        cells = [metric_cell(row, column.key, verdicts.get((row["method"], column.key))) for column in ranked]
        rows.append(method_row(row, [*beside, *cells], int(means["seeds"].max())))
    drawn = Table("Methods and metrics", (*([] if needs is None else [NEEDS]), *ranked), tuple(rows)).sorted_by(sort).with_best()
    if len(ranked) > len(columns):  # sorted by what is not shown
        drawn = drawn.with_columns(column.key for column in drawn.columns if column == NEEDS or column in columns)
    return _with_legend(drawn, group, reference, level)


def significance(compared: pd.DataFrame | None, benchmark: str) -> tuple[dict[tuple[str, str], str], str | None]:
    """(method, metric) -> BETTER or WORSE than the reference, and the reference: the first score that others are compared with."""
    own = None if compared is None else compared[compared["benchmark"] == benchmark]
    if own is None or own.empty:
        return {}, None
    reference = own["against"].iloc[0]
    clear = own[(own["against"] == reference) & own["verdict"].isin([BETTER, WORSE])]
    return {(row.method, row.metric): row.verdict for row in lines_of(clear)}, reference


def accuracy_line(group: pd.DataFrame) -> str:
    """Accuracy, errors and samples of each seed of a benchmark."""
    seeds = group.drop_duplicates("seed")
    facts = [f"accuracy {format_value(100 * row.accuracy)}%, {row.errors:,} errors among {row.samples:,}" for row in lines_of(seeds)]
    return facts[0] if len(facts) == 1 else "; ".join(f"seed {seed}: {fact}" for seed, fact in zip(seeds["seed"], facts, strict=True))


def errors_line(group: pd.DataFrame) -> str:
    """ "71 errors among 900, accuracy 92.11 %", of several seeds their means."""
    seeds = group.drop_duplicates("seed")
    errors, samples = seeds["errors"].mean(), seeds["samples"].mean()
    text = f"{format_count(errors)} errors among {format_count(samples)}, accuracy {format_value(100 * seeds['accuracy'].mean())} %"
    return text if len(seeds) == 1 else f"{text}, means over {len(seeds)} seeds"


def document(
    frame: pd.DataFrame, tables: Mapping[str, Table], notes: Mapping[str, str], below: Iterable[Mapping[str, Sequence[Table]]]
) -> str:
    """One Markdown section a benchmark of a `comparison_frame`: its accuracy, its note, its main table of TABLES, and what is BELOW."""
    sections, below = [], list(below)
    for benchmark, group in groups_of(frame, "benchmark"):
        others = [markdown(table, 3) for part in below for table in part.get(benchmark, ())]
        parts = (f"## {benchmark}", accuracy_line(group), notes.get(benchmark), markdown(tables[benchmark], None), *others)
        sections.append("\n\n".join(part for part in parts if part))
    return "\n\n".join(sections) + "\n"


def _with_legend(table: Table, group: pd.DataFrame, reference: str | None, level: float | None) -> Table:
    keys = {column.key for column in table.columns}
    oracles, cells = [row for row in table.rows if row.oracle], [cell for row in table.rows for cell in row.cells]
    lines = [f"{units(table.columns)}{'; mean ± sample standard deviation over seeds' if group['seed'].nunique() > 1 else ''}."]
    lines.append(f"↑ higher is better, ↓ lower is better, {UNDEFINED} undefined; bold: best of its column.")
    if reference:
        lines.append(
            f"{MARKS[BETTER]} significantly better, {MARKS[WORSE]} significantly worse than {display_name(reference)}, after Holm "
            "correction; neither: no significant difference."
        )
    if any(cell.low is not None for cell in cells):
        of_level = "" if level is None else f"{100 * level:g} % "
        lines.append(f"In brackets: {of_level}intervals over resamples of the test set, by image for segmentation.")
    if oracles:
        names = joined(row.name for row in oracles)
        lines.append(f"{names} reads the labels: an upper bound, not a competing method.")
    if NEEDS.key in keys:
        lines.append("Needs: what the score needs beside the classifier's outputs.")
    return Table(table.title, table.columns, table.rows, legend=tuple(lines))


def units(columns: Iterable[Column]) -> str:
    """ "FPR@95%TPR, AUPR-Error and AUROC in percent, AURC times 1000" """
    by_scale: dict[float, list[str]] = {}
    for column in columns:
        if not column.words:
            by_scale.setdefault(column.scale, []).append(column.title)
    words: dict[float, str] = {100: "in percent", 1000: "times 1000"}
    return ", ".join(f"{joined(titles)} {words[scale]}" if scale in words else joined(titles) for scale, titles in by_scale.items())
