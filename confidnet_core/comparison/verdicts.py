"""What a comparison found, in words: which score is best, by how much, and what the errors are too few to tell."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from confidnet_core.comparison.differences import BETTER, HEADLINE, WORSE, in_words
from confidnet_core.comparison.table import COLUMNS, Column, mean_over_seeds, shown, spans, values


class Verdict(NamedTuple):
    best: tuple[str, ...]  # several where their values are equal, none where nothing ranks
    short: str
    details: tuple[str, ...]


def verdicts(frame: pd.DataFrame, found: pd.DataFrame, ends: pd.DataFrame) -> dict[str, Verdict]:
    """BENCHMARK -> the verdict by HEADLINE; an oracle is named as a bound, and never the best.

    frame: a `table` of the comparison; found: of `differences`; ends: `intervals` of the means over seeds
    """
    return {
        benchmark: _verdict(group, found[found["benchmark"] == benchmark], mean_over_seeds(group, ends))
        for benchmark, group in frame.groupby("benchmark", sort=False)
    }


def _verdict(group: pd.DataFrame, found: pd.DataFrame, means: pd.DataFrame) -> Verdict:
    results, counted = means[~means["oracle"]], _counted(group)
    if results.empty:
        return Verdict((), f"There is no score to judge but the oracle, {counted}.", ())
    if results["auroc"].isna().all():  # all right or all wrong, in one seed at least
        return Verdict((), f"Nothing to rank: {counted}. A score is judged by how it parts errors from successes.", ())
    ranked = results.sort_values(HEADLINE.metric, ascending=not HEADLINE.higher_is_better, kind="stable").reset_index(drop=True)
    best = tuple(ranked["method"][ranked[HEADLINE.metric] == ranked[HEADLINE.metric][0]])
    against = list(dict.fromkeys(found["against"]))
    compared = {other: row for other in against if other not in best and (row := _pair(found, best[0], other)) is not None}
    lead = f"{' and '.join(best)} {'has' if len(best) == 1 else 'have'} the highest {HEADLINE.title}, {_value(ranked, 0)}, {counted}"
    clauses = [_clause(other, *row) for other, row in compared.items()]
    first = "".join(f" {name} is itself a score that all others are compared with." for name in best if name in against)
    short = f"{lead}: {'; '.join(clauses)}.{first}" if clauses else f"{lead}.{first}"
    details = [
        *_against(found, against),
        *_elsewhere(results, best),
        *_chosen(ranked, best, against),
        *_bound(means),
        *_spread(group, means),
    ]
    return Verdict(best, short, tuple(details))


def _pair(found: pd.DataFrame, best: str, other: str) -> tuple[float, float, float, str | float] | None:
    """Difference of the headline metric, its interval and its verdict, seen from the best; a pair is listed in one direction only."""
    rows = found[found["metric"] == HEADLINE.metric].set_index(["method", "against"])
    if (best, other) in rows.index:
        row = rows.loc[(best, other)]
        return row["difference"], row["low"], row["high"], row["verdict"]
    if (other, best) in rows.index:
        row = rows.loc[(other, best)]
        return -row["difference"], -row["high"], -row["low"], row["verdict"]
    return None


def _clause(other: str, difference: float, low: float, high: float, verdict: str | float) -> str:
    if np.isnan(difference):
        return f"its difference from {other} is undefined"
    points = f"{shown(HEADLINE.scale * difference, '+')} points [{HEADLINE.scale * low:+.2f}, {HEADLINE.scale * high:+.2f}]"
    # Of the best, a difference that is told apart is one to its favour, whichever of the two the row is of.
    if verdict in (BETTER, WORSE):
        return f"better than {other}, by {points}"
    corrected = " after the correction for the number of comparisons" if low > 0 else ""
    return f"it cannot be told apart from {other}{corrected}, {points}"


def _against(found: pd.DataFrame, against: list[str]) -> Iterator[str]:
    for other in against:
        yield f"Against {other}: {in_words(found[found['against'] == other])}."


def _elsewhere(results: pd.DataFrame, best: tuple[str, ...]) -> Iterator[str]:
    """Which scores the other metrics put first."""
    winners: dict[str, list[str]] = {}
    for column in COLUMNS:
        if column != HEADLINE and results[column.metric].notna().any():
            winners.setdefault(" and ".join(_firsts(results, column)), []).append(column.title)
    names = " and ".join(name for name in results["method"] if name in best)
    if set(winners) == {names}:
        yield f"By every other metric of the table {names} {'is' if len(best) == 1 else 'are'} first, too."
    elif winners:
        yield "By the other metrics the first is " + "; ".join(f"{names} by {', '.join(titles)}" for names, titles in winners.items()) + "."


def _firsts(results: pd.DataFrame, column: Column) -> list[str]:
    printed = (results[column.metric] * column.scale).round(2)
    return results["method"][printed == (printed.max() if column.higher_is_better else printed.min())].tolist()


def _chosen(ranked: pd.DataFrame, best: tuple[str, ...], against: list[str]) -> Iterator[str]:
    """That a maximum flatters, and what was not tested."""
    ranked = ranked[ranked[HEADLINE.metric].notna()]
    if len(ranked) < 2:
        return
    caution = f"The best of {len(ranked)} scores is named after a look at these very errors, which flatters it a little."
    second = len(best)
    if second < len(ranked) and not {*best, ranked["method"][second]} & set(against):
        tested = f"{' and '.join(best)} {'was' if second == 1 else 'were'} not tested against it."
        caution += f" Next is {ranked['method'][second]} with {_value(ranked, second)}; {tested}"
    yield caution


def _bound(means: pd.DataFrame) -> Iterator[str]:
    for row, name in zip(np.flatnonzero(means["oracle"]), means["method"][means["oracle"]], strict=True):
        yield f"{name} is an oracle, which reads the labels: {_value(means, row)} is a bound, no result."


def _spread(group: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    seeds = group["seed"].nunique()
    if seeds > 1:
        yield (
            f"All numbers are means over {seeds} trainings; ± is their sample standard deviation. The intervals are of the test set alone: "
            "they do not say what another training would give."
        )


def _value(means: pd.DataFrame, row: int) -> str:
    return values(means, HEADLINE)[row] + spans(means, HEADLINE)[row]


def _counted(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    errors = " + ".join(f"{count:,}" for count in seeds["errors"]) if len(seeds) <= 5 else f"{seeds['errors'].sum():,}"
    over = f" in {len(seeds)} trainings" if len(seeds) > 1 else ""
    return f"on {errors} errors among {seeds['samples'].iloc[0]:,} test predictions{over}"
