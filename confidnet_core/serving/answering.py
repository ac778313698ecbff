"""The answers for images from files as one table, CSV or Parquet, and for segmentation as a folder of maps; a killed run is continued."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from confidnet_core.display import display_text
from confidnet_core.progress import progress_bar
from confidnet_core.serving.answer_log import (
    LOG_FILE_NAME,
    AnswerLog,
    LoggedBatch,
    hidden_folder_beside,
    move_into_place,
    open_answer_log,
    remove_log_folder,
)
from confidnet_core.serving.answer_maps import write_maps
from confidnet_core.serving.image_files import count_images, images_of_paths, require_existing_paths
from confidnet_core.serving.predicting import BatchAnswers, default_batch_size, predict_files
from confidnet_core.serving.selective_classifier import SelectiveClassifier
from confidnet_core.system.errors import find_disk_error

COLUMN_TYPES = {"file": str, "label": str, "class_index": int, "probability": float, "confidence": float, "accepted": bool}
MAP_COLUMN_TYPES = {"file": str, "accepted": float, "probability": float, "confidence": float}  # means over the pixels of an image
TABLE_SUFFIXES = (".csv", ".parquet")
MAX_LISTED_FAILURES = 12
ROWS_PER_ROW_GROUP = 2**16  # of a Parquet file


@dataclass
class Summary:
    """What came of a run: numbers of answered and of accepted images (or mean share of accepted pixels), and what could not be read.

    listed_failures: the first ones, {name: reason}; failures_path: the file with all of them, if there are more
    """

    answered: int = 0
    accepted: float = 0
    failures: int = 0
    listed_failures: dict[str, str] = field(default_factory=dict)
    failures_path: Path | None = None

    def add(self, batch: LoggedBatch) -> None:
        self.answered += len(batch.names) - len(batch.failures)
        self.accepted += sum(batch.columns.get("accepted", ()))
        self.failures += len(batch.failures)
        room = MAX_LISTED_FAILURES - len(self.listed_failures)
        self.listed_failures.update(list(batch.failures.items())[:room])

    def lines(self, guaranteed_threshold: Mapping[str, Any]) -> list[str]:
        """Return what a user is told at the end. guaranteed_threshold: as from SelectiveClassifier.guaranteed_threshold"""
        risk, reason = guaranteed_threshold["risk"], guaranteed_threshold.get("reason")
        share = self.accepted / self.answered if self.answered else 0.0
        images_text = f"{self.answered:,} image{'s' * (self.answered != 1)}"
        lines = [f"{images_text} answered, {share * 100:.1f} % accepted at a target risk of {risk:g}"]
        if guaranteed_threshold["threshold"] is None:
            lines.append(f"nothing is accepted, since there is no threshold for this risk: {reason}")
        if self.failures:
            lines.append(f"{self.failures:,} could not be read:")
            lines += [f"  {display_text(name)}: {display_text(reason)}" for name, reason in self.listed_failures.items()]
        if self.failures > len(self.listed_failures):
            all_failures_text = f"; all are in {self.failures_path}" if self.failures_path else ""
            lines.append(f"  and {self.failures - len(self.listed_failures):,} more{all_failures_text}")
        return lines


@dataclass(frozen=True)
class Task:
    """What to answer, and where to.

    model_digest: of the model; paths: as for predict_files; out: the file or folder to write, None for CSV on stdout
    """

    model: SelectiveClassifier
    model_digest: str
    paths: tuple[str, ...]
    out: Path | None
    risk: float | None = None
    batch: int | None = None

    @property
    def is_segmentation(self) -> bool:
        return self.model.model_metadata["segmentation"]

    @property
    def column_types(self) -> dict[str, type]:
        return MAP_COLUMN_TYPES if self.is_segmentation else COLUMN_TYPES

    @property
    def settings(self) -> dict:
        """By what an earlier run's answers are known to be answers of this one."""
        return {
            "model": self.model_digest,
            "risk": self.model.guaranteed_threshold(self.risk)["risk"],
            "batch size": self.batch or default_batch_size(self.model),
            "list of images": [os.path.abspath(path) for path in self.paths],
        }


def check_task(task: Task, *, overwrite: bool) -> None:
    """Raise ValueError for a path that does not exist, an unknown risk, and an `out` that does not fit, or exists without `overwrite`."""
    require_existing_paths(task.paths)
    task.model.guaranteed_threshold(task.risk)
    is_table = task.out is not None and task.out.suffix.lower() in TABLE_SUFFIXES
    if task.is_segmentation and (task.out is None or is_table):
        raise ValueError(f"--out is {task.out or '-'}; expected the name of a folder, since a segmentation's answers are maps")
    if task.out is None:
        return
    if not task.is_segmentation and not is_table:
        raise ValueError(f"--out is {task.out}; expected a name that ends in {' or '.join(TABLE_SUFFIXES)}, or - for CSV on the terminal")
    if task.out.is_dir() and any(task.out.iterdir()) and not (task.is_segmentation and (task.out / "answers.csv").is_file()):
        raise ValueError(f"{task.out} is a folder of something else; give another --out")
    if os.path.lexists(task.out) and not overwrite and not (task.out.is_dir() and not any(task.out.iterdir())):
        raise ValueError(f"{task.out} exists; --force writes it anew")


