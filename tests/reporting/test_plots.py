"""Figures draw what they are given, and the Vega templates say the same in `dvc plots`."""

import json
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
from dvc_render.vega import VegaRenderer
from matplotlib import colors, pyplot
from matplotlib.figure import Figure
from project_code import ROOT

from confidnet_core.reporting import curves, plots

TEMPLATES = ROOT / ".dvc" / "plots"
COVERAGE = np.linspace(0.01, 1, 100)
CURVES = {"mcp": (COVERAGE, COVERAGE * 0.10), "tcp": (COVERAGE, COVERAGE * 0.02), "entropy": (COVERAGE, COVERAGE * 0.2)}


@pytest.fixture
def outcomes():
    generator = np.random.default_rng(0)
    correct = generator.random(900) < 0.93
    return generator.normal(size=900) + correct, correct


@pytest.fixture
def scene():
    """Two images of 4 x 6 pixels, three classes and void 9 in one corner; the prediction is wrong at one pixel of each."""
    truth = np.zeros((2, 4, 6), np.uint8)
    truth[:, 2:] = 1
    predicted = truth.copy()
    predicted[:, 1, 1] = 2
    truth[:, 3, 5] = 9
    confidence = np.where(truth == 9, np.nan, np.where(truth == predicted, 5.0, -5.0))
    return np.full((2, 4, 6, 3), 77, np.uint8), truth, predicted, confidence


def drawn(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize("draw", [plots.risk_coverage, plots.roc])
def test_each_curve_is_drawn_as_given_and_the_oracle_stands_out(draw):
    axes = Figure().subplots()
    draw(axes, CURVES, "tcp")
    lines = drawn(axes)
    assert set(lines) == {"mcp", "tcp (oracle)", "entropy"} == {text.get_text() for text in axes.get_legend().get_texts()}
    for name, line in lines.items():
        np.testing.assert_array_equal(line.get_xydata().T, CURVES[name.removesuffix(" (oracle)")])
    assert (lines["tcp (oracle)"].get_linestyle(), lines["tcp (oracle)"].get_color()) == ("--", plots.ORACLE_COLOUR)
    assert axes.get_ylim()[0] == 0


def test_an_early_error_does_not_flatten_the_other_risks():
    risk = np.where(COVERAGE < 0.05, 1.0, 0.1)
    axes = Figure().subplots()
    plots.risk_coverage(axes, {"mcp": (COVERAGE, risk)})
    assert axes.get_ylim()[1] == pytest.approx(0.105)


def test_curves_without_any_error_or_any_point_are_drawn():
    axes = Figure().subplots()
    plots.risk_coverage(axes, {"mcp": (COVERAGE, 0 * COVERAGE), "none": (np.array([]), np.array([]))})
    plots.roc(axes, {"mcp": (np.array([np.nan]), np.array([np.nan]))})
    assert axes.get_ylim()[1] > 0


def test_the_comparison_of_a_perfect_classifier_has_no_roc_curve(tmp_path):
    figure = plots.comparison_figure({"mcp": (COVERAGE, 0 * COVERAGE)}, {}, {"mcp": (COVERAGE, COVERAGE > 0)})
    assert drawn(figure.axes[1]) == {} and [text.get_text() for text in figure.axes[1].texts] == ["95%", "undefined here"]
    plots.save(figure, tmp_path / "perfect.png")


def test_a_method_keeps_its_colour_wherever_the_oracle_stands():
    names = [f"method_{index}" for index in range(12)]
    first, last = plots.method_styles(["tcp", *names], "tcp"), plots.method_styles([*names, "tcp"], "tcp")
    assert first == last
    assert len({tuple(style.items()) for style in first.values()}) == 13


def test_bins_hold_every_sample_and_reach_few_errors_far_off():
    """One error in a thousand at -8 lies outside the central 99% of all samples, but not of the errors."""
    confidence = np.concatenate([np.linspace(0, 1, 1000), [-8.0]])
    correct = confidence >= 0
    edges, successes, errors = plots.outcome_bins(confidence, correct, bins=10)
    assert edges[0] == -8 and (successes.sum(), errors.sum()) == (1000, 1)
    assert errors[0] == 1 and successes[0] == 0


def test_bins_agree_with_numpy_histogram(outcomes):
    confidence, correct = outcomes
    edges, successes, errors = plots.outcome_bins(confidence, correct)
    for counts, values in ((successes, confidence[correct]), (errors, confidence[~correct])):
        np.testing.assert_array_equal(counts, np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0])


@pytest.mark.parametrize("value", [0.0, 1.0, -3e7, 1e-9])
def test_a_constant_confidence_fills_one_bin(value):
    edges, successes, errors = plots.outcome_bins(np.full(5, value), np.array([1, 1, 1, 0, 0], bool))
    assert (np.diff(edges) > 0).all()
    assert (successes.max(), errors.max()) == (3, 2)


@pytest.mark.parametrize("confidence", [[0.1, np.nan], [0.1, np.inf], [0.1], []])
def test_confidences_that_cannot_be_binned_are_refused(confidence):
    with pytest.raises(ValueError, match="expected as many finite confidences as outcomes"):
        plots.outcome_bins(np.array(confidence), np.array([True, False][: max(len(confidence), 2) if confidence else 0]))


def test_the_histogram_shows_the_share_of_each_outcome(outcomes):
    axes = Figure().subplots()
    plots.success_error_histogram(axes, *outcomes, "energy")
    assert axes.get_title() == "energy"
    _, successes, errors = plots.outcome_bins(*outcomes, bins=25)
    filled = {patch.get_label(): patch.get_data().values for patch in axes.patches if patch.get_fill()}
    np.testing.assert_allclose(filled["successes"], successes / successes.sum())
    np.testing.assert_allclose(filled["errors"], errors / errors.sum())


