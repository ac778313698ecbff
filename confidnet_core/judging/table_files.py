"""Tables of predictions read from files: CSV and Parquet by DuckDB, one file or many, and arrays from NPZ."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import is_zipfile

import numpy as np

from confidnet_core.config.registry import suggestion
from confidnet_core.files import require_regular_file
from confidnet_core.judging.csv_lines import csv_heading, require_even_lines
from confidnet_core.tables.duckdb_sql import CSV_SUFFIXES, PARQUET_SUFFIXES

ARRAY_SUFFIXES = (".npz",)
REAL_TYPES = ("FLOAT", "DOUBLE", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
TEXT_TYPES = ('"NULL"', "VARCHAR", "ENUM", "UUID", "DATE", "TIMESTAMP")


class PredictionTable(Protocol):
    """A table of predictions: named columns of equal length, one row a prediction. A column of an NPZ file may have two axes."""

    @property
    def source(self) -> str:
        """The files, in words."""
        ...

    @property
    def files(self) -> list[str]: ...

    @property
    def column_names(self) -> list[str]: ...

    @property
    def row_count(self) -> int: ...

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return columns by name: numbers, bools, or text as objects. A missing number is NaN, a missing text None."""
        ...

    def row_in_words(self, row_index: int) -> str:
        """Return where a row stands, as "row 3" or "b.csv row 3"; the first row of a file, after the heading of a CSV, is row 1."""
        ...


def open_table(paths: Sequence[str]) -> PredictionTable:
    """Return the table in one or many files of one kind. paths: names of files, or patterns as "part-*.parquet"

    Raises ValueError for a pattern without a file, a file of another kind, and files of several kinds.
    """
    files = [file for path in paths for file in _files_of_pattern(path)]
    kinds = {_kind_of_file(file) for file in files}
    if len(kinds) > 1:
        raise ValueError(f"{', '.join(files[:3])}: expected files of one kind, CSV, Parquet or NPZ")
    return ArrayTable.read(files) if kinds == {ARRAY_SUFFIXES} else TableOfFiles.read(files, kinds == {CSV_SUFFIXES})


def require_columns(table: PredictionTable, names: Sequence[str], option: str) -> None:
    """Raise ValueError that names the option and the first column that a table lacks."""
    for name in names:
        if name not in table.column_names:
            raise ValueError(f"{table.source} has no column {name}, which {option} names{suggestion(name, table.column_names)}")


def _files_of_pattern(path: str) -> list[str]:
    files = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))
    if not files:
        raise ValueError(f"{path} does not exist; give a CSV, Parquet or NPZ file, or a pattern of such files in quotes")
    for file in files:
        if Path(file).is_dir():
            raise ValueError(f"{file} is a folder; give its files by a pattern in quotes, as '{file.rstrip('/')}/*.parquet'")
        require_regular_file(Path(file))
    return files


def _kind_of_file(file: str) -> tuple[str, ...]:
    for suffixes in (CSV_SUFFIXES, PARQUET_SUFFIXES, ARRAY_SUFFIXES):
        if file.lower().endswith(suffixes):
            return suffixes
    known = ", ".join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *ARRAY_SUFFIXES))
    raise ValueError(f"{file} is none of {known}; write the predictions as one of these")


