"""Figures of segmentation results: test images beside predictions, errors, and confidence maps of each score."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from confidnet_core.display import display_text
from confidnet_core.reporting.palette import ERROR_COLOUR, VOID_COLOUR

# SegNet's CamVid colours in its class order; the sky is blue, not grey, because grey marks void pixels here.
CAMVID_CLASS_COLOURS = (
    (135, 206, 235), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip


MAX_PANELS_PER_ROW = 8
MAX_LEGEND_NAME = 24  # characters of the name of a class


def segmentation_figure(
    images: np.ndarray,
    true_classes: np.ndarray,
    predicted_classes: np.ndarray,
    confidence_by_method: Mapping[str, np.ndarray],
    void_label: int | None,
    class_names: Sequence[str],
) -> Figure:
    """Return a figure with one row per image: image, truth, prediction, errors, and one confidence map per method.

    Panels that do not fit side by side continue below. A map shows ranks: the fraction of the method's labelled pixels in this figure that
    are less confident. So every map uses all shades, whatever the scale of its score.

    images: uint8 (n, h, w, 3)
    true_classes, predicted_classes: class indices (n, h, w); true_classes may hold void_label
    confidence_by_method: {method: float (n, h, w)}, higher = more confident, NaN at void pixels

    Raises ValueError if shapes do not match.
    """
    for array_name, array in {"truth": true_classes, "predicted": predicted_classes, **confidence_by_method}.items():
        if array.shape != images.shape[:3]:
            raise ValueError(f"segmentation figure: {array_name} has shape {array.shape}, expected {images.shape[:3]} as of the images")
    class_colours = _class_colours(len(class_names))
    is_unlabelled = np.zeros(true_classes.shape, bool) if void_label is None else true_classes == void_label
    error_colours = np.where((true_classes != predicted_classes)[..., None], _hex_to_rgb(ERROR_COLOUR), _hex_to_rgb("#FFFFFF"))
    panel_by_title = {
        "image": images,
        "truth": _grey_out(class_colours[np.where(is_unlabelled, 0, true_classes)], is_unlabelled),
        "prediction": class_colours[predicted_classes],
        "errors": _grey_out(error_colours, is_unlabelled),
    } | {method: _rank_colours(confidence) for method, confidence in confidence_by_method.items()}
    figure = _draw_panel_grid(panel_by_title)
    further_colours = (_hex_to_rgb(VOID_COLOUR), _hex_to_rgb(ERROR_COLOUR), *_viridis_colours(np.array([0.0, 1.0])))
    shown_names = [display_text(name, MAX_LEGEND_NAME) for name in class_names]
    legend_colours = zip(
        (*shown_names, "void", "error", "least confident, by rank", "most confident"), (*class_colours, *further_colours), strict=True
    )
    legend_patches = [
        Patch(facecolor=cast("tuple[float, float, float]", colour / 255), edgecolor="black", linewidth=0.5, label=legend_name)
        for legend_name, colour in legend_colours
    ]
    figure.legend(handles=legend_patches, loc="outside lower center", ncols=min(MAX_PANELS_PER_ROW, 2 + len(panel_by_title)), frameon=False)
    return figure


def fractional_ranks(confidence: np.ndarray) -> np.ndarray:
    """Return for each confidence the fraction of finite confidences below it, ties counting half.

    The result is float64 in (0, 1) of the same shape; NaN where the confidence is not finite.
    """
    from scipy.stats import rankdata  # imported here, since it takes a second and only segmentation needs it

    is_finite = np.isfinite(confidence)
    ranks = np.full(confidence.shape, np.nan)
    ranks[is_finite] = (rankdata(confidence[is_finite]) - 0.5) / max(is_finite.sum(), 1)
    return ranks


def _draw_panel_grid(panel_by_title: Mapping[str, np.ndarray]) -> Figure:
    """Return a figure with up to MAX_PANELS_PER_ROW panels side by side, further ones in bands below; a band has one row per image.

    panel_by_title: {title: images (n, h, w, 3)}
    """
    image_count, image_height, image_width = next(iter(panel_by_title.values())).shape[:3]
    panel_column_count, panel_band_count = min(MAX_PANELS_PER_ROW, len(panel_by_title)), -(-len(panel_by_title) // MAX_PANELS_PER_ROW)
    figure = Figure(
        figsize=(2 * panel_column_count, panel_band_count * (2 * image_count * image_height / image_width + 0.3) + 0.8), layout="compressed"
    )
    axes_grid = figure.subplots(panel_band_count * image_count, panel_column_count, squeeze=False).reshape(
        panel_band_count, image_count, panel_column_count
    )
    for axes in axes_grid.flat:
        axes.set(xticks=[], yticks=[])
    for panel_index, (panel_title, panel_pictures) in enumerate(panel_by_title.items()):
        column_axes = axes_grid[panel_index // panel_column_count, :, panel_index % panel_column_count]
        for axes, picture in zip(column_axes, panel_pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
        column_axes[0].set_title(panel_title, fontsize=min(12, 230 / len(panel_title)))  # long names stay above their own column
    for axes in axes_grid[-1, :, len(panel_by_title) - (panel_band_count - 1) * panel_column_count :].flat:
        axes.remove()
    return figure


def _class_colours(class_count: int) -> np.ndarray:
    """Return a colour for each class, uint8 (class_count, 3)."""
    further_colours = [tuple(round(255 * channel) for channel in colour) for colour in cast("Any", colormaps["tab20"]).colors]
    return np.resize(
        np.array([*CAMVID_CLASS_COLOURS, *further_colours], dtype=np.uint8), (class_count, 3)
    )  # the colours repeat after the last


def _rank_colours(confidence: np.ndarray) -> np.ndarray:
    """Return the colour of each confidence by its rank, uint8 (..., 3); grey where the confidence is NaN."""
    ranks = fractional_ranks(confidence)
    return _grey_out(_viridis_colours(np.nan_to_num(ranks)), np.isnan(ranks))


def _viridis_colours(rank_fractions: np.ndarray) -> np.ndarray:
    """Return the viridis colours of fractions in [0, 1], uint8 (..., 3)."""
    return colormaps["viridis"](rank_fractions, bytes=True)[..., :3]


def _grey_out(colours: np.ndarray, is_grey: np.ndarray) -> np.ndarray:
    """Return the colours, uint8 (..., 3), with grey where `is_grey` (...) is true."""
    return np.where(is_grey[..., None], _hex_to_rgb(VOID_COLOUR), colours)


def _hex_to_rgb(hex_colour: str) -> np.ndarray:
    """Return a colour such as "#D9D9D9" as uint8 (3,)."""
    return np.frombuffer(bytes.fromhex(hex_colour[1:]), dtype=np.uint8)
