"""Numbers, and words that follow from them, in the documents: `<!-- figure: gain study digits confidnet -->6.7<!-- end -->`.

The comment holds the name of a figure, where its results lie (repro: reports/, as `make repro` writes them; study: reports/studies/), and
its arguments. Scores are compared by AUPR-Error, in percent or percentage points, with MCP where nothing else is named. Numbers of
trainings and benchmarks are words up to fifteen.
"""

import re
from collections.abc import Callable

import pandas as pd

from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import BETTER_VERDICT, WORSE_VERDICT, join_names
from docs.difference_tables import BENCHMARKS
from docs.study_files import differences_from, read_results, read_study

FIGURE = re.compile(r"(<!-- figure: (?P<expression>[^>]*?) -->)[^<]*(<!-- end -->)")
WORDS = (
    *("none", "one", "two", "three", "four", "five", "six", "seven"),
    *("eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen"),
)
COVERAGE_TABLE = {"risk": (0.01, 0.05), "method": ("mcp", "confidnet", "stack")}  # what the table of coverages in docs/results.md shows


def figure(expression: str) -> str:
    """The number, as text, that an expression such as "gain study digits confidnet" stands for. ValueError for an unknown one."""
    name, source, *arguments = expression.split()
    if name not in FIGURES or source not in ("repro", "study"):
        raise ValueError(f"no figure is called {name} {source}; docs/figures.py knows {', '.join(FIGURES)}, each with repro or study")
    return FIGURES[name](source, *arguments)


def _difference(source: str, benchmark: str, method: str) -> pd.Series:
    return differences_from(benchmark, source=source).loc[method]


def _rows(source: str, benchmark: str, name: str) -> pd.DataFrame:
    return read_results(source, benchmark, name).query("benchmark == @benchmark")


def _evaluation(source: str, benchmark: str, method: str, seed: str) -> pd.Series:
    return _rows(source, benchmark, "comparison").set_index(["seed", "method"]).loc[(int(seed), method)]


def _word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else f"{number:,}"


def _range(counts: pd.Series) -> str:
    return f"{counts.min():,} to {counts.max():,}"


def _listed(names: list[str]) -> str:
    return join_names(names) if names else "none"


def _gain(source: str, benchmark: str, method: str, column: str = "difference") -> str:
    return f"{100 * _difference(source, benchmark, method)[column]:.1f}"


def _distance(source: str, benchmark: str, method: str) -> str:
    """Such as "3.9 points below"."""
    difference = _difference(source, benchmark, method)["difference"]
    return f"{100 * abs(difference):.1f} points {'above' if difference > 0 else 'below'}"


def _ensemble_gain(source: str, benchmark: str) -> str:
    """Mean gain of the deep ensemble over MCP in the older table seeds.csv of the study of CamVid."""
    values = read_study(benchmark, "seeds").pivot(index="seed", columns="method", values="aupr_error")
    return f"{100 * (values['ensemble'] - values['mcp']).mean():.1f}"


def _p_value(source: str, benchmark: str, method: str, column: str = "p") -> str:
    return f"{_difference(source, benchmark, method)[column]:.3f}"


def _verdict(source: str, benchmark: str, method: str, verb: str = "are", column: str = "verdict") -> str:
    is_significant = _difference(source, benchmark, method)[column] in (BETTER_VERDICT, WORSE_VERDICT)
    return verb if is_significant else f"{verb} not"


def _significant_scores(source: str, benchmark: str) -> str:
    verdicts = differences_from(benchmark, source=source)["verdict"]
    return _listed([display_name(str(score)) for score in verdicts[verdicts.isin([BETTER_VERDICT, WORSE_VERDICT])].index])


def _benchmarks_where_worse(source: str, method: str, against: str) -> str:
    """On how many benchmarks a score is significantly worse than another, by either of the two questions."""
    rows = [differences_from(benchmark, against, source).loc[method] for benchmark in BENCHMARKS]
    count = sum(WORSE_VERDICT in (row["verdict"], row["networks_verdict"]) for row in rows)
    return f"{_word(count) if count else 'no'} benchmark{'s' if count > 1 else ''}"


def _gains_reproduced(source: str, method: str) -> str:
    """On how many of the benchmarks that have published numbers a score is significantly better than MCP."""
    benchmarks = [benchmark for benchmark, (_, paper) in BENCHMARKS.items() if paper]
    count = sum(_difference(source, benchmark, method)["verdict"] == BETTER_VERDICT for benchmark in benchmarks)
    return f"{_word(count)} of the {_word(len(benchmarks))}"


def _same_as(source: str, benchmark: str, method: str) -> str:
    """The scores that have the same AUPR-Error in every training."""
    values = _rows(source, benchmark, "comparison").pivot(index="seed", columns="method", values="aupr_error")
    return _listed([display_name(other) for other in values if other != method and values[other].equals(values[method])])


def _last(source: str, benchmark: str) -> str:
    return display_name(str(_rows(source, benchmark, "comparison").groupby("method")["aupr_error"].mean().idxmin()))


