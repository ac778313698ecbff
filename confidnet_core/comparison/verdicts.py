"""What a comparison shows, in words: which score is best, by how much, and which differences are not significant."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.differences import in_words
from confidnet_core.comparison.frames import COLUMNS, HEADLINE, mean_over_seeds, metric_cell
from confidnet_core.comparison.lines import groups_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import BETTER, WORSE, Column, format_value, joined


class Verdict(NamedTuple):
    """best: methods, by their keys: several where their values are equal, none where nothing ranks; short: one sentence; details: more."""

    best: tuple[str, ...]
    short: str
    details: tuple[str, ...]


def verdicts(frame: pd.DataFrame, compared: pd.DataFrame, ends: pd.DataFrame) -> dict[str, Verdict]:
    """BENCHMARK -> the verdict by HEADLINE; an oracle is named as an upper bound, and never the best.

    frame: a `comparison_frame`; compared: of `differences`; ends: `intervals` of the means over seeds
    """
    return {
        benchmark: _verdict(group, compared[compared["benchmark"] == benchmark], mean_over_seeds(group, ends))
        for benchmark, group in groups_of(frame, "benchmark")
    }


def _verdict(group: pd.DataFrame, compared: pd.DataFrame, means: pd.DataFrame) -> Verdict:
    results, on = means[~means["oracle"]], _on_errors(group)
    if results.empty:
        return Verdict((), f"There is no score to judge but the oracle, {on}.", ())
    if results["auroc"].isna().all():  # all correct or all wrong, in one seed at least
        return Verdict((), f"Nothing to rank: {on}. A score is judged by how it separates correct from incorrect predictions.", ())
    ranked = results.sort_values(HEADLINE.key, ascending=not HEADLINE.higher_is_better, kind="stable").reset_index(drop=True)
    best = tuple(ranked["method"][ranked[HEADLINE.key] == ranked[HEADLINE.key][0]])
    against = list(dict.fromkeys(compared["against"]))
    pairs = {other: row for other in against if other not in best and (row := _pair(compared, best[0], other)) is not None}
    lead = f"{_names(best)} {'has' if len(best) == 1 else 'have'} the highest {HEADLINE.title}, {_value(ranked, 0)}, {on}"
    clauses = [_clause(other, *row) for other, row in pairs.items()]
    first = "".join(f" {display_name(name)} is itself a score that all others are compared with." for name in best if name in against)
    short = f"{lead}: {'; '.join(clauses)}.{first}" if clauses else f"{lead}.{first}"
    details = [
        *_against(compared, against),
        *_elsewhere(results, best),
        *_selected(ranked, best, against),
        *_bound(means),
        *_spread(group),
    ]
    return Verdict(best, short, tuple(details))


def _pair(compared: pd.DataFrame, best: str, other: str) -> tuple[float, float, float, str | float] | None:
    """Difference of the headline metric, its interval and its verdict, seen from the best; a pair is listed in one direction only."""
    rows = compared[compared["metric"] == HEADLINE.key].set_index(["method", "against"])
    if (best, other) in rows.index:
        row = cast("pd.Series", rows.loc[(best, other)])
        return row["difference"], row["low"], row["high"], row["verdict"]
    if (other, best) in rows.index:
        row = cast("pd.Series", rows.loc[(other, best)])
        return -row["difference"], -row["high"], -row["low"], row["verdict"]
    return None


def _clause(other: str, difference: float, low: float, high: float, verdict: str | float) -> str:
    if np.isnan(difference):
        return f"its difference from {display_name(other)} is undefined"
    ends = f"[{HEADLINE.printed(low, '+')}, {HEADLINE.printed(high, '+')}]"
    points = f"{format_value(HEADLINE.scale * difference, '+')} percentage points {ends}"
    # Of the best, a significant difference is one to its favour, whichever of the two the row is of.
    if verdict in (BETTER, WORSE):
        return f"significantly better than {display_name(other)}, by {points}"
    corrected = " after Holm correction" if low > 0 else ""
    return f"no significant difference from {display_name(other)}{corrected}, {points}"


def _against(compared: pd.DataFrame, against: list[str]) -> Iterator[str]:
    for other in against:
        yield f"Against {display_name(other)}: {in_words(compared[compared['against'] == other])}."


def _elsewhere(results: pd.DataFrame, best: tuple[str, ...]) -> Iterator[str]:
    """Which scores are best by the other metrics."""
    winners: dict[tuple[str, ...], list[str]] = {}
    for column in COLUMNS:
        if column != HEADLINE and results[column.key].notna().any():
            winners.setdefault(_firsts(results, column), []).append(column.title)
    ordered = tuple(name for name in results["method"] if name in best)
    if set(winners) == {ordered}:
        yield f"By every other metric of the table {_names(ordered)} {'is' if len(best) == 1 else 'are'} best, too."
    elif winners:
        yield (
            "By the other metrics the best is "
            + "; ".join(f"{_names(first)} by {', '.join(titles)}" for first, titles in winners.items())
            + "."
        )


def _firsts(results: pd.DataFrame, column: Column) -> tuple[str, ...]:
    return tuple(results["method"][column.are_best(results[column.key].tolist())])


def _selected(ranked: pd.DataFrame, best: tuple[str, ...], against: list[str]) -> Iterator[str]:
    """That the maximum of several is optimistic, and what was not tested."""
    ranked = ranked[ranked[HEADLINE.key].notna()]
    if len(ranked) < 2:
        return
    caution = f"The best of {len(ranked)} scores is selected on this test set, so its value is slightly optimistic."
    second = len(best)
    if second < len(ranked) and not {*best, ranked["method"][second]} & set(against):
        tested = f"{_names(best)} {'was' if second == 1 else 'were'} not tested against it."
        caution += f" Next is {display_name(ranked['method'][second])} with {_value(ranked, second)}; {tested}"
    yield caution


def _bound(means: pd.DataFrame) -> Iterator[str]:
    for row, name in zip(np.flatnonzero(means["oracle"]), means["method"][means["oracle"]], strict=True):
        yield f"{display_name(name)} reads the labels: {_value(means, int(row))} is an upper bound, not a competing method."


def _spread(group: pd.DataFrame) -> Iterator[str]:
    seeds = group["seed"].nunique()
    if seeds > 1:
        yield (
            f"All numbers are means over {seeds} trainings; ± is their sample standard deviation. The intervals are of the test set alone: "
            "they do not say what another training would give."
        )


def _names(methods: tuple[str, ...]) -> str:
    return joined(map(display_name, methods))


def _value(means: pd.DataFrame, row: int) -> str:
    cell = metric_cell(means.iloc[row], HEADLINE.key)
    return " ".join(part for part in (cell.number(HEADLINE), cell.interval(HEADLINE)) if part)


def _on_errors(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    errors = " + ".join(f"{count:,}" for count in seeds["errors"]) if len(seeds) <= 5 else f"{seeds['errors'].sum():,}"
    over = f" in {len(seeds)} trainings" if len(seeds) > 1 else ""
    return f"on {errors} errors among {seeds['samples'].iloc[0]:,} test predictions{over}"
