"""Tables in a database or another engine, asked through ibis: every count is made where the table lives, and only counts are fetched.

Ibis (https://ibis-project.org) is an optional package: `pip install 'confidnet-core[tables]'`, and the driver of the engine, such as
`ibis-framework[postgres]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.intervals import UnitCounts
from confidnet_core.metrics._draws.groups import GROUP_COUNT
from confidnet_core.system.addresses import without_secrets
from confidnet_core.tables import columns as kinds_of
from confidnet_core.tables.columns import LARGEST, Chunks, Columns, ScoreTotals, Totals
from confidnet_core.tables.units import unit_counts

if TYPE_CHECKING:
    import ibis.expr.types as ir

_BATCH_ROWS, _HASH_RANGE = 1 << 18, 1 << 24
_INSTALL = "tables in databases need ibis; install it with: pip install 'confidnet-core[tables]'"


class DatabaseTable:
    """A table, view or query of any engine that ibis knows, such as Postgres, ClickHouse, Spark, BigQuery, Snowflake or DuckDB.

    table: an ibis table expression; `DatabaseTable.connect` makes one from a connection and a name
    name: what messages call it
    """

    needs_row_key = True  # its rows have no order, so their numbers cannot say which group they are in

    def __init__(self, table: ir.Table, name: str | None = None):
        self.name = name or (table.get_name() if table.op().__class__.__name__.endswith("Table") else "the table")
        self._table: Any = table  # the types of ibis do not tell columns of numbers from others
        self.kinds = {column: _kind(dtype) for column, dtype in table.schema().items()}

    @classmethod
    def connect(cls, connection: Any, table_name: str) -> DatabaseTable:
        """Return the table of this name. connection: an ibis connection, or a URL such as "postgres://user:password@host:5432/database"

        Raises ValueError if ibis is not installed, the URL leads nowhere, or there is no such table.
        """
        try:
            import ibis
        except ImportError:
            raise ValueError(_INSTALL) from None
        address = connection if isinstance(connection, str) else ""
        if isinstance(connection, str):
            scheme = connection.partition("://")[0]
            try:
                connection = ibis.connect(connection)
            except Exception as error:  # each driver has errors of its own, and some repeat the address
                reason = without_secrets(_first_line(error), address)
                raise ValueError(f"the {scheme} connection cannot be opened: {reason}") from None
        try:
            names = connection.list_tables()
        except Exception as error:
            raise ValueError(f"the tables of the database cannot be listed: {without_secrets(_first_line(error), address)}") from None
        if table_name not in names:
            raise ValueError(f"there is no table {table_name}{suggestion(table_name, names)}")
        return cls(connection.table(table_name), table_name)

    def totals(self, columns: Columns) -> Totals:
        """Return the totals of the table, by one query."""
        correct, table = self._correct(columns), self._table
        key = columns.unit or columns.row_key
        sums: dict[str, Any] = {"rows": table.count(), "errors": (~correct).sum(), "undecided": correct.isnull().sum()}
        if key is not None:
            sums["without_key"] = table[key].isnull().sum()
        for index, score in enumerate(columns.scores):
            confidence = self._confidence(score)
            sums |= {
                f"missing_{index}": confidence.isnull().sum(),
                f"not_finite_{index}": (~confidence.between(-LARGEST, LARGEST)).sum(),
                f"lowest_{index}": confidence.min().cast("float64"),
                f"highest_{index}": confidence.max().cast("float64"),
            }
        found = {name: column[0].as_py() for name, column in self._fetch(table.aggregate(**sums)).items()}
        scores = {
            score: ScoreTotals(
                found[f"missing_{index}"] or 0, found[f"not_finite_{index}"] or 0, found[f"lowest_{index}"], found[f"highest_{index}"]
            )
            for index, score in enumerate(columns.scores)
        }
        return Totals(found["rows"], found["errors"] or 0, found["undecided"] or 0, found.get("without_key") or 0, scores)

    def first_bad_row(self, columns: Columns, bad_column: str | None) -> str:
        """Return the least row key of a row that is no use; nothing without a column of row keys, since the rows have no order."""
        if columns.row_key is None:
            return ""
        is_bad = self._correct(columns).isnull()
        if bad_column is not None:
            confidence = self._confidence(bad_column)
            is_bad = confidence.isnull() | ~confidence.between(-LARGEST, LARGEST)
        key = self._table.filter(is_bad)[columns.row_key].min().name("key").as_table()
        return f" (the first where {columns.row_key} is {self._fetch(key)['key'][0].as_py()})"

    def chunks(self, columns: Columns, score: str) -> Chunks:
        """Yield the counts at the confidences of a score, from the highest down, as the engine groups and orders them."""
        import ibis

        rows = self._table.select(x=self._confidence(score), is_correct=self._correct(columns))
        grouped = rows.group_by("x").aggregate(n=rows.count(), e=(~rows.is_correct).sum().cast("int64")).order_by(ibis.desc("x"))
        for values, sample_counts, error_counts in self._batches(grouped):
            yield values, sample_counts.astype(np.int64), error_counts.astype(np.int64)

    def rows(self, columns: Columns) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        """Return all rows as arrays, in the order of the units and of the row keys."""
        named = {f"score_{index}": self._confidence(score) for index, score in enumerate(columns.scores)}
        keys = [name for name in (columns.unit, columns.row_key) if name is not None]
        ordered = self._table.order_by(keys) if keys else self._table
        found = self._fetch(ordered.select(is_correct=self._correct(columns), **named))
        correct, *confidences = (column.to_numpy(zero_copy_only=False) for column in found.values())
        sizes = None
        if columns.unit is not None:
            by_unit = self._table.group_by(columns.unit).aggregate(row_count_=self._table.count()).order_by(columns.unit)
            sizes = self._fetch(by_unit)["row_count_"].to_numpy(zero_copy_only=False).astype(np.int64)
        return dict(zip(columns.scores, confidences, strict=True)), correct.astype(bool), sizes

    def count_units(self, columns: Columns) -> UnitCounts:
        """Return how many units there are, and of each outcome."""
        rows = self._table.select(unit=self._table[columns.unit or ""], is_correct=self._correct(columns))
        by_unit = rows.group_by("unit").aggregate(n=rows.count(), e=(~rows.is_correct).sum().cast("int64"))
        errors, successes = by_unit.e.cast("float64"), (by_unit.n - by_unit.e).cast("float64")
        sums = {
            "samples": by_unit.n.sum().cast("int64"),
            "errors": by_unit.e.sum().cast("int64"),
            "units": by_unit.count(),
            "with_errors": (by_unit.e > 0).sum(),
            "with_successes": (by_unit.e < by_unit.n).sum(),
            "squared_errors": (errors * errors).sum(),
            "squared_successes": (successes * successes).sum(),
        }
        return unit_counts(*(column[0].as_py() for column in self._fetch(by_unit.aggregate(**sums)).values()))

    def value_counts(self, column: str) -> dict[str | None, int]:
        values = self._table.select(value=self._table[column].cast("string"))
        found = self._fetch(values.group_by("value").aggregate(n=values.count()).order_by("value"))
        return dict(zip(found["value"].to_pylist(), found["n"].to_pylist(), strict=True))

    def restricted(self, column: str, values: Sequence[str], name: str) -> DatabaseTable:
        return DatabaseTable(self._table.filter(self._table[column].cast("string").isin(list(values))), name)

    def sampled_rows(self, columns: Columns, share: float, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        """Return the rows that the engine's hash of the unit, or of the row key, draws. seed: not used, since engines hash without one"""
        key = self._key(columns)
        named = {f"score_{index}": self._confidence(score) for index, score in enumerate(columns.scores)}
        drawn = self._table.filter(_remainder(key.hash(), _HASH_RANGE) < round(share * _HASH_RANGE))
        selected = drawn.select(key=key, is_correct=self._correct(columns), **named).order_by("key")
        keys, correct, *confidences = (column.to_numpy(zero_copy_only=False) for column in self._fetch(selected).values())
        return dict(zip(columns.scores, confidences, strict=True)), correct.astype(bool), keys if columns.unit is not None else None

    def unit_in_both(self, unit: str, column: str, values: Sequence[str], others: Sequence[str]) -> str | None:
        value = self._table[column].cast("string")
        rows = self._table.select(unit=self._table[unit].cast("string"), is_one=value.isin(list(values)), is_other=value.isin(list(others)))
        by_unit = rows.group_by("unit").aggregate(has_one=rows.is_one.any(), has_other=rows.is_other.any())
        found = self._fetch(by_unit.filter(by_unit.has_one & by_unit.has_other).order_by("unit").limit(1))["unit"].to_pylist()
        return found[0] if found else None

    def group_counts(self, columns: Columns, edges: Mapping[str, np.ndarray], seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield the counts of each score in (groups, cells), by one query a score. Groups follow from the hash of the unit or row key.

        seed: not used, since engines hash without one; the draws of groups depend on it
        """
        group = _remainder(self._key(columns).hash(), GROUP_COUNT)
        for score in columns.scores:
            cell_count = len(edges[score]) + 1
            cell = _cell(self._confidence(score), edges[score], 0, cell_count - 1)
            rows = self._table.select(group_index=group.cast("int64"), cell=cell, is_correct=self._correct(columns))
            grouped = rows.group_by(["group_index", "cell"]).aggregate(n=rows.count(), e=(~rows.is_correct).sum().cast("int64"))
            sample_counts, error_counts = np.zeros((2, GROUP_COUNT, cell_count), np.int32)
            for groups, cells, n, e in self._batches(grouped):
                sample_counts[groups, cell_count - 1 - cells] = n
                error_counts[groups, cell_count - 1 - cells] = e
            yield score, sample_counts, error_counts

    def _key(self, columns: Columns) -> Any:
        """Return the expression of the unit or of the row key, in a type that engines hash."""
        key = self._table[columns.unit or columns.row_key or ""]
        return key if key.type().is_integer() or key.type().is_string() else key.cast("string")

    def _confidence(self, score: str) -> Any:
        """Return the expression of a confidence with a type that NumPy has."""
        return self._table[score].cast({kinds_of.INTEGER: "int64"}.get(self.kinds[score], self.kinds[score]))

    def _correct(self, columns: Columns) -> Any:
        """Return the expression of a boolean, NULL where it is unknown."""
        import ibis

        if columns.correct is None:
            return self._table[columns.label or ""] == self._table[columns.predicted or ""]
        outcome = self._table[columns.correct]
        return outcome if self.kinds[columns.correct] == kinds_of.BOOLEAN else ibis.cases((outcome == 1, True), (outcome == 0, False))

    def _fetch(self, expression: Any) -> dict[str, Any]:
        """Return the columns of a small result, by name, as Arrow arrays."""
        try:
            found = expression.to_pyarrow()
        except Exception as error:  # each driver has errors of its own
            raise ValueError(f"{self.name}: {_first_line(error)}") from None
        return dict(zip(found.column_names, found.columns, strict=True))

    def _batches(self, expression: Any) -> Iterator[list[np.ndarray]]:
        """Yield the columns of a result as arrays, batch by batch, in its order."""
        try:
            for batch in expression.to_pyarrow_batches(chunk_size=_BATCH_ROWS):
                if batch.num_rows:
                    yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        except Exception as error:  # each driver has errors of its own
            raise ValueError(f"{self.name}: {_first_line(error)}") from None


def _remainder(number: Any, divisor: int) -> Any:
    """Return the expression of a remainder in [0, divisor), also of negative numbers."""
    return ((number % divisor) + divisor) % divisor


def _cell(confidence: Any, edges: np.ndarray, low: int, high: int) -> Any:
    """Return the expression of the number of edges at or below a confidence, known to be low ... high: a balanced tree of comparisons."""
    import ibis

    if low == high:
        return ibis.literal(low, type="int64")
    middle = (low + high) // 2
    edge = edges[middle].item()
    below, above = _cell(confidence, edges, low, middle), _cell(confidence, edges, middle + 1, high)
    return ibis.ifelse(confidence.cast("float64") < edge, below, above)


def _kind(dtype: Any) -> str:
    """Return the kind of a type of ibis."""
    if dtype.is_float32() or dtype.is_float16():
        return kinds_of.FLOAT32
    if dtype.is_floating() or dtype.is_decimal() or dtype.is_uint64():
        return kinds_of.FLOAT64
    kinds = {kinds_of.INTEGER: dtype.is_integer(), kinds_of.BOOLEAN: dtype.is_boolean(), kinds_of.TEXT: dtype.is_string()}
    return next((kind for kind, is_this in kinds.items() if is_this), kinds_of.OTHER)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
