"""The result of a comparison in sentences: which score is best, by how much, and which differences are not significant."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from confidnet_core.comparison.differences import verdicts_in_words
from confidnet_core.comparison.frames import HEADLINE_METRIC, METRIC_COLUMNS, mean_over_seeds, metric_cell
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.own_networks import own_network_sentences
from confidnet_core.comparison.tables import BETTER_VERDICT, WORSE_VERDICT, Column, format_value, join_names
from confidnet_core.comparison.uncertainty import (
    MIN_TRAININGS,
    THESE_NETWORKS,
    THIS_NETWORK,
    error_counts_in_words,
    error_rate_sentence,
    insufficiency,
    question,
)


class BenchmarkVerdict(NamedTuple):
    """The result of comparing scores on one benchmark, in sentences.

    best_methods: names of the methods with the best value, none if nothing can be ranked
    summary_sentence: the result in one sentence; further_sentences: details, as the report page lists them
    """

    best_methods: tuple[str, ...]
    summary_sentence: str
    further_sentences: tuple[str, ...]


def benchmark_verdicts(
    evaluation_rows: pd.DataFrame, difference_rows: pd.DataFrame, intervals_of_means: pd.DataFrame, interval_level: float
) -> dict[str, BenchmarkVerdict]:
    """Return {benchmark: its BenchmarkVerdict by HEADLINE_METRIC}; an oracle is named apart and is never the best.

    evaluation_rows: from `comparison_frame`; difference_rows: from `method_differences`
    intervals_of_means: of the means over seeds, from `interval_frame`; interval_level: of these intervals, such as 0.95
    """
    return {
        benchmark: _benchmark_verdict(
            benchmark_rows,
            difference_rows[difference_rows["benchmark"] == benchmark],
            mean_over_seeds(benchmark_rows, intervals_of_means),
            interval_level,
        )
        for benchmark, benchmark_rows in iterate_groups(evaluation_rows, "benchmark")
    }


def _benchmark_verdict(
    benchmark_rows: pd.DataFrame, difference_rows: pd.DataFrame, method_means: pd.DataFrame, interval_level: float
) -> BenchmarkVerdict:
    """Return the BenchmarkVerdict of one benchmark. method_means: one row per method, from `mean_over_seeds`"""
    competing_means, error_count_phrase = method_means[~method_means["oracle"]], _error_count_phrase(benchmark_rows)
    if competing_means.empty:
        return BenchmarkVerdict((), f"There is no score to judge but the oracle, {error_count_phrase}.", ())
    if too_little := insufficiency(benchmark_rows):
        error_rate = error_rate_sentence(method_means.iloc[0], interval_level)
        return BenchmarkVerdict(
            (), f"{too_little.sentence}.", (error_rate, "A score is judged by how it separates correct from incorrect predictions.")
        )
    ranked_means = competing_means.sort_values(
        HEADLINE_METRIC.key, ascending=not HEADLINE_METRIC.higher_is_better, kind="stable"
    ).reset_index(drop=True)
    best_methods = tuple(ranked_means["method"][ranked_means[HEADLINE_METRIC.key] == ranked_means[HEADLINE_METRIC.key][0]])
    reference_methods = list(dict.fromkeys(difference_rows["against"]))
    difference_by_reference = {
        reference_method: difference
        for reference_method in reference_methods
        if reference_method not in best_methods
        and (difference := _headline_metric_difference(difference_rows, best_methods[0], reference_method)) is not None
    }
    verb = "has" if len(best_methods) == 1 else "have"
    highest_value_phrase = f"the highest {HEADLINE_METRIC.title}, {_headline_metric_in_words(ranked_means, 0)}"
    lead_clause = f"{_join_display_names(best_methods)} {verb} {highest_value_phrase}, {error_count_phrase}"
    difference_clauses = [
        _difference_clause(reference_method, *difference) for reference_method, difference in difference_by_reference.items()
    ]
    reference_note = "".join(
        f" {display_name(method)} is itself a score that all others are compared with."
        for method in best_methods
        if method in reference_methods
    )
    summary_sentence = (
        f"{lead_clause}: {'; '.join(difference_clauses)}.{reference_note}" if difference_clauses else f"{lead_clause}.{reference_note}"
    )
    further_sentences = [
        *own_network_sentences(benchmark_rows),
        *_reference_method_sentences(difference_rows, reference_methods),
        *_other_metrics_sentences(competing_means, best_methods),
        *_selection_bias_sentences(ranked_means, best_methods, reference_methods),
        *_oracle_sentences(method_means),
        *_question_sentences(benchmark_rows, difference_rows),
    ]
    return BenchmarkVerdict(best_methods, summary_sentence, tuple(further_sentences))


def _headline_metric_difference(
    difference_rows: pd.DataFrame, best_method: str, reference_method: str
) -> tuple[float, float, float, str | float] | None:
    """Return (difference, lower end, upper end, verdict) of HEADLINE_METRIC between the best method and a reference method.

    The difference is the best method minus the reference method, in whichever direction the pair is stored. None if they were not compared.
    """
    headline_metric_rows = difference_rows[difference_rows["metric"] == HEADLINE_METRIC.key].set_index(["method", "against"])
    if (best_method, reference_method) in headline_metric_rows.index:
        headline_metric_row = cast("pd.Series", headline_metric_rows.loc[(best_method, reference_method)])
        return headline_metric_row["difference"], headline_metric_row["low"], headline_metric_row["high"], headline_metric_row["verdict"]
    if (reference_method, best_method) in headline_metric_rows.index:
        headline_metric_row = cast("pd.Series", headline_metric_rows.loc[(reference_method, best_method)])
        return -headline_metric_row["difference"], -headline_metric_row["high"], -headline_metric_row["low"], headline_metric_row["verdict"]
    return None


def _difference_clause(reference_method: str, difference: float, interval_low: float, interval_high: float, verdict: str | float) -> str:
    """Return a clause that says by how much the best method differs from a reference method, and whether that is significant."""
    if np.isnan(difference):
        return f"its difference from {display_name(reference_method)} is undefined"
    interval_text = f"[{HEADLINE_METRIC.format_number(interval_low, '+')}, {HEADLINE_METRIC.format_number(interval_high, '+')}]"
    percentage_points_in_words = f"{format_value(HEADLINE_METRIC.scale * difference, '+')} percentage points {interval_text}"
    # A significant difference of the best method is in its favour, whichever method of the pair the stored row is of.
    if verdict in (BETTER_VERDICT, WORSE_VERDICT):
        return f"significantly better than {display_name(reference_method)}, by {percentage_points_in_words}"
    holm_correction_phrase = " after Holm correction" if interval_low > 0 else ""
    return f"no significant difference from {display_name(reference_method)}{holm_correction_phrase}, {percentage_points_in_words}"


def _reference_method_sentences(difference_rows: pd.DataFrame, reference_methods: list[str]) -> Iterator[str]:
    """Yield for each reference method a sentence that names the methods significantly better and worse than it."""
    for reference_method in reference_methods:
        rows_against_reference = difference_rows[difference_rows["against"] == reference_method]
        yield f"Against {display_name(reference_method)}: {verdicts_in_words(rows_against_reference)}."


def _other_metrics_sentences(competing_means: pd.DataFrame, best_methods: tuple[str, ...]) -> Iterator[str]:
    """Yield a sentence that says which scores are best by the metrics other than HEADLINE_METRIC."""
    metric_titles_by_best_methods: dict[tuple[str, ...], list[str]] = {}
    for column in METRIC_COLUMNS:
        if column != HEADLINE_METRIC and competing_means[column.key].notna().any():
            metric_titles_by_best_methods.setdefault(_best_methods_of_metric(competing_means, column), []).append(column.title)
    best_methods_in_order = tuple(method for method in competing_means["method"] if method in best_methods)
    if set(metric_titles_by_best_methods) == {best_methods_in_order}:
        verb = "is" if len(best_methods) == 1 else "are"
        yield f"By every other metric of the table {_join_display_names(best_methods_in_order)} {verb} best, too."
    elif metric_titles_by_best_methods:
        yield (
            "By the other metrics the best is "
            + "; ".join(
                f"{_join_display_names(winning_methods)} by {', '.join(metric_titles)}"
                for winning_methods, metric_titles in metric_titles_by_best_methods.items()
            )
            + "."
        )


def _best_methods_of_metric(competing_means: pd.DataFrame, metric_column: Column) -> tuple[str, ...]:
    """Return the methods with the best printed mean of one metric, without the oracle."""
    return tuple(competing_means["method"][metric_column.best_mask(competing_means[metric_column.key].tolist())])


def _selection_bias_sentences(ranked_means: pd.DataFrame, best_methods: tuple[str, ...], reference_methods: list[str]) -> Iterator[str]:
    """Yield a warning that the best of several scores is an optimistic estimate, which also says what was not tested."""
    ranked_means = ranked_means[ranked_means[HEADLINE_METRIC.key].notna()]
    if len(ranked_means) < 2:
        return
    sentence = f"The best of {len(ranked_means)} scores is selected on this test set, so its value is slightly optimistic."
    next_best_position = len(best_methods)
    if next_best_position < len(ranked_means) and not {*best_methods, ranked_means["method"][next_best_position]} & set(reference_methods):
        not_tested_clause = f"{_join_display_names(best_methods)} {'was' if next_best_position == 1 else 'were'} not tested against it."
        next_best_name = display_name(ranked_means["method"][next_best_position])
        sentence += f" Next is {next_best_name} with {_headline_metric_in_words(ranked_means, next_best_position)}; {not_tested_clause}"
    yield sentence


def _oracle_sentences(method_means: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each oracle, which says that its value is not that of a competing method."""
    for row_position, oracle_method in zip(
        np.flatnonzero(method_means["oracle"]), method_means["method"][method_means["oracle"]], strict=True
    ):
        oracle_headline_metric = _headline_metric_in_words(method_means, int(row_position))
        yield f"{display_name(oracle_method)} reads the labels: its {oracle_headline_metric} is not that of a competing method."