def print_answers(task: Task) -> Summary:
    """Write the answers to stdout as CSV, batch by batch."""
    summary = Summary()
    for batch in _with_progress(task, predict_files(task.model, task.paths, batch=task.batch, risk=task.risk), start=0):
        logged_batch = _logged(task, batch)
        table = _table(logged_batch, task)
        sys.stdout.write(table.to_csv(index=False, header=summary.answered + summary.failures == 0, lineterminator="\n"))
        sys.stdout.flush()
        summary.add(logged_batch)
    return summary


def write_answers(task: Task, out: Path, say: Callable[[str], None]) -> Summary:
    """Write the answers to the file or folder `out`, which appears once all are there; a run that was killed before is continued.

    say: gets a sentence if an earlier run is continued, or dropped since it is of another model, risk, batch size or list of images
    Raises ValueError where the disk is full, or another process writes the same `out`. The next run then continues.
    """
    folder = hidden_folder_beside(out)
    image_names = (image.name for image in images_of_paths(task.paths))
    try:
        with open_answer_log(folder, task.settings, image_names) as log:
            if log.restart_reason:
                say(f"the answers of an earlier run are dropped: {log.restart_reason}")
            elif log.position:
                say(f"an earlier run is continued after {log.position:,} images")
            answers = predict_files(task.model, task.paths, batch=task.batch, risk=task.risk, skip=log.position)
            for batch in _with_progress(task, answers, start=log.position):
                if task.is_segmentation:
                    write_maps(folder, batch, len(task.model.model_metadata["classes"]))
                log.append(_logged(task, batch))
            return _finish(task, log, out)
    except OSError as error:
        if (disk_error := find_disk_error(error, out)) is not None:
            raise ValueError(f"{disk_error}, which continues where this one ended") from None
        raise ValueError(f"{out} cannot be written ({error.strerror or error}); the next run continues where this one ended") from None


def _finish(task: Task, log: AnswerLog, out: Path) -> Summary:
    """Write the table of all answers, and the list of all failures if it is long; move both into place, and remove the log."""
    summary = Summary()
    for batch in log.batches():
        summary.add(batch)
    table_path = log.folder / ("answers.csv" if task.is_segmentation else f"answers{out.suffix.lower()}")
    write_table = _write_parquet if table_path.suffix == ".parquet" else _write_csv
    write_table(table_path, (_table(batch, task) for batch in log.batches()), _empty_table(task))
    failures_path = out.with_name(f"{out.stem}.failures.csv")
    failures_path.unlink(missing_ok=True)
    if summary.failures > MAX_LISTED_FAILURES:
        failure_tables = (_text_frame({"file": batch.failures.keys(), "reason": batch.failures.values()}) for batch in log.batches())
        _write_csv(log.folder / "failures", failure_tables, _text_frame({"file": [], "reason": []}))
        os.replace(log.folder / "failures", failures_path)
        summary.failures_path = failures_path
    if task.is_segmentation:
        move_into_place(log.folder, out)
        (out / LOG_FILE_NAME).unlink()
    else:
        move_into_place(table_path, out)
        remove_log_folder(log.folder)
    return summary


def _with_progress(task: Task, answers: Iterator[BatchAnswers], start: int) -> Iterator[BatchAnswers]:
    with progress_bar((), None, "predict", "image") as bar:
        if not bar.disable:
            bar.total = count_images(task.paths)
            bar.update(start)
        for batch in answers:
            yield batch
            bar.update(len(batch.names))


def _logged(task: Task, batch: BatchAnswers) -> LoggedBatch:
    """Return a batch as its rows in the table; of a segmentation the means over the pixels of each image."""
    columns = {name: batch.answers[name] for name in task.column_types if name in batch.answers}
    if task.is_segmentation:
        columns = {name: values.reshape(len(values), -1).mean(1) for name, values in columns.items()}
    return LoggedBatch(batch.names, batch.failures, {name: values.tolist() for name, values in columns.items()})


def _table(batch: LoggedBatch, task: Task) -> pd.DataFrame:
    if not batch.columns:
        return _empty_table(task)
    return _text_frame({"file": batch.answered_names, **batch.columns}).astype(task.column_types)


def _empty_table(task: Task) -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in task.column_types}).astype(task.column_types)


def _text_frame(columns: dict) -> pd.DataFrame:
    """Return a table; in names of files, bytes that are no text are written as \\udc80."""
    columns = {name: list(values) for name, values in columns.items()}
    return pd.DataFrame(columns | {"file": [name.encode("utf-8", "backslashreplace").decode() for name in columns["file"]]})


def _write_csv(path: Path, tables: Iterable[pd.DataFrame], empty_table: pd.DataFrame) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        empty_table.to_csv(file, index=False, lineterminator="\n")
        for table in tables:
            table.to_csv(file, index=False, header=False, lineterminator="\n")


def _write_parquet(path: Path, tables: Iterable[pd.DataFrame], empty_table: pd.DataFrame) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.Schema.from_pandas(empty_table, preserve_index=False)
    with parquet.ParquetWriter(path, schema) as writer:
        waiting, row_count = [], 0
        for table in chain(tables, (None,)):
            if table is not None:
                waiting.append(table)
                row_count += len(table)
            if waiting and (table is None or row_count >= ROWS_PER_ROW_GROUP):
                writer.write_table(pyarrow.Table.from_pandas(pd.concat(waiting), schema, preserve_index=False))
                waiting, row_count = [], 0
