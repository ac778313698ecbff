"""Small tables of predictions, as arrays and as files, for the tests of tables."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow

Arrays = dict[str, np.ndarray]


def predictions(n: int = 3000, seed: int = 0) -> Arrays:
    """Return columns of n predictions: four scores, outcomes in three forms, a unit and a row number, in an order of no meaning."""
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.85
    score = rng.normal(size=n) + 1.5 * correct
    label = rng.integers(3, size=n)
    return {
        "id": rng.permutation(n),
        "score": score,
        "softmax": (1 / (1 + np.exp(-score))).astype(np.float32),
        "level": np.round(score * 5).astype(np.int64),
        "coarse": np.round(score + 0.3 * rng.normal(size=n)).astype(np.int64),
        "correct": correct,
        "hit": correct.astype(np.int64),
        "label": np.array(["cat", "dog", "it's a\"bird"])[label],
        "predicted": np.array(["cat", "dog", "it's a\"bird"])[np.where(correct, label, (label + 1) % 3)],
        "patient": np.array([f"p{unit}" for unit in rng.integers(n // 10 + 1, size=n)]),
    }


def arrow(columns: Arrays) -> pyarrow.Table:
    return pyarrow.table({name: pyarrow.array(values.tolist() if values.dtype.kind == "U" else values) for name, values in columns.items()})


def write(path: Path, columns: Arrays | pyarrow.Table) -> Path:
    """Write columns to a CSV or Parquet file."""
    table = columns if isinstance(columns, pyarrow.Table) else arrow(columns)
    kind = "parquet" if path.suffix == ".parquet" else "csv"
    with duckdb.connect() as connection:
        connection.register("columns_to_write", table)
        connection.execute(f"COPY columns_to_write TO '{path}' (FORMAT {kind})")
    return path


def by_patient(columns: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of the rows by patient, and the number of rows of each."""
    _, sizes = np.unique(columns["patient"], return_counts=True)
    return np.argsort(columns["patient"], kind="stable"), sizes
