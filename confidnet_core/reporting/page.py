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
from confidnet_core.comparison.main_table import accuracy_line
from confidnet_core.comparison.rendering import html
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.verdicts import Verdict, verdicts
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_attributes
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_text
from confidnet_core.reporting import charts
from confidnet_core.reporting.curves import MIN_BIN_COUNT, MIN_BIN_SHARE
from confidnet_core.reporting.failures import Failures, class_table, failure_methods, webp_data_uri
from confidnet_core.reporting.highlights import best_scores, report_styles
from confidnet_core.reporting.palette import Style
from confidnet_core.revision import last_commit, package_versions

TEMPLATES = Path(__file__).with_name("templates")
CODE_PATHS = ("confidnet_core", "stages", "dvc.yaml", "params.yaml")
MAX_MAPS_WIDTH_PX = 1600
REPORTED_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy")


@dataclass(frozen=True)
class ReportContent:
    """The results that the report page shows.

    frame: a `comparison_frame`; mean_intervals: of the means over seeds; difference_rows: of `differences`
    tables: BENCHMARK -> its `main_table`; notes: BENCHMARK -> a line above that table
    further_tables: sections below it, each BENCHMARK -> tables; ranks: a `rank_table` or None
    curves: rows of "risk_coverage", "outcomes" and "reliability" from `curves`, by a style's `series`, and of both `histories`
    failures: (benchmark, seed) -> from `pick_failures`
    """

    frame: pd.DataFrame
    mean_intervals: pd.DataFrame
    difference_rows: pd.DataFrame
    tables: Mapping[str, Table]
    notes: Mapping[str, str]
    further_tables: Sequence[Mapping[str, Sequence[Table]]]
    ranks: Table | None
    curves: Mapping[str, pd.DataFrame]
    failures: Mapping[tuple[str, int], Sequence[Failures]]


