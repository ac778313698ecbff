"""Tables in CSV and Parquet files, read by DuckDB: what does not fit into its memory limit goes to a temporary folder on disk."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow

from confidnet_core.evaluation.intervals import UnitCounts
from confidnet_core.metrics._draws.groups import GROUP_COUNT
from confidnet_core.tables import columns as kinds_of
from confidnet_core.tables import duckdb_sql as sql
from confidnet_core.tables.columns import Chunks, Columns, ScoreTotals, Totals, counted
from confidnet_core.tables.units import unit_counts

_KINDS = {
    "FLOAT": kinds_of.FLOAT32,
    **dict.fromkeys(("DOUBLE", "DECIMAL"), kinds_of.FLOAT64),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), kinds_of.INTEGER),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT"), kinds_of.FLOAT64),
    "BOOLEAN": kinds_of.BOOLEAN,
    **dict.fromkeys(("VARCHAR", "ENUM"), kinds_of.TEXT),
}
_BATCH_ROWS = 1 << 20
# Where more than this share of confidences differ, sorting rows is faster than grouping them, and the counts are the same.
_SORTED_SHARE = 0.2


class FileTable:
    """A table in one or several CSV or Parquet files. Use it as a context manager, or close it, so that temporary files are deleted.

    paths: a path or a glob, or several; all files of a table have the same columns
    memory_limit: what DuckDB may use, such as "4GB"; NumPy arrays of a few hundred MB come on top
    threads: the number of threads; None for all cores
    temp_directory: where a folder for what does not fit into the memory limit is made; None for the system's folder of temporary files
    Raises ValueError that names the file for missing files, an unknown suffix and what DuckDB cannot read.
    """

    needs_row_key = False  # rows of files are numbered

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        memory_limit: str = "4GB",
        threads: int | None = None,
        temp_directory: str | Path | None = None,
    ):
        names = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        if not names:
            raise ValueError("there are no files; name at least one CSV or Parquet file")
        self.name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        self._folder = tempfile.TemporaryDirectory(prefix="confidnet-tables-", dir=temp_directory)
        self._approximately_distinct: dict[str, float] = {}
        settings: dict[str, str | bool | int | float | list[str]] = {"memory_limit": memory_limit, "temp_directory": self._folder.name}
        try:
            self._connection = duckdb.connect(config=settings if threads is None else settings | {"threads": threads})
            self._files = self._source = f"{sql.reader(names)}([{', '.join(map(sql.text, names))}])"
            described = self._query(f"DESCRIBE SELECT * FROM {self._source}").fetchall()
        except (duckdb.Error, ValueError) as error:
            self._folder.cleanup()
            raise ValueError(sql.first_line(error) if isinstance(error, ValueError) else f"{self.name}: {sql.first_line(error)}") from None
        self._condition = "true"  # of the rows of a restricted table
        self.kinds = {row[0]: _KINDS.get(row[1].partition("(")[0], kinds_of.OTHER) for row in described}

    def __enter__(self) -> "FileTable":
        return self

    def __exit__(self, error_type: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and delete the temporary folder."""
        self._connection.close()
        self._folder.cleanup()

    def totals(self, columns: Columns) -> Totals:
        """Return the totals of the table, by one pass over the columns."""
        correct = self._correct(columns)
        by_score = []
        for score in columns.scores:
            name = sql.quoted(score)
            by_score += [
                f"count(*) - count({name})",
                f"count(*) FILTER (WHERE {sql.not_finite(name)})",
                f"min({name})::DOUBLE",
                f"max({name})::DOUBLE",
                f"approx_count_distinct({name})",
            ]
        unit = sql.quoted(columns.unit) if columns.unit is not None else "1"
        query = (
            f"SELECT count(*), count(*) FILTER (WHERE NOT {correct}), count(*) - count({correct}), count(*) - count({unit}), "
            f"{', '.join(by_score)} FROM {self._source}"
        )
        rows, errors, undecided, without_unit, *found = self._query(query).fetchall()[0]
        scores = {}
        for index, score in enumerate(columns.scores):
            *score_totals, distinct = found[5 * index : 5 * index + 5]
            scores[score] = ScoreTotals(*score_totals)
            self._approximately_distinct[score] = distinct / max(rows, 1)
        return Totals(rows, errors, undecided, without_unit, scores)

    def first_bad_row(self, columns: Columns, bad_column: str | None) -> str:
        """Return the number of the first row that is no use, counted from 1 over all files, and what stands there."""
        correct = self._correct(columns)
        names = columns.outcome_columns if bad_column is None else (bad_column,)
        condition = (
            f"({correct}) IS NULL"
            if bad_column is None
            else f"{sql.quoted(bad_column)} IS NULL OR {sql.not_finite(sql.quoted(bad_column))}"
        )
        shown = ", ".join(sql.quoted(name) for name in names)
        query = (
            f"SELECT * FROM (SELECT row_number() OVER () AS row_number_, {shown}, ({condition}) AND {self._condition} AS is_bad_ "
            f"FROM {self._files}) WHERE is_bad_ ORDER BY row_number_ LIMIT 1"
        )
        row, *values = self._query(query).fetchall()[0][: 1 + len(names)]
        texts = ["NULL" if value is None else str(value) for value in values]
        return f" (the first in row {row:,}: {', '.join(texts)})"

    def chunks(self, columns: Columns, score: str) -> Chunks:
        """Yield the counts at the confidences of a score, from the highest down, a million at a time."""
        rows = f"SELECT {self._confidence(score)} AS x, {self._correct(columns)} AS c FROM {self._source}"
        if self._approximately_distinct.get(score, 0) > _SORTED_SHARE:
            for x, c in self._batches(f"SELECT x, c FROM ({rows}) ORDER BY x DESC"):
                yield counted(x, ~c)
        else:
            grouped = f"SELECT x, count(*) AS n, count(*) FILTER (WHERE NOT c) AS e FROM ({rows}) GROUP BY x ORDER BY x DESC"
            for x, n, e in self._batches(grouped):
                yield x, n, e

    def rows(self, columns: Columns) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        """Return all rows as arrays, in the order of the files, or sorted by unit."""
        selected = ", ".join(self._confidence(score) for score in columns.scores)
        order = f" ORDER BY {sql.quoted(columns.unit)}" if columns.unit is not None else ""
        batches = list(self._batches(f"SELECT {self._correct(columns)}, {selected} FROM {self._source}{order}"))
        correct, *confidences = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        sizes = None
        if columns.unit is not None:
            unit = sql.quoted(columns.unit)
            sizes = np.array([n for _, n in self._query(f"SELECT {unit}, count(*) FROM {self._source} GROUP BY 1 ORDER BY 1").fetchall()])
        return dict(zip(columns.scores, confidences, strict=True)), correct, sizes

    def count_units(self, columns: Columns) -> UnitCounts:
        """Return how many units there are, and of each outcome."""
        query = (
            "SELECT sum(n), sum(e), count(*), count(*) FILTER (WHERE e > 0), count(*) FILTER (WHERE e < n), "
            "sum(e * e::DOUBLE), sum((n - e) * (n - e)::DOUBLE) "
            f"FROM (SELECT count(*) AS n, count(*) FILTER (WHERE NOT {self._correct(columns)}) AS e FROM {self._source} "
            f"GROUP BY {sql.quoted(columns.unit or '')})"
        )
        return unit_counts(*self._query(query).fetchall()[0])

    def value_counts(self, column: str) -> dict[str | None, int]:
        return dict(self._query(f"SELECT {sql.quoted(column)}::VARCHAR, count(*) FROM {self._source} GROUP BY 1 ORDER BY 1").fetchall())

    def restricted(self, column: str, values: Sequence[str], name: str) -> "FileTable":
        """Return the rows with one of these values, as a table that lives as long as this one."""
        table = copy(self)
        table.name, table._condition, table._approximately_distinct = name, sql.is_among(column, values), {}
        table._source = f"(SELECT * FROM {self._files} WHERE {table._condition})"
        return table

    def sampled_rows(self, columns: Columns, share: float, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        parts = []
        for keys, is_correct, confidences in self._keyed_batches(columns):
            is_drawn = mixed(keys, seed) <= np.uint64(min(share, 1.0) * (2**64 - 2**11))  # the largest float64 below 2**64
            parts.append((keys[is_drawn], is_correct[is_drawn], *(confidence[is_drawn] for confidence in confidences)))
        keys, correct, *confidences = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return dict(zip(columns.scores, confidences, strict=True)), correct, keys if columns.unit is not None else None

    def unit_in_both(self, unit: str, column: str, values: Sequence[str], others: Sequence[str]) -> str | None:
        has_both = f"bool_or({sql.is_among(column, values)}) AND bool_or({sql.is_among(column, others)})"
        found = self._query(
            f"SELECT {sql.quoted(unit)}::VARCHAR FROM {self._source} GROUP BY 1 HAVING {has_both} ORDER BY 1 LIMIT 1"
        ).fetchall()
        return found[0][0] if found else None

    def group_counts(self, columns: Columns, edges: Mapping[str, np.ndarray], seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield the counts of each score in (groups, cells), by one pass over the files. Groups follow from the unit or the row number."""
        counts = {score: np.zeros((2, GROUP_COUNT * (len(edges[score]) + 1)), np.int32) for score in columns.scores}
        for keys, is_correct, confidences in self._keyed_batches(columns):
            groups = mixed(keys, seed) % np.uint64(GROUP_COUNT)
            for score, confidence in zip(columns.scores, confidences, strict=True):
                cell_count = len(edges[score]) + 1
                cells = np.searchsorted(edges[score], confidence, side="right")
                flat = groups.astype(np.int64) * cell_count + (cell_count - 1 - cells)
                np.add.at(counts[score][0], flat, np.int32(1))
                np.add.at(counts[score][1], flat[~is_correct], np.int32(1))
        for score, (sample_counts, error_counts) in counts.items():
            yield score, sample_counts.reshape(GROUP_COUNT, -1), error_counts.reshape(GROUP_COUNT, -1)

    def _keyed_batches(self, columns: Columns) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
        """Yield of all rows a key, uint64, of the unit or of the row by its number; whether it is correct; and the confidences."""
        unit = f"hash({sql.quoted(columns.unit)})" if columns.unit is not None else "0::UBIGINT"
        selected = ", ".join(self._confidence(score) for score in columns.scores)
        first_row = 0
        for is_correct, keys, *confidences in self._batches(f"SELECT {self._correct(columns)}, {unit}, {selected} FROM {self._source}"):
            if columns.unit is None:
                keys = np.arange(first_row, first_row + len(is_correct), dtype=np.uint64)
                first_row += len(is_correct)
            yield keys, is_correct, confidences

    def _confidence(self, score: str) -> str:
        """Return the SQL of a confidence with a type that NumPy has."""
        types = {kinds_of.FLOAT64: "DOUBLE", kinds_of.INTEGER: "BIGINT", kinds_of.FLOAT32: "FLOAT"}
        return f"{sql.quoted(score)}::{types[self.kinds[score]]}"

    def _correct(self, columns: Columns) -> str:
        """Return the SQL of a boolean, NULL where it is unknown."""
        if columns.correct is None:
            return f"({sql.quoted(columns.label or '')} = {sql.quoted(columns.predicted or '')})"
        name = sql.quoted(columns.correct)
        return name if self.kinds[columns.correct] == kinds_of.BOOLEAN else f"(CASE {name} WHEN 1 THEN true WHEN 0 THEN false END)"

    def _query(self, query: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._connection.execute(query)
        except duckdb.Error as error:
            raise ValueError(f"{self.name}: {sql.first_line(error)}") from None

    def _batches(self, query: str) -> Iterator[list[np.ndarray]]:
        """Yield the columns of a result as arrays, a million rows at a time, in its order."""
        try:
            for batch in self._connection.sql(query).to_arrow_reader(_BATCH_ROWS):
                if batch.num_rows:
                    yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        except (duckdb.Error, pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{self.name}: {sql.first_line(error)}") from None


def mixed(keys: np.ndarray, seed: int) -> np.ndarray:
    """Return well mixed uint64 numbers (n,), one for each uint64 key (n,): SplitMix64 (Steele et al. 2014), started by the seed."""
    mixed_keys = keys + np.uint64((seed * 0xD1342543DE82EF95 + 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_keys = (mixed_keys ^ (mixed_keys >> np.uint64(shift))) * np.uint64(factor)
    return mixed_keys ^ (mixed_keys >> np.uint64(31))
