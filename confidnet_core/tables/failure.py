"""Failure metrics and bootstrap resamples of the confidences in a table, in memory that does not grow with its rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from confidnet_core.evaluation.intervals import UnitCounts
from confidnet_core.metrics import METRICS, failure_metrics, metrics_of_counts
from confidnet_core.metrics._blocks import in_blocks
from confidnet_core.metrics._draws.groups import MAX_SINGLE_SAMPLES
from confidnet_core.metrics._resampled.cells import CellEdges
from confidnet_core.metrics._resampled.metrics import metrics_of_group_draws
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tables.columns import FLOAT32, INTEGER, Chunks, Columns, ScoreTotals, Table, Totals, check_totals


@dataclass(frozen=True)
class ScoreInTable:
    """The failure metrics of one column of confidences.

    metrics: {metric: value} as failure_metrics returns them
    replicates: the metrics of bootstrap resamples, in the order of METRICS, NaN where undefined; without resamples (0, metrics). Row for
    row, the resamples are the same for all scores of a table, so that differences are paired
    cells: of a table of which no rows were fetched, (confidences, samples, errors), (m,) each, from low to high, for curves: neighbouring
    confidences as cells, each with its lowest one; None without resamples
    """

    metrics: dict[str, float | None]
    replicates: Float64[np.ndarray, "resamples metrics"]
    cells: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class TableMetrics:
    """What a table says. counts: its samples, errors and independent units; scores: by the name of the column"""

    counts: UnitCounts
    scores: dict[str, ScoreInTable]


def table_failure_metrics(table: Table, columns: Columns, *, resample_count: int = 0, seed: int = 0) -> TableMetrics:
    """Return the failure metrics of all scores of a table, and with resample_count > 0 those of bootstrap resamples.

    The metrics are exactly those of failure_metrics on the columns as arrays, to the last bit, at the precision that the column has (FLOAT
    as float32). They come from one GROUP BY a score, whose result is read in order and in batches, so that neither the rows nor the
    distinct confidences are held in memory.

    Tables of up to MAX_SINGLE_SAMPLES rows are fetched, and resampled as `bootstrap` does. For larger ones the rows, or the units, are put
    into groups by a hash, and each group is counted in cells of confidence: see metrics/_draws/groups.py.

    Raises ValueError that names table and column for missing columns, types that do not fit, missing or infinite confidences, missing
    outcomes or units, and no rows.
    """
    if resample_count < 0:
        raise ValueError(f"resample_count is {resample_count}; expected at least 1, or 0 for none")
    columns.check(table.name, table.kinds)
    totals = table.totals(columns)
    check_totals(table, columns, totals)
    counts = _row_counts(totals) if columns.unit is None else table.count_units(columns)
    no_replicates = np.empty((0, len(METRICS)))
    if totals.rows <= MAX_SINGLE_SAMPLES:
        confidences, correct, sizes = table.rows(columns)
        scores = {}
        for score, confidence in confidences.items():
            replicates = no_replicates
            if resample_count:
                replicates = bootstrap(confidence, correct, resample_count=resample_count, seed=seed, pixels_per_image=sizes)
            scores[score] = ScoreInTable(failure_metrics(confidence, correct), replicates)
        return TableMetrics(counts, scores)

    if resample_count and table.needs_row_key and columns.unit is None and columns.row_key is None:
        raise ValueError(
            f"{table.name} has {totals.rows:,} rows, whose resamples need a row key: name a column, or a unit, that says which row is which"
        )
    metrics, edges = {}, {}
    for score in columns.scores:
        metrics[score], edges[score] = _stream(table, columns, score, totals)
    replicates, cells = dict.fromkeys(columns.scores, no_replicates), {}
    if resample_count:
        for score, sample_counts, error_counts in table.group_counts(columns, edges, seed):
            values = [np.nan if value is None else value for value in metrics[score].values()]
            replicates[score] = metrics_of_group_draws(sample_counts, error_counts, values, resample_count, seed)
            # The lowest edge is the lowest confidence, so that nothing lies below it.
            samples_in_cells, errors_in_cells = (grouped.sum(axis=0, dtype=np.int64)[::-1][1:] for grouped in (sample_counts, error_counts))
            cells[score] = edges[score], samples_in_cells, errors_in_cells
    return TableMetrics(counts, {score: ScoreInTable(metrics[score], replicates[score], cells.get(score)) for score in columns.scores})


def _row_counts(totals: Totals) -> UnitCounts:
    successes = totals.rows - totals.errors
    return UnitCounts(totals.rows, totals.errors, totals.rows, totals.errors, successes, float(min(totals.errors, successes)))


def _stream(table: Table, columns: Columns, score: str, totals: Totals) -> tuple[dict[str, float | None], np.ndarray]:
    """Return the metrics of a score and the edges of the cells for its resamples, by reading its counts once."""
    cell_edges = CellEdges(totals.rows, totals.errors)

    def passed_on() -> Chunks:
        for chunk in distinct_chunks(table.chunks(columns, score)):
            cell_edges.add(*chunk)
            yield chunk

    lowest, highest = _range(table.kinds[score], totals.scores[score])
    blocks = in_blocks(passed_on(), totals.rows, lowest, highest)
    has_both_outcomes = 0 < totals.errors < totals.rows
    metrics = metrics_of_counts(totals.rows, totals.rows - totals.errors, blocks)
    if not has_both_outcomes:
        for _ in blocks:  # for the edges
            pass
    return metrics, cell_edges.edges()


def _range(kind: str, found: ScoreTotals) -> tuple[np.generic, np.generic]:
    """Return the lowest and the highest confidence in the type in which they are counted."""
    number = np.float32 if kind == FLOAT32 else np.int64 if kind == INTEGER else np.float64
    return number(found.lowest or 0), number(found.highest or 0)


def distinct_chunks(chunks: Chunks) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield chunks in which every confidence occurs once, from sorted ones in which it may repeat, also from one chunk to the next."""
    waiting: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    for chunk in chunks:
        values, sample_counts, error_counts = (
            chunk if waiting is None else (np.concatenate(arrays) for arrays in zip(waiting, chunk, strict=True))
        )
        is_first = np.append(True, values[1:] != values[:-1])
        if not is_first.all():
            first_indices = np.flatnonzero(is_first)
            values = values[first_indices]
            sample_counts, error_counts = (np.add.reduceat(counts, first_indices) for counts in (sample_counts, error_counts))
        waiting = values[-1:], sample_counts[-1:], error_counts[-1:]
        if len(values) > 1:
            yield values[:-1], sample_counts[:-1], error_counts[:-1]
    if waiting is not None:
        yield waiting
