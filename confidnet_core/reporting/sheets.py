"""Grid of the test images on which a score fails worst, as a figure to compare with that of another experiment."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from confidnet_core.display import display_text

PICTURES_PER_ROW = 8
FIGURE_WIDTH_IN = 11
CAPTION_PT = 8
MAX_CAPTION_WIDTH_PT = 72 * FIGURE_WIDTH_IN / PICTURES_PER_ROW - 4  # a wider one would run into its neighbours


def picture_grid_figure(pictures_by_heading: Mapping[str, Sequence[tuple[np.ndarray, str]]]) -> Figure:
    """Return a figure with a row of up to PICTURES_PER_ROW pictures below each heading.

    pictures_by_heading: {heading: list of (uint8 picture, caption)}, each picture (h, w, 3) or grey (h, w); a heading without pictures
    shows "none"
    """
    figure = Figure(figsize=(FIGURE_WIDTH_IN, 0.2 + 2.15 * len(pictures_by_heading)), layout="constrained")
    for row_figure, (heading, captioned_pictures) in zip(
        figure.subfigures(len(pictures_by_heading), 1, squeeze=False).flat, pictures_by_heading.items(), strict=True
    ):
        row_figure.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, captioned_picture in zip(
            row_figure.subplots(1, PICTURES_PER_ROW), [*captioned_pictures, *[None] * PICTURES_PER_ROW], strict=False
        ):
            if captioned_picture is None:
                axes.set_axis_off()
                continue
            axes.imshow(captioned_picture[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_xlabel("\n".join(map(_fitting_line, captioned_picture[1].split("\n"))), fontsize=CAPTION_PT)
        if not captioned_pictures:
            row_figure.text(0.01, 0.5, "none", fontsize=10)
    return figure


def _fitting_line(line: str) -> str:
    """Return a line of a caption, cut in its middle where it is wider than its picture's column."""
    shown = display_text(line)
    for length in range(len(shown), 1, -1):
        cut = display_text(shown, length)
        if TextPath((0, 0), cut.replace("$", "S"), size=CAPTION_PT).get_extents().width <= MAX_CAPTION_WIDTH_PT:  # "$" begins a formula
            return cut
    return shown[:1]
