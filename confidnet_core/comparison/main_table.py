"""The main table of a benchmark, with all scores and metrics and marks of significance; and all tables of a study as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.costs import REQUIREMENT_COLUMN
from confidnet_core.comparison.frames import (
    COLUMN_BY_METRIC,
    HEADLINE_METRIC,
    METRIC_COLUMNS,
    mean_over_seeds,
    method_table_row,
    metric_cell,
)
from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.own_networks import own_network_sentences
from confidnet_core.comparison.rendering import markdown_text, table_to_markdown
from confidnet_core.comparison.tables import (
    BETTER_VERDICT,
    SIGN_BY_VERDICT,
    UNDEFINED_SIGN,
    WORSE_VERDICT,
    Cell,
    Column,
    Table,
    count_in_words,
    format_count,
    format_value,
    join_names,
)
from confidnet_core.comparison.uncertainty import Insufficiency, error_rate_sentence, insufficiency, question


def main_table(
    benchmark_rows: pd.DataFrame,
    intervals_of_means: pd.DataFrame | None = None,
    difference_rows: pd.DataFrame | None = None,
    *,
    requirement_by_method: Mapping[str, str] | None = None,
    shown_columns: Sequence[Column] = METRIC_COLUMNS,
    sort_metric: str = HEADLINE_METRIC.key,
    confidence_level: float | None = None,
) -> Table:
    """Return the table of all methods of one benchmark: metrics as means over seeds, the best method first, an oracle last and never best.

    benchmark_rows: the benchmark's rows of `comparison_frame`
    intervals_of_means: of the means, as `mean_over_seeds` takes them; confidence_level: of these intervals, for the legend
    difference_rows: from `method_differences`; verdicts against the first reference method are marked
    requirement_by_method: {method: what the score needs beside the classifier}, shown in a column of its own
    shown_columns: the metrics of the table; sort_metric: the metric of COLUMN_BY_METRIC that orders the methods
    """
    method_means = mean_over_seeds(benchmark_rows, intervals_of_means)
    too_little = insufficiency(benchmark_rows)
    verdict_by_method_and_metric, reference_method = significant_verdicts(
        None if too_little else difference_rows, benchmark_rows["benchmark"].iloc[0]
    )
    metric_columns = (
        [*shown_columns] if sort_metric in (column.key for column in shown_columns) else [*shown_columns, COLUMN_BY_METRIC[sort_metric]]
    )
    table_rows = []
    for metric_means_of_method in method_means.to_dict("records"):
        requirement_cells = [] if requirement_by_method is None else [Cell(text=requirement_by_method[metric_means_of_method["method"]])]
        cells = [
            metric_cell(
                metric_means_of_method, column.key, verdict_by_method_and_metric.get((metric_means_of_method["method"], column.key))
            )
            for column in metric_columns
        ]
        table_rows.append(method_table_row(metric_means_of_method, [*requirement_cells, *cells], int(method_means["seeds"].max())))
    table = Table(
        "Methods and metrics", (*([] if requirement_by_method is None else [REQUIREMENT_COLUMN]), *metric_columns), tuple(table_rows)
    ).sorted_by(sort_metric)
    if too_little:
        table = replace(table, notes=(_too_little_in_words(too_little, method_means, confidence_level),))
    else:
        table = table.with_best_marked()
    if len(metric_columns) > len(shown_columns):  # the sorting metric is not among the columns to show
        table = table.with_columns(column.key for column in table.columns if column == REQUIREMENT_COLUMN or column in shown_columns)
    return _with_legend(table, benchmark_rows, reference_method, confidence_level)


def significant_verdicts(difference_rows: pd.DataFrame | None, benchmark: str) -> tuple[dict[tuple[str, str], str], str | None]:
    """Return ({(method, metric): verdict}, reference method): what differs significantly from the reference method of a benchmark.

    A verdict is BETTER_VERDICT or WORSE_VERDICT. The reference is the first method that others are compared with; None without any.
    difference_rows: from `method_differences`, or None
    """
    benchmark_rows = None if difference_rows is None else difference_rows[difference_rows["benchmark"] == benchmark]
    if benchmark_rows is None or benchmark_rows.empty:
        return {}, None
    reference_method = benchmark_rows["against"].iloc[0]
    significant_rows = benchmark_rows[
        (benchmark_rows["against"] == reference_method) & benchmark_rows["verdict"].isin([BETTER_VERDICT, WORSE_VERDICT])
    ]
    return {
        (difference_row.method, difference_row.metric): difference_row.verdict for difference_row in iterate_rows(significant_rows)
    }, reference_method


def accuracy_sentence(benchmark_rows: pd.DataFrame) -> str:
    """Return a sentence with accuracy, errors and samples of each seed. benchmark_rows: one benchmark's rows of `comparison_frame`"""
    one_row_per_seed = benchmark_rows.drop_duplicates("seed")
    accuracy_phrases = [
        f"accuracy {format_value(100 * seed_row.accuracy)}%, {count_in_words(seed_row.errors, 'error')} among {seed_row.samples:,}"
        for seed_row in iterate_rows(one_row_per_seed)
    ]
    return (
        accuracy_phrases[0]
        if len(accuracy_phrases) == 1
        else "; ".join(
            f"seed {seed}: {accuracy_phrase}" for seed, accuracy_phrase in zip(one_row_per_seed["seed"], accuracy_phrases, strict=True)
        )
    )


