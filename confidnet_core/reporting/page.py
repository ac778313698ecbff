"""The comparison as one page to open or to send: HTML that needs no other file and no network.

Its tables are those of comparison.md; verdicts, charts, class tables and pictures stand beside them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image

from confidnet_core.comparison.main_table import accuracy_line
from confidnet_core.comparison.rendering import html
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.verdicts import Verdict, verdicts
from confidnet_core.config.params import Params
from confidnet_core.config.registry import marks
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.stored import Place
from confidnet_core.files import read_json, write_text
from confidnet_core.reporting import charts
from confidnet_core.reporting.failures import Failures, by_class, shown_methods, webp
from confidnet_core.revision import commit, versions

TEMPLATES = Path(__file__).with_name("templates")
MADE_BY = ("confidnet_core", "stages", "dvc.yaml", "params.yaml")
PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Findings:
    """What `report` has worked out.

    frame: a `comparison_frame`; ends: intervals of the means over seeds; compared: of `differences`; tables: BENCHMARK -> its `main_table`;
    notes: BENCHMARK -> a line above it; below: the tables after it, BENCHMARK -> tables each; ranks: a `rank_table` or nothing;
    curves: "risk_coverage" and "outcomes" as rows of `curves`, with the oracle's label, and both of `histories`; failures: (benchmark,
    seed) -> of `picked_failures`
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
    scores: list[dict[str, Any]]
    trainings: list[dict[str, Any]]
    classes: list[list[str]]
    pictures: Sequence[Failures] = ()
    maps: str | None = None  # a data URI
    tables: list[Markup] = field(default_factory=list)

    parts = (
        ("table", "metrics"),
        ("curves", "curves"),
        ("scores", "scores"),
        ("failures", "failures"),
        ("trainings", "trainings"),
    )  # of an anchor and its name


def write_page(path: Path, params: Params, everywhere: Sequence[Place], findings: Findings, figures: Path) -> None:
    """figures: the folder in which segmentation benchmarks have their sheet of maps. Of several seeds, pictures, histograms and class
    tables are those of the first."""
    words = verdicts(findings.frame, findings.compared, findings.ends)
    firsts = {place.benchmark: place for place in reversed(everywhere)}
    sections = [_section(firsts[name], params, findings, words[name], figures) for name in params.run]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined)
    page = environment.get_template("page.html").render(
        sections=sections,
        level=params.bootstrap.level,
        ranks=html(findings.ranks, heading=2) if findings.ranks else "",
        run=_what_ran(params),
        library=charts.plotly_zipped(),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "charts.js").read_text(encoding="utf-8")),
    )
    write_text(path, page)


def _section(place: Place, params: Params, findings: Findings, verdict: Verdict, figures: Path) -> Section:
    dataset, frame = load_dataset(Path("data/prepared") / place.benchmark), findings.frame
    own = frame[frame["benchmark"] == place.benchmark]
    curves = {name: rows[rows["benchmark"] == place.benchmark] for name, rows in findings.curves.items()}
    oracle = next((method for method in place.methods if place.evaluation(method).oracle), None)
    shown = shown_methods(place, params.against, frame)
    notes = tuple(note for note in (accuracy_line(own), findings.notes.get(place.benchmark)) if note)
    maps = figures / f"{place.benchmark}_seed{place.seed}_maps.png"
    return Section(
        name=place.benchmark,
        verdict=verdict,
        table=html(replace(findings.tables[place.benchmark], notes=notes), heading=None),
        facts=_facts(place.benchmark, params),
        seeds=own["seed"].nunique(),
        first_seed=place.seed,
        risk_coverage=charts.risk_coverage(curves["risk_coverage"], _label(oracle, oracle)),
        scores=_scores(place, curves["outcomes"], oracle),
        trainings=_trainings(curves["losses"], curves["validation"]),
        classes=by_class(place, dataset, shown),
        pictures=findings.failures[place.benchmark, place.seed],
        maps=webp(Image.open(maps).convert("RGB")) if dataset.is_segmentation else None,
        tables=[Markup("").join(map(html, part[place.benchmark])) for part in findings.below if place.benchmark in part],
    )


def _label(method: str | None, oracle: str | None) -> str | None:
    """As the rows of curves name it."""
    return method if oracle is None or method != oracle else f"{method} (oracle)"


def _scores(place: Place, histograms: pd.DataFrame, oracle: str | None) -> list[dict[str, Any]]:
    modules, scores = marks("scores", place.methods, "__module__"), []
    for method in place.methods:
        label, folder = _label(method, oracle), place.operating(method)
        own = histograms[(histograms["method"] == label) & (histograms["seed"] == place.seed)]
        scores.append(
            {
                "name": label,
                "what": (sys.modules[modules[method]].__doc__ or "").strip().partition("\n")[0],
                "how": read_json(folder / "calibration.json")["how"],
                "outcomes": charts.outcomes(own),
                "reliability": charts.reliability(pd.read_csv(folder / "reliability.csv")),
            }
        )
    return scores


def _trainings(losses: pd.DataFrame, validation: pd.DataFrame) -> list[dict[str, Any]]:
    """Of one benchmark, all seeds."""
    parts = {name: [rows[rows["training"] == name] for rows in (losses, validation)] for name in dict.fromkeys(losses["training"])}
    return [
        {"name": name, "losses": charts.history(loss, "loss"), "validation": charts.history(ranking, "on validation data")}
        for name, (loss, ranking) in parts.items()
    ]


def _facts(benchmark: str, params: Params) -> dict[str, str]:
    """Of the data, and the recipes of the networks."""
    facts = read_json(Path("data/prepared") / benchmark / "facts.json")
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
        "code": commit(MADE_BY) or "of no git repository",
        "versions at the comparison": _words(versions(*PACKAGES)),
        "settings of scores": "; ".join(f"{name}: {_words(own)}" for name, own in params.methods.items() if own) or "none",
        "calibration split": _words(asdict(params.calibration)),
        "resamples": _words(asdict(params.bootstrap)),
        "thresholds": _words(asdict(params.thresholds)),
        "compared with": ", ".join(params.against) or "none",
    }


def _set(settings: Any) -> dict[str, Any]:
    """What a dataclass says beyond its defaults."""
    return {one.name: value for one in fields(settings) if (value := getattr(settings, one.name)) != one.default}


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value) if isinstance(value, dict) else value}" for name, value in settings.items())