def test_a_histogram_without_errors_is_drawn():
    axes = Figure().subplots()
    plots.success_error_histogram(axes, np.array([0.2, 0.4]), np.array([True, True]), "mcp")
    assert all(np.isfinite(patch.get_data().values).all() for patch in axes.patches)


@pytest.mark.parametrize("methods", [0, 1, 3, 9])
def test_the_comparison_has_two_curves_and_a_histogram_for_each_method(tmp_path, outcomes, methods):
    histograms = {f"method_{index}": outcomes for index in range(methods)}
    figure = plots.comparison_figure(CURVES, CURVES, histograms, "tcp")
    titles = [axes.get_title() for axes in figure.axes if axes.axison]
    assert titles == ["", "", *histograms]
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == ["mcp", "tcp (oracle)", "entropy"]
    plots.save(figure, tmp_path / "comparison.png")
    assert matplotlib.image.imread(tmp_path / "comparison.png").std() > 0


def test_a_histogram_has_the_colour_of_its_curve(outcomes):
    figure = plots.comparison_figure(CURVES, CURVES, {"entropy": outcomes, "tcp": outcomes}, "tcp")
    titles = {axes.get_title(): axes.title.get_color() for axes in figure.axes}
    lines = drawn(figure.axes[0])
    assert titles["entropy"] == lines["entropy"].get_color() and titles["tcp (oracle)"] == plots.ORACLE_COLOUR


def test_the_sheet_shows_truth_prediction_errors_and_confidence(scene):
    images, truth, predicted, confidence = scene
    figure = plots.segmentation_sheet(images, truth, predicted, {"mcp": confidence, "flat": 0 * confidence}, 9, ["sky", "road", "car"])
    grid = np.array(figure.axes).reshape(2, 6)
    assert [axes.get_title() for axes in grid[0]] == ["image", "truth", "prediction", "errors", "mcp", "flat"]
    image, shown_truth, shown_prediction, errors, mcp, _ = (axes.images[0].get_array() for axes in grid[1])
    sky, road, car = plots.CAMVID_COLOURS[:3]
    assert (image == 77).all()
    assert tuple(shown_truth[0, 0]) == sky and tuple(shown_truth[2, 0]) == road and tuple(shown_prediction[1, 1]) == car
    wrong = (errors == [round(255 * part) for part in colors.to_rgb(plots.ERROR_COLOUR)]).all(axis=-1)
    assert np.argwhere(wrong).tolist() == [[1, 1]]
    assert (mcp[1, 1] != mcp[0, 0]).any()


def test_void_is_grey_in_truth_errors_and_confidence_only(scene):
    images, truth, predicted, confidence = scene
    figure = plots.segmentation_sheet(images, truth, predicted, {"mcp": confidence}, 9, ["sky", "road", "car"])
    grey = [round(255 * part) for part in colors.to_rgb(plots.VOID_COLOUR)]
    places = {axes.get_title(): np.argwhere((axes.images[0].get_array() == grey).all(axis=-1)).tolist() for axes in figure.axes[:5]}
    assert places == {"image": [], "truth": [[3, 5]], "prediction": [], "errors": [[3, 5]], "mcp": [[3, 5]]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "road", "car", "void", "error", "least sure", "surest"]


def test_a_sheet_without_void_and_with_many_classes_is_drawn(tmp_path):
    truth = np.arange(48).reshape(1, 6, 8)
    names = [f"class {index}" for index in range(48)]
    figure = plots.segmentation_sheet(np.zeros((1, 6, 8, 3), np.uint8), truth, truth, {}, None, names)
    plots.save(figure, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_a_sheet_of_maps_that_do_not_fit_is_refused(scene):
    images, truth, predicted, confidence = scene
    with pytest.raises(ValueError, match=r"mcp has shape \(1, 4, 6\), expected \(2, 4, 6\)"):
        plots.segmentation_sheet(images, truth, predicted, {"mcp": confidence[:1]}, 9, ["sky", "road", "car"])


def test_a_saved_figure_has_the_width_asked_for_and_nothing_stays_open(tmp_path):
    figure = Figure(figsize=(7, 3))
    plots.roc(figure.subplots(), CURVES)
    plots.save(figure, tmp_path / "new" / "roc.png")
    assert matplotlib.image.imread(tmp_path / "new" / "roc.png").shape[1] == 1200
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["roc.png"]
    assert figure.axes == [] and pyplot.get_fignums() == []


def test_a_figure_is_not_saved_under_a_name_that_is_no_image(tmp_path):
    for name in ("roc", "roc.csv"):
        with pytest.raises(ValueError, match=r"end the name in \.png"):
            plots.save(Figure(), tmp_path / name)


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


def test_templates_have_the_colours_of_the_figures():
    methods, histogram = (json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8")) for name in ("methods", "histogram"))
    colours = methods["spec"]["encoding"]["color"]["scale"]["range"]
    assert tuple(colours[: len(plots.PALETTE)]) == plots.PALETTE
    assert len(set(colours)) == 12  # dashes tell revisions apart there: a tenth method has a colour of its own
    assert histogram["spec"]["encoding"]["color"]["scale"]["range"] == [plots.SUCCESS_COLOUR, plots.ERROR_COLOUR]


def fields(content):
    """Every column that an encoding of a Vega-Lite specification names."""
    if isinstance(content, list):
        return set().union(*map(fields, content))
    if not isinstance(content, dict):
        return set()
    own = {content["field"]} if isinstance(content.get("field"), str) else set()
    return own.union(*(fields(value) for key, value in content.items() if key != "data"))
