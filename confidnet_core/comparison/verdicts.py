"""Verdict of a comparison in words: which score is best, by how much, and which differences are not significant."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.differences import verdicts_in_words
from confidnet_core.comparison.frames import HEADLINE_METRIC, METRIC_COLUMNS, mean_over_seeds, metric_cell
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import BETTER, WORSE, Column, format_value, join_names


class Verdict(NamedTuple):
    """The verdict for one benchmark.

    best: keys of the best methods: several if their values are equal, none if nothing can be ranked
    short: a one-sentence summary; details: further sentences
    """

    best: tuple[str, ...]
    short: str
    details: tuple[str, ...]


def verdicts(frame: pd.DataFrame, difference_rows: pd.DataFrame, mean_intervals: pd.DataFrame) -> dict[str, Verdict]:
    """Return BENCHMARK -> its verdict by HEADLINE_METRIC; an oracle is named as an upper bound and is never the best.

    frame: a `comparison_frame`; difference_rows: of `differences`; mean_intervals: `intervals` of the means over seeds
    """
    return {
        benchmark: _verdict(group, difference_rows[difference_rows["benchmark"] == benchmark], mean_over_seeds(group, mean_intervals))
        for benchmark, group in iterate_groups(frame, "benchmark")
    }


def _verdict(group: pd.DataFrame, difference_rows: pd.DataFrame, means: pd.DataFrame) -> Verdict:
    results, error_phrase = means[~means["oracle"]], _error_count_phrase(group)
    if results.empty:
        return Verdict((), f"There is no score to judge but the oracle, {error_phrase}.", ())
    if results["auroc"].isna().all():  # in at least one seed, all predictions are correct or all are errors
        return Verdict(
            (), f"Nothing to rank: {error_phrase}. A score is judged by how it separates correct from incorrect predictions.", ()
        )
    ranked = results.sort_values(HEADLINE_METRIC.key, ascending=not HEADLINE_METRIC.higher_is_better, kind="stable").reset_index(drop=True)
    best = tuple(ranked["method"][ranked[HEADLINE_METRIC.key] == ranked[HEADLINE_METRIC.key][0]])
    references = list(dict.fromkeys(difference_rows["against"]))
    differences = {
        reference: row
        for reference in references
        if reference not in best and (row := _headline_difference(difference_rows, best[0], reference)) is not None
    }
    verb = "has" if len(best) == 1 else "have"
    lead = f"{_join_display_names(best)} {verb} the highest {HEADLINE_METRIC.title}, {_headline_value(ranked, 0)}, {error_phrase}"
    clauses = [_difference_clause(reference, *row) for reference, row in differences.items()]
    reference_note = "".join(
        f" {display_name(name)} is itself a score that all others are compared with." for name in best if name in references
    )
    short = f"{lead}: {'; '.join(clauses)}.{reference_note}" if clauses else f"{lead}.{reference_note}"
    details = [
        *_reference_sentences(difference_rows, references),
        *_other_metrics_sentences(results, best),
        *_selection_sentences(ranked, best, references),
        *_oracle_sentences(means),
        *_seed_sentences(group),
    ]
    return Verdict(best, short, tuple(details))


def _headline_difference(difference_rows: pd.DataFrame, best: str, reference: str) -> tuple[float, float, float, str | float] | None:
    """Return difference, interval and verdict of HEADLINE_METRIC between the best method and a reference; pairs are stored in one
    direction only.
    """
    rows = difference_rows[difference_rows["metric"] == HEADLINE_METRIC.key].set_index(["method", "against"])
    if (best, reference) in rows.index:
        row = cast("pd.Series", rows.loc[(best, reference)])
        return row["difference"], row["low"], row["high"], row["verdict"]
    if (reference, best) in rows.index:
        row = cast("pd.Series", rows.loc[(reference, best)])
        return -row["difference"], -row["high"], -row["low"], row["verdict"]
    return None


def _difference_clause(reference: str, difference: float, low: float, high: float, verdict: str | float) -> str:
    if np.isnan(difference):
        return f"its difference from {display_name(reference)} is undefined"
    interval = f"[{HEADLINE_METRIC.format_number(low, '+')}, {HEADLINE_METRIC.format_number(high, '+')}]"
    points = f"{format_value(HEADLINE_METRIC.scale * difference, '+')} percentage points {interval}"
    # A significant difference of the best method is in its favour, whichever method of the pair the stored row is of.
    if verdict in (BETTER, WORSE):
        return f"significantly better than {display_name(reference)}, by {points}"
    corrected = " after Holm correction" if low > 0 else ""
    return f"no significant difference from {display_name(reference)}{corrected}, {points}"


def _reference_sentences(difference_rows: pd.DataFrame, references: list[str]) -> Iterator[str]:
    for reference in references:
        yield f"Against {display_name(reference)}: {verdicts_in_words(difference_rows[difference_rows['against'] == reference])}."


def _other_metrics_sentences(results: pd.DataFrame, best: tuple[str, ...]) -> Iterator[str]:
    """Say which scores are best by the other metrics."""
    winners: dict[tuple[str, ...], list[str]] = {}
    for column in METRIC_COLUMNS:
        if column != HEADLINE_METRIC and results[column.key].notna().any():
            winners.setdefault(_best_methods(results, column), []).append(column.title)
    ordered = tuple(name for name in results["method"] if name in best)
    if set(winners) == {ordered}:
        yield f"By every other metric of the table {_join_display_names(ordered)} {'is' if len(best) == 1 else 'are'} best, too."
    elif winners:
        yield (
            "By the other metrics the best is "
            + "; ".join(f"{_join_display_names(winner_names)} by {', '.join(titles)}" for winner_names, titles in winners.items())
            + "."
        )


def _best_methods(results: pd.DataFrame, column: Column) -> tuple[str, ...]:
    return tuple(results["method"][column.best_mask(results[column.key].tolist())])


def _selection_sentences(ranked: pd.DataFrame, best: tuple[str, ...], references: list[str]) -> Iterator[str]:
    """Warn that the best of several scores is an optimistic estimate, and say what was not tested."""
    ranked = ranked[ranked[HEADLINE_METRIC.key].notna()]
    if len(ranked) < 2:
        return
    caution = f"The best of {len(ranked)} scores is selected on this test set, so its value is slightly optimistic."
    second = len(best)
    if second < len(ranked) and not {*best, ranked["method"][second]} & set(references):
        not_tested = f"{_join_display_names(best)} {'was' if second == 1 else 'were'} not tested against it."
        caution += f" Next is {display_name(ranked['method'][second])} with {_headline_value(ranked, second)}; {not_tested}"
    yield caution


def _oracle_sentences(means: pd.DataFrame) -> Iterator[str]:
    for row, name in zip(np.flatnonzero(means["oracle"]), means["method"][means["oracle"]], strict=True):
        yield f"{display_name(name)} reads the labels: {_headline_value(means, int(row))} is an upper bound, not a competing method."


def _seed_sentences(group: pd.DataFrame) -> Iterator[str]:
    seeds = group["seed"].nunique()
    if seeds > 1:
        yield (
            f"All numbers are means over {seeds} trainings; ± is their sample standard deviation. The intervals are of the test set alone: "
            "they do not say what another training would give."
        )


def _join_display_names(methods: tuple[str, ...]) -> str:
    return join_names(map(display_name, methods))


def _headline_value(means: pd.DataFrame, row: int) -> str:
    cell = metric_cell(means.iloc[row], HEADLINE_METRIC.key)
    return " ".join(part for part in (cell.number_text(HEADLINE_METRIC), cell.interval_text(HEADLINE_METRIC)) if part)


def _error_count_phrase(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    errors = " + ".join(f"{count:,}" for count in seeds["errors"]) if len(seeds) <= 5 else f"{seeds['errors'].sum():,}"
    over = f" in {len(seeds)} trainings" if len(seeds) > 1 else ""
    return f"on {errors} errors among {seeds['samples'].iloc[0]:,} test predictions{over}"
