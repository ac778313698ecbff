"""Numbers in the text of README.md and docs/*.md: `<!-- figure: gain study digits confidnet -->6.7<!-- end -->`.

The comment holds the name of a figure, where its results lie (repro: reports/, as `make repro` writes them; study: reports/studies/), and
its arguments. All are of AUPR-Error in percent or percentage points, against MCP.
"""

import re
from collections.abc import Callable

import pandas as pd

from docs.study_files import differences_from, read_results

FIGURE = re.compile(r"(<!-- figure: (?P<expression>[^>]*?) -->)[^<]*(<!-- end -->)")


def figure(expression: str) -> str:
    """The number, as text, that an expression such as "gain study digits confidnet" stands for. ValueError for an unknown one."""
    name, source, *arguments = expression.split()
    if name not in FIGURES or source not in ("repro", "study"):
        raise ValueError(f"no figure is called {name} {source}; docs/figures.py knows {', '.join(FIGURES)}, each with repro or study")
    return FIGURES[name](source, *arguments)


def _difference(source: str, benchmark: str, method: str) -> pd.Series:
    return differences_from(benchmark, source=source).loc[method]


def _evaluation(source: str, benchmark: str, method: str, seed: str) -> pd.Series:
    rows = read_results(source, benchmark, "comparison").set_index(["benchmark", "seed", "method"])
    return rows.loc[(benchmark, int(seed), method)]


def _gain(source: str, benchmark: str, method: str, column: str = "difference") -> str:
    return f"{100 * _difference(source, benchmark, method)[column]:.1f}"


def _p_value(source: str, benchmark: str, method: str, column: str = "p") -> str:
    return f"{_difference(source, benchmark, method)[column]:.3f}"


def _verdict(source: str, benchmark: str, method: str) -> str:
    return "are" if _difference(source, benchmark, method)["verdict"] in ("better", "worse") else "are not"


def _errors(source: str, benchmark: str, seed: str = "0") -> str:
    return f"{_evaluation(source, benchmark, 'mcp', seed)['errors']:,}"


def _accuracy(source: str, benchmark: str, seed: str) -> str:
    return f"{100 * _evaluation(source, benchmark, 'mcp', seed)['accuracy']:.1f}"


def _interval(source: str, benchmark: str, method: str, seed: str = "0") -> str:
    row = _evaluation(source, benchmark, method, seed)
    return "{:.2f} [{:.2f}, {:.2f}]".format(*(100 * row[f"aupr_error{end}"] for end in ("", "_low", "_high")))


def _interval_width(source: str, benchmark: str, method: str, seed: str = "0") -> str:
    row = _evaluation(source, benchmark, method, seed)
    return f"{100 * (row['aupr_error_high'] - row['aupr_error_low']):.0f}"


FIGURES: dict[str, Callable[..., str]] = {
    "gain": _gain,
    "gain-low": lambda *arguments: _gain(*arguments, column="low"),
    "gain-high": lambda *arguments: _gain(*arguments, column="high"),
    "significant": _verdict,
    "p": _p_value,
    "p-corrected": lambda *arguments: _p_value(*arguments, column="p_corrected"),
    "errors": _errors,
    "accuracy": _accuracy,
    "interval": _interval,
    "interval-width": _interval_width,
}
