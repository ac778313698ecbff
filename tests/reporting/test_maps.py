"""Sheets of a segmentation: what was predicted, where it is wrong, and maps of which each has all shades."""

import numpy as np
import pytest
from matplotlib import colors

from confidnet_core.reporting.maps import CAMVID_CLASS_COLOURS, MAX_PANELS_PER_ROW, fractional_ranks, segmentation_figure
from confidnet_core.reporting.palette import ERROR_COLOUR, VOID_COLOUR
from confidnet_core.reporting.plots import save_figure


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


def test_the_figure_shows_truth_prediction_errors_and_confidence(scene):
    images, truth, predicted, confidence = scene
    figure = segmentation_figure(images, truth, predicted, {"mcp": confidence, "flat": 0 * confidence}, 9, ["sky", "road", "car"])
    grid = np.array(figure.axes).reshape(2, 6)
    assert [axes.get_title() for axes in grid[0]] == ["image", "truth", "prediction", "errors", "mcp", "flat"]
    image, shown_truth, shown_prediction, errors, mcp, _ = (axes.images[0].get_array() for axes in grid[1])
    sky, road, car = CAMVID_CLASS_COLOURS[:3]
    assert (image == 77).all()
    assert tuple(shown_truth[0, 0]) == sky and tuple(shown_truth[2, 0]) == road and tuple(shown_prediction[1, 1]) == car
    wrong = (errors == [round(255 * part) for part in colors.to_rgb(ERROR_COLOUR)]).all(axis=-1)
    assert np.argwhere(wrong).tolist() == [[1, 1]]
    assert (mcp[1, 1] != mcp[0, 0]).any()


def test_void_is_grey_in_truth_errors_and_confidence_only(scene):
    images, truth, predicted, confidence = scene
    figure = segmentation_figure(images, truth, predicted, {"mcp": confidence}, 9, ["sky", "road", "car"])
    grey = [round(255 * part) for part in colors.to_rgb(VOID_COLOUR)]
    places = {axes.get_title(): np.argwhere((axes.images[0].get_array() == grey).all(axis=-1)).tolist() for axes in figure.axes[:5]}
    assert places == {"image": [], "truth": [[3, 5]], "prediction": [], "errors": [[3, 5]], "mcp": [[3, 5]]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "sky",
        "road",
        "car",
        "void",
        "error",
        "least confident, by rank",
        "most confident",
    ]


def test_a_figure_without_void_and_with_many_classes_is_drawn(tmp_path):
    truth = np.arange(48).reshape(1, 6, 8)
    names = [f"class {index}" for index in range(48)]
    figure = segmentation_figure(np.zeros((1, 6, 8, 3), np.uint8), truth, truth, {}, None, names)
    save_figure(figure, tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 0


def test_a_figure_of_maps_that_do_not_fit_is_refused(scene):
    images, truth, predicted, confidence = scene
    with pytest.raises(ValueError, match=r"mcp has shape \(1, 4, 6\), expected \(2, 4, 6\)"):
        segmentation_figure(images, truth, predicted, {"mcp": confidence[:1]}, 9, ["sky", "road", "car"])


def test_ranks_are_even_whatever_the_scale_and_equal_confidences_share_one():
    values = np.array([[1e-9, 3e8], [np.nan, -2.0]])
    np.testing.assert_allclose(fractional_ranks(values), [[0.5, 2.5 / 3], [np.nan, 0.5 / 3]])
    assert fractional_ranks(np.array([7.0, 7.0])).tolist() == [0.5, 0.5]
    assert np.isnan(fractional_ranks(np.full(3, np.nan))).all()


def test_a_map_of_skewed_confidences_is_as_bright_as_any_other(scene):
    images, truth, predicted, _ = scene
    draw = np.random.default_rng(0).random(truth.shape)
    figure = segmentation_figure(images, truth, predicted, {"even": draw, "skewed": draw**50}, None, ["sky", "road", "car"] * 4)
    even, skewed = (axes.images[0].get_array() for axes in figure.axes if axes.get_title() in ("even", "skewed"))
    assert np.array_equal(even, skewed)


def test_maps_that_have_no_place_beside_stand_below(scene):
    images, truth, predicted, confidence = scene
    maps = {f"method_{place}": confidence for place in range(MAX_PANELS_PER_ROW)}
    figure = segmentation_figure(images, truth, predicted, maps, 9, ["sky", "road", "car"])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["image", "truth", "prediction", "errors", *maps]
    assert len([axes for axes in figure.axes if axes.images]) == len(figure.axes) == len(images) * len(titles)
    rows = {round(axes.get_subplotspec().rowspan.start) for axes in figure.axes}
    assert rows == set(range(2 * len(images)))
