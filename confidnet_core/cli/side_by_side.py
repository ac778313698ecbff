"""Studies side by side: one metric of every score in each study, and its difference from the first study."""

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
    """Results of one study. name: of its experiment; groups: BENCHMARK -> its rows of a `comparison_frame`"""

    name: str
    groups: Mapping[str, pd.DataFrame]


def side_by_side_table(studies: Sequence[StudyResults], benchmark: str, metric: Column, sort: str = HEADLINE_METRIC.key) -> Table:
    """Return a table with one row per score and one column per study; differences from the first study are in brackets.

    sort: the metric that orders the rows, in the first study
    """
    evaluated = [study for study in studies if benchmark in study.groups]
    means = {study.name: mean_over_seeds(study.groups[benchmark]).set_index("method", drop=False) for study in evaluated}
    ordered = [row for study in evaluated for row in main_table(study.groups[benchmark], columns=(metric,), sort=sort).rows]
    rows = []
    for row in {row.key: row for row in reversed(ordered)}.values():
        cells = [_cell(means.get(study.name), row.key, metric) for study in studies]
        first_value = cells[0].value
        rows.append(replace(row, remark="", cells=(cells[0], *(_with_difference(cell, first_value, metric) for cell in cells[1:]))))
    order = {row.key: at for at, row in reversed(list(enumerate(ordered)))}
    rows.sort(key=lambda row: (row.oracle, order[row.key]))
    columns = tuple(Column(study.name, study.name, metric.higher_is_better, metric.scale, metric.number_format) for study in studies)
    notes = tuple(f"{study.name}: {errors_line(study.groups[benchmark])}" for study in evaluated)
    legend = (
        f"{units_in_words([metric])}; {'higher' if metric.higher_is_better else 'lower'} is better; "
        f"{UNDEFINED} undefined, or not evaluated there.",
        "In brackets: difference from the first experiment, whose test set and errors may be others. Bold: best of its column.",
    )
    marked = Table(metric.title, columns, tuple(rows), notes=notes, legend=legend).with_best_marked()
    return replace(marked, columns=tuple(replace(column, higher_is_better=None) for column in columns))


def _cell(means: pd.DataFrame | None, method: str, metric: Column) -> Cell:
    if means is None or method not in means.index:
        return Cell(np.nan)
    return metric_cell(cast("pd.Series", means.loc[method]), metric.key)


def _with_difference(cell: Cell, first_value: float | None, metric: Column) -> Cell:
    if cell.value is None or first_value is None or np.isnan(cell.value - first_value):
        return cell
    return replace(cell, text=f"({metric.format_number(cell.value - first_value, '+')})")
