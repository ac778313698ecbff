"""What the intervals and verdicts of a benchmark are about, their numbers, and where there is too little data for any."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.tables import format_value
from confidnet_core.comparison.units import UnitWords, unit_words
from confidnet_core.evaluation.intervals import (
    MIN_RARER_PIXEL_FRACTION,
    MIN_RARER_UNITS,
    ResampledMetrics,
    UnitCounts,
    confidence_interval,
)
from confidnet_core.metrics import METRICS

MIN_TRAININGS = 3  # the least number of trainings whose scatter says what another training would give
# What verdicts and intervals are about.
THIS_NETWORK, THESE_NETWORKS, TRAINED_ANEW = "this trained network", "these trained networks", "the method trained anew"
TOO_FEW_ERRORS, TOO_FEW_SUCCESSES, TOO_FEW_UNITS = "too few errors", "too few correct predictions", "too few units"
# Columns of `comparison_frame` with the last four fields of UnitCounts.
UNIT_COLUMNS = ("units", "units_with_errors", "units_with_successes", "effective_units")


class Insufficiency(NamedTuple):
    """Why the scores of a benchmark cannot be compared: the verdict for differences.csv, and a sentence for readers, without full stop."""

    verdict: str
    sentence: str


def question(benchmark_rows: pd.DataFrame) -> str:
    """Return what verdicts and intervals of a benchmark are about: THIS_NETWORK, THESE_NETWORKS or TRAINED_ANEW.

    It is the method trained anew where there are at least MIN_TRAININGS trainings. benchmark_rows: its rows of `comparison_frame`
    """
    training_count = benchmark_rows["seed"].nunique()
    return THIS_NETWORK if training_count == 1 else THESE_NETWORKS if training_count < MIN_TRAININGS else TRAINED_ANEW


def resampled_metrics(
    evaluation_rows: pd.DataFrame, replicates_by_evaluation: Mapping[tuple[str, int, str], np.ndarray]
) -> dict[tuple[str, str], ResampledMetrics]:
    """Return {(benchmark, method): metrics of all its trainings, with their replicates}.

    evaluation_rows: from `comparison_frame`
    replicates_by_evaluation: {(benchmark, seed, method): bootstrap replicates (resamples, metrics)}, on the same resamples for all
    """
    return {
        (benchmark, method): _stack_trainings(
            method_rows, [replicates_by_evaluation[benchmark, seed, method] for seed in method_rows["seed"]]
        )
        for benchmark, benchmark_rows in iterate_groups(evaluation_rows, "benchmark")
        for method, method_rows in iterate_groups(benchmark_rows, "method")
    }


def interval_frame(resampled_by_method: Mapping[tuple[str, str], ResampledMetrics], interval_level: float) -> pd.DataFrame:
    """Return the confidence intervals of means over trainings, columns <metric>_low and <metric>_high, by benchmark and method.

    With at least MIN_TRAININGS trainings they are of the method trained anew, else of the trained networks. NaN where there is no interval.
    """
    return _interval_rows(
        {
            key: confidence_interval(metrics, interval_level, includes_trainings=len(metrics.values) >= MIN_TRAININGS)
            for key, metrics in resampled_by_method.items()
        },
        ["benchmark", "method"],
    )


def evaluation_interval_frame(
    evaluation_rows: pd.DataFrame, replicates_by_evaluation: Mapping[tuple[str, int, str], np.ndarray], interval_level: float
) -> pd.DataFrame:
    """Return the confidence intervals of each trained network, as `interval_frame`, by benchmark, seed and method."""
    ends_by_evaluation = {}
    for row_index, row in enumerate(iterate_rows(evaluation_rows)):
        evaluation = (row.benchmark, row.seed, row.method)
        metrics = _stack_trainings(evaluation_rows.iloc[[row_index]], [replicates_by_evaluation[evaluation]])
        ends_by_evaluation[evaluation] = confidence_interval(metrics, interval_level, includes_trainings=False)
    return _interval_rows(ends_by_evaluation, ["benchmark", "seed", "method"])


def with_unit_columns(evaluation_rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a comparison.csv from before it had UNIT_COLUMNS with these columns, in which each sample is a unit."""
    if set(UNIT_COLUMNS) <= set(evaluation_rows):
        return evaluation_rows
    samples, errors = evaluation_rows["samples"], evaluation_rows["errors"]
    counts = samples, errors, samples - errors, np.minimum(errors, samples - errors).astype(float)
    return evaluation_rows.assign(**dict(zip(UNIT_COLUMNS, counts, strict=True)))


