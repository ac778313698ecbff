"""Sheets of small pictures, to be looked at beside those of another experiment: what a score is wrong about."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 8


def picture_sheet(rows: Mapping[str, Sequence[tuple[np.ndarray, str]]]) -> Figure:
    """A row of up to COLUMNS pictures below each heading.

    rows: heading -> pictures uint8, (h, w, 3) or grey (h, w), each with its caption; a heading without a picture says "none"
    """
    figure = Figure(figsize=(11, 0.2 + 2.15 * len(rows)), layout="constrained")
    for part, (heading, pictures) in zip(figure.subfigures(len(rows), 1, squeeze=False).flat, rows.items(), strict=True):
        part.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, pair in zip(part.subplots(1, COLUMNS), [*pictures, *[None] * COLUMNS], strict=False):
            if pair is None:
                axes.set_axis_off()
                continue
            axes.imshow(pair[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel(pair[1], fontsize=8)
        if not pictures:
            part.text(0.01, 0.5, "none", fontsize=10)
    return figure
