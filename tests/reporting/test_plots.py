"""Figures draw what they are given, and the Vega templates say the same in `dvc plots`."""

import json
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from dvc_render.vega import VegaRenderer
from matplotlib import pyplot
from matplotlib.figure import Figure
from project_code import ROOT

from confidnet_core.reporting import curves, palette, plots
from confidnet_core.reporting.curves import HISTOGRAM_FRACTION_TICKS, outcome_histogram
from confidnet_core.reporting.palette import LineStyle

TEMPLATES = ROOT / ".dvc" / "plots"
COVERAGE = np.linspace(0.01, 1, 100)
CURVES = {"mcp": (COVERAGE, COVERAGE * 0.10), "tcp": (COVERAGE, COVERAGE * 0.02), "entropy": (COVERAGE, COVERAGE * 0.2)}
STYLES = {
    "mcp": LineStyle("MCP", "mcp", "#0072B2", highlighted_in_benchmarks=("digits",)),
    "entropy": LineStyle("Entropy", "entropy", "#D55E00", ":"),
    "tcp": LineStyle("TCP (oracle)", "tcp (oracle)", palette.ORACLE_COLOUR, "--", ("digits",)),
}


@pytest.fixture
def outcomes():
    generator = np.random.default_rng(0)
    correct = generator.random(900) < 0.93
    return generator.normal(size=900) + correct, correct


def drawn(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize("draw", [plots.draw_risk_coverage, plots.draw_roc])
def test_each_curve_is_drawn_as_given_and_the_oracle_stands_out(draw):
    axes = Figure().subplots()
    draw(axes, CURVES, STYLES, "digits")
    lines = drawn(axes)
    assert list(lines) == ["MCP", "Entropy", "TCP (oracle)"] == [text.get_text() for text in axes.get_legend().get_texts()]
    for method, style in STYLES.items():
        np.testing.assert_array_equal(lines[style.label].get_xydata().T, CURVES[method])
        assert (lines[style.label].get_color(), lines[style.label].get_linestyle()) == (style.colour, style.linestyle)
    assert (lines["TCP (oracle)"].get_linestyle(), lines["TCP (oracle)"].get_color()) == ("--", plots.ORACLE_COLOUR)
    assert axes.get_ylim()[0] == 0


def test_scores_that_do_not_stand_out_are_faded_below_those_that_do():
    axes = Figure().subplots()
    plots.draw_risk_coverage(axes, CURVES, STYLES, "digits")
    lines = drawn(axes)
    assert {label: line.get_alpha() for label, line in lines.items()} == {"MCP": 1, "TCP (oracle)": 1, "Entropy": plots.FADED_OPACITY}
    assert lines["Entropy"].get_zorder() < lines["MCP"].get_zorder()
    assert lines["Entropy"].get_linewidth() < lines["MCP"].get_linewidth()


def test_an_early_error_does_not_flatten_the_other_risks():
    risk = np.where(COVERAGE < 0.05, 1.0, 0.1)
    axes = Figure().subplots()
    plots.draw_risk_coverage(axes, {"mcp": (COVERAGE, risk)}, STYLES)
    assert axes.get_ylim()[1] == pytest.approx(0.105)


def test_curves_without_any_error_or_any_point_are_drawn():
    axes = Figure().subplots()
    plots.draw_risk_coverage(axes, {"mcp": (COVERAGE, 0 * COVERAGE), "entropy": (np.array([]), np.array([]))}, STYLES)
    plots.draw_roc(axes, {"mcp": (np.array([np.nan]), np.array([np.nan]))}, STYLES)
    assert axes.get_ylim()[1] > 0


def test_the_comparison_of_a_perfect_classifier_has_no_roc_curve(tmp_path):
    figure = plots.comparison_figure({"mcp": (COVERAGE, 0 * COVERAGE)}, {}, {"mcp": (COVERAGE, COVERAGE > 0)}, STYLES)
    assert drawn(figure.axes[1]) == {} and [text.get_text() for text in figure.axes[1].texts] == ["95%", "undefined here"]
    plots.save_figure(figure, tmp_path / "perfect.png")


def test_the_histogram_shows_the_share_of_each_outcome(outcomes):
    axes = Figure().subplots()
    plots.draw_outcome_histogram(axes, *outcomes, "energy")
    assert axes.get_title() == "energy"
    edges, right, errors = outcome_histogram(*outcomes)
    filled = {patch.get_label(): patch.get_data().values for patch in axes.patches if patch.get_fill()}
    np.testing.assert_allclose(filled["correct predictions"], right / right.sum())
    np.testing.assert_allclose(filled["errors"], errors / errors.sum())
    assert (axes.get_xlim(), axes.get_ylim()) == ((edges[0], edges[-1]), (0, 1))
    assert axes.get_yticks().tolist() == list(HISTOGRAM_FRACTION_TICKS)


def test_a_histogram_without_errors_is_drawn():
    axes = Figure().subplots()
    plots.draw_outcome_histogram(axes, np.array([0.2, 0.4]), np.array([True, True]), "mcp")
    assert all(np.isfinite(patch.get_data().values).all() for patch in axes.patches)


@pytest.mark.parametrize("methods", [0, 1, 3, 9])
def test_the_comparison_has_two_curves_and_a_histogram_for_each_method(tmp_path, outcomes, methods):
    histograms = {f"method_{index}": outcomes for index in range(methods)}
    line_styles = STYLES | {name: LineStyle(name, name, "#000000") for name in histograms}
    figure = plots.comparison_figure(CURVES, CURVES, histograms, line_styles)
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == ["", "", *histograms]
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == ["MCP", "Entropy", "TCP (oracle)"]
    plots.save_figure(figure, tmp_path / "comparison.png")
    assert matplotlib.image.imread(tmp_path / "comparison.png").std() > 0


def test_a_histogram_has_the_colour_of_its_curve(outcomes):
    figure = plots.comparison_figure(CURVES, CURVES, {"entropy": outcomes, "tcp": outcomes}, STYLES)
    titles = {axes.get_title(): axes.title.get_color() for axes in figure.axes}
    lines = drawn(figure.axes[0])
    assert titles["Entropy"] == lines["Entropy"].get_color() and titles["TCP (oracle)"] == plots.ORACLE_COLOUR


def test_a_saved_figure_has_the_width_asked_for_and_nothing_stays_open(tmp_path):
    figure = Figure(figsize=(7, 3))
    plots.draw_roc(figure.subplots(), CURVES, STYLES)
    plots.save_figure(figure, tmp_path / "new" / "roc.png")
    assert matplotlib.image.imread(tmp_path / "new" / "roc.png").shape[1] == 1200
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["roc.png"]
    assert figure.axes == [] and pyplot.get_fignums() == []


def test_a_figure_is_not_saved_under_a_name_that_is_no_image(tmp_path):
    for name in ("roc", "roc.csv"):
        with pytest.raises(ValueError, match=r"end the name in \.png"):
            plots.save_figure(Figure(), tmp_path / name)


def test_plots_never_import_pyplot():
    code = "import sys, confidnet_core.reporting.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("template", "x", "y"), [("methods", "coverage", "risk"), ("methods", "fpr", "tpr"), ("histogram", "confidence", "share")]
)
def test_dvc_fills_every_anchor_of_the_template_and_our_rows_have_every_field(outcomes, template, x, y):
    rows = curves.curve_rows("digits", 0, "mcp", COVERAGE, COVERAGE, (x, y))
    if template == "histogram":
        rows = curves.histogram_rows("digits", 0, "mcp", *outcomes)
    points = [row | {"rev": "workspace"} for row in rows.astype(str).to_dict("records")]
    renderer = VegaRenderer(points, "plot", template=template, template_dir=str(TEMPLATES), x=x, y=y, title="A title")
    content = json.loads(renderer.partial_html())
    assert "<DVC_METRIC" not in json.dumps(content)
    assert content["data"]["values"] == points and content["title"]["text"] == "A title"
    made = {step["as"] for step in content.get("transform", []) if "as" in step}
    assert fields(content) <= set(points[0]) | made