@dataclass(frozen=True)
class TableOfFiles:
    """Columns of CSV or Parquet files, which DuckDB reads when they are asked for. relation: DuckDB's, with the columns of the files"""

    files: list[str]
    is_csv: bool
    connection: Any
    relation: Any

    @classmethod
    def read(cls, files: list[str], is_csv: bool) -> "TableOfFiles":
        """Open the files. Raises ValueError with DuckDB's reason for files that it cannot read."""
        import duckdb

        connection = duckdb.connect()
        try:
            table = cls(files, is_csv, connection, _read(connection, files, is_csv))
        except duckdb.Error as error:
            if is_csv:
                require_even_lines(files)
            raise ValueError(f"{_files_in_words(files)} cannot be read: {_first_line(error)}") from None
        if is_csv and (not (heading := csv_heading(files[0])) or set(heading) - set(table.column_names)):
            require_even_lines(files)  # of such, DuckDB leaves out the first lines, or makes a single column
        return table

    @property
    def source(self) -> str:
        return _files_in_words(self.files)

    @property
    def column_names(self) -> list[str]:
        return list(self.relation.columns)

    @property
    def row_count(self) -> int:
        return self.relation.shape[0]

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        import duckdb

        if not names:
            return {}
        type_by_name = dict(zip(self.relation.columns, map(str, self.relation.types), strict=True))
        selected = []
        for name in dict.fromkeys(names):
            quoted, kind = '"' + name.replace('"', '""') + '"', type_by_name[name]
            if kind.startswith(REAL_TYPES) and "[" not in kind:
                selected.append(quoted)
            elif kind.startswith(("DECIMAL", "HUGEINT", "UHUGEINT")):
                selected.append(f"CAST({quoted} AS DOUBLE) AS {quoted}")
            elif kind.startswith(TEXT_TYPES) and "[" not in kind:
                selected.append(f"CAST({quoted} AS VARCHAR) AS {quoted}")
            else:
                raise ValueError(f"{self.source}: the column {name} is of the type {kind}; expected numbers or text, a column each")
        try:
            fetched = self.relation.project(", ".join(selected)).fetchnumpy()
        except duckdb.Error as error:
            raise ValueError(f"{self.source} cannot be read: {_first_line(error)}") from None
        return {name: _without_mask(column) for name, column in fetched.items()}

    def row_in_words(self, row_index: int) -> str:
        if len(self.files) == 1:
            return f"row {row_index + 1:,}"
        for file in self.files:
            row_count = _read(self.connection, [file], self.is_csv).shape[0]
            if row_index < row_count:
                return f"{Path(file).name} row {row_index + 1:,}"
            row_index -= row_count
        raise IndexError(f"row {row_index} is beyond the end of {self.source}")


def _read(connection: Any, files: list[str], is_csv: bool) -> Any:
    """Return DuckDB's relation of these files."""
    if is_csv:
        return connection.read_csv(files, header=True, sample_size=-1, union_by_name=True)
    return connection.read_parquet(files, union_by_name=True)


@dataclass(frozen=True)
class ArrayTable:
    """Arrays of NPZ files, joined along their first axis."""

    files: list[str]
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, files: list[str]) -> "ArrayTable":
        """Read all arrays. Raises ValueError for damaged files, pickled objects, and files with other names or shapes."""
        parts = []
        for file in files:
            if not is_zipfile(file):
                raise ValueError(f"{file} is no NPZ file; write it with numpy.savez")
            try:
                with np.load(file, allow_pickle=False) as stored:
                    parts.append({name: stored[name] for name in stored.files})
            except (OSError, ValueError, EOFError, KeyError) as error:
                raise ValueError(f"{file} cannot be read: {_first_line(error)}; expected arrays of numbers and text alone") from None
        try:
            arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        except (KeyError, ValueError) as error:
            raise ValueError(f"{_files_in_words(files)} do not fit together: {_first_line(error)}") from None
        return cls(files, {name: _text_as_objects(array) for name, array in arrays.items()})

    @property
    def source(self) -> str:
        return _files_in_words(self.files)

    @property
    def column_names(self) -> list[str]:
        return list(self.arrays)

    @property
    def row_count(self) -> int:
        return len(next(iter(self.arrays.values()), ()))

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: self.arrays[name] for name in names}

    def row_in_words(self, row_index: int) -> str:
        return f"row {row_index + 1:,}"


def _files_in_words(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1:,} more files"


def _first_line(error: Exception) -> str:
    """Return the first line of another library's message without its final full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _without_mask(column: np.ndarray) -> np.ndarray:
    """Return a column as a plain array, with NaN for missing numbers, and None for missing text and missing bools."""
    if isinstance(column, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(column)
        if not missing.any():
            return np.asarray(column.data)
        values = column.data.astype(np.float64 if column.dtype.kind in "iuf" else object)
        values[missing] = np.nan if values.dtype != object else None
        return values
    return np.asarray(column)


def _text_as_objects(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind in "US" else array
