"""Figures from arrays: how well confidences tell successes from errors, and where in an image they do.

Risk-coverage curves: Geifman & El-Yaniv 2017, arXiv:1705.08500. Histograms of successes and errors: Corbière et al. 2019, arXiv:1910.04851.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from confidnet_core.files import replacing

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]  # of a method, two arrays of one length
Maps = Mapping[str, np.ndarray]

# Okabe & Ito's colour-blind-safe set, its yellow (too pale for a line) replaced by two of Paul Tol's muted colours.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255", "#999933")
ORACLE_COLOUR = "#808080"
SUCCESS_COLOUR, ERROR_COLOUR = PALETTE[0], PALETTE[1]
VOID_COLOUR = "#D9D9D9"
COLUMNS = 4  # histograms side by side

# SegNet's CamVid colours in its class order; the sky is blue, not grey, because grey stands for void here.
CAMVID_COLOURS = (
    (135, 206, 235), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip


def method_styles(methods: Iterable[str], oracle: str | None = None) -> dict[str, dict]:
    """Line style of each method by its place among the methods without the oracle, which is dashed grey.

    So figures that list the same methods in the same order agree. A tenth method starts over, dotted.
    """
    methods = list(dict.fromkeys(methods))
    ordinary = [method for method in methods if method != oracle]
    styles = {
        method: {"color": PALETTE[index % len(PALETTE)], "linestyle": ("-", ":", "-.")[index // len(PALETTE) % 3]}
        for index, method in enumerate(ordinary)
    }
    return styles | ({oracle: {"color": ORACLE_COLOUR, "linestyle": "--"}} if oracle in methods else {})


def risk_coverage(axes: Axes, curves: Pairs, oracle: str | None = None) -> None:
    """Draw METHOD -> (coverage, selective risk), arrays in [0, 1].

    The axis is scaled to the risks at a coverage of 5% and more: below, one error among the surest few would flatten all the rest.
    """
    _draw(axes, curves, oracle)
    shown = [risk[coverage >= 0.05] for coverage, risk in curves.values()]
    highest = max((float(np.nanmax(risk)) for risk in shown if np.isfinite(risk).any()), default=0.0)
    axes.set(xlim=(0, 1), ylim=(0, 1.05 * highest or 1), xlabel="coverage: accepted samples", ylabel="risk: errors among accepted")
    _percent(axes, both=True)
    _add_legend(axes, curves, "upper left")


def roc(axes: Axes, curves: Pairs, oracle: str | None = None) -> None:
    """Draw METHOD -> (false positive rate, true positive rate), arrays in [0, 1]; a success is the positive class."""
    axes.plot([0, 1], [0, 1], color=VOID_COLOUR, linewidth=1, label="_chance")
    axes.axhline(0.95, color=VOID_COLOUR, linewidth=1, label="_95% true positives")
    axes.text(0.995, 0.94, "95%", color=ORACLE_COLOUR, fontsize="small", ha="right", va="top")
    _draw(axes, curves, oracle)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="false positive rate: accepted errors", ylabel="true positive rate: accepted successes")
    _percent(axes, both=True)
    _add_legend(axes, curves, "lower right")


def outcome_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (bins + 1,) and the numbers of successes (bins,) and of errors (bins,) between them.

    The edges span the central 99% of either outcome, so that few errors are not lost among many successes; what lies beyond is counted
    in the outermost bins. ValueError for confidences that are not finite, or not as many as there are outcomes.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence) or not np.isfinite(confidence).all():
        given = f"{confidence.shape} (finite: {np.isfinite(confidence).sum()}) and {correct.shape}"
        raise ValueError(f"expected as many finite confidences as outcomes, at least one; got {given}; check the score that gave them")
    outcomes = confidence[correct], confidence[~correct]
    edges = np.linspace(*_span(outcomes), bins + 1)
    scale = bins / (edges[-1] - edges[0])
    places = (np.clip((values - edges[0]) * scale, 0, bins - 1).astype(np.intp) for values in outcomes)
    successes, errors = (np.bincount(place, minlength=bins) for place in places)
    return edges, successes, errors


def success_error_histogram(axes: Axes, confidence: np.ndarray, correct: np.ndarray, label: str) -> None:
    """Draw the distributions (n,) of successes and of errors, each summing to 100%, on a square-root axis that shows rare values too."""
    edges, successes, errors = outcome_bins(confidence, correct, bins=25)
    for counts, colour, outcome in ((successes, SUCCESS_COLOUR, "successes"), (errors, ERROR_COLOUR, "errors")):
        share = counts / max(counts.sum(), 1)
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.35, label=outcome)
        axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.set_yscale("function", functions=(lambda share: np.sqrt(np.maximum(share, 0)), np.square))
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), title=label, xlabel="confidence")
    axes.yaxis.set_major_locator(FixedLocator([0, 0.05, 0.2, 0.5, 1]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(3))
    _percent(axes)


def comparison_figure(risk_coverages: Pairs, rocs: Pairs, outcomes: Pairs, oracle: str | None = None) -> Figure:
    """One benchmark at a glance: both kinds of curves, and METHOD -> (confidence, correct) as one histogram a method."""
    rows = -(-len(outcomes) // COLUMNS)
    figure = Figure(figsize=(11, 5.2 + 0.6 + 1.9 * rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(5.2, 0.6 + 1.9 * rows))
    left, right = above.subplots(1, 2)
    risk_coverage(left, risk_coverages, oracle)
    roc(right, rocs, oracle)
    for legend in filter(None, (left.get_legend(), right.get_legend())):
        legend.remove()
    above.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    if outcomes:
        _histograms(below, outcomes, oracle, method_styles([*risk_coverages, *outcomes], oracle))
    return figure


def segmentation_sheet(
    images: np.ndarray, truth: np.ndarray, predicted: np.ndarray, confidences: Maps, void: int | None, classes: Sequence[str]
) -> Figure:
    """One row an image: image, truth, prediction, errors, and one confidence map a method, each method on its own scale.

    images: uint8 (n, h, w, 3)
    truth, predicted: class indices (n, h, w), truth may hold void
    confidences: METHOD -> float (n, h, w), higher = surer, NaN at void
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
    } | {method: _heat(confidence) for method, confidence in confidences.items()}
    figure = _image_grid(panels)
    further = (_rgb(VOID_COLOUR), _rgb(ERROR_COLOUR), *_heat(np.array([0.0, 1.0])))
    names = dict(zip((*classes, "void", "error", "least sure", "surest"), (*palette, *further), strict=True))
    handles = [Patch(facecolor=colour / 255, edgecolor="black", linewidth=0.5, label=name) for name, colour in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, 2 + len(panels)), frameon=False)
    return figure


