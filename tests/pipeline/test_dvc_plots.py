"""What `dvc plots` draws: every chart from the files of `compare`, of several benchmarks and seeds, of two revisions, also in an editor."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
from dvc_project import Project
from pages import METHODS, image_width, lay_out
from project_code import ROOT
from report_params import params
from ruamel.yaml import YAML

from confidnet_core.cli.offline import write_plots_template
from confidnet_core.reporting.report import write_report

PLOTS = {name: what for plot in YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"] for name, what in plot.items()}
TEMPLATES = {path.stem: json.loads(path.read_text()) for path in (ROOT / ".dvc/plots").glob("*.json")}
VERSION = "5.21"  # of Vega-Lite, for which the templates are

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Letters and streets with two seeds compared, and committed; since then, the risks have been halved."""
    project = Project.create(tmp_path_factory.mktemp("plots") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        draw = np.random.default_rng(0)
        lay_out("letters", draw.integers(0, 3, 80), (0, 1))
        lay_out("streets", draw.integers(0, 4, (80, 6, 8)), (0, 1), void=3)
        write_report(params(METHODS, run=("letters", "streets"), seeds=(0, 1)), project.folder / "reports")
    project.git("add", "--force", "reports/curves", "reports/figures")
    project.git("commit", "--quiet", "--message", "Compared")
    path = project.folder / "reports/curves/risk_coverage.csv"
    frame = pd.read_csv(path)
    frame.assign(risk=frame["risk"] / 2).to_csv(path, index=False)
    return project


def drawn(project: Project, *arguments: str) -> dict[str, list[dict]]:
    """TITLE or picture -> what DVC hands on for it; nothing failed to load."""
    found = json.loads(project.dvc("plots", *arguments, "--json"))
    assert not found.get("errors")
    return found["data"]


def marks(spec: dict) -> int:
    """How many points, lines and bars a chart has, drawn by Vega."""
    return len(re.findall(r'aria-roledescription="(?:point|line mark|bar|circle|rule mark)', vl_convert.vegalite_to_svg(spec, VERSION)))


@pytest.fixture(scope="module")
def shown(project: Project) -> dict[str, list[dict]]:
    return drawn(project, "show")


@pytest.mark.parametrize("name", PLOTS)
def test_every_chart_of_dvc_yaml_is_drawn_with_all_its_curves(project: Project, shown: dict[str, list[dict]], name: str):
    (plot,) = shown[name]
    assert marks(plot["content"]) >= 2 * len(METHODS)


@pytest.mark.parametrize("name", PLOTS)
def test_a_template_names_columns_that_its_file_has(project: Project, name: str):
    what = PLOTS[name]
    ((path, y),) = what["y"].items()
    template = json.dumps(TEMPLATES[what["template"]])
    made = set(re.findall(r'"as": "(\w+)"', template)) | {"rev", "from", "to"}
    named = set(re.findall(r'"field": "(\w+)"', template)) | set(re.findall(r"datum\.(\w+)", template)) | {what["x"], y}
    assert named - made - {"label"} <= set(pd.read_csv(project.folder / path).columns)


def test_no_curve_has_more_than_200_points(project: Project):
    for name in ("risk_coverage", "roc", "reliability", "losses", "validation"):
        frame = pd.read_csv(project.folder / f"reports/curves/{name}.csv")
        keys = [key for key in ("benchmark", "seed", "method", "training", "metric") if key in frame]
        assert frame.groupby(keys).size().max() <= 200


@pytest.fixture(scope="module")
def compared(project: Project) -> dict[str, tuple[list[str], dict]]:
    """TITLE -> revisions and chart, filled as the DVC extension of VS Code does it: from templates and data apart, with a size for each of
    several panels."""
    charts = {}
    for name, plots in drawn(project, "diff", "HEAD", "--split").items():
        for plot in plots:
            if plot["type"] == "vega":
                anchors = plot["anchor_definitions"] | {"<DVC_METRIC_PLOT_WIDTH>": 300, "<DVC_METRIC_PLOT_HEIGHT>": 300}
                charts[name] = plot["revisions"], filled(plot["content"], anchors)
    return charts


@pytest.mark.parametrize("name", PLOTS)
def test_two_revisions_stand_in_one_chart_that_an_editor_can_fill(compared: dict[str, tuple[list[str], dict]], name: str):
    revisions, chart = compared[name]
    assert set(revisions) == {"workspace", "HEAD"} == {row["rev"] for row in chart["data"]["values"]}
    assert "facet" in chart and "<DVC" not in json.dumps(chart)
    assert marks(chart) >= 4 * len(METHODS)


def filled(value: object, anchors: dict[str, object]) -> object:
    """A text that is an anchor becomes what it stands for."""
    if isinstance(value, dict):
        return {key: filled(each, anchors) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, anchors) for each in value]
    return anchors.get(value, value) if isinstance(value, str) else value


def test_sheets_of_failures_and_of_confidence_maps_are_shown_as_pictures(project: Project, shown: dict[str, list[dict]]):
    pictures = {Path(name).name: plots for name, plots in shown.items() if plots[0]["type"] == "image"}
    expected = [f"{name}_seed{seed}{part}.png" for name, part in (("letters", "_failures"), ("streets", "_maps")) for seed in (0, 1)]
    assert set(expected) < set(pictures)
    assert all(image_width(project.folder / "reports/figures" / name) >= 1200 for name in expected)


def test_the_page_of_the_plots_draws_without_a_network(project: Project):
    template = write_plots_template(project.folder)
    project.dvc("plots", "show", "--html-template", str(template))
    page = (project.folder / "dvc_plots/index.html").read_text()
    assert "<script src" not in page and "cdn.jsdelivr" not in page
    assert page.count("vegaEmbed('#") == len(PLOTS) and "window.vegaEmbed=" in page


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no folder \.dvc; run this from the root of the project"):
        write_plots_template(tmp_path)
