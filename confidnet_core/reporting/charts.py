"""Charts that a browser draws, as JSON for plotly.js; and that library's own text, to be written into a page.

Axes, letters and background are left to the page, which colours them for a light or a dark screen; so is the choice between the two
colours that each line has, under `meta`, and which lines are faded: those whose `meta` has `bright` false, until they are pointed at.
"""

from base64 import b64encode
from collections.abc import Mapping
from gzip import compress
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.graph_objects import Bar, Figure, Scatter
from plotly.offline import get_plotlyjs

from confidnet_core.reporting.curves import SHARE_TICKS
from confidnet_core.reporting.palette import CORRECT_COLOUR, DARK, ERROR_COLOUR, ORACLE_COLOUR, PALETTE, Style

DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}  # matplotlib's names of line styles, and plotly's
PERCENT = {"tickformat": ".0%"}


def plotly_zipped() -> str:
    """plotly.js, zipped and in base64: 2 MB instead of 5."""
    return b64encode(compress(get_plotlyjs().encode(), mtime=0)).decode()


def risk_coverage(curves: pd.DataFrame, styles: Mapping[str, Style], benchmark: str) -> Markup:
    """All scores in one chart, in the order of the styles. curves: rows of method (a style's `series`), coverage and risk; of several
    seeds, the mean is drawn.

    As in plots.risk_coverage the axis is scaled to the risks at a coverage of 5 % and more.
    """
    means = curves.groupby(["method", "coverage"], sort=False)["risk"].mean().reset_index()
    lines = []
    for style in styles.values():
        own, bright = means[means["method"] == style.series], benchmark in style.bright
        lines.append(
            Scatter(
                x=_short(own["coverage"]),
                y=_short(own["risk"]),
                name=style.label,
                mode="lines",
                line={"color": style.colour, "dash": DASHES[style.linestyle], "width": 2},
                zorder=int(bright),
                meta={**both_colours(style.colour), "bright": bright},
                hovertemplate=f"{style.label}<br>coverage %{{x:.1%}}: risk %{{y:.2%}}<extra></extra>",
            )
        )
    highest = means["risk"][means["coverage"] >= 0.05].max()
    layout = {
        "xaxis": {"title": {"text": "coverage: accepted predictions"}, "range": [0, 1.005], "dtick": 0.2, **PERCENT},
        "yaxis": {"title": {"text": "selective risk: errors among accepted"}, "range": [0, 1.05 * highest or 1], "tickformat": "~%"},
        "showlegend": False,  # the page has its own, which a keyboard can reach
    }
    return _json(Figure(lines), layout)


def legend(styles: Mapping[str, Style], benchmark: str) -> list[dict[str, Any]]:
    """An entry for each line of `risk_coverage`, in its order."""
    return [
        {"label": style.label, "dash": DASHES[style.linestyle], "bright": benchmark in style.bright, **both_colours(style.colour)}
        for style in styles.values()
    ]


def both_colours(colour: str) -> dict[str, str]:
    return {"light": colour, "dark": DARK[colour]}


