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
from confidnet_core.reporting.curves import HISTOGRAM_FRACTION_TICKS, outcome_histogram
from confidnet_core.reporting.drawable import make_text_drawable
from confidnet_core.reporting.palette import CORRECT_PREDICTION_COLOUR, ERROR_COLOUR, ORACLE_COLOUR, VOID_COLOUR, LineStyle

ArrayPairByMethod = Mapping[str, tuple[np.ndarray, np.ndarray]]  # METHOD -> two arrays of equal length
LineStyleByMethod = Mapping[str, LineStyle]

MAX_HISTOGRAMS_PER_ROW = 4
FADED_OPACITY = 0.35  # of curves that are not highlighted


def draw_risk_coverage(
    axes: Axes, curve_by_method: ArrayPairByMethod, line_styles: LineStyleByMethod, benchmark: str | None = None
) -> None:
    """Draw the risk-coverage curve of each method: {method: (coverage, selective risk)}, arrays in [0, 1].

    line_styles: {method: line style}
    benchmark: its highlighted scores stand out; None draws all scores alike. The axis is scaled to the risks at a coverage of 5 % and more:
    below, one error among the most confident few would flatten all the rest.
    """
    _draw_method_curves(axes, curve_by_method, line_styles, benchmark)
    visible_risks = [risk[coverage >= 0.05] for coverage, risk in curve_by_method.values()]
    highest_risk = max((float(np.nanmax(risk)) for risk in visible_risks if np.isfinite(risk).any()), default=0.0)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * highest_risk or 1))
    axes.set(xlabel="coverage: accepted predictions", ylabel="selective risk: errors among accepted")
    _format_as_percent(axes, both_axes=True)
    _add_legend(axes, curve_by_method, "upper left")


def draw_roc(axes: Axes, curve_by_method: ArrayPairByMethod, line_styles: LineStyleByMethod, benchmark: str | None = None) -> None:
    """Draw the ROC curve of each method: {method: (false positive rate, true positive rate)}, arrays in [0, 1].

    A correct prediction is the positive class. line_styles: {method: line style}
    benchmark: its highlighted scores stand out; None draws all scores alike
    """
    axes.plot([0, 1], [0, 1], color=VOID_COLOUR, linewidth=1, label="_chance")
    axes.axhline(0.95, color=VOID_COLOUR, linewidth=1, label="_95% true positives")
    axes.text(0.995, 0.94, "95%", color=ORACLE_COLOUR, fontsize="small", ha="right", va="top")
    _draw_method_curves(axes, curve_by_method, line_styles, benchmark)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set(xlabel="false positive rate: accepted errors", ylabel="true positive rate: accepted correct predictions")
    _format_as_percent(axes, both_axes=True)
    _add_legend(axes, curve_by_method, "lower right")


