"""`judge_table`: confidences judged in a table of any size, in files or in a database, by counts instead of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from confidnet_core.comparison.study import compare_results
from confidnet_core.evaluation.intervals import UnitCounts
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.evaluation.stored import Reliability
from confidnet_core.judging.judged_results import ONLY_SEED, JudgingSettings, reliability_of_score, thresholds_of_score
from confidnet_core.judging.judgement import Judgement, judge, judging_settings, needs_of
from confidnet_core.judging.scored_predictions import ScoredPredictions, check_split, without_single_units
from confidnet_core.judging.split_names import ARGUMENT_BY_SPLIT, CALIBRATION, TEST, VALIDATION
from confidnet_core.judging.table_splits import sampled_split, samples_in_words, tables_by_split
from confidnet_core.progress import progress_bar
from confidnet_core.tables.columns import Columns, Table
from confidnet_core.tables.failure import ScoreInTable, table_failure_metrics

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CountedTableResults:
    """The results of all scores of a table of which only counts are known, in the form of `comparison.results.CountedResults`.

    reliabilities, thresholds: by score, of random samples of the rows; empty without validation and calibration rows
    """

    benchmark: str
    counts: UnitCounts
    scores: Mapping[str, ScoreInTable]
    reliabilities: Mapping[str, Reliability]
    thresholds: Mapping[str, list[dict[str, Any]]]
    seed: int = ONLY_SEED

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.scores)

    def evaluation(self, method: str) -> Evaluation:
        counts = self.counts
        return Evaluation(self.benchmark, self.seed, method, False, counts.samples, counts.errors, self.scores[method].metrics)

    def compared_methods(self) -> list[str]:
        return list(self.scores)

    def bootstrap_replicates(self, method: str) -> Float32[np.ndarray, "resamples metrics"]:
        return self.scores[method].replicates.astype(np.float32)

    def unit_counts(self) -> UnitCounts:
        return self.counts

    def cells(self, method: str) -> Cells:
        cells = self.scores[method].cells
        assert cells is not None, "tables with cells have resamples"
        return cells

    def reliability(self, method: str) -> Reliability | None:
        return self.reliabilities.get(method)

    def guarantees(self, method: str) -> list[dict[str, Any]]:
        return self.thresholds.get(method, [])


def judge_table(
    table: Table,
    columns: Columns,
    *,
    split: str | None = None,
    against: Sequence[str] | None = None,
    risks: Sequence[float] = (0.01, 0.05, 0.1),
    delta: float = 0.05,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    name: str = "predictions",
) -> Judgement:
    """Judge the confidences of a table by counts: metrics, intervals, significance and thresholds, as `judge` does for arrays.

    table: a `FileTable` or a `DatabaseTable`; columns: which of its columns hold what
    split: the column that says test, val or calibration; None if all rows are test rows
    Tables whose test rows `table_failure_metrics` fetches, since they are few, are judged as arrays. Of larger ones the metrics are exact,
    the resamples are of groups, and the curves are drawn from counts in cells of confidence. Calibration and thresholds come from at most
    about MAX_SAMPLED_ROWS rows of each split, drawn at random; see docs/large-data.md.
    Raises ValueError as `judge` and as `table_failure_metrics`, for values that name no split, and for a unit in two splits.
    """
    chosen: dict[str, Any] = {"risks": risks, "delta": delta, "resamples": resamples, "level": level, "seed": seed}
    settings = judging_settings(columns.scores, against=against, **chosen, unit_name=columns.unit)
    columns.check(table.name, table.kinds)
    tables, ignored = tables_by_split(table, split, columns.unit)
    found = table_failure_metrics(tables[TEST], columns, resample_count=resamples, seed=seed)
    is_counted = all(score.cells is not None for score in found.scores.values())
    samples = {
        split_name: sampled_split(tables[split_name], columns, split_name, seed)
        for split_name in tables
        if split_name != TEST or not is_counted or len(tables) > 1
    }
    row_counts = {TEST: found.counts.samples, **{split_name: row_count for split_name, (_, row_count) in samples.items()}}
    facts = {"predictions": table.name, "rows": ", ".join(f"{split_name} {row_counts[split_name]:,}" for split_name in tables)}
    if not is_counted:
        test, _ = samples.pop(TEST)
        others = {ARGUMENT_BY_SPLIT[split_name]: predictions for split_name, (predictions, _) in samples.items()}
        named: dict[str, Any] = {"unit_name": columns.unit, "name": name, "facts": facts}
        sentences = [*ignored, *samples_in_words(samples)]
        return judge(test.correct, test.confidences, units=test.units, **others, against=against, **chosen, **named, left_out=sentences)
    reliabilities, thresholds = _judge_samples(samples, settings)
    results = CountedTableResults(name, found.counts, found.scores, reliabilities, thresholds)
    comparison = compare_results([results], settings.against, level, settings.unit_name)
    missing = needs_of([ARGUMENT_BY_SPLIT.get(split_name, split_name) for split_name in tables])
    return Judgement(results, comparison, settings, (*missing, *ignored, *samples_in_words(samples)), facts)


def _judge_samples(
    samples: Mapping[str, tuple[ScoredPredictions, int]], settings: JudgingSettings
) -> tuple[dict[str, Reliability], dict[str, list[dict[str, Any]]]]:
    """Return the reliability and the thresholds of each score from samples of the rows of each split, or nothing without samples."""
    splits = without_single_units({split: check_split(predictions, split) for split, (predictions, _) in samples.items()})
    reliabilities, thresholds = {}, {}
    test, validation, calibration = (splits.get(split) for split in (TEST, VALIDATION, CALIBRATION))
    for score in progress_bar(test.confidences if test else (), bar_label="calibrate", item_name="score"):
        assert test is not None
        if validation is not None:
            reliabilities[score] = reliability_of_score(score, test, validation, settings)
        if calibration is not None:
            thresholds[score] = thresholds_of_score(score, test, validation, calibration, settings)
    return reliabilities, thresholds
