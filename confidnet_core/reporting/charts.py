"""Interactive charts as JSON for plotly.js, and the library's own source to embed in a page.

The page sets axes, fonts and background for light and dark screens. It also chooses between the two colours of each line, which stand in
the trace's `meta`, and fades lines whose `meta` has `bright` false until the pointer is on them.
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
from confidnet_core.reporting.palette import CORRECT_COLOUR, DARK_COLOURS, ERROR_COLOUR, ORACLE_COLOUR, PALETTE, Style

PLOTLY_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}  # matplotlib's line styles -> plotly's
PERCENT_TICKS = {"tickformat": ".0%"}


def compressed_plotly() -> str:
    """Return plotly.js, gzipped and base64-encoded: 2 MB instead of 5 MB."""
    return b64encode(compress(get_plotlyjs().encode(), mtime=0)).decode()


def risk_coverage_chart(curves: pd.DataFrame, styles: Mapping[str, Style], benchmark: str) -> Markup:
    """Return the risk-coverage chart of a benchmark, with all scores in the order of the styles.

    curves: rows of method (a style's `series`), coverage and risk; with several seeds, their mean is drawn. As in plots.draw_risk_coverage,
    the axis is scaled to the risks at a coverage of 5 % and more.
    """
    means = curves.groupby(["method", "coverage"], sort=False)["risk"].mean().reset_index()
    lines = []
    for style in styles.values():
        method_rows, is_highlighted = means[means["method"] == style.series], benchmark in style.highlighted_in
        lines.append(
            Scatter(
                x=_float32(method_rows["coverage"]),
                y=_float32(method_rows["risk"]),
                name=style.label,
                mode="lines",
                line={"color": style.colour, "dash": PLOTLY_DASHES[style.linestyle], "width": 2},
                zorder=int(is_highlighted),
                meta={**theme_colours(style.colour), "bright": is_highlighted},
                hovertemplate=f"{style.label}<br>coverage %{{x:.1%}}: risk %{{y:.2%}}<extra></extra>",
            )
        )
    highest = means["risk"][means["coverage"] >= 0.05].max()
    layout = {
        "xaxis": {"title": {"text": "coverage: accepted predictions"}, "range": [0, 1.005], "dtick": 0.2, **PERCENT_TICKS},
        "yaxis": {"title": {"text": "selective risk: errors among accepted"}, "range": [0, 1.05 * highest or 1], "tickformat": "~%"},
        "showlegend": False,  # the page has its own legend, which is accessible by keyboard
    }
    return _figure_json(Figure(lines), layout)


def legend_entries(styles: Mapping[str, Style], benchmark: str) -> list[dict[str, Any]]:
    """Return one legend entry per line of `risk_coverage_chart`, in the same order."""
    return [
        {
            "label": style.label,
            "dash": PLOTLY_DASHES[style.linestyle],
            "bright": benchmark in style.highlighted_in,
            **theme_colours(style.colour),
        }
        for style in styles.values()
    ]


def theme_colours(colour: str) -> dict[str, str]:
    """Return the colours of a line on a light and on a dark page."""
    return {"light": colour, "dark": DARK_COLOURS[colour]}


def outcome_chart(histogram: pd.DataFrame) -> Markup:
    """Return the confidence distributions of correct predictions and of errors, each summing to 100 %.

    histogram: rows of curves.histogram_rows for one method. The axis is a square-root axis, as in the figures. plotly.js has none, so bar
    heights are square roots, while the hover texts show the fractions themselves.
    """
    bars = []
    for outcome, name, plural, colour in (
        ("correct", "correct", "correct predictions", CORRECT_COLOUR),
        ("error", "errors", "errors", ERROR_COLOUR),
    ):
        outcome_rows = histogram[histogram["outcome"] == outcome]
        low, high = outcome_rows["confidence"], outcome_rows["confidence_to"]
        bars.append(
            Bar(
                x=_float32((low + high) / 2),
                y=_float32(pd.Series(np.sqrt(outcome_rows["share"]))),
                width=_float32(high - low),
                customdata=outcome_rows["count"].to_numpy(np.int64),
                text=[f"{share:.1%}" for share in outcome_rows["share"]],
                textposition="none",
                name=name,
                opacity=0.6,
                marker={"color": colour},
                meta=theme_colours(colour),
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
    return _figure_json(Figure(bars), layout)


def reliability_chart(bins: pd.DataFrame) -> Markup:
    """Return the reliability diagram: accuracy over predicted confidence, with larger markers for more predictions.

    bins: from curves.reliability_rows
    """
    size = 5 + 13 * np.sqrt(bins["count"] / bins["count"].max())
    points = Scatter(
        x=_float32(bins["probability"]),
        y=_float32(bins["accuracy"]),
        customdata=bins["count"].to_numpy(np.int64),
        mode="lines+markers",
        marker={"size": _float32(size), "color": CORRECT_COLOUR, "opacity": 0.75},
        line={"color": CORRECT_COLOUR, "width": 1},
        cliponaxis=False,
        meta=theme_colours(CORRECT_COLOUR),
        hovertemplate="predicted confidence %{x:.1%}, accuracy %{y:.1%}, %{customdata:,} predictions<extra></extra>",
    )
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ORACLE_COLOUR, "width": 1, "dash": "dot"}, hoverinfo="skip")
    layout = {
        "xaxis": {"title": {"text": "predicted confidence"}, "range": [-0.03, 1.03], "nticks": 5, **PERCENT_TICKS},
        "yaxis": {"title": {"text": "accuracy"}, "range": [-0.03, 1.06], "nticks": 5, **PERCENT_TICKS},
        "showlegend": False,
    }
    return _figure_json(Figure([ideal, points]), layout)


def history_chart(history: pd.DataFrame, title: str) -> Markup:
    """Return the course of a training: one colour per metric, one line per seed, a marker at the kept epoch.

    history: rows of `histories.history_rows`
    """
    traces = []
    for colour, (metric, metric_rows) in zip(PALETTE, history.groupby("metric", sort=False), strict=False):
        shared = {"meta": theme_colours(colour), "legendgroup": metric, "name": metric}
        for index, (seed, line) in enumerate(metric_rows.groupby("seed", sort=False)):
            kept_epoch = line[line["kept"] == 1]
            hover_text = f"epoch %{{x}}, seed {seed}: %{{y:.4g}} {metric}<extra></extra>"
            curve = {"mode": "lines", "line": {"color": colour, "width": 1.5}, "showlegend": index == 0, "hovertemplate": hover_text}
            mark = {"mode": "markers", "marker": {"color": colour, "size": 8}, "showlegend": False, "hovertemplate": f"kept: {hover_text}"}
            traces.append(Scatter(x=_float32(line["epoch"]), y=_float32(line["value"]), **curve, **shared))
            traces.append(Scatter(x=_float32(kept_epoch["epoch"]), y=_float32(kept_epoch["value"]), **mark, **shared))
    has_few_epochs = history["epoch"].max() - history["epoch"].min() <= 6  # one tick per epoch, none between
    layout = {
        "xaxis": {"title": {"text": "epoch"}, **({"dtick": 1} if has_few_epochs else {"nticks": 6})},
        "yaxis": {"title": {"text": title}, "nticks": 5},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _figure_json(Figure(traces), layout)


def _float32(values: pd.Series) -> np.ndarray:
    """Convert to single precision, which plotly.js reads from base64: five characters per number."""
    return values.to_numpy(np.float32)


def _figure_json(figure: Figure, layout: dict[str, Any]) -> Markup:
    """Return the figure as JSON that is safe in a script element, since plotly escapes `<`."""
    return Markup(figure.update_layout(layout, template=None).to_json())  # plotly's default template would add 7 kB to each chart