def draw_outcome_histogram(axes: Axes, confidence: np.ndarray, correct: np.ndarray, title: str, weights: np.ndarray | None = None) -> None:
    """Draw the confidence distributions of correct predictions and of errors, each summing to 100 %, on a square-root axis.

    The square root keeps rare values visible. confidence: array (n,), higher is more confident; correct: bool array (n,)
    weights: (n,) how many predictions each stands for; None for 1 each
    """
    bin_edges, correct_counts, error_counts = outcome_histogram(confidence, correct, weights)
    for bin_counts, colour, outcome_label in (
        (correct_counts, CORRECT_PREDICTION_COLOUR, "correct predictions"),
        (error_counts, ERROR_COLOUR, "errors"),
    ):
        fraction = bin_counts / max(bin_counts.sum(), 1)
        axes.stairs(fraction, bin_edges, fill=True, color=colour, alpha=0.35, label=outcome_label)
        axes.stairs(fraction, bin_edges, color=colour, linewidth=1.2)
    axes.set_yscale("function", functions=(lambda fraction: np.sqrt(np.maximum(fraction, 0)), np.square))
    axes.set(xlim=(bin_edges[0], bin_edges[-1]), ylim=(0, 1), title=title, xlabel="confidence")
    axes.yaxis.set_major_locator(FixedLocator(list(HISTOGRAM_FRACTION_TICKS)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(3))
    _format_as_percent(axes)


def comparison_figure(
    risk_coverage_by_method: ArrayPairByMethod,
    roc_by_method: ArrayPairByMethod,
    outcomes_by_method: Mapping[str, tuple[np.ndarray, ...]],
    line_styles: LineStyleByMethod,
    benchmark: str | None = None,
) -> Figure:
    """Return the figure of one benchmark: risk-coverage curves, ROC curves, and a confidence histogram for each method.

    risk_coverage_by_method: {method: (coverage, risk)}; roc_by_method: {method: (false positive rate, true positive rate)}
    outcomes_by_method: {method: (confidence, correct)}, perhaps with weights as a third array
    line_styles: {method: line style}; benchmark: its highlighted scores stand out
    """
    histogram_row_count = -(-len(outcomes_by_method) // MAX_HISTOGRAMS_PER_ROW)
    figure = Figure(figsize=(11, 5.2 + 0.6 + 1.9 * histogram_row_count), layout="constrained")
    curves_figure, histograms_figure = cast("np.ndarray", figure.subfigures(2, 1, height_ratios=(5.2, 0.6 + 1.9 * histogram_row_count)))
    risk_coverage_axes, roc_axes = curves_figure.subplots(1, 2)
    draw_risk_coverage(risk_coverage_axes, risk_coverage_by_method, line_styles, benchmark)
    draw_roc(roc_axes, roc_by_method, line_styles, benchmark)
    for legend in filter(None, (risk_coverage_axes.get_legend(), roc_axes.get_legend())):
        legend.remove()
    legend_handles, legend_labels = risk_coverage_axes.get_legend_handles_labels()
    curves_figure.legend(
        legend_handles, legend_labels, loc="outside upper center", ncols=_count_legend_columns(legend_labels), frameon=False
    )
    if outcomes_by_method:
        _draw_histograms(histograms_figure, outcomes_by_method, line_styles)
    return figure


def tcp_target_histogram(target_summary: Mapping) -> Figure:
    """Return a figure of the values that a confidence head is trained on: the histogram of TCP (true class probability), with log counts.

    target_summary: from `training_target_summary`, on the training split
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.stairs(target_summary["histogram"]["counts"], target_summary["histogram"]["edges"], fill=True, color=CORRECT_PREDICTION_COLOUR)
    axes.set(yscale="symlog", xlim=(0, 1), xlabel="true class probability", ylabel="training samples")
    axes.set_title(
        f"{target_summary['errors']} errors of {target_summary['samples']}, dropout {'on' if target_summary['dropout'] else 'off'}"
    )
    return figure


def save_figure(figure: Figure, path: Path, width_px: int = 1200) -> None:
    """Write a figure, `width_px` pixels wide, in the format of the path's suffix, then clear it.

    Raises ValueError for an unknown format.
    """
    image_format = Path(path).suffix.lstrip(".")
    if image_format not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path}: cannot draw a figure as {image_format or 'a file without suffix'!r}; end the name in .png")
    make_text_drawable(figure)
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path, format=image_format, dpi=width_px / figure.get_figwidth())
    figure.clear()


def _draw_method_curves(axes: Axes, curve_by_method: ArrayPairByMethod, line_styles: LineStyleByMethod, benchmark: str | None) -> None:
    """Draw the curve of each method, (x, y), in the order of `line_styles`, with highlighted ones on top."""
    for method in (method for method in line_styles if method in curve_by_method):
        style = line_styles[method]
        is_highlighted = benchmark is None or benchmark in style.highlighted_in_benchmarks
        emphasis_options = (
            {"alpha": 1.0, "linewidth": 1.8, "zorder": 3} if is_highlighted else {"alpha": FADED_OPACITY, "linewidth": 1.2, "zorder": 2}
        )
        axes.plot(*curve_by_method[method], color=style.colour, linestyle=style.linestyle, label=style.label, **emphasis_options)


def _add_legend(
    axes: Axes, curve_by_method: ArrayPairByMethod, legend_corner: Literal["upper left", "upper right", "lower left", "lower right"]
) -> None:
    """Add a legend to the axes; without any curve, a text that says that it is undefined."""
    if curve_by_method:
        axes.legend(loc=legend_corner, fontsize="small", framealpha=0.8)
    else:
        axes.text(0.5, 0.5, "undefined here", transform=axes.transAxes, ha="center", color=ORACLE_COLOUR)


def _count_legend_columns(legend_labels: Sequence[str]) -> int:
    """Return how many legend entries fit side by side, at most five: about 140 letters fit in a line."""
    return min(5, 140 // (max(map(len, legend_labels), default=0) + 7))


def _format_as_percent(axes: Axes, both_axes: bool = False) -> None:
    """Show the numbers of the y axis as percent, and those of the x axis too if `both_axes`."""
    for axis in (axes.yaxis, axes.xaxis)[: 1 + both_axes]:
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_histograms(
    parent_figure: SubFigure, outcomes_by_method: Mapping[str, tuple[np.ndarray, ...]], line_styles: LineStyleByMethod
) -> None:
    """Draw a confidence histogram for each method in a grid. outcomes_by_method: as for `comparison_figure`"""
    column_count = min(MAX_HISTOGRAMS_PER_ROW, len(outcomes_by_method))
    axes_grid = parent_figure.subplots(-(-len(outcomes_by_method) // column_count), column_count, squeeze=False, sharey=True)
    for axes in axes_grid.flat[len(outcomes_by_method) :]:
        axes.set_axis_off()
    for axes, (method, (confidence, correct, *weights)) in zip(axes_grid.flat, outcomes_by_method.items(), strict=False):
        draw_outcome_histogram(axes, confidence, correct, line_styles[method].label, *weights)
        axes.title.set_color(line_styles[method].colour)
        axes.set_xlabel("")
    parent_figure.legend(*axes_grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    parent_figure.supxlabel("confidence, each method on its own scale", fontsize="medium")
    parent_figure.supylabel("fraction of correct / of errors", fontsize="medium")
