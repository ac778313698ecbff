"""The result of a comparison in sentences: which score is best, by how much, and which differences are not significant."""

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
    """The result of comparing scores on one benchmark, in sentences.

    best: names of the best methods: several if their values are equal, none if nothing can be ranked
    short: a one-sentence summary; details: further sentences
    """

    best: tuple[str, ...]
    short: str
    details: tuple[str, ...]


def verdicts(frame: pd.DataFrame, difference_rows: pd.DataFrame, mean_intervals: pd.DataFrame) -> dict[str, Verdict]:
    """Return {benchmark: the Verdict by HEADLINE_METRIC}; an oracle is named as an upper bound and is never the best.

    frame: from `comparison_frame`; difference_rows: of `differences`; mean_intervals: `intervals` of the means over seeds
    """
    return {
        benchmark: _benchmark_verdict(
            group, difference_rows[difference_rows["benchmark"] == benchmark], mean_over_seeds(group, mean_intervals)
        )
        for benchmark, group in iterate_groups(frame, "benchmark")
    }


def _benchmark_verdict(group: pd.DataFrame, difference_rows: pd.DataFrame, means: pd.DataFrame) -> Verdict:
    competing_means, error_phrase = means[~means["oracle"]], _error_count_phrase(group)
    if competing_means.empty:
        return Verdict((), f"There is no score to judge but the oracle, {error_phrase}.", ())
    if competing_means["auroc"].isna().all():  # in at least one seed, all predictions are correct or all are errors
        return Verdict(
            (), f"Nothing to rank: {error_phrase}. A score is judged by how it separates correct from incorrect predictions.", ()
        )
    ranked = competing_means.sort_values(HEADLINE_METRIC.key, ascending=not HEADLINE_METRIC.higher_is_better, kind="stable").reset_index(
        drop=True
    )
    best = tuple(ranked["method"][ranked[HEADLINE_METRIC.key] == ranked[HEADLINE_METRIC.key][0]])
    references = list(dict.fromkeys(difference_rows["against"]))
    differences = {
        reference: row
        for reference in references
        if reference not in best and (row := _headline_difference(difference_rows, best[0], reference)) is not None
    }
    verb = "has" if len(best) == 1 else "have"
    lead_clause = f"{_join_display_names(best)} {verb} the highest {HEADLINE_METRIC.title}, {_headline_in_words(ranked, 0)}, {error_phrase}"
    difference_clauses = [_difference_clause(reference, *row) for reference, row in differences.items()]
    reference_note = "".join(
        f" {display_name(name)} is itself a score that all others are compared with." for name in best if name in references
    )
    short = f"{lead_clause}: {'; '.join(difference_clauses)}.{reference_note}" if difference_clauses else f"{lead_clause}.{reference_note}"
    details = [
        *_reference_sentences(difference_rows, references),
        *_other_metrics_sentences(competing_means, best),
        *_selection_sentences(ranked, best, references),
        *_oracle_sentences(means),
        *_seed_sentences(group),
    ]
    return Verdict(best, short, tuple(details))


def _headline_difference(difference_rows: pd.DataFrame, best: str, reference: str) -> tuple[float, float, float, str | float] | None:
    """Return difference, low end, high end and verdict of HEADLINE_METRIC between the best method and a reference; None if not compared.

    Pairs of methods are stored in one direction only; the difference is returned as best minus reference.
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


def _other_metrics_sentences(competing_means: pd.DataFrame, best: tuple[str, ...]) -> Iterator[str]:
    """Yield a sentence that says which scores are best by the metrics other than HEADLINE_METRIC."""
    titles_by_best_methods: dict[tuple[str, ...], list[str]] = {}
    for column in METRIC_COLUMNS:
        if column != HEADLINE_METRIC and competing_means[column.key].notna().any():
            titles_by_best_methods.setdefault(_best_methods_by_metric(competing_means, column), []).append(column.title)
    ordered_best = tuple(name for name in competing_means["method"] if name in best)
    if set(titles_by_best_methods) == {ordered_best}:
        yield f"By every other metric of the table {_join_display_names(ordered_best)} {'is' if len(best) == 1 else 'are'} best, too."
    elif titles_by_best_methods:
        yield (
            "By the other metrics the best is "
            + "; ".join(
                f"{_join_display_names(winner_names)} by {', '.join(titles)}" for winner_names, titles in titles_by_best_methods.items()
            )
            + "."
        )


def _best_methods_by_metric(competing_means: pd.DataFrame, column: Column) -> tuple[str, ...]:
    return tuple(competing_means["method"][column.best_mask(competing_means[column.key].tolist())])


def _selection_sentences(ranked: pd.DataFrame, best: tuple[str, ...], references: list[str]) -> Iterator[str]:
    """Yield a warning that the best of several scores is an optimistic estimate, which also says what was not tested."""
    ranked = ranked[ranked[HEADLINE_METRIC.key].notna()]
    if len(ranked) < 2:
        return
    sentence = f"The best of {len(ranked)} scores is selected on this test set, so its value is slightly optimistic."
    next_position = len(best)
    if next_position < len(ranked) and not {*best, ranked["method"][next_position]} & set(references):
        not_tested = f"{_join_display_names(best)} {'was' if next_position == 1 else 'were'} not tested against it."
        sentence += (
            f" Next is {display_name(ranked['method'][next_position])} with {_headline_in_words(ranked, next_position)}; {not_tested}"
        )
    yield sentence


def _oracle_sentences(means: pd.DataFrame) -> Iterator[str]:
    for row, name in zip(np.flatnonzero(means["oracle"]), means["method"][means["oracle"]], strict=True):
        yield f"{display_name(name)} reads the labels: {_headline_in_words(means, int(row))} is an upper bound, not a competing method."


def _seed_sentences(group: pd.DataFrame) -> Iterator[str]:
    seeds = group["seed"].nunique()
    if seeds > 1:
        yield (
            f"All numbers are means over {seeds} trainings; ± is their sample standard deviation. The intervals are of the test set alone: "
            "they do not say what another training would give."
        )


def _join_display_names(methods: tuple[str, ...]) -> str:
    return join_names(map(display_name, methods))


def _headline_in_words(means: pd.DataFrame, row_position: int) -> str:
    cell = metric_cell(means.iloc[row_position], HEADLINE_METRIC.key)
    return " ".join(part for part in (cell.number_text(HEADLINE_METRIC), cell.interval_text(HEADLINE_METRIC)) if part)


def _error_count_phrase(group: pd.DataFrame) -> str:
    seeds = group.drop_duplicates("seed")
    errors_in_words = " + ".join(f"{count:,}" for count in seeds["errors"]) if len(seeds) <= 5 else f"{seeds['errors'].sum():,}"
    trainings_phrase = f" in {len(seeds)} trainings" if len(seeds) > 1 else ""
    return f"on {errors_in_words} errors among {seeds['samples'].iloc[0]:,} test predictions{trainings_phrase}"
