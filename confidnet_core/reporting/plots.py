"""Figures from arrays: how well confidences separate correct predictions from errors.

Risk-coverage curves: Geifman & El-Yaniv 2017, arXiv:1705.08500. Histograms of both outcomes: Corbière et al. 2019, arXiv:1910.04851.
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

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # of a method, two arrays of one length
Styles = Mapping[str, Style]

COLUMNS = 4  # histograms side by side
FADED = 0.35  # opacity of a curve that does not stand out


def risk_coverage(axes: Axes, curves: Pairs, styles: Styles, benchmark: str | None = None) -> None:
    """Draw METHOD -> (coverage, selective risk), arrays in [0, 1]. benchmark: whose bright scores stand out; None draws all alike

    The axis is scaled to the risks at a coverage of 5% and more: below, one error among the most confident few would flatten all the rest.
    """
    _draw(axes, curves, styles, benchmark)
    shown = [risk[coverage >= 0.05] for coverage, risk in curves.values()]
    highest = max((float(np.nanmax(risk)) for risk in shown if np.isfinite(risk).any()), default=0.0)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * highest or 1))
    axes.set(xlabel="coverage: accepted predictions", ylabel="selective risk: errors among accepted")
    _percent(axes, both=True)
    _add_legend(axes, curves, "upper left")


def roc(axes: Axes, curves: Pairs, styles: Styles, benchmark: str | None = None) -> None:
    """Draw METHOD -> (false positive rate, true positive rate), arrays in [0, 1]; a correct prediction is the positive class."""
    axes.plot([0, 1], [0, 1], color=VOID_COLOUR, linewidth=1, label="_chance")
    axes.axhline(0.95, color=VOID_COLOUR, linewidth=1, label="_95% true positives")
    axes.text(0.995, 0.94, "95%", color=ORACLE_COLOUR, fontsize="small", ha="right", va="top")
    _draw(axes, curves, styles, benchmark)
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set(xlabel="false positive rate: accepted errors", ylabel="true positive rate: accepted correct predictions")
    _percent(axes, both=True)
    _add_legend(axes, curves, "lower right")


def outcome_histogram(axes: Axes, confidence: np.ndarray, correct: np.ndarray, label: str) -> None:
    """Draw the distributions (n,) of correct predictions and of errors, each summing to 100%, on a square-root axis that shows rare
    values too."""
    edges, right, wrong = outcome_bins(confidence, correct)
    for counts, colour, outcome in ((right, CORRECT_COLOUR, "correct predictions"), (wrong, ERROR_COLOUR, "errors")):
        share = counts / max(counts.sum(), 1)
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.35, label=outcome)
        axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.set_yscale("function", functions=(lambda share: np.sqrt(np.maximum(share, 0)), np.square))
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), title=label, xlabel="confidence")
    axes.yaxis.set_major_locator(FixedLocator(list(SHARE_TICKS)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(3))
    _percent(axes)


def comparison_figure(risk_coverages: Pairs, rocs: Pairs, outcomes: Pairs, styles: Styles, benchmark: str | None = None) -> Figure:
    """One benchmark at a glance: both kinds of curves, and METHOD -> (confidence, correct) as one histogram a method."""
    rows = -(-len(outcomes) // COLUMNS)
    figure = Figure(figsize=(11, 5.2 + 0.6 + 1.9 * rows), layout="constrained")
    above, below = cast("np.ndarray", figure.subfigures(2, 1, height_ratios=(5.2, 0.6 + 1.9 * rows)))
    left, right = above.subplots(1, 2)
    risk_coverage(left, risk_coverages, styles, benchmark)
    roc(right, rocs, styles, benchmark)
    for legend in filter(None, (left.get_legend(), right.get_legend())):
        legend.remove()
    lines, names = left.get_legend_handles_labels()
    above.legend(lines, names, loc="outside upper center", ncols=_legend_columns(names), frameon=False)
    if outcomes:
        _histograms(below, outcomes, styles)
    return figure


def target_histogram(target: Mapping) -> Figure:
    """What a confidence head will regress: the TCP histogram of the training split, as `training_target_summary` gives it, log counts."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.stairs(target["histogram"]["counts"], target["histogram"]["edges"], fill=True, color=CORRECT_COLOUR)
    axes.set(yscale="symlog", xlim=(0, 1), xlabel="true class probability", ylabel="training samples")
    axes.set_title(f"{target['errors']} errors of {target['samples']}, dropout {'on' if target['dropout'] else 'off'}")
    return figure


def save(figure: Figure, path: Path, width: int = 1200) -> None:
    """Write the figure, WIDTH pixels wide, in the format of PATH's suffix, and empty it. ValueError for a suffix of no image format."""
    image_format = Path(path).suffix.lstrip(".")
    if image_format not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path}: cannot draw a figure as {image_format or 'a file without suffix'!r}; end the name in .png")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=image_format, dpi=width / figure.get_figwidth())
    figure.clear()


def _draw(axes: Axes, curves: Pairs, styles: Styles, benchmark: str | None) -> None:
    """In the order of the styles, what stands out above the rest."""
    for method in (method for method in styles if method in curves):
        style = styles[method]
        stands_out = benchmark is None or benchmark in style.bright
        looks = {"alpha": 1.0, "linewidth": 1.8, "zorder": 3} if stands_out else {"alpha": FADED, "linewidth": 1.2, "zorder": 2}
        axes.plot(*curves[method], color=style.colour, linestyle=style.linestyle, label=style.label, **looks)


def _add_legend(axes: Axes, curves: Pairs, corner: Literal["upper left", "upper right", "lower left", "lower right"]) -> None:
    if curves:
        axes.legend(loc=corner, fontsize="small", framealpha=0.8)
    else:
        axes.text(0.5, 0.5, "undefined here", transform=axes.transAxes, ha="center", color=ORACLE_COLOUR)


def _legend_columns(names: Sequence[str]) -> int:
    """As many as fit side by side, at most five: about 140 letters stand in a line."""
    return min(5, 140 // (max(map(len, names), default=0) + 7))


def _percent(axes: Axes, both: bool = False) -> None:
    for axis in (axes.yaxis, axes.xaxis)[: 1 + both]:
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _histograms(parent: SubFigure, outcomes: Pairs, styles: Styles) -> None:
    columns = min(COLUMNS, len(outcomes))
    grid = parent.subplots(-(-len(outcomes) // columns), columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(outcomes) :]:
        axes.set_axis_off()
    for axes, (method, (confidence, correct)) in zip(grid.flat, outcomes.items(), strict=False):
        outcome_histogram(axes, confidence, correct, styles[method].label)
        axes.title.set_color(styles[method].colour)
        axes.set_xlabel("")
    parent.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    parent.supxlabel("confidence, each method on its own scale", fontsize="medium")
    parent.supylabel("fraction of correct / of errors", fontsize="medium")
