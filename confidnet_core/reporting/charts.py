"""Interactive charts as JSON for plotly.js, and the source of plotly.js to embed in a page.

The page sets axes, fonts and background for light and dark screens. It also chooses between the two colours of each line, which stand in
the trace's `meta`, and fades lines whose `meta` has `bright` false until the pointer is on them.
"""

from base64 import b64encode
from collections.abc import Mapping
from gzip import compress
from typing import Any, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.graph_objects import Bar, Figure, Scatter
from plotly.offline import get_plotlyjs

from confidnet_core.display import display_text
from confidnet_core.reporting.curves import HISTOGRAM_FRACTION_TICKS
from confidnet_core.reporting.palette import CORRECT_PREDICTION_COLOUR, DARK_PAGE_COLOURS, ERROR_COLOUR, ORACLE_COLOUR, PALETTE, LineStyle

PLOTLY_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}  # matplotlib's line styles -> plotly's
PERCENT_TICKS = {"tickformat": ".0%"}


def compressed_plotly_source() -> str:
    """Return the source of plotly.js as text, gzipped and base64-encoded: 2 MB instead of 5 MB."""
    return b64encode(compress(get_plotlyjs().encode(), mtime=0)).decode()


def risk_coverage_chart(risk_coverage_rows: pd.DataFrame, line_styles: Mapping[str, LineStyle], benchmark: str) -> Markup:
    """Return the chart of a benchmark's risk-coverage curves as JSON for plotly.js, with all scores in the order of `line_styles`.

    risk_coverage_rows: a data frame with the columns method (the `series_name` of a line style), coverage and risk, both in [0, 1]; with
    several seeds, the mean risk is drawn
    line_styles: {method: line style}

    As in plots.draw_risk_coverage, the axis is scaled to the risks at a coverage of 5 % and more.
    """
    mean_risk_rows = risk_coverage_rows.groupby(["method", "coverage"], sort=False)["risk"].mean().reset_index()
    line_traces = []
    for style in line_styles.values():
        method_rows = mean_risk_rows[mean_risk_rows["method"] == style.series_name]
        hover_text = f"{plotly_text(style.label)}<br>coverage %{{x:.1%}}: risk %{{y:.2%}}<extra></extra>"
        line_traces.append(_method_line(method_rows["coverage"], method_rows["risk"], style, benchmark, hover_text))
    highest_risk = mean_risk_rows["risk"][mean_risk_rows["coverage"] >= 0.05].max()
    layout = {
        "xaxis": {"title": {"text": "coverage: accepted predictions"}, "range": [0, 1.005], "dtick": 0.2, **PERCENT_TICKS},
        "yaxis": {"title": {"text": "selective risk: errors among accepted"}, "range": [0, 1.05 * highest_risk or 1], "tickformat": "~%"},
        "showlegend": False,  # the page has its own legend, which is accessible by keyboard
    }
    return _figure_to_json(Figure(line_traces), layout)