def target_histogram(target: Mapping) -> Figure:
    """What a confidence head will regress: the TCP histogram of the training split, as `training_target` gives it, log counts."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.stairs(target["histogram"]["counts"], target["histogram"]["edges"], fill=True, color=SUCCESS_COLOUR)
    axes.set(yscale="symlog", xlim=(0, 1), xlabel="true class probability", ylabel="training samples")
    axes.set_title(f"{target['errors']} errors of {target['samples']}, dropout {'on' if target['dropout'] else 'off'}")
    return figure


def save(figure: Figure, path: Path, width: int = 1200) -> None:
    """Write the figure, WIDTH pixels wide, in the format of PATH's suffix, and empty it. ValueError for a suffix of no image format."""
    image_format = Path(path).suffix.lstrip(".")
    if image_format not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path}: cannot draw a figure as {image_format or 'a file without suffix'!r}; end the name in .png")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=image_format, dpi=width / figure.get_figwidth())
    figure.clear()


def _draw(axes: Axes, curves: Pairs, oracle: str | None) -> None:
    styles = method_styles(curves, oracle)
    for method, (x, y) in curves.items():
        axes.plot(x, y, linewidth=1.6, label=_label(method, oracle), **styles[method])


def _add_legend(axes: Axes, curves: Pairs, place: str) -> None:
    if curves:
        axes.legend(loc=place, fontsize="small", framealpha=0.8)
    else:
        axes.text(0.5, 0.5, "undefined here", transform=axes.transAxes, ha="center", color=ORACLE_COLOUR)