class FoldedSection(NamedTuple):
    """A section of the report page that is collapsed until the reader opens it. title: the text of its summary line"""

    title: str
    body: Markup

    @property
    def slug(self) -> str:
        return re.sub("[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class BenchmarkSection:
    """All that the report page shows about one benchmark, as fields for the page template."""

    name: str
    verdict: Verdict
    table: Markup
    facts: dict[str, str]
    seeds: int
    first_seed: int
    risk_coverage: Markup
    legend: list[dict[str, Any]]
    highlighted: str
    scores: list[dict[str, Any]]
    trainings: list[dict[str, Any]]
    classes: list[list[str]]
    pictures: Sequence[Failures] = ()
    maps: str | None = None  # a data URI
    folds: list[FoldedSection] = field(default_factory=list)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Anchor and title of each part, in the order of the page; the first four are open, the others collapsed."""
        parts = [("table", "Methods and metrics"), ("curves", "Risk-coverage curve"), ("failures", "Failures"), ("trainings", "Trainings")]
        parts += [("scores", "Scores one by one"), *((fold.slug, fold.title) for fold in self.folds), ("data", "Data and recipes")]
        return [(f"{self.name}-{anchor}", title) for anchor, title in parts]


def write_page(path: Path, params: Params, all_stored: Sequence[StoredResults], content: ReportContent, figures_folder: Path) -> None:
    """Write the report page to `path`. figures_folder: holds the confidence map sheets of segmentation benchmarks.

    With several seeds, pictures, histograms and class tables are those of the first seed.
    """
    verdict_of = verdicts(content.frame, content.difference_rows, content.mean_intervals)
    styles = report_styles(content.frame, params.against)
    first_seeds = {stored.benchmark: stored for stored in reversed(all_stored)}
    sections = [_benchmark_section(first_seeds[name], params, content, verdict_of[name], figures_folder, styles) for name in params.run]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined)
    page = environment.get_template("page.html").render(
        sections=sections,
        headline=HEADLINE_METRIC.heading,
        level=params.bootstrap.level,
        bins={"count": MIN_BIN_COUNT, "share": MIN_BIN_SHARE},
        ranks=html(content.ranks, heading=2) if content.ranks else "",
        run=_study_facts(params),
        library=charts.compressed_plotly(),
        style=_read_template("style.css"),
        scripts=[_read_template("page.js"), _read_template("tables.js"), _read_template("charts.js")],
    )
    write_text(path, page)


def _read_template(template: str) -> Markup:
    return Markup((TEMPLATES / template).read_text(encoding="utf-8"))


def _benchmark_section(
    stored: StoredResults, params: Params, content: ReportContent, verdict: Verdict, figures_folder: Path, styles: Mapping[str, Style]
) -> BenchmarkSection:
    dataset, frame = load_dataset(paths.prepared(stored.benchmark)), content.frame
    benchmark_rows = frame[frame["benchmark"] == stored.benchmark]
    curves = {name: rows[rows["benchmark"] == stored.benchmark] for name, rows in content.curves.items()}
    label_by_method = {method: styles[method].label for method in failure_methods(stored, params.against, frame)}
    notes_above_table = tuple(note for note in (accuracy_line(benchmark_rows), content.notes.get(stored.benchmark)) if note)
    maps_path = figures_folder / f"{stored.benchmark}_seed{stored.seed}_maps.png"
    return BenchmarkSection(
        name=stored.benchmark,
        verdict=verdict,
        table=html(replace(content.tables[stored.benchmark], notes=notes_above_table), heading=None),
        facts=_data_facts(stored.benchmark, params),
        seeds=benchmark_rows["seed"].nunique(),
        first_seed=stored.seed,
        risk_coverage=charts.risk_coverage_chart(curves["risk_coverage"], styles, stored.benchmark),
        legend=charts.legend_entries(styles, stored.benchmark),
        highlighted=_highlighted_in_words(benchmark_rows, styles),
        scores=_score_cards(stored, curves, styles),
        trainings=_training_cards(curves["losses"], curves["validation"]),
        classes=class_table(stored, dataset, label_by_method),
        pictures=content.failures[stored.benchmark, stored.seed],
        maps=_maps_data_uri(maps_path) if dataset.is_segmentation else None,
        folds=[_folded_section(part[stored.benchmark]) for part in content.further_tables if part.get(stored.benchmark)],
    )


def _maps_data_uri(path: Path) -> str:
    """Return the image file of confidence maps as a data URI, no wider than a page shows it on a high-resolution screen."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((MAX_MAPS_WIDTH_PX, image.height))
    return webp_data_uri(image)


def _folded_section(tables: Sequence[Table]) -> FoldedSection:
    """Return tables as one collapsed section of the report page, titled like the first table."""
    first, *others = tables
    return FoldedSection(first.title, Markup("").join([html(first, heading=None), *map(html, others)]))


def _highlighted_in_words(benchmark_rows: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """Return the names of the scores that are highlighted on the page. benchmark_rows: one benchmark's rows of `comparison_frame`"""
    results = benchmark_rows[~benchmark_rows["oracle"]]
    benchmark, best = benchmark_rows["benchmark"].iloc[0], best_scores(results)
    other_labels = [
        style.label
        for method, style in styles.items()
        if benchmark in style.highlighted_in and method in set(results["method"]) - set(best)
    ]
    best_labels = [f"{styles[method].label}, the best by {HEADLINE_METRIC.title}" for method in best]
    return "; ".join([*best_labels, *other_labels])


def _score_cards(stored: StoredResults, curves: Mapping[str, pd.DataFrame], styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    modules, scores = entry_attributes("scores", stored.methods, "__module__"), []
    for method, style in styles.items():
        seed_rows = {name: curves[name][(curves[name]["seed"] == stored.seed)] for name in ("outcomes", "reliability")}
        histogram, bins = (rows[rows["method"] == style.series] for rows in seed_rows.values())
        scores.append(
            {
                "name": style.label,
                "colours": charts.theme_colours(style.colour),
                "description": (sys.modules[modules[method]].__doc__ or "").strip().partition("\n")[0],
                "probability_source": read_json(stored.thresholds_folder(method) / "calibration.json")["how"],
                "outcomes": charts.outcome_chart(histogram),
                "reliability": charts.reliability_chart(bins),
            }
        )
    return scores


def _training_cards(losses: pd.DataFrame, validation: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the name and the two charts (losses, validation metrics) of each training of one benchmark, with all seeds."""
    title_by_metric = {column.key: column.title for column in METRIC_COLUMNS} | {"mean_iou": "mean IoU"}
    histories = losses, validation.replace({"metric": title_by_metric})
    history_pairs = {name: [rows[rows["training"] == name] for rows in histories] for name in dict.fromkeys(losses["training"])}
    return [
        {"name": name, "losses": charts.history_chart(loss, "loss"), "validation": charts.history_chart(ranking, "on validation data")}
        for name, (loss, ranking) in history_pairs.items()
    ]


def _data_facts(benchmark: str, params: Params) -> dict[str, str]:
    """Return {heading: text} about a benchmark's data and the training settings of its networks."""
    facts = read_json(paths.prepared(benchmark) / "facts.json")
    rows = {
        "data": facts["source"],
        "SHA-256 of the prepared data": facts["sha256"],
        "task": f"{facts['task']} of images {' x '.join(map(str, facts['image_shape']))} in {len(facts['classes'])} classes",
        "images": _settings_in_words(facts["samples"]),
    }
    recipes = vars(params.benchmarks[benchmark]) if benchmark in params.benchmarks else {}
    return rows | {name: _settings_in_words(_non_default_settings(recipe)) for name, recipe in recipes.items()}


def _study_facts(params: Params) -> dict[str, str]:
    return {
        "benchmarks": ", ".join(params.run),
        "seeds": ", ".join(map(str, params.seeds)),
        "code": last_commit(CODE_PATHS) or "in no git repository",
        "versions at the comparison": _settings_in_words(package_versions(*REPORTED_PACKAGES)),
        "settings of scores": "; ".join(f"{name}: {_settings_in_words(settings)}" for name, settings in params.methods.items() if settings)
        or "none",
        "calibration split": _settings_in_words(dict(params.calibration_split)),
        "resamples": _settings_in_words(dict(params.bootstrap)),
        "thresholds": _settings_in_words(dict(params.thresholds)),
        "compared with": ", ".join(params.against) or "none",
    }


def _non_default_settings(settings: Any) -> dict[str, Any]:
    """Return {name: value} of the settings that differ from their defaults."""
    defaults = {name: field.default for name, field in getattr(type(settings), "model_fields", {}).items()}
    return {name: value for name, value in vars(settings).items() if name not in defaults or value != defaults[name]}


def _settings_in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_settings_in_words(value) if isinstance(value, dict) else value}" for name, value in settings.items())
