"""Figures of segmentation results: test images beside predictions, errors, and confidence maps of each score."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import rankdata

from confidnet_core.reporting.palette import ERROR_COLOUR, VOID_COLOUR

# SegNet's CamVid colours in its class order; the sky is blue, not grey, because grey marks void pixels here.
CAMVID_COLOURS = (
    (135, 206, 235), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip


PANELS_PER_ROW = 8


def segmentation_sheet(
    images: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    confidences: Mapping[str, np.ndarray],
    void: int | None,
    classes: Sequence[str],
) -> Figure:
    """Return a figure with one row per image: image, truth, prediction, errors, and one confidence map per method.

    Panels that do not fit side by side continue below. A map shows ranks: the fraction of the method's labelled pixels on this sheet that
    are
    less confident. So every map uses all shades, whatever the scale of its score.

    images: uint8 (n, h, w, 3)
    truth, predicted: class indices (n, h, w); truth may hold void
    confidences: METHOD -> float (n, h, w), higher = more confident, NaN at void

    Raises ValueError if shapes do not match.
    """
    for name, array in {"truth": truth, "predicted": predicted, **confidences}.items():
        if array.shape != images.shape[:3]:
            raise ValueError(f"segmentation sheet: {name} has shape {array.shape}, expected {images.shape[:3]} as of the images")
    palette, is_unlabelled = _class_colours(len(classes)), np.zeros(truth.shape, bool) if void is None else truth == void
    error_colours = np.where((truth != predicted)[..., None], _hex_to_rgb(ERROR_COLOUR), _hex_to_rgb("#FFFFFF"))
    panels = {
        "image": images,
        "truth": _grey_out(palette[np.where(is_unlabelled, 0, truth)], is_unlabelled),
        "prediction": palette[predicted],
        "errors": _grey_out(error_colours, is_unlabelled),
    } | {method: _rank_colours(confidence) for method, confidence in confidences.items()}
    figure = _draw_panel_grid(panels)
    further_colours = (_hex_to_rgb(VOID_COLOUR), _hex_to_rgb(ERROR_COLOUR), *_viridis_colours(np.array([0.0, 1.0])))
    legend_colours = dict(
        zip((*classes, "void", "error", "least confident, by rank", "most confident"), (*palette, *further_colours), strict=True)
    )
    legend_patches = [
        Patch(facecolor=cast("tuple[float, float, float]", colour / 255), edgecolor="black", linewidth=0.5, label=name)
        for name, colour in legend_colours.items()
    ]
    figure.legend(handles=legend_patches, loc="outside lower center", ncols=min(PANELS_PER_ROW, 2 + len(panels)), frameon=False)
    return figure


def fractional_ranks(confidence: np.ndarray) -> np.ndarray:
    """Return for each confidence the fraction of finite confidences below it, ties counting half: float64 in (0, 1), NaN if not finite."""
    is_finite = np.isfinite(confidence)
    ranks = np.full(confidence.shape, np.nan)
    ranks[is_finite] = (rankdata(confidence[is_finite]) - 0.5) / max(is_finite.sum(), 1)
    return ranks


def _draw_panel_grid(panels: Mapping[str, np.ndarray]) -> Figure:
    """Return a figure with up to PANELS_PER_ROW named panels side by side, further ones in bands below; a band has one row per image."""
    images, height, width = next(iter(panels.values())).shape[:3]
    columns, bands = min(PANELS_PER_ROW, len(panels)), -(-len(panels) // PANELS_PER_ROW)
    figure = Figure(figsize=(2 * columns, bands * (2 * images * height / width + 0.3) + 0.8), layout="compressed")
    grid = figure.subplots(bands * images, columns, squeeze=False).reshape(bands, images, columns)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for index, (name, pictures) in enumerate(panels.items()):
        column = grid[index // columns, :, index % columns]
        for axes, picture in zip(column, pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
        column[0].set_title(name, fontsize=min(12, 230 / len(name)))  # long names stay above their own column
    for axes in grid[-1, :, len(panels) - (bands - 1) * columns :].flat:
        axes.remove()
    return figure


def _class_colours(class_count: int) -> np.ndarray:
    further_colours = [tuple(round(255 * part) for part in colour) for colour in cast("Any", colormaps["tab20"]).colors]
    return np.resize(np.array([*CAMVID_COLOURS, *further_colours], dtype=np.uint8), (class_count, 3))  # the colours repeat after the last


def _rank_colours(confidence: np.ndarray) -> np.ndarray:
    """Return colours by rank of confidence, uint8 (..., 3); grey where the confidence is NaN."""
    ranks = fractional_ranks(confidence)
    return _grey_out(_viridis_colours(np.nan_to_num(ranks)), np.isnan(ranks))


def _viridis_colours(fraction: np.ndarray) -> np.ndarray:
    return colormaps["viridis"](fraction, bytes=True)[..., :3]


def _grey_out(colours: np.ndarray, is_grey: np.ndarray) -> np.ndarray:
    return np.where(is_grey[..., None], _hex_to_rgb(VOID_COLOUR), colours)


def _hex_to_rgb(hex_colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(hex_colour[1:]), dtype=np.uint8)
