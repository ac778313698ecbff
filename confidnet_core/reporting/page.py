"""The report page: one HTML file that needs no other file and no network.

Its tables are those of comparison.md; the page adds verdicts, charts, class tables and pictures.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from confidnet_core import paths
from confidnet_core.comparison.frames import HEADLINE_METRIC, METRIC_COLUMNS
from confidnet_core.comparison.main_table import accuracy_sentence
from confidnet_core.comparison.rendering import table_to_html
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.verdicts import BenchmarkVerdict
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_attributes
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.intervals import MIN_RARER_UNITS
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_text
from confidnet_core.reporting import charts
from confidnet_core.reporting.curves import MIN_FRACTION_PER_BIN, MIN_PREDICTIONS_PER_BIN
from confidnet_core.reporting.failures import MethodFailures, class_table, methods_with_shown_failures, webp_data_uri
from confidnet_core.reporting.highlights import assign_report_line_styles, best_method_as_list
from confidnet_core.reporting.palette import LineStyle
from confidnet_core.reporting.setting_texts import dataset_and_recipe_texts, experiment_settings

TEMPLATES_FOLDER = Path(__file__).with_name("templates")
MAX_CONFIDENCE_MAPS_WIDTH_PX = 1600
LineStyleByMethod = Mapping[str, LineStyle]


@dataclass(frozen=True)
class ReportContent:
    """The results that the report page shows.

    evaluation_rows: from `comparison_frame`; verdicts: {benchmark: from `benchmark_verdicts`}
    main_tables: {benchmark: its `main_table`}; benchmark_notes: {benchmark: lines above that table}
    further_table_groups: sections below it, each {benchmark: tables}; rank_table: of all benchmarks, or None
    curve_frames: {name: data frame}: "risk_coverage", "outcomes", "reliability", "losses" and "validation"
    failures_by_benchmark_and_seed: {(benchmark, seed): from `pick_failures`}
    """

    evaluation_rows: pd.DataFrame
    verdicts: Mapping[str, BenchmarkVerdict]
    main_tables: Mapping[str, Table]
    benchmark_notes: Mapping[str, Sequence[str]]
    further_table_groups: Sequence[Mapping[str, Sequence[Table]]]
    rank_table: Table | None
    curve_frames: Mapping[str, pd.DataFrame]
    failures_by_benchmark_and_seed: Mapping[tuple[str, int], Sequence[MethodFailures]]


class FoldedSection(NamedTuple):
    """A section of the report page that is collapsed until the reader opens it. heading: the text of its summary line"""

    heading: str
    html_body: Markup

    @property
    def anchor_suffix(self) -> str:
        return re.sub("[^a-z0-9]+", "-", self.heading.lower()).strip("-")


@dataclass(frozen=True)
class BenchmarkSection:
    """All that the report page shows about one benchmark, as fields for the page template."""

    benchmark: str
    verdict: BenchmarkVerdict
    table_html: Markup
    dataset_and_recipe_texts: dict[str, str]
    seed_count: int
    first_seed: int
    risk_coverage_json: Markup
    legend_entries: list[dict[str, Any]]
    highlighted_names: str
    score_cards: list[dict[str, Any]]
    training_cards: list[dict[str, Any]]
    class_table: list[list[str]]
    failures_by_method: Sequence[MethodFailures] = ()
    confidence_maps_data_uri: str | None = None  # a data URI
    folded_sections: list[FoldedSection] = field(default_factory=list)

    @property
    def anchors_and_titles(self) -> list[tuple[str, str]]:
        """Pairs (anchor, title) of the section's parts, in the order of the page; the first four are open, the others collapsed."""
        first_section_titles = {"table": "Methods and metrics", "curves": "Risk-coverage curve", "failures": "Failures"}
        later_section_titles = {"trainings": "Trainings", "scores": "Scores one by one"}
        folded_section_titles = {section.anchor_suffix: section.heading for section in self.folded_sections} | {"data": "Data and recipes"}
        return [
            (f"{self.benchmark}-{anchor_suffix}", title)
            for anchor_suffix, title in (first_section_titles | later_section_titles | folded_section_titles).items()
        ]


def write_page(
    page_path: Path, params: Params, all_stored_results: Sequence[StoredResults], report_content: ReportContent, figures_folder: Path
) -> None:
    """Write the report page to `page_path`. figures_folder: holds the confidence maps of segmentation benchmarks.

    With several seeds, pictures, histograms and class tables are those of the first seed.
    """
    line_styles = assign_report_line_styles(report_content.evaluation_rows, params.against)
    # Of each benchmark the results of its first seed, which come last in reversed order.
    first_seed_results = {results.benchmark: results for results in reversed(all_stored_results)}
    sections = [
        _benchmark_section(first_seed_results[name], params, report_content, report_content.verdicts[name], figures_folder, line_styles)
        for name in params.run
    ]
    jinja_environment = Environment(loader=FileSystemLoader(TEMPLATES_FOLDER), autoescape=select_autoescape(), undefined=StrictUndefined)
    page_html = jinja_environment.get_template("page.html").render(
        sections=sections,
        headline=HEADLINE_METRIC.heading,
        min_errors=MIN_RARER_UNITS,
        level=params.bootstrap.level,
        bins={"count": MIN_PREDICTIONS_PER_BIN, "share": MIN_FRACTION_PER_BIN},
        ranks=table_to_html(report_content.rank_table, heading_level=2) if report_content.rank_table else "",
        run=experiment_settings(params),
        library=charts.compressed_plotly_source(),
        style=_read_template("style.css"),
        scripts=[_read_template("page.js"), _read_template("tables.js"), _read_template("charts.js")],
    )
    write_text(page_path, page_html)