def insufficiency(benchmark_rows: pd.DataFrame) -> Insufficiency | None:
    """Return why the scores of a benchmark cannot be compared; None if they can.

    Every training needs MIN_RARER_UNITS errors and as many correct predictions; for segmentation as many images that have one, and
    MIN_RARER_PIXEL_FRACTION of the pixels.
    benchmark_rows: its rows of `comparison_frame`
    """
    trainings = benchmark_rows.drop_duplicates("seed")
    unit_count, words = int(trainings["units"].iloc[0]), unit_words(trainings, "prediction")
    if unit_count < MIN_RARER_UNITS:
        # An image may have both errors and correct predictions; samples must be as many of either.
        needed_count = MIN_RARER_UNITS if words.parts else 2 * MIN_RARER_UNITS
        counted = f"{unit_count:,} test {words.unit if unit_count == 1 else words.units}"
        return Insufficiency(TOO_FEW_UNITS, f"{counted}: too few to compare scores; at least {needed_count} are needed")
    for verdict, column, noun in (
        (TOO_FEW_ERRORS, "units_with_errors", "error"),
        (TOO_FEW_SUCCESSES, "units_with_successes", "correct prediction"),
    ):
        counts = trainings[column]
        if counts.min() < MIN_RARER_UNITS:
            counts_in_words = " + ".join(f"{count:,}" for count in counts) if len(counts) <= 5 else f"{counts.min():,} to {counts.max():,}"
            plural = "" if counts.tolist() == [1] else "s"
            counted = (
                f"{noun}s in {counts_in_words} of {unit_count:,} test {words.units}"
                if words.parts
                else f"{counts_in_words} {noun}{plural} among {unit_count:,} test predictions"
            )
            in_each = " in each training" if len(counts) > 1 else ""
            return Insufficiency(verdict, f"{counted}: too few to compare scores; about {MIN_RARER_UNITS} are needed{in_each}")
    return _insufficiency_of_parts(trainings, words) if words.parts else None


def _insufficiency_of_parts(trainings: pd.DataFrame, words: UnitWords) -> Insufficiency | None:
    """Return why units of several predictions have too few that are errors, or that are correct; None if they have enough."""
    error_fractions = trainings["errors"] / trainings["samples"]
    for verdict, fractions, noun in (
        (TOO_FEW_ERRORS, error_fractions, "errors"),
        (TOO_FEW_SUCCESSES, 1 - error_fractions, "correct predictions"),
    ):
        if fractions.min() < MIN_RARER_PIXEL_FRACTION:
            counted = f"{100 * fractions.min():.2g} % of the {words.parts} of {trainings['units'].iloc[0]:,} test {words.units} are {noun}"
            return Insufficiency(verdict, f"{counted}: too few to compare scores; about {100 * MIN_RARER_PIXEL_FRACTION:g} % are needed")
    return None


def insufficiencies(evaluation_rows: pd.DataFrame) -> dict[str, Insufficiency]:
    """Return {benchmark: why its scores cannot be compared}, without the benchmarks whose scores can. evaluation_rows: of all benchmarks"""
    reasons = {benchmark: insufficiency(rows) for benchmark, rows in iterate_groups(evaluation_rows, "benchmark")}
    return {benchmark: reason for benchmark, reason in reasons.items() if reason is not None}


def error_counts_in_words(benchmark_rows: pd.DataFrame) -> str:
    """Return the errors of each training as text, such as "71 + 74", or the sum of more than five. benchmark_rows: of `comparison_frame`"""
    error_counts = benchmark_rows.drop_duplicates("seed")["errors"]
    return " + ".join(f"{count:,}" for count in error_counts) if len(error_counts) <= 5 else f"{error_counts.sum():,}"


def error_rate_sentence(method_means: pd.Series, interval_level: float | None) -> str:
    """Return a sentence with error rate and interval in percent.

    method_means: a row of `mean_over_seeds` with the interval of the accuracy; interval_level: of this interval, None if unknown
    """
    rate, low, high = (format_value(100 * (1 - method_means[f"accuracy{suffix}"])) for suffix in ("", "_high", "_low"))
    of_mean = "mean error rate over trainings" if method_means["seeds"] > 1 else "error rate"
    level = "" if interval_level is None else f"{100 * interval_level:g} % "
    return f"The {of_mean} is {rate} %, with an exact binomial {level}interval of {low} to {high} %."


def _stack_trainings(method_rows: pd.DataFrame, replicates: list[np.ndarray]) -> ResampledMetrics:
    """Return the metrics of all trainings of one method. method_rows: one row per training; replicates: (resamples, metrics) of each"""
    all_counts = [UnitCounts(row.samples, row.errors, *(getattr(row, name) for name in UNIT_COLUMNS)) for row in iterate_rows(method_rows)]
    fewest = min(all_counts, key=lambda counts: (counts.is_enough, counts.effective))
    return ResampledMetrics(method_rows[list(METRICS)].to_numpy(float), np.stack(replicates), fewest)


def _interval_rows(ends_by_key: Mapping[tuple, tuple[np.ndarray, np.ndarray]], key_names: list[str]) -> pd.DataFrame:
    column_names = [f"{metric}_{interval_end}" for metric in METRICS for interval_end in ("low", "high")]
    return pd.DataFrame(
        [np.stack(ends, axis=1).ravel() for ends in ends_by_key.values()],
        index=pd.MultiIndex.from_tuples(ends_by_key, names=key_names),
        columns=column_names,
    )
