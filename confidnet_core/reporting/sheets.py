"""Picture sheets: figures of small images on which a score fails, to compare with those of another experiment."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

PICTURES_PER_ROW = 8


def picture_sheet(rows: Mapping[str, Sequence[tuple[np.ndarray, str]]]) -> Figure:
    """Return a figure with a row of up to PICTURES_PER_ROW pictures below each heading.

    rows: heading -> uint8 pictures, (h, w, 3) or grey (h, w), each with its caption; a heading without pictures shows "none"
    """
    figure = Figure(figsize=(11, 0.2 + 2.15 * len(rows)), layout="constrained")
    for row_figure, (heading, pictures) in zip(figure.subfigures(len(rows), 1, squeeze=False).flat, rows.items(), strict=True):
        row_figure.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, picture_and_caption in zip(
            row_figure.subplots(1, PICTURES_PER_ROW), [*pictures, *[None] * PICTURES_PER_ROW], strict=False
        ):
            if picture_and_caption is None:
                axes.set_axis_off()
                continue
            axes.imshow(picture_and_caption[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(picture_and_caption[1], fontsize=8)
        if not pictures:
            row_figure.text(0.01, 0.5, "none", fontsize=10)
    return figure
