"""Classes of any name that a file system allows: drawn without formulas and warnings, and written so that they are read as they stand."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from mlflow.utils.validation import _validate_metric_name

from confidnet_core.cli.latex import escape_latex
from confidnet_core.comparison.rendering import markdown_text
from confidnet_core.display import display_text
from confidnet_core.reporting.charts import plotly_text
from confidnet_core.reporting.drawable import _font_with, make_text_drawable
from confidnet_core.reporting.failures import DisplayedSample
from confidnet_core.reporting.maps import segmentation_figure
from confidnet_core.reporting.plots import save_figure
from confidnet_core.reporting.sheets import picture_grid_figure
from confidnet_core.tracking.names import class_metrics

NAMES = ["$5_$10", "\\frac{", "{}", "_a_", "100%", "#1", "x" * 200, "ねこ", "ab\u202egnp", "a\nb\x1b[31m", "<b>|`*", "🐈", "שלום", "^"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_names_are_drawn_below_pictures_and_in_legends(tmp_path: Path) -> None:
    sample = DisplayedSample(np.zeros((8, 8), np.uint8), 3, "", "", "0.9")
    captions = ["\n".join(replace_names(sample, name).caption_lines) for name in NAMES]
    assert all(max(map(len, caption.splitlines())) <= 30 for caption in captions)
    pictures = {"errors": [(np.zeros((8, 8), np.uint8), caption) for caption in captions[:7]], "right": []}
    save_figure(picture_grid_figure(pictures), tmp_path / "sheet.png", width_px=600)
    maps = np.zeros((1, 4, 4), int)
    figure = segmentation_figure(np.zeros((1, 4, 4, 3), np.uint8), maps, maps, {"mcp": np.ones((1, 4, 4))}, None, NAMES)
    make_text_drawable(figure)
    assert "$5_$10" in texts(figure) and "ab\\u202egnp" in texts(figure)
    save_figure(figure, tmp_path / "maps.png", width_px=600)
    assert (tmp_path / "sheet.png").stat().st_size and (tmp_path / "maps.png").stat().st_size


@pytest.mark.parametrize("name", ["W" * 200, "predictable name", "ab\u202egnp.exe", "$W$" * 9])
def test_captions_do_not_run_into_each_other(name: str) -> None:
    caption = "\n".join(replace_names(DisplayedSample(np.zeros((8, 8), np.uint8), 3, "", "", "0.9"), name).caption_lines)
    figure = picture_grid_figure({"errors": [(np.zeros((8, 8), np.uint8), caption)] * 8})
    make_text_drawable(figure)
    FigureCanvasAgg(figure).draw()
    extents = sorted((axes.xaxis.label.get_window_extent() for axes in figure.findobj(Axes)), key=lambda extent: extent.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(extents)) and figure.bbox.x0 <= extents[0].x0


def test_the_font_of_signs_in_place_of_letters_is_no_font_that_has_them() -> None:
    assert all("LastResort" not in (_font_with(frozenset(letter)) or "") for letter in "ねꯀ\U00012000\U0001e900")


def replace_names(sample: DisplayedSample, name: str) -> DisplayedSample:
    return sample._replace(true_class=name, predicted_class=name[::-1])


def test_a_letter_that_no_font_has_is_drawn_as_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("confidnet_core.reporting.drawable._font_with", lambda letters: None)
    figure = Figure()
    figure.text(0, 0, "true ねこ\n$x$")
    make_text_drawable(figure)
    assert "true □□\n$x$" in texts(figure)


def test_what_moves_the_cursor_or_the_reading_order_is_written_out() -> None:
    assert display_text("ab\u202egnp\u2066") == "ab\\u202egnp\\u2066"
    assert display_text("a\nb\x1b[31m\u2028") == "a\\nb\\x1b[31m\\u2028"
    assert display_text("caf\udce9") == "caf\\udce9"
    assert display_text("שלום, می‌خواهم, 🐈") == "שלום, می‌خواهم, 🐈"  # letters, and the joiner between two of them, stay
    assert display_text("x" * 200, 20) == "x" * 9 + "…" + "x" * 10
    assert display_text("abcdef", 6) == "abcdef"


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_takes_a_metric_of_every_class(name: str) -> None:
    (metric,) = class_metrics("iou", {name: 0.5})
    _validate_metric_name(metric)


def test_classes_whose_names_become_one_keep_metrics_of_their_own() -> None:
    metrics = class_metrics("iou", {"a$": 0.1, "a#": 0.2, "..": 0.3, "road": None})
    assert metrics == {"iou/a_": 0.1, "iou/a_ 2": 0.2, "iou/__": 0.3, "iou/road": None}


def test_markdown_latex_and_plotly_show_them_literally() -> None:
    assert markdown_text("$5_$10 <b> *x*") == r"\$5_\$10 \<b> \*x\*"
    assert plotly_text("<b>%{x}$1$") == "&lt;b>%&#8203;{x}&#36;1&#36;"
    assert escape_latex("$5_$10{}#%") == r"\$5\_\$10\{\}\#\%"