def severity_chart(
    means: pd.DataFrame, quantity: str, axis_title: str, line_styles: Mapping[str, LineStyle], benchmark: str, target: float | None = None
) -> Markup:
    """Return the chart of a quantity in [0, 1] over the severity of a shift as JSON for plotly.js, with all scores of `line_styles`.

    means: from `severity_means`; quantity: its column that is drawn, and axis_title what the chart calls it
    line_styles: {method: line style}; target: where a dotted line marks the highest risk that is wanted; None for no such line
    """
    severities, traces = sorted(set(means["severity"])), []
    for method, style in line_styles.items():
        rows = means[means["method"] == method].sort_values("severity")
        hover_text = f"{plotly_text(style.label)}<br>severity %{{x}}: {quantity} %{{y:.2%}}<extra></extra>"
        traces.append(_method_line(rows["severity"], rows[quantity], style, benchmark, hover_text, mode="lines+markers"))
    target_line = {
        "type": "line",
        **{"xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target},
        "line": {"color": ORACLE_COLOUR, "width": 1.5, "dash": "dot"},
        "label": {"text": "target", "textposition": "start", "font": {"color": ORACLE_COLOUR, "size": 11}},
    }
    layout = {
        "xaxis": {"title": {"text": "severity; 0: images as they are"}, "tickvals": severities},
        "yaxis": {"title": {"text": axis_title}, "nticks": 6, "tickformat": "~%"},
        "shapes": [] if target is None else [target_line],
        "showlegend": False,  # as above
    }
    return _figure_to_json(Figure(traces), layout)


def _method_line(
    x: pd.Series, y: pd.Series, style: LineStyle, benchmark: str, hover_text: str, mode: Literal["lines", "lines+markers"] = "lines"
) -> Scatter:
    """Return the line of one score, which the page fades unless the score is highlighted. hover_text: plotly's template of it"""
    is_highlighted = benchmark in style.highlighted_in_benchmarks
    return Scatter(
        x=_float32_array(x),
        y=_float32_array(y),
        name=plotly_text(style.label),
        mode=mode,
        line={"color": style.colour, "dash": PLOTLY_DASHES[style.linestyle], "width": 2},
        zorder=int(is_highlighted),
        meta={**light_and_dark_colour(style.colour), "bright": is_highlighted},
        hovertemplate=hover_text,
    )


def plotly_text(text: str) -> str:
    """Return a text as plotly.js draws it literally: "<" begins no tag, "%{" no value, and "$" no formula."""
    return display_text(text).replace("&", "&amp;").replace("<", "&lt;").replace("%{", "%&#8203;{").replace("$", "&#36;")


def legend_entries(line_styles: Mapping[str, LineStyle], benchmark: str) -> list[dict[str, Any]]:
    """Return label, dash and colours of each line of `risk_coverage_chart`, in the same order. line_styles: {method: line style}"""
    return [
        {
            "label": style.label,
            "dash": PLOTLY_DASHES[style.linestyle],
            "bright": benchmark in style.highlighted_in_benchmarks,
            **light_and_dark_colour(style.colour),
        }
        for style in line_styles.values()
    ]


def light_and_dark_colour(colour: str) -> dict[str, str]:
    """Return {"light": colour, "dark": colour}: the colour of a line on a light page, which is the given one, and on a dark page."""
    return {"light": colour, "dark": DARK_PAGE_COLOURS[colour]}


def confidence_histogram_chart(histogram_rows: pd.DataFrame) -> Markup:
    """Return the chart of the confidence distributions of correct predictions and of errors, as JSON for plotly.js; each sums to 100 %.

    histogram_rows: from curves.histogram_rows, of one method. The axis is a square-root axis, as in the figures. plotly.js has none, so bar
    heights are square roots, while the hover texts show the fractions themselves.
    """
    bar_traces = []
    for outcome, legend_name, outcome_plural, colour in (
        ("correct", "correct", "correct predictions", CORRECT_PREDICTION_COLOUR),
        ("error", "errors", "errors", ERROR_COLOUR),
    ):
        outcome_rows = histogram_rows[histogram_rows["outcome"] == outcome]
        bin_starts, bin_ends = outcome_rows["confidence"], outcome_rows["confidence_to"]
        bar_traces.append(
            Bar(
                x=_float32_array((bin_starts + bin_ends) / 2),
                y=_float32_array(pd.Series(np.sqrt(outcome_rows["share"]))),
                width=_float32_array(bin_ends - bin_starts),
                customdata=outcome_rows["count"].to_numpy(np.int64),
                text=[f"{fraction:.1%}" for fraction in outcome_rows["share"]],
                textposition="none",
                name=legend_name,
                opacity=0.6,
                marker={"color": colour},
                meta=light_and_dark_colour(colour),
                hovertemplate="%{text}, %{customdata:,} " + outcome_plural + "<extra></extra>",
            )
        )
    fraction_axis_ticks = {
        "tickvals": [fraction**0.5 for fraction in HISTOGRAM_FRACTION_TICKS],
        "ticktext": [f"{fraction:.0%}" for fraction in HISTOGRAM_FRACTION_TICKS],
    }
    layout = {
        "barmode": "overlay",
        "bargap": 0,
        "xaxis": {"title": {"text": "confidence"}, "nticks": 6},
        "yaxis": {"title": {"text": "fraction of correct / of errors"}, "range": [0, 1], **fraction_axis_ticks},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _figure_to_json(Figure(bar_traces), layout)


def reliability_chart(reliability_bins: pd.DataFrame) -> Markup:
    """Return the reliability diagram as JSON for plotly.js: accuracy over predicted confidence, larger points for more predictions.

    reliability_bins: from curves.reliability_rows, of one method
    """
    marker_sizes = 5 + 13 * np.sqrt(reliability_bins["count"] / reliability_bins["count"].max())
    accuracy_trace = Scatter(
        x=_float32_array(reliability_bins["probability"]),
        y=_float32_array(reliability_bins["accuracy"]),
        customdata=reliability_bins["count"].to_numpy(np.int64),
        mode="lines+markers",
        marker={"size": _float32_array(marker_sizes), "color": CORRECT_PREDICTION_COLOUR, "opacity": 0.75},
        line={"color": CORRECT_PREDICTION_COLOUR, "width": 1},
        cliponaxis=False,
        meta=light_and_dark_colour(CORRECT_PREDICTION_COLOUR),
        hovertemplate="predicted confidence %{x:.1%}, accuracy %{y:.1%}, %{customdata:,} predictions<extra></extra>",
    )
    diagonal_trace = Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": ORACLE_COLOUR, "width": 1, "dash": "dot"}, hoverinfo="skip")
    layout = {
        "xaxis": {"title": {"text": "predicted confidence"}, "range": [-0.03, 1.03], "nticks": 5, **PERCENT_TICKS},
        "yaxis": {"title": {"text": "accuracy"}, "range": [-0.03, 1.06], "nticks": 5, **PERCENT_TICKS},
        "showlegend": False,
    }
    return _figure_to_json(Figure([diagonal_trace, accuracy_trace]), layout)


def training_history_chart(training_history: pd.DataFrame, value_axis_title: str) -> Markup:
    """Return the chart of a training's metrics by epoch, as JSON for plotly.js: one colour per metric, one line per seed.

    A dot marks the epoch whose weights were kept. training_history: rows of `histories.history_rows`, of one training
    """
    traces = []
    for colour, (metric, metric_rows) in zip(PALETTE, training_history.groupby("metric", sort=False), strict=False):
        shared_trace_options = {"meta": light_and_dark_colour(colour), "legendgroup": metric, "name": metric}
        for seed_index, (seed, seed_rows) in enumerate(metric_rows.groupby("seed", sort=False)):
            kept_epoch_rows = seed_rows[seed_rows["kept"] == 1]
            hover_text = f"epoch %{{x}}, seed {seed}: %{{y:.4g}} {metric}<extra></extra>"
            line_options = {
                "mode": "lines",
                "line": {"color": colour, "width": 1.5},
                "showlegend": seed_index == 0,
                "hovertemplate": hover_text,
            }
            marker_options = {
                "mode": "markers",
                "marker": {"color": colour, "size": 8},
                "showlegend": False,
                "hovertemplate": f"kept: {hover_text}",
            }
            traces.append(
                Scatter(x=_float32_array(seed_rows["epoch"]), y=_float32_array(seed_rows["value"]), **line_options, **shared_trace_options)
            )
            traces.append(
                Scatter(
                    x=_float32_array(kept_epoch_rows["epoch"]),
                    y=_float32_array(kept_epoch_rows["value"]),
                    **marker_options,
                    **shared_trace_options,
                )
            )
    has_few_epochs = training_history["epoch"].max() - training_history["epoch"].min() <= 6  # one tick per epoch, none between
    layout = {
        "xaxis": {"title": {"text": "epoch"}, **({"dtick": 1} if has_few_epochs else {"nticks": 6})},
        "yaxis": {"title": {"text": value_axis_title}, "nticks": 5},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    }
    return _figure_to_json(Figure(traces), layout)


def _float32_array(numbers: pd.Series) -> np.ndarray:
    """Return numbers as a float32 array, which plotly.js reads from base64: five characters per number."""
    return numbers.to_numpy(np.float32)


def _figure_to_json(figure: Figure, layout: dict[str, Any]) -> Markup:
    """Return a figure with its layout as JSON that is safe in a script element, since plotly escapes `<`."""
    return Markup(figure.update_layout(layout, template=None).to_json())  # plotly's default template would add 7 kB to each chart
