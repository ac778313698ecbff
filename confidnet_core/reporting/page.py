"""The report page: one HTML file that needs no other file and no network.

Its tables are those of comparison.md; the page adds verdicts, charts, class tables and pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from confidnet_core import paths
from confidnet_core.comparison.frames import HEADLINE_METRIC, METRIC_COLUMNS
from confidnet_core.comparison.rendering import table_to_html
from confidnet_core.comparison.shifts import ShiftedTables
from confidnet_core.comparison.study import Comparison, TableGroup
from confidnet_core.comparison.tables import Table
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.intervals import MIN_RARER_UNITS
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import write_text
from confidnet_core.reporting import charts
from confidnet_core.reporting.curves import MIN_FRACTION_PER_BIN, MIN_PREDICTIONS_PER_BIN
from confidnet_core.reporting.failures import MethodFailures, class_table, methods_with_shown_failures, webp_data_uri
from confidnet_core.reporting.highlights import assign_report_line_styles
from confidnet_core.reporting.sections import BenchmarkSection, LineStyleByMethod, StudyParts, benchmark_section
from confidnet_core.reporting.setting_texts import dataset_and_recipe_texts, experiment_settings
from confidnet_core.reporting.shifts import shifted_section

TEMPLATES_FOLDER = Path(__file__).with_name("templates")
MAX_CONFIDENCE_MAPS_WIDTH_PX = 1600


@dataclass(frozen=True)
class ReportContent:
    """The results that the report page of a study shows.

    main_tables: {benchmark: its `main_table`}; benchmark_notes: {benchmark: lines above that table}
    table_groups: folded sections below it, each {benchmark: tables}
    shift_rows: ShiftedFrames.shifts; shifted_tables: {benchmark: its tables of shifted and foreign images}
    curve_frames: {name: data frame}: "risk_coverage", "outcomes", "reliability", "losses" and "validation"
    failures_by_benchmark_and_seed: {(benchmark, seed): from `pick_failures`}
    """

    comparison: Comparison
    main_tables: Mapping[str, Table]
    benchmark_notes: Mapping[str, Sequence[str]]
    table_groups: Sequence[TableGroup]
    shift_rows: pd.DataFrame
    shifted_tables: Mapping[str, ShiftedTables]
    curve_frames: Mapping[str, pd.DataFrame]
    failures_by_benchmark_and_seed: Mapping[tuple[str, int], Sequence[MethodFailures]]


def write_page(
    page_path: Path, params: Params, all_stored_results: Sequence[StoredResults], report_content: ReportContent, figures_folder: Path
) -> None:
    """Write the report page of a study to `page_path`. figures_folder: holds the confidence maps of segmentation benchmarks.

    With several seeds, pictures, histograms and class tables are those of the first seed.
    """
    line_styles = assign_report_line_styles(report_content.comparison.evaluation_rows, params.against)
    # Of each benchmark the results of its first seed, which come last in reversed order.
    first_seed_results = {results.benchmark: results for results in reversed(all_stored_results)}
    sections = [_study_section(first_seed_results[name], params, report_content, figures_folder, line_styles) for name in params.run]
    render_page(page_path, sections, report_content.comparison, experiment_settings(params))


def render_page(page_path: Path, sections: Sequence[BenchmarkSection], comparison: Comparison, facts: Mapping[str, str]) -> None:
    """Write a page with these sections to `page_path`. facts: {heading: text} about how the results were made"""
    jinja_environment = Environment(loader=FileSystemLoader(TEMPLATES_FOLDER), autoescape=select_autoescape(), undefined=StrictUndefined)
    page_html = jinja_environment.get_template("page.html").render(
        sections=sections,
        headline=HEADLINE_METRIC.heading,
        min_errors=MIN_RARER_UNITS,
        level=comparison.confidence_level,
        bins={"count": MIN_PREDICTIONS_PER_BIN, "share": MIN_FRACTION_PER_BIN},
        ranks=table_to_html(comparison.rank_table, heading_level=2) if comparison.rank_table else "",
        facts_of_run=facts,
        is_study=any(section.study.facts for section in sections),
        library=charts.compressed_plotly_source(),
        style=_read_template("style.css"),
        scripts=[_read_template("page.js"), _read_template("tables.js"), _read_template("charts.js")],
    )
    write_text(page_path, page_html)


def _read_template(template_name: str) -> Markup:
    return Markup((TEMPLATES_FOLDER / template_name).read_text(encoding="utf-8"))


def _study_section(
    stored_results: StoredResults,
    params: Params,
    report_content: ReportContent,
    figures_folder: Path,
    line_styles: LineStyleByMethod,
) -> BenchmarkSection:
    """Return the section of a benchmark that the pipeline ran, with its images, trainings and recipes."""
    benchmark, comparison = stored_results.benchmark, report_content.comparison
    dataset = load_dataset(paths.prepared_data_folder(benchmark))
    curve_frames = {curve_name: rows[rows["benchmark"] == benchmark] for curve_name, rows in report_content.curve_frames.items()}
    shown_methods = methods_with_shown_failures(stored_results, params.against, comparison.evaluation_rows)
    maps_path = figures_folder / f"{benchmark}_seed{stored_results.seed}_maps.png"
    shift_rows, tables = report_content.shift_rows, report_content.shifted_tables.get(benchmark)
    study = StudyParts(
        class_table=class_table(stored_results, dataset, {method: line_styles[method].label for method in shown_methods}),
        failures_by_method=report_content.failures_by_benchmark_and_seed[benchmark, stored_results.seed],
        confidence_maps_data_uri=_confidence_maps_data_uri(maps_path) if dataset.is_segmentation else None,
        shifted=tables and shifted_section(shift_rows[shift_rows["benchmark"] == benchmark], tables, line_styles, benchmark),
        training_cards=_training_cards(curve_frames["losses"], curve_frames["validation"]),
        facts=dataset_and_recipe_texts(benchmark, params),
    )
    main_table, notes = report_content.main_tables[benchmark], report_content.benchmark_notes.get(benchmark, ())
    return benchmark_section(stored_results, comparison, main_table, notes, report_content.table_groups, curve_frames, line_styles, study)


def _confidence_maps_data_uri(image_path: Path) -> str:
    """Return the image file of confidence maps as a data URI, no wider than a page shows it on a high-resolution screen."""
    image = Image.open(image_path).convert("RGB")
    image.thumbnail((MAX_CONFIDENCE_MAPS_WIDTH_PX, image.height))
    return webp_data_uri(image)


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
