"""Choice of the scores that are highlighted in the charts of a comparison, and of each score's line style in all charts."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from confidnet_core.comparison.frames import HEADLINE_METRIC
from confidnet_core.comparison.names import display_names
from confidnet_core.config.registry import entry_attributes
from confidnet_core.reporting.palette import ORACLE_COLOUR, PALETTE, Style


def report_styles(frame: pd.DataFrame, references: Iterable[str]) -> dict[str, Style]:
    """Return {method: line style} for all methods of a `comparison_frame`, highlighting references and best scores."""
    oracle = next(iter(frame["method"][frame["oracle"]]), None)
    return score_styles(list(dict.fromkeys(frame["method"])), highlighted_scores(frame, references), oracle)


def score_styles(methods: Sequence[str], highlighted: Mapping[str, Sequence[str]], oracle: str | None = None) -> dict[str, Style]:
    """Return {method: line style} in the order of figure legends: highlighted scores, the others, then the oracle in dashed grey.

    After twelve methods the colours repeat with another line style. highlighted: from `highlighted_scores`
    """
    name_by_method = display_names(methods)
    # The references of all benchmarks come before the best score of any.
    highlighted_first = [method for chosen in zip(*highlighted.values(), strict=False) for method in chosen]
    highlighted_first += [method for chosen in highlighted.values() for method in chosen]
    methods_without_oracle = [method for method in dict.fromkeys([*highlighted_first, *methods]) if method != oracle]
    styles = {}
    for index, method in enumerate(methods_without_oracle):
        linestyle = ("-", ":", "-.")[index // len(PALETTE) % 3]
        highlighted_in = tuple(benchmark for benchmark, chosen in highlighted.items() if method in chosen)
        styles[method] = Style(name_by_method[method], method, PALETTE[index % len(PALETTE)], linestyle, highlighted_in)
    if oracle is not None and oracle in methods:
        styles[oracle] = Style(f"{name_by_method[oracle]} (oracle)", f"{oracle} (oracle)", ORACLE_COLOUR, "--", tuple(highlighted))
    return styles


def highlighted_scores(frame: pd.DataFrame, references: Iterable[str]) -> dict[str, list[str]]:
    """Return {benchmark: names of the scores highlighted in its charts}, each name once.

    They are the first of the references, scores whose function has the attribute `highlighted`, and the best by HEADLINE_METRIC in its mean
    over seeds. The oracle is never highlighted. frame: from `comparison_frame`
    """
    scores_by_benchmark = {}
    for benchmark, group in frame[~frame["oracle"]].groupby("benchmark", sort=False):
        methods = list(dict.fromkeys(group["method"]))
        reference = [method for method in references if method in methods][:1]
        always_highlighted = [
            method for method, is_highlighted in entry_attributes("scores", methods, "highlighted").items() if is_highlighted
        ]
        scores_by_benchmark[benchmark] = list(dict.fromkeys([*reference, *always_highlighted, *best_scores(group)]))
    return scores_by_benchmark


def best_scores(group: pd.DataFrame) -> list[str]:
    """Return a list with the score that has the best mean of HEADLINE_METRIC over seeds, the first of equals; empty if undefined.

    group: rows of one benchmark of a `comparison_frame`
    """
    means = group.groupby("method", sort=False)[HEADLINE_METRIC.key].mean()
    return [str(means.idxmax() if HEADLINE_METRIC.higher_is_better else means.idxmin())] if means.notna().any() else []
