"""Charts over time as numbers for an SVG: what the template of the page draws, in the coordinates of a box of WIDTH x HEIGHT."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10

import numpy as np

WIDTH, HEIGHT = 900, 240
LEFT, RIGHT, TOP, BOTTOM = 76, 12, 10, 34  # margins
MAX_TIME_LABELS, MAX_NAME = 6, 18  # labels of the axis of time, and letters of each
_MAX_DRAWN_POINTS = 1000
_SMALLEST_SHARE, _LARGEST_SHARE = 1e-3, 1e6  # of the evidence for an alarm, in a chart
CUT_OFF_NOTE = "Drawn from 0.001 to 1,000,000."


@dataclass(frozen=True)
class Line:
    """A line of a chart. style: a class of the style sheet; points: of the SVG's polyline; label: for the legend, or nothing"""

    label: str
    style: str
    points: str


@dataclass(frozen=True)
class Dot:
    """A value with its interval, for one period. title: shown where the pointer rests"""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart over time. y_ticks, x_ticks: (coordinate, text); band: (top, height) across the chart, or None"""

    title: str
    note: str
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    lines: list[Line]
    dots: list[Dot] = field(default_factory=list)
    band: tuple[float, float] | None = None


def rate_chart(
    title: str,
    note: str,
    names: Sequence[str],
    rates: Sequence[tuple[float, float, float] | None],
    expected: tuple[float, float, float],
    expected_label: str,
) -> Chart:
    """Return a chart of a rate with its interval (rate, low, high) for each period, None for none, beside an expected rate and its band."""
    known = [rate for rate in rates if rate is not None]
    low, high = min(low for _, low, _ in [*known, expected]), max(high for _, _, high in [*known, expected])
    step = _round_step((high - low) / 4 or 0.05)
    bottom, top = max(0.0, floor(low / step) * step), min(1.0, ceil(high / step - 1e-9) * step)
    ticks = np.arange(round(bottom / step), round(top / step) + 1) * step
    x = _x_of_periods(len(names))

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - bottom) / (top - bottom or 1) * (HEIGHT - TOP - BOTTOM), 1)

    dots = [
        Dot(x[at], y(rate[0]), y(rate[1]), y(rate[2]), f"{names[at]}: {100 * rate[0]:.1f} % ({100 * rate[1]:.1f} to {100 * rate[2]:.1f})")
        for at, rate in enumerate(rates)
        if rate is not None
    ]
    middle = Line(expected_label, "expected", f"{LEFT},{y(expected[0])} {WIDTH - RIGHT},{y(expected[0])}")
    band = (y(expected[2]), round(y(expected[1]) - y(expected[2]), 1))
    return Chart(title, note, [(y(tick), f"{100 * tick:.4g} %") for tick in ticks], _time_ticks(names, x), [middle], dots, band)


def evidence_chart(title: str, note: str, series: Sequence[tuple[str, np.ndarray]], names: Sequence[str]) -> Chart:
    """Return a chart of evidence over what it must reach for an alarm, on a logarithmic scale.

    series: (label, evidence divided by what raises an alarm), of each line; names: of the values of every line
    """
    clipped = [(label, np.log10(np.clip(shares, _SMALLEST_SHARE, _LARGEST_SHARE))) for label, shares in series]
    bottom = min(-1.0, *(floor(float(values.min())) for _, values in clipped if len(values)))
    top = max(1.0, *(ceil(float(values.max())) for _, values in clipped if len(values)))

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM), 1)

    lines = [Line("alarm", "alarm", f"{LEFT},{y(0)} {WIDTH - RIGHT},{y(0)}")]
    for at, (label, values) in enumerate(clipped):
        x, drawn = _x_of_periods(len(values)), np.unique(np.linspace(0, len(values) - 1, min(len(values), _MAX_DRAWN_POINTS)).astype(int))
        lines.append(Line(label, f"series{at}", _polyline([(x[point], y(float(values[point]))) for point in drawn])))
    ticks = [(y(exponent), _power_of_ten(exponent)) for exponent in range(int(bottom), int(top) + 1)]
    return Chart(title, note, ticks, _time_ticks(names, _x_of_periods(len(names))), lines)


def _power_of_ten(exponent: int) -> str:
    return f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:g}"


def _polyline(points: list[tuple[float, float]]) -> str:
    """Return the points of a line; a single one becomes a short line, which is seen."""
    if len(points) == 1:
        points = [(points[0][0] - 8, points[0][1]), (points[0][0] + 8, points[0][1])]
    return " ".join(f"{x},{y}" for x, y in points)


def _x_of_periods(count: int) -> list[float]:
    return [round(value, 1) for value in np.linspace(LEFT + 8, WIDTH - RIGHT - 8, count).tolist()] if count > 1 else [WIDTH / 2] * count


def _time_ticks(names: Sequence[str], x: Sequence[float]) -> list[tuple[float, str]]:
    shown: list[int] = np.unique(np.linspace(0, len(names) - 1, min(len(names), MAX_TIME_LABELS)).astype(int)).tolist() if names else []
    return [(x[at], names[at] if len(names[at]) <= MAX_NAME else f"\N{HORIZONTAL ELLIPSIS}{names[at][-MAX_NAME:]}") for at in shown]


def _round_step(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is at least `step`."""
    power = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
