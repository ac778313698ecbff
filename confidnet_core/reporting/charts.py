"""Charts that a browser draws, as JSON for plotly.js; and that library's own text, to be written into a page.

Axes, letters and background are left to the page, which colours them for a light or a dark screen; so is the choice between the two
colours that each line has, under `meta`.
"""

from base64 import b64encode
from gzip import compress
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.graph_objects import Bar, Figure, Scatter
from plotly.offline import get_plotlyjs

from confidnet_core.reporting.plots import ERROR_COLOUR, ORACLE_COLOUR, PALETTE, SUCCESS_COLOUR, method_styles

# The colours of the figures on a light ground, and each one's counterpart on a dark ground.
DARK = dict(
    zip(
        (*PALETTE, ORACLE_COLOUR),
        ("#4DA3FF", "#FF8A3D", "#2FCB9C", "#F2A7D0", "#F5B93A", "#9FDDFB", "#FFFFFF", "#C2568F", "#C8C862", "#A0A0A0"),
        strict=True,
    )
)
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}  # matplotlib's names of line styles, and plotly's
PERCENT = {"tickformat": ".0%"}


def plotly_zipped() -> str:
    """plotly.js, zipped and in base64: 2 MB instead of 5."""
    return b64encode(compress(get_plotlyjs().encode(), mtime=0)).decode()


def risk_coverage(curves: pd.DataFrame, oracle: str | None) -> Markup:
    """All methods in one chart. curves: rows of method, coverage and risk; of several seeds, the mean is drawn.

    As in plots.risk_coverage the axis is scaled to the risks at a coverage of 5 % and more.
    """
    means = curves.groupby(["method", "coverage"], sort=False)["risk"].mean().reset_index()
    methods = list(dict.fromkeys(means["method"]))
    styles, lines = method_styles(methods, oracle), []
    for method in methods:
        own, style = means[means["method"] == method], styles[method]
        line = {"color": style["color"], "dash": DASHES[style["linestyle"]], "width": 2}
        both = {"light": style["color"], "dark": DARK[style["color"]]}
        x, y = _short(own["coverage"]), _short(own["risk"])
        lines.append(Scatter(x=x, y=y, name=method, mode="lines", line=line, meta=both, hovertemplate="%{y:.2%}"))
    highest = means["risk"][means["coverage"] >= 0.05].max()
    layout = {
        "xaxis": {"title": {"text": "coverage: accepted predictions"}, "range": [0, 1.005], "dtick": 0.2, "hoverformat": ".0%", **PERCENT},
        "yaxis": {"title": {"text": "risk: errors among accepted"}, "range": [0, 1.05 * highest or 1], "tickformat": "~%"},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.16, "x": 0, "xanchor": "left"},
    }
    return _json(Figure(lines), layout)


def outcomes(histogram: pd.DataFrame) -> Markup:
    """Distributions of the successes and of the errors, each of which sums to 100 %. histogram: of curves.histogram_rows, one method."""
    bars = []
    for outcome, plural, colour in (("success", "successes", SUCCESS_COLOUR), ("error", "errors", ERROR_COLOUR)):
        own = histogram[histogram["outcome"] == outcome]
        middle, width = (own["confidence"] + own["confidence_to"]) / 2, own["confidence_to"] - own["confidence"]
        bars.append(
            Bar(
                x=_short(middle),
                y=_short(own["share"]),
                width=_short(width),
                customdata=own["count"].to_numpy(np.int64),
                name=plural,
                opacity=0.6,
                marker={"color": colour},
                meta={"light": colour, "dark": DARK[colour]},
                hovertemplate="%{y:.1%}, %{customdata:,} " + plural + "<extra></extra>",
            )
        )
    layout = {
        "barmode": "overlay",
        "bargap": 0,
        "xaxis": {"title": {"text": "confidence"}, "nticks": 6},
        "yaxis": {"title": {"text": "share of outcome"}, "nticks": 4, "tickformat": "~%", "rangemode": "tozero"},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _json(Figure(bars), layout)


def reliability(bins: pd.DataFrame) -> Markup:
    """Share that is right over the score as a probability, the larger the marker, the more predictions; bins: of operating.reliability."""
    size = 5 + 13 * np.sqrt(bins["count"] / bins["count"].max())
    points = Scatter(
        x=_short(bins["probability"]),
        y=_short(bins["accuracy"]),
        customdata=bins["count"].to_numpy(np.int64),
        mode="lines+markers",
        marker={"size": _short(size), "color": SUCCESS_COLOUR, "opacity": 0.75},
        line={"color": SUCCESS_COLOUR, "width": 1},
        cliponaxis=False,
        meta={"light": SUCCESS_COLOUR, "dark": DARK[SUCCESS_COLOUR]},
        hovertemplate="%{x:.1%} by the score, %{y:.1%} right, %{customdata:,} predictions<extra></extra>",
    )
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ORACLE_COLOUR, "width": 1, "dash": "dot"}, hoverinfo="skip")
    layout = {
        "xaxis": {"title": {"text": "probability, by the score"}, "range": [-0.03, 1.03], "nticks": 5, **PERCENT},
        "yaxis": {"title": {"text": "share that is right"}, "range": [-0.03, 1.06], "nticks": 5, **PERCENT},
        "showlegend": False,
    }
    return _json(Figure([ideal, points]), layout)


def history(rows: pd.DataFrame, title: str) -> Markup:
    """A training over its epochs, a colour for each metric, a line for each seed, a mark at the kept epoch. rows: of `histories`"""
    traces = []
    for colour, (metric, own) in zip(PALETTE, rows.groupby("metric", sort=False), strict=False):
        shared = {"meta": {"light": colour, "dark": DARK[colour]}, "legendgroup": metric, "name": metric}
        for place, (seed, line) in enumerate(own.groupby("seed", sort=False)):
            kept = line[line["kept"] == 1]
            shown = f"epoch %{{x}}, seed {seed}: %{{y:.4g}} {metric}<extra></extra>"
            curve = {"mode": "lines", "line": {"color": colour, "width": 1.5}, "showlegend": place == 0, "hovertemplate": shown}
            mark = {"mode": "markers", "marker": {"color": colour, "size": 8}, "showlegend": False, "hovertemplate": f"kept: {shown}"}
            traces.append(Scatter(x=_short(line["epoch"]), y=_short(line["value"]), **curve, **shared))
            traces.append(Scatter(x=_short(kept["epoch"]), y=_short(kept["value"]), **mark, **shared))
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "nticks": 6},
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
