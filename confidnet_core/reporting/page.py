"""The comparison as one page to open or to send: HTML that needs no other file and no network.

Its tables are those of comparison.md; verdicts, charts, class tables and pictures stand beside them.
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
from confidnet_core.comparison.frames import COLUMNS, HEADLINE
from confidnet_core.comparison.main_table import accuracy_line
from confidnet_core.comparison.rendering import html
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.verdicts import Verdict, verdicts
from confidnet_core.config.params import Params
from confidnet_core.config.registry import marks
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_text
from confidnet_core.reporting import charts
from confidnet_core.reporting.curves import MIN_BIN_COUNT, MIN_BIN_SHARE
from confidnet_core.reporting.failures import Failures, by_class, shown_methods, webp
from confidnet_core.reporting.highlights import best_scores, report_styles
from confidnet_core.reporting.palette import Style
from confidnet_core.revision import last_commit, package_versions

TEMPLATES = Path(__file__).with_name("templates")
MADE_BY = ("confidnet_core", "stages", "dvc.yaml", "params.yaml")
MAPS_WIDTH = 1600  # pixels
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Findings:
    """What `report` has worked out.

    frame: a `comparison_frame`; ends: intervals of the means over seeds; compared: of `differences`; tables: BENCHMARK -> its `main_table`;
    notes: BENCHMARK -> a line above it; below: the tables after it, BENCHMARK -> tables each; ranks: a `rank_table` or nothing;
    curves: "risk_coverage", "outcomes" and "reliability" as rows of `curves`, of a style's `series`, and both of `histories`; failures:
    (benchmark, seed) -> of `picked_failures`
    """

    frame: pd.DataFrame
    ends: pd.DataFrame
    compared: pd.DataFrame
    tables: Mapping[str, Table]
    notes: Mapping[str, str]
    below: Sequence[Mapping[str, Sequence[Table]]]
    ranks: Table | None
    curves: Mapping[str, pd.DataFrame]
    failures: Mapping[tuple[str, int], Sequence[Failures]]


class Fold(NamedTuple):
    """What a reader opens when it is needed. title: of its summary"""

    title: str
    body: Markup

    @property
    def slug(self) -> str:
        return re.sub("[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Section:
    """A benchmark as the template shows it."""

    name: str
    verdict: Verdict
    table: Markup
    facts: dict[str, str]
    seeds: int
    first_seed: int
    risk_coverage: Markup
    legend: list[dict[str, Any]]
    bright: str
    scores: list[dict[str, Any]]
    trainings: list[dict[str, Any]]
    classes: list[list[str]]
    pictures: Sequence[Failures] = ()
    maps: str | None = None  # a data URI
    folds: list[Fold] = field(default_factory=list)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Anchor and title of each part, in the order of the page; the first four are open, the rest folded."""
        parts = [("table", "Methods and metrics"), ("curves", "Risk-coverage curve"), ("failures", "Failures"), ("trainings", "Trainings")]
        parts += [("scores", "Scores one by one"), *((fold.slug, fold.title) for fold in self.folds), ("data", "Data and recipes")]
        return [(f"{self.name}-{anchor}", title) for anchor, title in parts]


def write_page(path: Path, params: Params, all_stored: Sequence[StoredResults], findings: Findings, figures: Path) -> None:
    """figures: the folder in which segmentation benchmarks have their sheet of maps. Of several seeds, pictures, histograms and class
    tables are those of the first."""
    words, styles = verdicts(findings.frame, findings.compared, findings.ends), report_styles(findings.frame, params.against)
    firsts = {stored.benchmark: stored for stored in reversed(all_stored)}
    sections = [_section(firsts[name], params, findings, words[name], figures, styles) for name in params.run]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined)
    page = environment.get_template("page.html").render(
        sections=sections,
        headline=HEADLINE.heading,
        level=params.bootstrap.level,
        bins={"count": MIN_BIN_COUNT, "share": MIN_BIN_SHARE},
        ranks=html(findings.ranks, heading=2) if findings.ranks else "",
        run=_what_ran(params),
        library=charts.plotly_zipped(),
        style=_text("style.css"),
        scripts=[_text("page.js"), _text("tables.js"), _text("charts.js")],
    )
    write_text(path, page)


def _text(template: str) -> Markup:
    return Markup((TEMPLATES / template).read_text(encoding="utf-8"))