def outcomes(histogram: pd.DataFrame) -> Markup:
    """Distributions of the correct predictions and of the errors, each of which sums to 100 %. histogram: of curves.histogram_rows, one
    method.

    The axis is the square-root axis of the pictures: plotly.js has none, so heights are square roots, and what is read is not.
    """
    bars = []
    for outcome, name, plural, colour in (
        ("correct", "correct", "correct predictions", CORRECT_COLOUR),
        ("error", "errors", "errors", ERROR_COLOUR),
    ):
        own = histogram[histogram["outcome"] == outcome]
        middle, width = (own["confidence"] + own["confidence_to"]) / 2, own["confidence_to"] - own["confidence"]
        bars.append(
            Bar(
                x=_short(middle),
                y=_short(pd.Series(np.sqrt(own["share"]))),
                width=_short(width),
                customdata=own["count"].to_numpy(np.int64),
                text=[f"{share:.1%}" for share in own["share"]],
                textposition="none",
                name=name,
                opacity=0.6,
                marker={"color": colour},
                meta=both_colours(colour),
                hovertemplate="%{text}, %{customdata:,} " + plural + "<extra></extra>",
            )
        )
    ticks = {"tickvals": [share**0.5 for share in SHARE_TICKS], "ticktext": [f"{share:.0%}" for share in SHARE_TICKS]}
    layout = {
        "barmode": "overlay",
        "bargap": 0,
        "xaxis": {"title": {"text": "confidence"}, "nticks": 6},
        "yaxis": {"title": {"text": "fraction of correct / of errors"}, "range": [0, 1], **ticks},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _json(Figure(bars), layout)


def reliability(bins: pd.DataFrame) -> Markup:
    """Accuracy over the predicted confidence, the larger the marker, the more predictions. bins: of curves.reliability_rows"""
    size = 5 + 13 * np.sqrt(bins["count"] / bins["count"].max())
    points = Scatter(
        x=_short(bins["probability"]),
        y=_short(bins["accuracy"]),
        customdata=bins["count"].to_numpy(np.int64),
        mode="lines+markers",
        marker={"size": _short(size), "color": CORRECT_COLOUR, "opacity": 0.75},
        line={"color": CORRECT_COLOUR, "width": 1},
        cliponaxis=False,
        meta=both_colours(CORRECT_COLOUR),
        hovertemplate="predicted confidence %{x:.1%}, accuracy %{y:.1%}, %{customdata:,} predictions<extra></extra>",
    )
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ORACLE_COLOUR, "width": 1, "dash": "dot"}, hoverinfo="skip")
    layout = {
        "xaxis": {"title": {"text": "predicted confidence"}, "range": [-0.03, 1.03], "nticks": 5, **PERCENT},
        "yaxis": {"title": {"text": "accuracy"}, "range": [-0.03, 1.06], "nticks": 5, **PERCENT},
        "showlegend": False,
    }
    return _json(Figure([ideal, points]), layout)


def history(rows: pd.DataFrame, title: str) -> Markup:
    """A training over its epochs, a colour for each metric, a line for each seed, a mark at the kept epoch. rows: of `histories`"""
    traces = []
    for colour, (metric, own) in zip(PALETTE, rows.groupby("metric", sort=False), strict=False):
        shared = {"meta": both_colours(colour), "legendgroup": metric, "name": metric}
        for index, (seed, line) in enumerate(own.groupby("seed", sort=False)):
            kept = line[line["kept"] == 1]
            shown = f"epoch %{{x}}, seed {seed}: %{{y:.4g}} {metric}<extra></extra>"
            curve = {"mode": "lines", "line": {"color": colour, "width": 1.5}, "showlegend": index == 0, "hovertemplate": shown}
            mark = {"mode": "markers", "marker": {"color": colour, "size": 8}, "showlegend": False, "hovertemplate": f"kept: {shown}"}
            traces.append(Scatter(x=_short(line["epoch"]), y=_short(line["value"]), **curve, **shared))
            traces.append(Scatter(x=_short(kept["epoch"]), y=_short(kept["value"]), **mark, **shared))
    few = rows["epoch"].max() - rows["epoch"].min() <= 6  # a tick each, none between them
    layout = {
        "xaxis": {"title": {"text": "epoch"}, **({"dtick": 1} if few else {"nticks": 6})},
        "yaxis": {"title": {"text": title}, "nticks": 5},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _json(Figure(traces), layout)


def _short(values: pd.Series) -> np.ndarray:
    """Single precision, which plotly.js reads from base64: five characters a number."""
    return values.to_numpy(np.float32)


def _json(figure: Figure, layout: dict[str, Any]) -> Markup:
    """To stand in a script element: plotly writes `<` so that nothing can end it."""
    return Markup(figure.update_layout(layout, template=None).to_json())  # without plotly's own colours, 7 kB a chart