def _read_template(template_name: str) -> Markup:
    return Markup((TEMPLATES_FOLDER / template_name).read_text(encoding="utf-8"))


def _benchmark_section(
    stored_results: StoredResults,
    params: Params,
    report_content: ReportContent,
    verdict: BenchmarkVerdict,
    figures_folder: Path,
    line_styles: LineStyleByMethod,
) -> BenchmarkSection:
    benchmark, evaluation_rows = stored_results.benchmark, report_content.evaluation_rows
    benchmark_rows = evaluation_rows[evaluation_rows["benchmark"] == benchmark]
    dataset = load_dataset(paths.prepared_data_folder(benchmark))
    curve_frames = {curve_name: rows[rows["benchmark"] == benchmark] for curve_name, rows in report_content.curve_frames.items()}
    display_name_by_method = {
        method: line_styles[method].label for method in methods_with_shown_failures(stored_results, params.against, evaluation_rows)
    }
    main_table, benchmark_notes = report_content.main_tables[benchmark], report_content.benchmark_notes.get(benchmark, ())
    notes_above_table = tuple(filter(None, (accuracy_sentence(benchmark_rows), *benchmark_notes, *main_table.notes)))
    return BenchmarkSection(
        benchmark=benchmark,
        verdict=verdict,
        table_html=table_to_html(replace(main_table, notes=notes_above_table), heading_level=None),
        dataset_and_recipe_texts=dataset_and_recipe_texts(benchmark, params),
        seed_count=benchmark_rows["seed"].nunique(),
        first_seed=stored_results.seed,
        risk_coverage_json=charts.risk_coverage_chart(curve_frames["risk_coverage"], line_styles, benchmark),
        legend_entries=charts.legend_entries(line_styles, benchmark),
        highlighted_names=_highlighted_method_names(benchmark_rows, line_styles),
        score_cards=_score_cards(stored_results, curve_frames, line_styles),
        training_cards=_training_cards(curve_frames["losses"], curve_frames["validation"]),
        class_table=class_table(stored_results, dataset, display_name_by_method),
        failures_by_method=report_content.failures_by_benchmark_and_seed[benchmark, stored_results.seed],
        confidence_maps_data_uri=_confidence_maps_data_uri(figures_folder / f"{benchmark}_seed{stored_results.seed}_maps.png")
        if dataset.is_segmentation
        else None,
        folded_sections=[
            _folded_section(tables_by_benchmark[benchmark])
            for tables_by_benchmark in report_content.further_table_groups
            if tables_by_benchmark.get(benchmark)
        ],
    )


def _confidence_maps_data_uri(image_path: Path) -> str:
    """Return the image file of confidence maps as a data URI, no wider than a page shows it on a high-resolution screen."""
    image = Image.open(image_path).convert("RGB")
    image.thumbnail((MAX_CONFIDENCE_MAPS_WIDTH_PX, image.height))
    return webp_data_uri(image)


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


def _score_cards(
    stored_results: StoredResults, curve_frames: Mapping[str, pd.DataFrame], line_styles: LineStyleByMethod
) -> list[dict[str, Any]]:
    module_by_method, score_cards = entry_attributes("scores", stored_results.methods, "__module__"), []
    for method, style in ((method, line_styles[method]) for method in line_styles if method in stored_results.methods):
        seed_frames = [rows[rows["seed"] == stored_results.seed] for rows in (curve_frames["outcomes"], curve_frames["reliability"])]
        histogram_rows, reliability_bins = (seed_rows[seed_rows["method"] == style.series_name] for seed_rows in seed_frames)
        score_cards.append(
            {
                "name": style.label,
                "colours": charts.light_and_dark_colour(style.colour),
                "description": (sys.modules[module_by_method[method]].__doc__ or "").strip().partition("\n")[0],
                "probability_source": read_json(stored_results.thresholds_folder(method) / "calibration.json")["how"],
                "outcomes": charts.confidence_histogram_chart(histogram_rows),
                "reliability": charts.reliability_chart(reliability_bins),
            }
        )
    return score_cards


def _training_cards(loss_rows: pd.DataFrame, validation_rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the name and the two charts (losses, validation metrics) of each training of one benchmark, with all seeds."""
    title_by_metric = {column.key: column.title for column in METRIC_COLUMNS} | {"mean_iou": "mean IoU"}
    rows_and_axis_titles = (loss_rows, "loss"), (validation_rows.replace({"metric": title_by_metric}), "on validation data")
    training_cards = []
    for training in dict.fromkeys(loss_rows["training"]):
        loss_and_validation_charts = (
            charts.training_history_chart(rows[rows["training"] == training], title) for rows, title in rows_and_axis_titles
        )
        training_cards.append({"name": training} | dict(zip(("losses", "validation"), loss_and_validation_charts, strict=True)))
    return training_cards