def _label(method: str, oracle: str | None) -> str:
    return f"{method} (oracle)" if method == oracle else method


def _percent(axes: Axes, both: bool = False) -> None:
    for axis in (axes.yaxis, axes.xaxis)[: 1 + both]:
        axis.set_major_formatter(PercentFormatter(1))
    axes.grid(color="#EEEEEE")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _span(outcomes: Iterable[np.ndarray]) -> tuple[float, float]:
    # A million samples place the edges as well as all pixels of a test set do, and in a tenth of the time.
    samples = (values[:: max(len(values) // 1_000_000, 1)].astype(np.float64) for values in outcomes if len(values))
    limits = np.array([np.percentile(values, (0.5, 99.5)) for values in samples])
    low, high = limits[:, 0].min(), limits[:, 1].max()
    scale = max(abs(low), abs(high), 1e-12)
    # A constant confidence, or one that differs by rounding alone, still needs bins of some width.
    return (low, high) if high - low > 1e-9 * scale else (low - scale / 2, high + scale / 2)


def _histograms(parent: SubFigure, outcomes: Pairs, oracle: str | None, styles: Mapping[str, dict]) -> None:
    columns = min(COLUMNS, len(outcomes))
    grid = parent.subplots(-(-len(outcomes) // columns), columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(outcomes) :]:
        axes.set_axis_off()
    for axes, (method, (confidence, correct)) in zip(grid.flat, outcomes.items(), strict=False):
        success_error_histogram(axes, confidence, correct, _label(method, oracle))
        axes.title.set_color(styles[method]["color"])
        axes.set_xlabel("")
    parent.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    parent.supxlabel("confidence, each method on its own scale", fontsize="medium")
    parent.supylabel("share of outcome", fontsize="medium")


def _image_grid(panels: Mapping[str, np.ndarray]) -> Figure:
    rows, height, width = next(iter(panels.values())).shape[:3]
    figure = Figure(figsize=(2 * len(panels), 2 * rows * height / width + 0.9), layout="compressed")
    grid = figure.subplots(rows, len(panels), squeeze=False)
    for column, (name, pictures) in enumerate(panels.items()):
        for row, picture in enumerate(pictures):
            grid[row, column].imshow(picture, interpolation="nearest")
            grid[row, column].set(xticks=[], yticks=[])
        grid[0, column].set_title(name, fontsize=min(12, 230 / len(name)))  # long names stay above their own column
    return figure


def _class_colours(classes: int) -> np.ndarray:
    further = [tuple(round(255 * part) for part in colour) for colour in colormaps["tab20"].colors]
    return np.resize(np.array([*CAMVID_COLOURS, *further], dtype=np.uint8), (classes, 3))  # from the start again


def _heat(confidence: np.ndarray) -> np.ndarray:
    """Colours, uint8 (..., 3), from the central 99% of the finite values; grey where NaN."""
    known = np.isfinite(confidence)
    low, high = np.percentile(confidence[known], (0.5, 99.5)) if known.any() else (0.0, 1.0)
    level = np.clip((np.where(known, confidence, low) - low) / max(high - low, 1e-12), 0, 1)
    return _greyed(colormaps["viridis"](level, bytes=True)[..., :3], ~known)


def _greyed(colours: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where[..., None], _rgb(VOID_COLOUR), colours)


def _rgb(colour: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)
