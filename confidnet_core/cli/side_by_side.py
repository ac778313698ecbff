"""Tables that show several studies side by side: one metric of every score in each study, and its difference from the first study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import HEADLINE_METRIC, mean_over_seeds, metric_cell
from confidnet_core.comparison.main_table import errors_line, main_table, units_in_words
from confidnet_core.comparison.tables import UNDEFINED, Cell, Column, Table


@dataclass(frozen=True)
class StudyResults:
    """Results of one study (a DVC experiment, branch or commit).

    name: of the experiment, branch or commit; groups: BENCHMARK -> its part of a `comparison_frame`
    """

    name: str
    groups: Mapping[str, pd.DataFrame]


def side_by_side_table(studies: Sequence[StudyResults], benchmark: str, metric: Column, sort: str = HEADLINE_METRIC.key) -> Table:
    """Return a table of one metric with one row per score and one column per study; differences from the first study are in brackets.

    sort: key of the metric that orders the scores, by its values in the first study
    """
    evaluated_studies = [study for study in studies if benchmark in study.groups]
    means_by_study = {study.name: mean_over_seeds(study.groups[benchmark]).set_index("method", drop=False) for study in evaluated_studies}
    ordered_rows = [row for study in evaluated_studies for row in main_table(study.groups[benchmark], columns=(metric,), sort=sort).rows]
    rows = []
    for row in {row.key: row for row in reversed(ordered_rows)}.values():
        cells = [_make_metric_cell(means_by_study.get(study.name), row.key, metric) for study in studies]
        first_value = cells[0].value
        rows.append(replace(row, remark="", cells=(cells[0], *(_add_difference(cell, first_value, metric) for cell in cells[1:]))))
    position_by_score = {row.key: position for position, row in reversed(list(enumerate(ordered_rows)))}
    rows.sort(key=lambda row: (row.oracle, position_by_score[row.key]))
    columns = tuple(Column(study.name, study.name, metric.higher_is_better, metric.scale, metric.number_format) for study in studies)
    error_notes = tuple(f"{study.name}: {errors_line(study.groups[benchmark])}" for study in evaluated_studies)
    legend = (
        f"{units_in_words([metric])}; {'higher' if metric.higher_is_better else 'lower'} is better; "
        f"{UNDEFINED} undefined, or not evaluated there.",
        "In brackets: difference from the first experiment, whose test set and errors may be others. Bold: best of its column.",
    )
    table_with_best = Table(metric.title, columns, tuple(rows), notes=error_notes, legend=legend).with_best_marked()
    return replace(table_with_best, columns=tuple(replace(column, higher_is_better=None) for column in columns))


def _make_metric_cell(means: pd.DataFrame | None, method: str, metric: Column) -> Cell:
    """Return the table cell with a score's mean of the metric in one study; an undefined cell where the study lacks the score."""
    if means is None or method not in means.index:
        return Cell(np.nan)
    return metric_cell(cast("pd.Series", means.loc[method]), metric.key)


def _add_difference(cell: Cell, first_value: float | None, metric: Column) -> Cell:
    """Return the cell with its difference from the first study's value in brackets, unless one of the values is undefined."""
    if cell.value is None or first_value is None or np.isnan(cell.value - first_value):
        return cell
    return replace(cell, text=f"({metric.format_number(cell.value - first_value, '+')})")
