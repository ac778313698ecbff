"""The main table of a benchmark, with all scores and metrics and marks of significance; and all tables of a study as Markdown."""

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
    """Return the table of all methods of one benchmark: metrics as means over seeds, the best method first, an oracle last and never best.

    group: the benchmark's rows of `comparison_frame`
    intervals: of the means, as `mean_over_seeds` takes them; level: their confidence level, for the legend
    difference_rows: of `differences`; verdicts against the first reference are marked
    requirements: METHOD -> what a score needs beside the classifier, shown in a column of its own
    sort: the metric of COLUMN_BY_METRIC that orders the methods
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
    """Return which metrics of which methods differ significantly from the reference of a benchmark, and the name of this reference.

    The first is {(method, metric): BETTER or WORSE}. The reference is the first method that others are compared with; None without any.
    difference_rows: of `differences`, or None
    """
    benchmark_rows = None if difference_rows is None else difference_rows[difference_rows["benchmark"] == benchmark]
    if benchmark_rows is None or benchmark_rows.empty:
        return {}, None
    reference = benchmark_rows["against"].iloc[0]
    significant_rows = benchmark_rows[(benchmark_rows["against"] == reference) & benchmark_rows["verdict"].isin([BETTER, WORSE])]
    return {(row.method, row.metric): row.verdict for row in iterate_rows(significant_rows)}, reference


def accuracy_line(group: pd.DataFrame) -> str:
    """Return a sentence with the accuracy, the errors and the samples of each seed, from one benchmark's rows of `comparison_frame`."""
    seeds = group.drop_duplicates("seed")
    facts = [f"accuracy {format_value(100 * row.accuracy)}%, {row.errors:,} errors among {row.samples:,}" for row in iterate_rows(seeds)]
    return facts[0] if len(facts) == 1 else "; ".join(f"seed {seed}: {fact}" for seed, fact in zip(seeds["seed"], facts, strict=True))


def errors_line(group: pd.DataFrame) -> str:
    """Return a phrase such as "71 errors among 900, accuracy 92.11 %", from one benchmark's rows; means if there are several seeds."""
    seeds = group.drop_duplicates("seed")
    errors, samples = seeds["errors"].mean(), seeds["samples"].mean()
    text = f"{format_count(errors)} errors among {format_count(samples)}, accuracy {format_value(100 * seeds['accuracy'].mean())} %"
    return text if len(seeds) == 1 else f"{text}, means over {len(seeds)} seeds"


def comparison_markdown(
    frame: pd.DataFrame, tables: Mapping[str, Table], notes: Mapping[str, str], further_tables: Iterable[Mapping[str, Sequence[Table]]]
) -> str:
    """Return the comparison of all benchmarks as Markdown text, one section per benchmark with its accuracy, note and tables.

    frame: from `comparison_frame`; tables: benchmark -> `main_table`; notes: benchmark -> a line above that table
    further_tables: groups of tables below it, each benchmark -> tables
    """
    sections, further_tables = [], list(further_tables)
    for benchmark, group in iterate_groups(frame, "benchmark"):
        further_texts = [markdown(table, 3) for part in further_tables for table in part.get(benchmark, ())]
        section_parts = (f"## {benchmark}", accuracy_line(group), notes.get(benchmark), markdown(tables[benchmark], None), *further_texts)
        sections.append("\n\n".join(part for part in section_parts if part))
    return "\n\n".join(sections) + "\n"


def _with_legend(table: Table, benchmark_rows: pd.DataFrame, reference: str | None, level: float | None) -> Table:
    column_keys = {column.key for column in table.columns}
    oracles, all_cells = [row for row in table.rows if row.oracle], [cell for row in table.rows for cell in row.cells]
    legend_lines = [
        f"{units_in_words(table.columns)}{'; mean ± sample standard deviation over seeds' if benchmark_rows['seed'].nunique() > 1 else ''}."
    ]
    legend_lines.append(f"↑ higher is better, ↓ lower is better, {UNDEFINED} undefined; bold: best of its column.")
    if reference:
        legend_lines.append(
            f"{VERDICT_SIGNS[BETTER]} significantly better, {VERDICT_SIGNS[WORSE]} significantly worse than {display_name(reference)}, "
            "after Holm correction; neither: no significant difference."
        )
    if any(cell.low is not None for cell in all_cells):
        level_text = "" if level is None else f"{100 * level:g} % "
        legend_lines.append(f"In brackets: {level_text}intervals over resamples of the test set, by image for segmentation.")
    if oracles:
        oracle_names = join_names(row.name for row in oracles)
        legend_lines.append(f"{oracle_names} reads the labels: an upper bound, not a competing method.")
    if NEEDS_COLUMN.key in column_keys:
        legend_lines.append("Needs: what the score needs beside the classifier's outputs.")
    return Table(table.title, table.columns, table.rows, legend=tuple(legend_lines))


def units_in_words(columns: Iterable[Column]) -> str:
    """Return the units of table columns in words, as in "FPR@95%TPR, AUPR-Error and AUROC in percent, AURC times 1000"."""
    titles_by_scale: dict[float, list[str]] = {}
    for column in columns:
        if not column.is_text:
            titles_by_scale.setdefault(column.scale, []).append(column.title)
    unit_by_scale: dict[float, str] = {100: "in percent", 1000: "times 1000"}
    return ", ".join(
        f"{join_names(titles)} {unit_by_scale[scale]}" if scale in unit_by_scale else join_names(titles)
        for scale, titles in titles_by_scale.items()
    )
