"""The section of the report page about one benchmark: table, charts and folded parts, and what only a study has."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from confidnet_core.comparison.frames import HEADLINE_METRIC
from confidnet_core.comparison.main_table import accuracy_sentence
from confidnet_core.comparison.rendering import table_to_html
from confidnet_core.comparison.results import Results
from confidnet_core.comparison.shifts import SECTION_TITLE
from confidnet_core.comparison.study import Comparison, TableGroup
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.verdicts import BenchmarkVerdict
from confidnet_core.config.registry import entry_names, parse_entry
from confidnet_core.reporting import charts
from confidnet_core.reporting.failures import MethodFailures
from confidnet_core.reporting.highlights import best_method_as_list
from confidnet_core.reporting.palette import LineStyle
from confidnet_core.reporting.shifts import ShiftedSection

LineStyleByMethod = Mapping[str, LineStyle]


class FoldedSection(NamedTuple):
    """A section of the report page that is collapsed until the reader opens it. heading: the text of its summary line"""

    heading: str
    html_body: Markup

    @property
    def anchor_suffix(self) -> str:
        return re.sub("[^a-z0-9]+", "-", self.heading.lower()).strip("-")


@dataclass(frozen=True)
class StudyParts:
    """The parts of a section that need images, trainings or recipes, which predictions alone do not have.

    class_table: from `class_table`; failures_by_method: from `pick_failures`; confidence_maps_data_uri: a picture
    shifted: results on shifted and foreign images, None without any
    training_cards: names and charts of the trainings; facts: {heading: text} about data and recipes
    """

    class_table: list[list[str]] = field(default_factory=list)
    failures_by_method: Sequence[MethodFailures] = ()
    confidence_maps_data_uri: str | None = None
    shifted: ShiftedSection | None = None
    training_cards: Sequence[dict[str, Any]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkSection:
    """All that the report page shows about one benchmark, as fields for the page template."""

    benchmark: str
    verdict: BenchmarkVerdict
    table_html: Markup
    seed_count: int
    first_seed: int
    risk_coverage_json: Markup
    legend_entries: list[dict[str, Any]]
    highlighted_names: str
    score_cards: list[dict[str, Any]]
    study: StudyParts
    folded_sections: list[FoldedSection]

    @property
    def anchors_and_titles(self) -> list[tuple[str, str]]:
        """Pairs (anchor, title) of the section's parts, in the order of the page; the folded ones come last."""
        titles = {"table": "Methods and metrics", "curves": "Risk-coverage curve"}
        if self.study.class_table:
            titles["failures"] = "Failures"
        if self.study.shifted:
            titles["shifts"] = SECTION_TITLE
        if self.study.training_cards:
            titles["trainings"] = "Trainings"
        titles["scores"] = "Scores one by one"
        titles |= {section.anchor_suffix: section.heading for section in self.folded_sections}
        if self.study.facts:
            titles["data"] = "Data and recipes"
        return [(f"{self.benchmark}-{anchor_suffix}", title) for anchor_suffix, title in titles.items()]


def benchmark_section(
    results: Results,
    comparison: Comparison,
    table: Table,
    notes: Sequence[str],
    table_groups: Sequence[TableGroup],
    curve_frames: Mapping[str, pd.DataFrame],
    line_styles: LineStyleByMethod,
    study: StudyParts,
) -> BenchmarkSection:
    """Return the section of one benchmark.

    results: of the benchmark's first seed; comparison: of all benchmarks; table: the main table; notes: lines above it
    table_groups: sections below it, each {benchmark: tables}; curve_frames: {curve name: data frame}, of this benchmark alone
    """
    benchmark = results.benchmark
    benchmark_rows = comparison.evaluation_rows[comparison.evaluation_rows["benchmark"] == benchmark]
    notes_above_table = tuple(filter(None, (accuracy_sentence(benchmark_rows), *notes, *table.notes)))
    return BenchmarkSection(
        benchmark=benchmark,
        verdict=comparison.verdicts[benchmark],
        table_html=table_to_html(replace(table, notes=notes_above_table), heading_level=None),
        seed_count=benchmark_rows["seed"].nunique(),
        first_seed=results.seed,
        risk_coverage_json=charts.risk_coverage_chart(curve_frames["risk_coverage"], line_styles, benchmark),
        legend_entries=charts.legend_entries(line_styles, benchmark),
        highlighted_names=_highlighted_method_names(benchmark_rows, line_styles),
        score_cards=_score_cards(results, curve_frames, line_styles),
        study=study,
        folded_sections=[
            _folded_section(tables_by_benchmark[benchmark]) for tables_by_benchmark in table_groups if tables_by_benchmark.get(benchmark)
        ],
    )


def _folded_section(tables: Sequence[Table]) -> FoldedSection:
    """Return tables as one collapsed section of the report page, titled like the first table."""
    first_table, *other_tables = tables
    return FoldedSection(
        first_table.title, Markup("").join([table_to_html(first_table, heading_level=None), *map(table_to_html, other_tables)])
    )


def _highlighted_method_names(benchmark_rows: pd.DataFrame, line_styles: LineStyleByMethod) -> str:
    """Return the names of the highlighted scores as text. benchmark_rows: one benchmark's rows of `comparison_frame`"""
    competing_rows = benchmark_rows[~benchmark_rows["oracle"]]
    benchmark, best_methods = benchmark_rows["benchmark"].iloc[0], best_method_as_list(competing_rows)
    other_methods = set(competing_rows["method"]) - set(best_methods)
    other_highlighted_names = [
        style.label for method, style in line_styles.items() if benchmark in style.highlighted_in_benchmarks and method in other_methods
    ]
    best_method_names = [f"{line_styles[method].label}, the best by {HEADLINE_METRIC.title}" for method in best_methods]
    return "; ".join([*best_method_names, *other_highlighted_names])


def _score_cards(results: Results, curve_frames: Mapping[str, pd.DataFrame], line_styles: LineStyleByMethod) -> list[dict[str, Any]]:
    """Return what the page shows about each score by itself; without a reliability there is no diagram of it."""
    score_cards = []
    for method, style in ((method, style) for method, style in line_styles.items() if method in results.methods):
        seed_frames = [rows[rows["seed"] == results.seed] for rows in (curve_frames["outcomes"], curve_frames["reliability"])]
        histogram_rows, reliability_bins = (seed_rows[seed_rows["method"] == style.series_name] for seed_rows in seed_frames)
        reliability = results.reliability(method)
        score_cards.append(
            {
                "name": style.label,
                "colours": charts.light_and_dark_colour(style.colour),
                "description": _score_description(method),
                "probability_source": reliability.calibrator_description if reliability else None,
                "outcomes": charts.confidence_histogram_chart(histogram_rows),
                "reliability": charts.reliability_chart(reliability_bins) if reliability else None,
            }
        )
    return score_cards


def _score_description(method: str) -> str:
    """Return the first line of the docstring of a score's file; a sentence for a confidence that no file computes."""
    if method not in entry_names("scores"):
        return "A confidence that was given with the predictions."
    _, syntax_tree = parse_entry("scores", method)
    return (ast.get_docstring(syntax_tree) or "").partition("\n")[0]
