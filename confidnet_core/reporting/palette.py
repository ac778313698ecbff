"""Colours of all charts, figures and `dvc plots`, and the style of each score in them.

The colours are Okabe & Ito's colour-blind-safe set, with its yellow (too pale for a line) replaced by two of Paul Tol's muted colours, and
three more. The templates in .dvc/plots repeat them in this order.
"""

from dataclasses import dataclass

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
    "#000000", "#882255", "#999933", "#7B5CD6", "#7A4B2A", "#00B8B8",
)  # fmt: skip
ORACLE_COLOUR = "#808080"
CORRECT_PREDICTION_COLOUR, ERROR_COLOUR = PALETTE[0], PALETTE[1]
VOID_COLOUR = "#D9D9D9"
DARK_PAGE_COLOURS: dict[str, str] = dict(
    zip(
        (*PALETTE, ORACLE_COLOUR),
        (
            *("#4DA3FF", "#FF8A3D", "#2FCB9C", "#F2A7D0", "#F5B93A", "#9FDDFB"),
            *("#FFFFFF", "#E07BB0", "#C8C862", "#A992FF", "#CC9A76", "#35E0E0", "#A0A0A0"),
        ),
        strict=True,
    )
)  # colour on a light background -> its counterpart on a dark one


@dataclass(frozen=True)
class LineStyle:
    """The line style of one confidence score in all charts.

    label: the score's name for readers; series_name: the score's name in the files of curves
    linestyle: a line style of matplotlib; highlighted_in_benchmarks: benchmarks in whose charts the score is highlighted
    """

    label: str
    series_name: str
    colour: str
    linestyle: str = "-"
    highlighted_in_benchmarks: tuple[str, ...] = ()
