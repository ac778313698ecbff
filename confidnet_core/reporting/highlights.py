"""Which scores stand out in the charts of a comparison, and the style that each score has in all of them."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from confidnet_core.comparison.frames import HEADLINE
from confidnet_core.comparison.names import display_names
from confidnet_core.config.registry import marks
from confidnet_core.reporting.palette import ORACLE_COLOUR, PALETTE, Style


def report_styles(frame: pd.DataFrame, against: Iterable[str]) -> dict[str, Style]:
    """The `score_styles` of a `table`."""
    oracle = next(iter(frame["method"][frame["oracle"]]), None)
    return score_styles(list(dict.fromkeys(frame["method"])), bright_scores(frame, against), oracle)


def score_styles(methods: Sequence[str], bright: Mapping[str, Sequence[str]], oracle: str | None = None) -> dict[str, Style]:
    """METHOD -> Style, in the order in which figures list them: those that stand out, then the others, then the oracle, dashed grey.

    A thirteenth method starts the colours over with another kind of line. bright: of `bright_scores`
    """
    names = display_names(methods)
    first = [method for chosen in zip(*bright.values(), strict=False) for method in chosen]  # the reference of all before the best of any
    first += [method for chosen in bright.values() for method in chosen]
    ordinary = [method for method in dict.fromkeys([*first, *methods]) if method != oracle]
    styles = {}
    for index, method in enumerate(ordinary):
        linestyle = ("-", ":", "-.")[index // len(PALETTE) % 3]
        where = tuple(benchmark for benchmark, chosen in bright.items() if method in chosen)
        styles[method] = Style(names[method], method, PALETTE[index % len(PALETTE)], linestyle, where)
    if oracle is not None and oracle in methods:
        styles[oracle] = Style(f"{names[oracle]} (oracle)", f"{oracle} (oracle)", ORACLE_COLOUR, "--", tuple(bright))
    return styles


def bright_scores(frame: pd.DataFrame, against: Iterable[str]) -> dict[str, list[str]]:
    """BENCHMARK -> the scores that stand out in its charts, each once: the first of AGAINST, those whose function has the attribute
    `highlighted`, and the best by HEADLINE, means over seeds. The oracle is none of them. frame: a `table`"""
    chosen = {}
    for benchmark, group in frame[~frame["oracle"]].groupby("benchmark", sort=False):
        methods = list(dict.fromkeys(group["method"]))
        reference = [method for method in against if method in methods][:1]
        marked = [method for method, mark in marks("scores", methods, "highlighted").items() if mark]
        chosen[benchmark] = list(dict.fromkeys([*reference, *marked, *best_scores(group)]))
    return chosen


def best_scores(group: pd.DataFrame) -> list[str]:
    """The first of those with the best mean of HEADLINE over seeds; none where it is undefined. group: rows of one benchmark"""
    means = group.groupby("method", sort=False)[HEADLINE.key].mean()
    return [str(means.idxmax() if HEADLINE.higher_is_better else means.idxmin())] if means.notna().any() else []
