"""The main table of a benchmark, with every score and metric, best first, and significance marks; and all tables of a study as Markdown."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, METRIC_COLUMNS, mean_over_seeds, method_row, metric_cell
from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.tables import (
    BETTER,
    UNDEFINED,
    VERDICT_SIGNS,
    WORSE,
    Cell,
    Column,
    Table,
    format_count,
    format_value,
    join_names,
)

NEEDS_COLUMN = Column("needs", "needs", is_text=True)


def main_table(
    group: pd.DataFrame,
    intervals: pd.DataFrame | None = None,
    difference_rows: pd.DataFrame | None = None,
    *,
    requirements: Mapping[str, str] | None = None,
    columns: Sequence[Column] = METRIC_COLUMNS,
    sort: str = HEADLINE_METRIC.key,
    level: float | None = None,
) -> Table:
    """Return the main table of one benchmark of a `comparison_frame`: means over seeds, the best score first, the oracle last and never
    best.

    intervals: of the means, as `mean_over_seeds` takes them; level: their confidence level, for the legend
    difference_rows: of `differences`; verdicts against the first reference are marked
    requirements: METHOD -> what a score needs beside the classifier, shown in a column of its own
    sort: the metric of COLUMN_BY_METRIC that orders the rows
    """
    means = mean_over_seeds(group, intervals)
    verdicts, reference = significant_verdicts(difference_rows, group["benchmark"].iloc[0])
    metric_columns = [*columns] if sort in (column.key for column in columns) else [*columns, COLUMN_BY_METRIC[sort]]
    rows = []
    for row in means.to_dict("records"):
        requirement_cells = [] if requirements is None else [Cell(text=requirements[row["method"]])]
        cells = [metric_cell(row, column.key, verdicts.get((row["method"], column.key))) for column in metric_columns]
        rows.append(method_row(row, [*requirement_cells, *cells], int(means["seeds"].max())))
    table = (
        Table("Methods and metrics", (*([] if requirements is None else [NEEDS_COLUMN]), *metric_columns), tuple(rows))
        .sorted_by(sort)
        .with_best_marked()
    )
    if len(metric_columns) > len(columns):  # the sorting metric is not among the columns to show
        table = table.with_columns(column.key for column in table.columns if column == NEEDS_COLUMN or column in columns)
    return _with_legend(table, group, reference, level)


def significant_verdicts(difference_rows: pd.DataFrame | None, benchmark: str) -> tuple[dict[tuple[str, str], str], str | None]:
    """Return (method, metric) -> BETTER or WORSE than the reference, and the reference: the first score that others are compared with."""
    benchmark_rows = None if difference_rows is None else difference_rows[difference_rows["benchmark"] == benchmark]
    if benchmark_rows is None or benchmark_rows.empty:
        return {}, None
    reference = benchmark_rows["against"].iloc[0]
    significant = benchmark_rows[(benchmark_rows["against"] == reference) & benchmark_rows["verdict"].isin([BETTER, WORSE])]
    return {(row.method, row.metric): row.verdict for row in iterate_rows(significant)}, reference


def accuracy_line(group: pd.DataFrame) -> str:
    """Return a sentence with accuracy, errors and samples of each seed of a benchmark."""
    seeds = group.drop_duplicates("seed")
    facts = [f"accuracy {format_value(100 * row.accuracy)}%, {row.errors:,} errors among {row.samples:,}" for row in iterate_rows(seeds)]
    return facts[0] if len(facts) == 1 else "; ".join(f"seed {seed}: {fact}" for seed, fact in zip(seeds["seed"], facts, strict=True))


def errors_line(group: pd.DataFrame) -> str:
    """Return a phrase such as "71 errors among 900, accuracy 92.11 %", with means where there are several seeds."""
    seeds = group.drop_duplicates("seed")
    errors, samples = seeds["errors"].mean(), seeds["samples"].mean()
    text = f"{format_count(errors)} errors among {format_count(samples)}, accuracy {format_value(100 * seeds['accuracy'].mean())} %"
    return text if len(seeds) == 1 else f"{text}, means over {len(seeds)} seeds"


def comparison_markdown(
    frame: pd.DataFrame, tables: Mapping[str, Table], notes: Mapping[str, str], further_tables: Iterable[Mapping[str, Sequence[Table]]]
) -> str:
    """Return the comparison as Markdown, with one section per benchmark: accuracy, note, main table, and further tables."""
    sections, further_tables = [], list(further_tables)
    for benchmark, group in iterate_groups(frame, "benchmark"):
        further = [markdown(table, 3) for part in further_tables for table in part.get(benchmark, ())]
        parts = (f"## {benchmark}", accuracy_line(group), notes.get(benchmark), markdown(tables[benchmark], None), *further)
        sections.append("\n\n".join(part for part in parts if part))
    return "\n\n".join(sections) + "\n"


def _with_legend(table: Table, group: pd.DataFrame, reference: str | None, level: float | None) -> Table:
    keys = {column.key for column in table.columns}
    oracles, cells = [row for row in table.rows if row.oracle], [cell for row in table.rows for cell in row.cells]
    lines = [f"{units_in_words(table.columns)}{'; mean ± sample standard deviation over seeds' if group['seed'].nunique() > 1 else ''}."]
    lines.append(f"↑ higher is better, ↓ lower is better, {UNDEFINED} undefined; bold: best of its column.")
    if reference:
        lines.append(
            f"{VERDICT_SIGNS[BETTER]} significantly better, {VERDICT_SIGNS[WORSE]} significantly worse than {display_name(reference)}, "
            "after Holm correction; neither: no significant difference."
        )
    if any(cell.low is not None for cell in cells):
        level_text = "" if level is None else f"{100 * level:g} % "
        lines.append(f"In brackets: {level_text}intervals over resamples of the test set, by image for segmentation.")
    if oracles:
        names = join_names(row.name for row in oracles)
        lines.append(f"{names} reads the labels: an upper bound, not a competing method.")
    if NEEDS_COLUMN.key in keys:
        lines.append("Needs: what the score needs beside the classifier's outputs.")
    return Table(table.title, table.columns, table.rows, legend=tuple(lines))


def units_in_words(columns: Iterable[Column]) -> str:
    """Return the units of columns, as in "FPR@95%TPR, AUPR-Error and AUROC in percent, AURC times 1000"."""
    by_scale: dict[float, list[str]] = {}
    for column in columns:
        if not column.is_text:
            by_scale.setdefault(column.scale, []).append(column.title)
    words: dict[float, str] = {100: "in percent", 1000: "times 1000"}
    return ", ".join(f"{join_names(titles)} {words[scale]}" if scale in words else join_names(titles) for scale, titles in by_scale.items())
