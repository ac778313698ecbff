"""What DuckDB reads, and pieces of its SQL."""

from collections.abc import Sequence

from confidnet_core.tables.columns import LARGEST

CSV_SUFFIXES, PARQUET_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz"), (".parquet", ".pq")


def reader(names: Sequence[str]) -> str:
    """Return DuckDB's function that reads files of these names. Raises ValueError for an unknown suffix, and for two kinds of files."""
    kinds = {"read_csv": CSV_SUFFIXES, "read_parquet": PARQUET_SUFFIXES}
    for name in names:
        if not name.lower().endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES)):
            known = ", ".join((*PARQUET_SUFFIXES, *CSV_SUFFIXES))
            raise ValueError(f"{name} is no table that can be read; expected a name that ends in {known}")
    functions = {function for name in names for function, suffixes in kinds.items() if name.lower().endswith(suffixes)}
    if len(functions) > 1:
        raise ValueError(f"{names[0]} and the other files are of different kinds; give all of a table as CSV, or all as Parquet")
    return functions.pop()


def quoted(name: str) -> str:
    """Return the name of a column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as SQL."""
    return "'" + value.replace("'", "''") + "'"


def not_finite(name: str) -> str:
    """Return whether a number is infinite or NaN. name: SQL"""
    return f"NOT ({name} BETWEEN {-LARGEST!r}::DOUBLE AND {LARGEST!r}::DOUBLE)"


def is_among(column: str, values: Sequence[str]) -> str:
    """Return whether a column, as text, has one of these values."""
    return f"coalesce({quoted(column)}::VARCHAR IN ({', '.join(map(text, values))}), false)"


def first_line(error: Exception) -> str:
    """Return the first line of a message of DuckDB."""
    return str(error).strip().partition("\n")[0]
