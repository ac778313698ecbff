"""Figures that show how well confidences separate correct predictions from errors, drawn from arrays.

Risk-coverage curves follow Geifman & El-Yaniv 2017, arXiv:1705.08500; histograms of both outcomes Corbière et al. 2019, arXiv:1910.04851.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from confidnet_core.files import atomic_write
from confidnet_core.reporting.curves import SHARE_TICKS, outcome_bins
from confidnet_core.reporting.palette import CORRECT_COLOUR, ERROR_COLOUR, ORACLE_COLOUR, VOID_COLOUR, Style

ArrayPairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # METHOD -> two arrays of equal length
Styles = Mapping[str, Style]

HISTOGRAMS_PER_ROW = 4
FADED_OPACITY = 0.35  # of curves that are not highlighted


def draw_risk_coverage(axes: Axes, curves: ArrayPairs, styles: Styles, benchmark: str | None = None) -> None:
    """Draw the risk-coverage curve of each method: {method: (coverage, selective risk)}, arrays in [0, 1].

    benchmark: its highlighted scores stand out; None draws all scores alike. The axis is scaled to the risks at a coverage of 5 % and more:
    below, one error among the most confident few would flatten all the rest.
    """
    _draw_method_curves(axes, curves, styles, benchmark)
    visible_risks = [risk[coverage >= 0.05] for coverage, risk in curves.values()]
    highest_risk = max((float(np.nanmax(risk)) for risk in visible_risks if np.isfinite(risk).any()), default=0.0)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * highest_risk or 1))
    axes.set(xlabel="coverage: accepted predictions", ylabel="selective risk: errors among accepted")
    _format_as_percent(axes, both=True)
    _add_legend(axes, curves, "upper left")


def draw_roc(axes: Axes, curves: ArrayPairs, styles: Styles, benchmark: str | None = None) -> None:
    """Draw the ROC curve of each method: {method: (false positive rate, true positive rate)}, arrays in [0, 1].

    A correct prediction is the positive class. benchmark: its highlighted scores stand out; None draws all scores alike
    """
    axes.plot([0, 1], [0, 1], color=VOID_COLOUR, linewidth=1, label="_chance")
    axes.axhline(0.95, color=VOID_COLOUR, linewidth=1, label="_95% true positives")
    axes.text(0.995, 0.94, "95%", color=ORACLE_COLOUR, fontsize="small", ha="right", va="top")
    _draw_method_curves(axes, curves, styles, benchmark)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set(xlabel="false positive rate: accepted errors", ylabel="true positive rate: accepted correct predictions")
    _format_as_percent(axes, both=True)
    _add_legend(axes, curves, "lower right")


def draw_outcome_histogram(axes: Axes, confidence: np.ndarray, correct: np.ndarray, label: str) -> None:
    """Draw the confidence distributions (n,) of correct predictions and of errors, each summing to 100 %, on a square-root axis.

    The square root keeps rare values visible.
    """
    edges, correct_counts, error_counts = outcome_bins(confidence, correct)
    for counts, colour, outcome in ((correct_counts, CORRECT_COLOUR, "correct predictions"), (error_counts, ERROR_COLOUR, "errors")):
        share = counts / max(counts.sum(), 1)
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.35, label=outcome)
        axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.set_yscale("function", functions=(lambda share: np.sqrt(np.maximum(share, 0)), np.square))
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), title=label, xlabel="confidence")
    axes.yaxis.set_major_locator(FixedLocator(list(SHARE_TICKS)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(3))
    _format_as_percent(axes)


def comparison_figure(
    risk_coverages: ArrayPairs, rocs: ArrayPairs, outcomes: ArrayPairs, styles: Styles, benchmark: str | None = None
) -> Figure:
    """Return the figure of one benchmark: risk-coverage curves, ROC curves, and a confidence histogram for each method.

    outcomes: METHOD -> (confidence, correct)
    """
    rows = -(-len(outcomes) // HISTOGRAMS_PER_ROW)
    figure = Figure(figsize=(11, 5.2 + 0.6 + 1.9 * rows), layout="constrained")
    curves_figure, histograms_figure = cast("np.ndarray", figure.subfigures(2, 1, height_ratios=(5.2, 0.6 + 1.9 * rows)))
    risk_coverage_axes, roc_axes = curves_figure.subplots(1, 2)
    draw_risk_coverage(risk_coverage_axes, risk_coverages, styles, benchmark)
    draw_roc(roc_axes, rocs, styles, benchmark)
    for legend in filter(None, (risk_coverage_axes.get_legend(), roc_axes.get_legend())):
        legend.remove()
    lines, line_labels = risk_coverage_axes.get_legend_handles_labels()
    curves_figure.legend(lines, line_labels, loc="outside upper center", ncols=_legend_columns(line_labels), frameon=False)
    if outcomes:
        _draw_histograms(histograms_figure, outcomes, styles)
    return figure


def target_histogram(target: Mapping) -> Figure:
    """Return a figure of the values that a confidence head is trained on: the histogram of TCP on the training split, with log counts.

    target: a `training_target_summary`
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.stairs(target["histogram"]["counts"], target["histogram"]["edges"], fill=True, color=CORRECT_COLOUR)
    axes.set(yscale="symlog", xlim=(0, 1), xlabel="true class probability", ylabel="training samples")
    axes.set_title(f"{target['errors']} errors of {target['samples']}, dropout {'on' if target['dropout'] else 'off'}")
    return figure