def template(name: str) -> dict:
    return json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))


def test_templates_have_the_colours_of_the_figures():
    assert tuple(template("methods")["spec"]["encoding"]["color"]["scale"]["range"]) == palette.PALETTE
    assert template("histogram")["spec"]["encoding"]["color"]["scale"] == {
        "domain": ["correct", "error"],
        "range": [palette.CORRECT_PREDICTION_COLOUR, palette.ERROR_COLOUR],
    }
    for colours in (
        template("trainings")["spec"]["encoding"]["color"]["scale"]["range"],
        template("reliability")["spec"]["layer"][1]["encoding"]["color"]["scale"]["range"],
    ):
        assert tuple(colours) == palette.PALETTE[: len(colours)]


def test_the_histograms_of_dvc_have_the_axis_of_the_figures():
    axis = template("histogram")["spec"]["encoding"]["y"]
    assert axis["scale"] == {"type": "sqrt", "domain": [0, 1]} and tuple(axis["axis"]["values"]) == HISTOGRAM_FRACTION_TICKS


def fields(content):
    """Every column that an encoding of a Vega-Lite specification names."""
    if isinstance(content, list):
        return set().union(*map(fields, content))
    if not isinstance(content, dict):
        return set()
    own = {content["field"]} if isinstance(content.get("field"), str) else set()
    return own.union(*(fields(value) for key, value in content.items() if key != "data"))