def errors_and_accuracy_phrase(benchmark_rows: pd.DataFrame) -> str:
    """Return a phrase such as "71 errors among 900, accuracy 92.11 %", with means if there are several seeds.

    benchmark_rows: one benchmark's rows of `comparison_frame`
    """
    one_row_per_seed = benchmark_rows.drop_duplicates("seed")
    errors, samples, accuracy = (one_row_per_seed[column_name].mean() for column_name in ("errors", "samples", "accuracy"))
    errors_phrase = f"{count_in_words(errors, 'error')} among {format_count(samples)}, accuracy {format_value(100 * accuracy)} %"
    return errors_phrase if len(one_row_per_seed) == 1 else f"{errors_phrase}, means over {len(one_row_per_seed)} seeds"


def comparison_markdown(
    evaluation_rows: pd.DataFrame,
    main_tables: Mapping[str, Table],
    benchmark_notes: Mapping[str, Sequence[str]],
    further_table_groups: Iterable[Mapping[str, Sequence[Table]]],
) -> str:
    """Return the comparison of all benchmarks as Markdown text, one section per benchmark with its accuracy, note and tables.

    evaluation_rows: from `comparison_frame`; main_tables: {benchmark: its `main_table`}; benchmark_notes: {benchmark: lines above that
    table}
    further_table_groups: groups of tables below it, each group as {benchmark: its tables}
    """
    section_texts, further_table_groups = [], list(further_table_groups)
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows, "benchmark"):
        further_tables_markdown = [
            table_to_markdown(table, 3) for tables_by_benchmark in further_table_groups for table in tables_by_benchmark.get(benchmark, ())
        ]
        section_paragraphs = (
            f"## {benchmark}",
            accuracy_sentence(benchmark_rows),
            *map(markdown_text, benchmark_notes.get(benchmark, ())),
            table_to_markdown(main_tables[benchmark], None),
            *further_tables_markdown,
        )
        section_texts.append("\n\n".join(paragraph for paragraph in section_paragraphs if paragraph))
    return "\n\n".join(section_texts) + "\n"


def _with_legend(table: Table, benchmark_rows: pd.DataFrame, reference_method: str | None, confidence_level: float | None) -> Table:
    """Return the main table with a legend of the units, signs and columns that it uses."""
    column_keys = {column.key for column in table.columns}
    oracle_rows, all_cells = [row for row in table.rows if row.is_oracle], [cell for row in table.rows for cell in row.cells]
    deviation_text = "; mean ± sample standard deviation over seeds" if benchmark_rows["seed"].nunique() > 1 else ""
    best_text = "" if table.notes else "; bold: best of its column"  # a note says that there is too little data for a best one
    legend_lines = [
        f"{column_units_in_words(table.columns)}{deviation_text}.",
        f"↑ higher is better, ↓ lower is better, {UNDEFINED_SIGN} undefined{best_text}.",
    ]
    if reference_method:
        legend_lines.append(
            f"{SIGN_BY_VERDICT[BETTER_VERDICT]} significantly better, {SIGN_BY_VERDICT[WORSE_VERDICT]} significantly worse than "
            f"{display_name(reference_method)}, after Holm correction; neither: no significant difference."
        )
    if any(cell.low is not None for cell in all_cells):
        confidence_level_text = "" if confidence_level is None else f"{100 * confidence_level:g} % "
        legend_lines.append(f"In brackets: {confidence_level_text}intervals, for {question(benchmark_rows)} on new test data.")
    if oracle_rows:
        oracle_names = join_names(row.name for row in oracle_rows)
        legend_lines.append(f"{oracle_names} reads the labels, and is not a competing method.")
    if REQUIREMENT_COLUMN.key in column_keys:
        legend_lines.append("Needs: what the score needs beside the classifier's outputs.")
    legend_lines += own_network_sentences(benchmark_rows)
    return replace(table, legend=tuple(legend_lines))


def _too_little_in_words(too_little: Insufficiency, method_means: pd.DataFrame, confidence_level: float | None) -> str:
    """Return the paragraph above the main table that says why nothing is compared, with the interval of the error rate if it is known."""
    sentences = [f"{too_little.sentence}."]
    if "accuracy_low" in method_means and method_means["accuracy_low"].notna().all():
        sentences.append(error_rate_sentence(method_means.iloc[0], confidence_level))
    return " ".join(sentences)


def column_units_in_words(columns: Iterable[Column]) -> str:
    """Return the units of table columns in words, as in "FPR@95%TPR, AUPR-Error and AUROC in percent, AURC times 1000"."""
    column_titles_by_scale: dict[float, list[str]] = {}
    for column in columns:
        if not column.is_text:
            column_titles_by_scale.setdefault(column.scale, []).append(column.title)
    unit_by_scale: dict[float, str] = {100: "in percent", 1000: "times 1000"}
    return ", ".join(
        f"{join_names(column_titles)} {unit_by_scale[scale]}" if scale in unit_by_scale else join_names(column_titles)
        for scale, column_titles in column_titles_by_scale.items()
    )