def save_figure(figure: Figure, path: Path, width: int = 1200) -> None:
    """Write a figure, `width` pixels wide, in the format of the path's suffix, then clear it. Raises ValueError for an unknown format."""
    image_format = Path(path).suffix.lstrip(".")
    if image_format not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path}: cannot draw a figure as {image_format or 'a file without suffix'!r}; end the name in .png")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=image_format, dpi=width / figure.get_figwidth())
    figure.clear()


def _draw_method_curves(axes: Axes, curves: ArrayPairs, styles: Styles, benchmark: str | None) -> None:
    """Draw the curve of each method in the order of the styles, highlighted ones on top."""
    for method in (method for method in styles if method in curves):
        style = styles[method]
        is_highlighted = benchmark is None or benchmark in style.highlighted_in
        line_style = (
            {"alpha": 1.0, "linewidth": 1.8, "zorder": 3} if is_highlighted else {"alpha": FADED_OPACITY, "linewidth": 1.2, "zorder": 2}
        )
        axes.plot(*curves[method], color=style.colour, linestyle=style.linestyle, label=style.label, **line_style)


def _add_legend(axes: Axes, curves: ArrayPairs, legend_corner: Literal["upper left", "upper right", "lower left", "lower right"]) -> None:
    if curves:
        axes.legend(loc=legend_corner, fontsize="small", framealpha=0.8)
    else:
        axes.text(0.5, 0.5, "undefined here", transform=axes.transAxes, ha="center", color=ORACLE_COLOUR)


def _legend_columns(names: Sequence[str]) -> int:
    """Return how many legend entries fit side by side, at most five: about 140 letters fit in a line."""
    return min(5, 140 // (max(map(len, names), default=0) + 7))


def _format_as_percent(axes: Axes, both: bool = False) -> None:
    for axis in (axes.yaxis, axes.xaxis)[: 1 + both]:
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_histograms(parent_figure: SubFigure, outcomes: ArrayPairs, styles: Styles) -> None:
    columns = min(HISTOGRAMS_PER_ROW, len(outcomes))
    grid = parent_figure.subplots(-(-len(outcomes) // columns), columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(outcomes) :]:
        axes.set_axis_off()
    for axes, (method, (confidence, correct)) in zip(grid.flat, outcomes.items(), strict=False):
        draw_outcome_histogram(axes, confidence, correct, styles[method].label)
        axes.title.set_color(styles[method].colour)
        axes.set_xlabel("")
    parent_figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    parent_figure.supxlabel("confidence, each method on its own scale", fontsize="medium")
    parent_figure.supylabel("fraction of correct / of errors", fontsize="medium")
