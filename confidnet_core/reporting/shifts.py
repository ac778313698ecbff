"""The part of the report page about shifted and foreign images: charts over the severity of a shift, and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from confidnet_core.comparison.rendering import table_to_html
from confidnet_core.comparison.shifts import SECTION_TITLE, ShiftedTables, served_target_risk, severity_means
from confidnet_core.comparison.tables import Table, join_names
from confidnet_core.reporting import charts
from confidnet_core.reporting.palette import LineStyle


class SeverityChart(NamedTuple):
    """A chart over severity. content: JSON for plotly.js; label: what a screen reader says of it"""

    content: Markup
    label: str


@dataclass(frozen=True)
class ShiftedSection:
    """Results on shifted and foreign images of one benchmark, as fields for the page template; empty for images that it does not have.

    chart_text: what `charts` show; legend_entries: of their lines, the same for all charts
    """

    chart_text: str
    charts: Sequence[SeverityChart]
    legend_entries: Sequence[dict]
    severity_html: Markup
    corruption_html: Markup
    foreign_html: Markup


def shifted_section(
    shift_rows: pd.DataFrame, tables: ShiftedTables, line_styles: Mapping[str, LineStyle], benchmark: str
) -> ShiftedSection:
    """Return the part of the page about one benchmark. shift_rows: its rows of ShiftedFrames.shifts; line_styles: {method: line style}"""
    means, target_risk = severity_means(shift_rows), served_target_risk(shift_rows)
    drawn_means = means.dropna(subset=["auroc" if target_risk is None else "coverage"])
    drawn_styles = {method: style for method, style in line_styles.items() if method in set(drawn_means["method"])}
    names_without_line = [style.label for method, style in line_styles.items() if method in set(means["method"]) - set(drawn_styles)]
    severity_table, corruption_table, foreign_tables = tables
    return ShiftedSection(
        chart_text=_chart_text(shift_rows, target_risk, names_without_line),
        charts=_severity_charts(drawn_means, target_risk, drawn_styles, benchmark) if drawn_styles else (),
        legend_entries=charts.legend_entries(drawn_styles, benchmark),
        severity_html=_dense_table(severity_table, benchmark),
        corruption_html=_dense_table(corruption_table, benchmark),
        foreign_html=Markup("").join(table_to_html(table, heading_level=4) for table in foreign_tables),
    )


def _dense_table(table: Table | None, benchmark: str) -> Markup:
    """Return a table with many columns as HTML without a heading; empty for None."""
    if table is None:
        return Markup("")
    label = f"{SECTION_TITLE}, {table.title.lower()}, {benchmark}"
    return Markup('<div class="dense">\n{}</div>').format(table_to_html(table, heading_level=None, screen_reader_label=label))


def _severity_charts(
    means: pd.DataFrame, target_risk: float | None, line_styles: Mapping[str, LineStyle], benchmark: str
) -> list[SeverityChart]:
    """Return the charts of coverage and of selective risk, or that of AUROC where no score has a threshold."""
    drawn = (
        [("auroc", "AUROC", None)]
        if target_risk is None
        else [("coverage", "coverage: accepted predictions", None), ("risk", "selective risk: errors among accepted", target_risk)]
    )
    label_ends = f"over the severity of the shift, one line for each of {len(line_styles)} methods"
    return [
        SeverityChart(
            charts.severity_chart(means, quantity, axis_title, line_styles, benchmark, target),
            f"{axis_title.partition(':')[0].capitalize() if target_risk else axis_title} {label_ends}",
        )
        for quantity, axis_title, target in drawn
    ]


def _chart_text(shift_rows: pd.DataFrame, target_risk: float | None, names_without_line: Sequence[str]) -> str:
    """Return the paragraph above the charts. names_without_line: of scores that have no threshold or, where none has one, no AUROC"""
    means_over = "Means over corruptions and seeds." if shift_rows["seed"].nunique() > 1 else "Means over corruptions."
    missing_quantity = "AUROC" if target_risk is None else "threshold"
    without_line = f" {join_names(names_without_line)}: no {missing_quantity}, so no line." if names_without_line else ""
    if target_risk is None:
        text = "How far each score separates errors on corrupted test images, over the severity of the corruption."
        return f"{text} {means_over}{without_line}"
    return (
        "What the threshold that a served model uses does on corrupted test images, over the severity of the corruption. Left: the share "
        "of the predictions that it accepts (coverage). Right: the error rate among these (selective risk), with a dotted line at the "
        f"target of {100 * target_risk:g} %. {means_over}{without_line}"
    )
