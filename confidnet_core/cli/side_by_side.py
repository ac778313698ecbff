"""Tables that show several revisions side by side: one metric of every score in each revision, and its difference from the first one.

A revision is a DVC experiment, a branch or a commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import HEADLINE_METRIC, mean_over_seeds, metric_cell
from confidnet_core.comparison.main_table import column_units_in_words, errors_and_accuracy_phrase, main_table
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table
from confidnet_core.comparison.uncertainty import insufficiency


@dataclass(frozen=True)
class RevisionResults:
    """Results of one revision, which is a DVC experiment, a branch or a commit.

    revision_name: name of the experiment, branch or commit; rows_by_benchmark: {benchmark: its rows of `comparison_frame`}
    """

    revision_name: str
    rows_by_benchmark: Mapping[str, pd.DataFrame]


def side_by_side_table(
    compared_revisions: Sequence[RevisionResults], benchmark: str, metric_column: Column, sort_metric: str = HEADLINE_METRIC.key
) -> Table:
    """Return a table of one metric with one row per score and one column per revision; differences from the first are in brackets.

    sort_metric: name of the metric that orders the scores, by its values in the first revision
    """
    evaluated_revisions = [
        compared_revision for compared_revision in compared_revisions if benchmark in compared_revision.rows_by_benchmark
    ]
    table_rows = _side_by_side_rows(compared_revisions, evaluated_revisions, benchmark, metric_column, sort_metric)
    revision_columns = tuple(
        replace(metric_column, key=compared_revision.revision_name, title=compared_revision.revision_name)
        for compared_revision in compared_revisions
    )
    insufficiency_by_revision = {
        revision.revision_name: insufficiency(revision.rows_by_benchmark[benchmark]) for revision in evaluated_revisions
    }
    notes = tuple(
        f"{name}: {too_little.sentence if too_little else errors_and_accuracy_phrase(revision.rows_by_benchmark[benchmark])}"
        for revision, (name, too_little) in zip(evaluated_revisions, insufficiency_by_revision.items(), strict=True)
    )
    legend_lines = (
        f"{column_units_in_words([metric_column])}; {'higher' if metric_column.higher_is_better else 'lower'} is better; "
        f"{UNDEFINED_SIGN} undefined, or not evaluated there.",
        "In brackets: difference from the first experiment, whose test set and errors may be others. Bold: best of its column.",
    )
    # Where there is too little data to compare scores, none is the best.
    unranked_columns = tuple(replace(column, higher_is_better=None) for column in revision_columns)
    ranked_columns = tuple(
        unranked if insufficiency_by_revision.get(ranked.key) else ranked
        for ranked, unranked in zip(revision_columns, unranked_columns, strict=True)
    )
    table = Table(metric_column.title, ranked_columns, table_rows, notes=notes, legend=legend_lines).with_best_marked()
    return replace(table, columns=unranked_columns)


def _side_by_side_rows(
    compared_revisions: Sequence[RevisionResults],
    evaluated_revisions: Sequence[RevisionResults],
    benchmark: str,
    metric_column: Column,
    sort_metric: str,
) -> tuple[Row, ...]:
    """Return a row for each score that any revision has, with a cell for each revision, an oracle last.

    evaluated_revisions: those that have the benchmark, whose order of scores the first of them with a score decides
    """
    means_by_revision = {
        compared_revision.revision_name: mean_over_seeds(compared_revision.rows_by_benchmark[benchmark]).set_index("method", drop=False)
        for compared_revision in evaluated_revisions
    }
    ordered_table_rows = [
        table_row
        for compared_revision in evaluated_revisions
        for table_row in main_table(
            compared_revision.rows_by_benchmark[benchmark], shown_columns=(metric_column,), sort_metric=sort_metric
        ).rows
    ]
    table_rows = []
    for table_row in {table_row.key: table_row for table_row in reversed(ordered_table_rows)}.values():
        cells = [
            _make_metric_cell(means_by_revision.get(compared_revision.revision_name), table_row.key, metric_column)
            for compared_revision in compared_revisions
        ]
        first_revision_value = cells[0].value
        table_rows.append(
            replace(
                table_row, remark="", cells=(cells[0], *(_add_difference(cell, first_revision_value, metric_column) for cell in cells[1:]))
            )
        )
    position_by_method = {table_row.key: row_position for row_position, table_row in reversed(list(enumerate(ordered_table_rows)))}
    table_rows.sort(key=lambda table_row: (table_row.is_oracle, position_by_method[table_row.key]))
    return tuple(table_rows)


def _make_metric_cell(method_means: pd.DataFrame | None, method: str, metric_column: Column) -> Cell:
    """Return the table cell with a score's mean of the metric in one revision; an undefined cell where the revision lacks the score."""
    if method_means is None or method not in method_means.index:
        return Cell(np.nan)
    return metric_cell(cast("pd.Series", method_means.loc[method]), metric_column.key)


def _add_difference(cell: Cell, first_revision_value: float | None, metric_column: Column) -> Cell:
    """Return the cell with its difference from the first revision's value in brackets, unless one of the values is undefined."""
    if cell.value is None or first_revision_value is None or np.isnan(cell.value - first_revision_value):
        return cell
    return replace(cell, text=f"({metric_column.format_number(cell.value - first_revision_value, '+')})")
