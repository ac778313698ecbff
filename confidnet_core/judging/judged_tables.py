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
from confidnet_core.judging.judged_results import ONLY_SEED, JudgingSettings
from confidnet_core.judging.judgement import Judgement, judge, judging_settings
from confidnet_core.tables.columns import Columns, Table
from confidnet_core.tables.failure import ScoreInTable, table_failure_metrics

Cells = tuple[np.ndarray, np.ndarray, np.ndarray]
ONLY_COUNTS = (
    "Calibration and thresholds with a guarantee are left out, since the rows were counted and not fetched: judge a random sample of "
    "validation and calibration rows for them."
)


@dataclass(frozen=True)
class CountedTableResults:
    """The results of all scores of a table of which only counts are known, in the form of `comparison.results.CountedResults`."""

    benchmark: str
    counts: UnitCounts
    scores: Mapping[str, ScoreInTable]
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
        return None

    def guarantees(self, method: str) -> list[dict[str, Any]]:
        return []


def judge_table(
    table: Table,
    columns: Columns,
    *,
    against: Sequence[str] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    name: str = "predictions",
) -> Judgement:
    """Judge the confidences of a table by counts: metrics, intervals and significance, as `judge` does for arrays.

    table: a `FileTable` or a `DatabaseTable`; columns: which of its columns hold what
    Tables whose rows `table_failure_metrics` fetches, since they are few, are judged as arrays. Of larger ones the metrics are exact, the
    resamples are of groups, and the curves are drawn from counts in cells of confidence; see docs/large-data.md.
    Raises ValueError as `judge` and as `table_failure_metrics`.
    """
    settings = judging_settings(columns.scores, against=against, resamples=resamples, level=level, seed=seed)
    found = table_failure_metrics(table, columns, resample_count=resamples, seed=seed)
    if any(score.cells is None for score in found.scores.values()):
        return _judge_rows(table, columns, settings, name)
    results = CountedTableResults(name, found.counts, found.scores)
    comparison = compare_results([results], settings.against, level)
    return Judgement(results, comparison, settings, (ONLY_COUNTS,), {"predictions": table.name, "rows": f"{found.counts.samples:,}"})


def _judge_rows(table: Table, columns: Columns, settings: JudgingSettings, name: str) -> Judgement:
    """Judge the rows of a small table as arrays."""
    confidences, correct, rows_per_unit = table.rows(columns)
    units = None if rows_per_unit is None else np.repeat(np.arange(len(rows_per_unit)), rows_per_unit)
    resampling: dict[str, Any] = {"resamples": settings.resamples, "level": settings.level, "seed": settings.seed}
    facts = {"predictions": table.name, "rows": f"{len(correct):,}"}
    return judge(correct, confidences, units=units, against=settings.against, **resampling, name=name, facts=facts)