def _section(
    stored: StoredResults, params: Params, findings: Findings, verdict: Verdict, figures: Path, styles: Mapping[str, Style]
) -> Section:
    dataset, frame = load_dataset(paths.prepared(stored.benchmark)), findings.frame
    own = frame[frame["benchmark"] == stored.benchmark]
    curves = {name: rows[rows["benchmark"] == stored.benchmark] for name, rows in findings.curves.items()}
    shown = {method: styles[method].label for method in shown_methods(stored, params.against, frame)}
    notes = tuple(note for note in (accuracy_line(own), findings.notes.get(stored.benchmark)) if note)
    maps = figures / f"{stored.benchmark}_seed{stored.seed}_maps.png"
    return Section(
        name=stored.benchmark,
        verdict=verdict,
        table=html(replace(findings.tables[stored.benchmark], notes=notes), heading=None),
        facts=_facts(stored.benchmark, params),
        seeds=own["seed"].nunique(),
        first_seed=stored.seed,
        risk_coverage=charts.risk_coverage(curves["risk_coverage"], styles, stored.benchmark),
        legend=charts.legend(styles, stored.benchmark),
        bright=_bright(own, styles),
        scores=_scores(stored, curves, styles),
        trainings=_trainings(curves["losses"], curves["validation"]),
        classes=by_class(stored, dataset, shown),
        pictures=findings.failures[stored.benchmark, stored.seed],
        maps=_maps(maps) if dataset.is_segmentation else None,
        folds=[_fold(part[stored.benchmark]) for part in findings.below if part.get(stored.benchmark)],
    )


def _maps(path: Path) -> str:
    """The sheet as a data URI, no wider than a page shows it on a sharp screen."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((MAPS_WIDTH, image.height))
    return webp(image)


def _fold(tables: Sequence[Table]) -> Fold:
    """Of the tables of one section; the title of the first is that of the section."""
    first, *others = tables
    return Fold(first.title, Markup("").join([html(first, heading=None), *map(html, others)]))


def _bright(own: pd.DataFrame, styles: Mapping[str, Style]) -> str:
    """In words, which scores have their colour from the start. own: rows of one benchmark of a `table`"""
    results = own[~own["oracle"]]
    benchmark, best = own["benchmark"].iloc[0], best_scores(results)
    names = [style.label for method, style in styles.items() if benchmark in style.bright and method in set(results["method"]) - set(best)]
    firsts = [f"{styles[method].label}, the best by {HEADLINE.title}" for method in best]
    return "; ".join([*firsts, *names])


def _scores(stored: StoredResults, curves: Mapping[str, pd.DataFrame], styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    modules, scores = marks("scores", stored.methods, "__module__"), []
    for method, style in styles.items():
        of_seed = {name: curves[name][(curves[name]["seed"] == stored.seed)] for name in ("outcomes", "reliability")}
        histogram, bins = (rows[rows["method"] == style.series] for rows in of_seed.values())
        scores.append(
            {
                "name": style.label,
                "colours": charts.both_colours(style.colour),
                "what": (sys.modules[modules[method]].__doc__ or "").strip().partition("\n")[0],
                "how": read_json(stored.thresholds_folder(method) / "calibration.json")["how"],
                "outcomes": charts.outcomes(histogram),
                "reliability": charts.reliability(bins),
            }
        )
    return scores


def _trainings(losses: pd.DataFrame, validation: pd.DataFrame) -> list[dict[str, Any]]:
    """Of one benchmark, all seeds."""
    titles = {column.key: column.title for column in COLUMNS} | {"mean_iou": "mean IoU"}
    both = losses, validation.replace({"metric": titles})
    parts = {name: [rows[rows["training"] == name] for rows in both] for name in dict.fromkeys(losses["training"])}
    return [
        {"name": name, "losses": charts.history(loss, "loss"), "validation": charts.history(ranking, "on validation data")}
        for name, (loss, ranking) in parts.items()
    ]


def _facts(benchmark: str, params: Params) -> dict[str, str]:
    """Of the data, and the recipes of the networks."""
    facts = read_json(paths.prepared(benchmark) / "facts.json")
    rows = {
        "data": facts["source"],
        "SHA-256 of the prepared data": facts["sha256"],
        "task": f"{facts['task']} of images {' x '.join(map(str, facts['image_shape']))} in {len(facts['classes'])} classes",
        "images": _words(facts["samples"]),
    }
    recipes = vars(params.benchmarks[benchmark]) if benchmark in params.benchmarks else {}
    return rows | {name: _words(_set(recipe)) for name, recipe in recipes.items()}


def _what_ran(params: Params) -> dict[str, str]:
    return {
        "benchmarks": ", ".join(params.run),
        "seeds": ", ".join(map(str, params.seeds)),
        "code": last_commit(MADE_BY) or "in no git repository",
        "versions at the comparison": _words(package_versions(*PACKAGES)),
        "settings of scores": "; ".join(f"{name}: {_words(own)}" for name, own in params.methods.items() if own) or "none",
        "calibration split": _words(dict(params.calibration_split)),
        "resamples": _words(dict(params.bootstrap)),
        "thresholds": _words(dict(params.thresholds)),
        "compared with": ", ".join(params.against) or "none",
    }


def _set(settings: Any) -> dict[str, Any]:
    """What a choice or a recipe says beyond its defaults."""
    defaults = {name: field.default for name, field in getattr(type(settings), "model_fields", {}).items()}
    return {name: value for name, value in vars(settings).items() if name not in defaults or value != defaults[name]}


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value) if isinstance(value, dict) else value}" for name, value in settings.items())
