"""Seconds and peak memory for the failure metrics, and resamples, of a Parquet file of any size, which is made first and deleted last.

python -m benchmarks.billion_rows [SIZE ...] [--type FLOAT] [--memory 4GB] [--threads 2] [--resamples 10000] [--folder DIRECTORY]
Without sizes: 10 million rows. Each size runs in a process of its own, whose peak of resident memory is printed: DuckDB's limit, and what
Python and NumPy need beside it. 1,000 million rows take 4 GB (FLOAT) or 8 GB (DOUBLE) of disk, and up to 30 GB while they are sorted.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from confidnet_core.tables.columns import Columns
from confidnet_core.tables.failure import table_failure_metrics
from confidnet_core.tables.files import FileTable


def write_table(path: Path, rows: int, sql_type: str, threads: int) -> None:
    """Write confidences of a classifier with 10 % errors, AUROC about 0.8, and whether each prediction is correct, in row groups."""
    connection = duckdb.connect(config={"memory_limit": "2GB", "threads": threads})
    connection.execute("SELECT setseed(0.5)")
    connection.execute(
        f"COPY (SELECT (1 / (1 + exp(-(2 * ln(u / (1 - u)) + CASE WHEN correct THEN 5 ELSE 1.5 END))))::{sql_type} AS confidence, correct "
        f"FROM (SELECT greatest(random(), 1e-12) AS u, random() < 0.9 AS correct FROM range({rows}))) "
        f"TO '{path}' (FORMAT parquet, COMPRESSION snappy)"
    )
    connection.close()


def measure(path: Path, memory: str, threads: int, resamples: int) -> None:
    """Print one line about a file: seconds of the metrics without and with resamples, and the peak of memory of this process."""
    for count in (0, resamples) if resamples else (0,):
        start = time.perf_counter()
        with FileTable(path, memory_limit=memory, threads=threads, temp_directory=path.parent) as table:
            found = table_failure_metrics(table, Columns(["confidence"], correct="correct"), resample_count=count, seed=0)
        seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{found.counts.samples:>14,} rows, {path.stat().st_size / 1e9:.2f} GB, {count:>6,} resamples: {seconds:7.1f} s, "
            f"peak {peak:.1f} GB, load {os.getloadavg()[0]:.1f}, AUROC {found.scores['confidence'].metrics['auroc']:.6f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000_000])
    parser.add_argument("--type", choices=["FLOAT", "DOUBLE"], default="FLOAT")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.memory, given.threads, given.resamples)
        return
    versions = f"Python {platform.python_version()}, DuckDB {duckdb.__version__}"
    print(f"{versions}, {given.type}, memory limit {given.memory}, {given.threads} threads", flush=True)
    with tempfile.TemporaryDirectory(prefix="confidnet-rows-", dir=given.folder) as folder:
        for rows in given.sizes:
            path, start = Path(folder, f"{rows}.parquet"), time.perf_counter()
            write_table(path, rows, given.type, given.threads)
            print(f"  written in {time.perf_counter() - start:.0f} s", flush=True)
            options = ["--memory", given.memory, "--threads", str(given.threads), "--resamples", str(given.resamples)]
            subprocess.run([sys.executable, "-m", "benchmarks.billion_rows", "--measure", str(path), *options], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
