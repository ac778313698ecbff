"""Sheets of a segmentation: test images with their predictions, errors, and confidence maps of each score."""

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
    """Draw one row per image: image, truth, prediction, errors, and one confidence map per method; panels that do not fit continue below.

    A map shows ranks: the fraction of the method's labelled pixels on this sheet that are less confident. So every map uses all shades,
    whatever the scale of its score.

    images: uint8 (n, h, w, 3)
    truth, predicted: class indices (n, h, w); truth may hold void
    confidences: METHOD -> float (n, h, w), higher = more confident, NaN at void

    ValueError if shapes do not match.
    """
    for name, array in {"truth": truth, "predicted": predicted, **confidences}.items():
        if array.shape != images.shape[:3]:
            raise ValueError(f"segmentation sheet: {name} has shape {array.shape}, expected {images.shape[:3]} as of the images")
    palette, unlabelled = _class_colours(len(classes)), np.zeros(truth.shape, bool) if void is None else truth == void
    wrong = np.where((truth != predicted)[..., None], _hex_to_rgb(ERROR_COLOUR), _hex_to_rgb("#FFFFFF"))
    panels = {
        "image": images,
        "truth": _grey_out(palette[np.where(unlabelled, 0, truth)], unlabelled),
        "prediction": palette[predicted],
        "errors": _grey_out(wrong, unlabelled),
    } | {method: _rank_colours(confidence) for method, confidence in confidences.items()}
    figure = _image_grid(panels)
    further_colours = (_hex_to_rgb(VOID_COLOUR), _hex_to_rgb(ERROR_COLOUR), *_viridis(np.array([0.0, 1.0])))
    legend_colours = dict(
        zip((*classes, "void", "error", "least confident, by rank", "most confident"), (*palette, *further_colours), strict=True)
    )
    handles = [
        Patch(facecolor=cast("tuple[float, float, float]", colour / 255), edgecolor="black", linewidth=0.5, label=name)
        for name, colour in legend_colours.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(PANELS_PER_ROW, 2 + len(panels)), frameon=False)
    return figure


def fractional_ranks(confidence: np.ndarray) -> np.ndarray:
    """Return the fraction of finite values that are smaller, ties counting half, as float64 in (0, 1); NaN where a value is not finite."""
    is_finite = np.isfinite(confidence)
    ranked = np.full(confidence.shape, np.nan)
    ranked[is_finite] = (rankdata(confidence[is_finite]) - 0.5) / max(is_finite.sum(), 1)
    return ranked


def _image_grid(panels: Mapping[str, np.ndarray]) -> Figure:
    """Draw bands of up to PANELS_PER_ROW panels below each other, with one row per image in each band."""
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


def _class_colours(classes: int) -> np.ndarray:
    further_colours = [tuple(round(255 * part) for part in colour) for colour in cast("Any", colormaps["tab20"]).colors]
    return np.resize(np.array([*CAMVID_COLOURS, *further_colours], dtype=np.uint8), (classes, 3))  # the colours repeat after the last


def _rank_colours(confidence: np.ndarray) -> np.ndarray:
    """Colour confidences by rank, uint8 (..., 3); grey where they are NaN."""
    ranked = fractional_ranks(confidence)
    return _grey_out(_viridis(np.nan_to_num(ranked)), np.isnan(ranked))


def _viridis(level: np.ndarray) -> np.ndarray:
    return colormaps["viridis"](level, bytes=True)[..., :3]


def _grey_out(colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], _hex_to_rgb(VOID_COLOUR), colours)


def _hex_to_rgb(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)