def _question_sentences(benchmark_rows: pd.DataFrame, difference_rows: pd.DataFrame) -> Iterator[str]:
    """Yield what verdicts and intervals are about, and, with several trainings, how the other question is answered."""
    asked, training_count = question(benchmark_rows), benchmark_rows["seed"].nunique()
    if asked == THIS_NETWORK:
        yield (
            "Verdicts and intervals are about this trained network on new test data. What another training would give, "
            f"{MIN_TRAININGS} seeds or more can say."
        )
        return
    yield f"All numbers are means over {training_count} trainings; ± is their sample standard deviation."
    if asked == THESE_NETWORKS:
        yield (
            f"Verdicts and intervals are about these trained networks on new test data: {training_count} trainings are too few to "
            f"say what another would give, and {MIN_TRAININGS} are needed."
        )
        return
    yield "Verdicts and intervals are about the method trained anew, on new test data."
    rows_of_networks = difference_rows.assign(verdict=difference_rows["networks_verdict"])
    for reference_method, rows in iterate_groups(rows_of_networks, "against"):
        yield f"For these trained networks alone, against {display_name(reference_method)}: {verdicts_in_words(rows)}."


def _join_display_names(methods: tuple[str, ...]) -> str:
    """Return the display names of the methods as text, such as "MCP, Entropy and Margin"."""
    return join_names(map(display_name, methods))


def _headline_metric_in_words(method_means: pd.DataFrame, row_position: int) -> str:
    """Return one method's HEADLINE_METRIC as text with deviation and interval, from a row of `mean_over_seeds`."""
    cell = metric_cell(method_means.iloc[row_position], HEADLINE_METRIC.key)
    return " ".join(
        cell_text_part for cell_text_part in (cell.number_text(HEADLINE_METRIC), cell.interval_text(HEADLINE_METRIC)) if cell_text_part
    )


def _error_count_phrase(benchmark_rows: pd.DataFrame) -> str:
    """Return a phrase such as "on 71 errors among 900 test predictions", which counts the errors of each seed."""
    one_row_per_seed = benchmark_rows.drop_duplicates("seed")
    trainings_phrase = f" in {len(one_row_per_seed)} trainings" if len(one_row_per_seed) > 1 else f" of {THIS_NETWORK}"
    errors_phrase, sample_count = error_counts_in_words(benchmark_rows), one_row_per_seed["samples"].iloc[0]
    return f"on {errors_phrase} errors among {sample_count:,} test predictions{trainings_phrase}"