def _errors(source: str, benchmark: str, seed: str = "0") -> str:
    return f"{_evaluation(source, benchmark, 'mcp', seed)['errors']:,}"


def _errors_in_millions(source: str, benchmark: str, seed: str) -> str:
    return f"{_evaluation(source, benchmark, 'mcp', seed)['errors'] / 1e6:.1f}"


def _errors_of_seeds(source: str, benchmark: str) -> str:
    return _range(_rows(source, benchmark, "comparison")["errors"])


def _samples(source: str, benchmark: str) -> str:
    return f"{_rows(source, benchmark, 'comparison')['samples'].iloc[0]:,}"


def _trainings(source: str, *benchmarks: str) -> str:
    return _word(sum(_rows(source, benchmark, "comparison")["seed"].nunique() for benchmark in benchmarks))


def _calibration_units(source: str, benchmark: str) -> str:
    return f"{_rows(source, benchmark, 'thresholds')['units'].iloc[0]:,}"


def _calibration_errors(source: str, benchmark: str) -> str:
    return _range(_rows(source, benchmark, "thresholds")["errors"])


def _trainings_with_threshold(source: str, benchmark: str, method: str, percent: str) -> str:
    """Such as "all five", "two of five" or "none of five"."""
    rows = _rows(source, benchmark, "thresholds").query("method == @method")
    found = rows[(100 * rows["risk"]).round(6) == float(percent)]["threshold"].notna()
    return f"all {_word(len(found))}" if found.all() else f"{_word(found.sum())} of {_word(len(found))}"


def _targets_with_threshold(source: str, benchmark: str) -> str:
    """How many of the target error rates have a threshold, by any score and in any training: such as "none of the three"."""
    found = _rows(source, benchmark, "thresholds").groupby("risk")["threshold"].count() > 0
    return f"{_word(found.sum())} of the {_word(len(found))}"


def _thresholds_kept(source: str) -> str:
    """In how many cases of the table of coverages the error rate on the test split was within the target: "all" or such as "80 of 90"."""
    rows = pd.concat(_rows(source, benchmark, "thresholds") for benchmark in BENCHMARKS).dropna(subset="threshold")
    rows = rows[rows["risk"].isin(COVERAGE_TABLE["risk"]) & rows["method"].isin(COVERAGE_TABLE["method"])]
    kept = rows["test_coverage"].eq(0) | (rows["test_risk"] <= rows["risk"])
    return "all" if kept.all() else f"{kept.sum()} of {len(kept)}"


def _accuracy(source: str, benchmark: str, seed: str) -> str:
    return f"{100 * _evaluation(source, benchmark, 'mcp', seed)['accuracy']:.1f}"


def _aupr_error(source: str, benchmark: str, method: str, seed: str = "0") -> str:
    return f"{100 * _evaluation(source, benchmark, method, seed)['aupr_error']:.1f}"


def _interval(source: str, benchmark: str, method: str, seed: str = "0", decimals: str = "2") -> str:
    row = _evaluation(source, benchmark, method, seed)
    value, low, high = (f"{100 * row[f'aupr_error{end}']:.{decimals}f}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _interval_width(source: str, benchmark: str, method: str, seed: str = "0") -> str:
    row = _evaluation(source, benchmark, method, seed)
    return f"{100 * (row['aupr_error_high'] - row['aupr_error_low']):.0f}"


FIGURES: dict[str, Callable[..., str]] = {
    "gain": _gain,
    "gain-low": lambda *arguments: _gain(*arguments, column="low"),
    "gain-high": lambda *arguments: _gain(*arguments, column="high"),
    "distance": _distance,
    "ensemble-gain": _ensemble_gain,
    "significant": _verdict,
    "significant-networks": lambda *arguments: _verdict(*arguments, column="networks_verdict"),
    "significant-scores": _significant_scores,
    "benchmarks-where-worse": _benchmarks_where_worse,
    "gains-reproduced": _gains_reproduced,
    "same-as": _same_as,
    "last": _last,
    "p": _p_value,
    "p-corrected": lambda *arguments: _p_value(*arguments, column="p_corrected"),
    "errors": _errors,
    "errors-in-millions": _errors_in_millions,
    "errors-of-seeds": _errors_of_seeds,
    "samples": _samples,
    "trainings": _trainings,
    "calibration-units": _calibration_units,
    "calibration-errors": _calibration_errors,
    "trainings-with-threshold": _trainings_with_threshold,
    "targets-with-threshold": _targets_with_threshold,
    "thresholds-kept": _thresholds_kept,
    "aupr-error-mean": lambda source, benchmark, method: (
        f"{100 * _rows(source, benchmark, 'comparison').query('method == @method')['aupr_error'].mean():.1f}"
    ),
    "own-accuracy": lambda source, benchmark, method, seed: f"{100 * _evaluation(source, benchmark, method, seed)['own_accuracy']:.1f}",
    "accuracy": _accuracy,
    "aupr-error": _aupr_error,
    "interval": _interval,
    "interval-width": _interval_width,
}
