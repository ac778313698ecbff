"""Sheets of a segmentation: images, what was predicted, and where each score is confident."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import rankdata

from confidnet_core.reporting.palette import ERROR_COLOUR, VOID_COLOUR

# SegNet's CamVid colours in its class order; the sky is blue, not grey, because grey stands for void here.
CAMVID_COLOURS = (
    (135, 206, 235), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip


COLUMNS = 8  # panels side by side


def segmentation_sheet(
    images: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    confidences: Mapping[str, np.ndarray],
    void: int | None,
    classes: Sequence[str],
) -> Figure:
    """One row an image: image, truth, prediction, errors, and one confidence map a method; what has no place beside goes below.

    A map shows ranks: the share of the method's labelled pixels on this sheet that are less confident. So every map has all shades,
    whatever the scale of its score.

    images: uint8 (n, h, w, 3)
    truth, predicted: class indices (n, h, w), truth may hold void
    confidences: METHOD -> float (n, h, w), higher = more confident, NaN at void
    ValueError where shapes do not fit.
    """
    for name, array in {"truth": truth, "predicted": predicted, **confidences}.items():
        if array.shape != images.shape[:3]:
            raise ValueError(f"segmentation sheet: {name} has shape {array.shape}, expected {images.shape[:3]} as of the images")
    palette, unlabelled = _class_colours(len(classes)), np.zeros(truth.shape, bool) if void is None else truth == void
    wrong = np.where((truth != predicted)[..., None], _rgb(ERROR_COLOUR), _rgb("#FFFFFF"))
    panels = {
        "image": images,
        "truth": _greyed(palette[np.where(unlabelled, 0, truth)], unlabelled),
        "prediction": palette[predicted],
        "errors": _greyed(wrong, unlabelled),
    } | {method: _ranks_coloured(confidence) for method, confidence in confidences.items()}
    figure = _image_grid(panels)
    further = (_rgb(VOID_COLOUR), _rgb(ERROR_COLOUR), *_shades(np.array([0.0, 1.0])))
    names = dict(zip((*classes, "void", "error", "least confident, by rank", "most confident"), (*palette, *further), strict=True))
    handles = [
        Patch(facecolor=cast("tuple[float, float, float]", colour / 255), edgecolor="black", linewidth=0.5, label=name)
        for name, colour in names.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(COLUMNS, 2 + len(panels)), frameon=False)
    return figure


def ranks(confidence: np.ndarray) -> np.ndarray:
    """The share of the finite values that are smaller, of equal ones half, float64 in (0, 1); NaN where the value is."""
    known = np.isfinite(confidence)
    ranked = np.full(confidence.shape, np.nan)
    ranked[known] = (rankdata(confidence[known]) - 0.5) / max(known.sum(), 1)
    return ranked


def _image_grid(panels: Mapping[str, np.ndarray]) -> Figure:
    """Bands of up to COLUMNS panels below each other, in each a row an image."""
    images, height, width = next(iter(panels.values())).shape[:3]
    columns, bands = min(COLUMNS, len(panels)), -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(2 * columns, bands * (2 * images * height / width + 0.3) + 0.8), layout="compressed")
    grid = figure.subplots(bands * images, columns, squeeze=False).reshape(bands, images, columns)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for place, (name, pictures) in enumerate(panels.items()):
        column = grid[place // columns, :, place % columns]
        for axes, picture in zip(column, pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
        column[0].set_title(name, fontsize=min(12, 230 / len(name)))  # long names stay above their own column
    for axes in grid[-1, :, len(panels) - (bands - 1) * columns :].flat:
        axes.remove()
    return figure


def _class_colours(classes: int) -> np.ndarray:
    further = [tuple(round(255 * part) for part in colour) for colour in cast("Any", colormaps["tab20"]).colors]
    return np.resize(np.array([*CAMVID_COLOURS, *further], dtype=np.uint8), (classes, 3))  # from the start again


def _ranks_coloured(confidence: np.ndarray) -> np.ndarray:
    """Colours, uint8 (..., 3); grey where NaN."""
    ranked = ranks(confidence)
    return _greyed(_shades(np.nan_to_num(ranked)), np.isnan(ranked))


def _shades(level: np.ndarray) -> np.ndarray:
    return colormaps["viridis"](level, bytes=True)[..., :3]


def _greyed(colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where[..., None], _rgb(VOID_COLOUR), colours)


def _rgb(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)
