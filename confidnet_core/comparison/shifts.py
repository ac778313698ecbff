"""Scores on corrupted test images and on foreign images, as the stage `evaluate_shifts` stored them: data frames, and tables of a section.

Under shift nothing is promised. The tables say how far a score still separates errors, and what the threshold of a served model does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from confidnet_core import paths
from confidnet_core.comparison.foreign import foreign_tables
from confidnet_core.comparison.frames import COLUMN_BY_METRIC
from confidnet_core.comparison.lines import iterate_groups
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.results import Results
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table, count_in_words, format_value, join_names
from confidnet_core.comparison.uncertainty import insufficiency
from confidnet_core.comparison.units import unit_words
from confidnet_core.files import read_csv

SECTION_TITLE = "Shifted and foreign images"
ACCURACY_COLUMN = Column("accuracy", "accuracy", scale=100)
AUROC_COLUMN = COLUMN_BY_METRIC["auroc"]
THRESHOLD_COLUMNS = (Column("coverage", "coverage", scale=100), Column("risk", "risk", scale=100))
EXCEEDED_COLUMN = Column("exceeded", "above target")


class ShiftedFrames(NamedTuple):
    """What is stored of all benchmarks of a study, one row per image set, seed and score; without rows where no benchmark has such images.

    shifts: of corrupted test images, and in severity 0 of these images as they are; foreign: of images that belong to no class
    """

    shifts: pd.DataFrame
    foreign: pd.DataFrame


class ShiftedTables(NamedTuple):
    """The tables of one benchmark; None, or no table, for a kind of images that it does not have. It has at least one kind."""

    by_severity: Table | None
    by_corruption: Table | None
    foreign: Sequence[Table]

    def section(self) -> list[Table]:
        """Return all tables in their order, of which the first has the title of the section."""
        first_table, *other_tables = [table for table in (self.by_severity, self.by_corruption, *self.foreign) if table is not None]
        return [replace(first_table, title=SECTION_TITLE), *other_tables]


def load_shifted_frames(all_results: Iterable[Results]) -> ShiftedFrames:
    """Return the stored rows of the scores of these results. Raises ValueError, naming the file, if one is missing or no table."""
    all_results = list(all_results)
    evaluation_keys = [(results.benchmark, results.seed, method) for results in all_results for method in results.methods]
    folders = [paths.shifted_results_folder(benchmark) for benchmark in dict.fromkeys(results.benchmark for results in all_results)]
    frames = []
    for name in ("shifts", "foreign"):
        stored_frames = [read_csv(folder / f"{name}.csv") for folder in folders]
        # A file without rows has columns without types, which those of the others shall keep.
        rows = pd.concat([frame for frame in stored_frames if len(frame)] or stored_frames[:1], ignore_index=True)
        frames.append(rows[pd.MultiIndex.from_frame(rows[["benchmark", "seed", "method"]]).isin(evaluation_keys)])
    return ShiftedFrames(*frames)


def shifted_tables(frames: ShiftedFrames, evaluation_rows: pd.DataFrame, reference_methods: Iterable[str]) -> dict[str, ShiftedTables]:
    """Return {benchmark: its tables}, without the benchmarks that have neither shifted nor foreign images.

    evaluation_rows: from `comparison_frame`; reference_methods: scores that all others are compared with, shown for each corruption
    """
    tables_by_benchmark, reference_methods = {}, list(reference_methods)
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows, "benchmark"):
        shift_rows, foreign_rows = (frame[frame["benchmark"] == benchmark] for frame in frames)
        by_severity = None if shift_rows.empty else _severity_table(shift_rows, benchmark_rows)
        by_corruption = None if shift_rows.empty else _corruption_table(shift_rows, reference_methods)
        if len(shift_rows) or len(foreign_rows):
            tables_by_benchmark[benchmark] = ShiftedTables(by_severity, by_corruption, foreign_tables(foreign_rows, benchmark_rows))
    return tables_by_benchmark


def severity_means(shift_rows: pd.DataFrame) -> pd.DataFrame:
    """Return auroc, coverage and risk, in [0, 1], with one row per method and severity (columns `method` and `severity`).

    They are means over corruptions and seeds without undefined values, NaN where all are undefined. shift_rows: of one benchmark
    """
    quantities = [AUROC_COLUMN.key, *(column.key for column in THRESHOLD_COLUMNS)]
    numeric_rows = shift_rows.astype(dict.fromkeys(quantities, float))
    return numeric_rows.groupby(["method", "severity"], sort=False)[quantities].mean().reset_index()


def served_target_risk(rows: pd.DataFrame) -> float | None:
    """Return the error rate in (0, 1) at which the thresholds aim; None where no score has a threshold. rows: of one benchmark"""
    has_threshold = rows["coverage"].notna()
    return float(rows.loc[has_threshold, "target_risk"].iloc[0]) if has_threshold.any() else None


def _severity_table(shift_rows: pd.DataFrame, benchmark_rows: pd.DataFrame) -> Table:
    """Return the table of all scores by severity. benchmark_rows: the benchmark's rows of `comparison_frame`"""
    severities, seed_count = sorted(set(shift_rows["severity"])), shift_rows["seed"].nunique()
    has_thresholds = served_target_risk(shift_rows) is not None
    shown_quantities = (AUROC_COLUMN, *(THRESHOLD_COLUMNS if has_thresholds else ()))
    columns = [
        replace(column, key=f"{column.key}_{severity}", title=f"{column.title} {severity}")
        for column in shown_quantities
        for severity in severities
    ]
    means = severity_means(shift_rows).set_index(["method", "severity"])
    table_rows = []
    for method, method_rows in iterate_groups(shift_rows, "method"):
        of_method = means.loc[method].reindex(severities)
        cells = [Cell(float(mean)) for column in shown_quantities for mean in of_method[column.key]]
        method_seed_count = method_rows["seed"].nunique()
        remark = f"{method_seed_count} of {seed_count} seeds" if method_seed_count < seed_count else ""
        exceeded_cells = [_exceeded_cell(method_rows)] if has_thresholds else []
        is_oracle = bool(method_rows["oracle"].iloc[0])
        table_rows.append(Row(method, display_name(method), (*cells, *exceeded_cells), is_oracle, remark))
    table = Table(
        "By severity",
        (*columns, *([EXCEEDED_COLUMN] if has_thresholds else [])),
        tuple(table_rows),
        notes=_severity_notes(shift_rows),
        legend=_severity_legend(shift_rows, benchmark_rows),
    )
    return table if insufficiency(benchmark_rows) else table.with_best_marked()


def _exceeded_cell(method_rows: pd.DataFrame) -> Cell:
    """Return in how many corrupted sets the risk is above the target, such as "7 of 18"; undefined for a score without a threshold."""
    rows_with_threshold = method_rows[(method_rows["severity"] > 0) & method_rows["coverage"].notna()]
    if rows_with_threshold.empty:
        return Cell(np.nan)
    is_exceeded = rows_with_threshold["risk"] > rows_with_threshold["target_risk"]
    return Cell(text=f"{is_exceeded.sum()} of {len(rows_with_threshold)}")


def _severity_notes(shift_rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the paragraphs above the table by severity: the accuracies, and what the thresholds promise."""
    accuracies = _one_row_per_image_set(shift_rows).groupby("severity")["accuracy"].mean()
    accuracy_texts = [
        f"{format_value(100 * accuracy)} % {f'in severity {severity}' if severity else 'on the test images as they are'}"
        for severity, accuracy in accuracies.items()
    ]
    corruptions = list(dict.fromkeys(shift_rows.loc[shift_rows["severity"] > 0, "corruption"]))
    means_over = f"{count_in_words(len(corruptions), 'corruption')} ({join_names(corruptions)})"
    target_risk = served_target_risk(shift_rows)
    return (
        f"The accuracy is {join_names(accuracy_texts)}, as means over {means_over}{_and_seeds(shift_rows)}.",
        "No score has a threshold here, so that coverage and risk are undefined."
        if target_risk is None
        else f"Each score has the threshold that a served model uses. It guarantees at most {100 * target_risk:g} % errors among what it "
        "accepts, but only on new data like the calibration split: under shift nothing is promised.",
    )


def _severity_legend(shift_rows: pd.DataFrame, benchmark_rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the sentences below the table by severity."""
    too_little, has_thresholds = insufficiency(benchmark_rows), served_target_risk(shift_rows) is not None
    best_text = "" if too_little else "; bold: best of its column"
    undefined_text = "a set without an error, or without a correct prediction, has no AUROC"
    lines = [
        "The number behind a column's name is the severity; 0 stands for the test images as they are.",
        f"Means over corruptions{_and_seeds(shift_rows)}, in percent.",
    ]
    if has_thresholds:
        set_count = len(_one_row_per_image_set(shift_rows[shift_rows["severity"] > 0]))
        undefined_text = f"a set in which a threshold accepts nothing has no risk, and {undefined_text}"
        lines += [
            "Coverage: the fraction of the predictions that the threshold accepts; risk, the selective risk: the error rate of what is",
            f"accepted. Above target: in how many of the {set_count} corrupted sets (one for each corruption, severity and seed) this risk",
            "is higher than the target.",
        ]
        if shift_rows["coverage"].isna().any():
            lines.append(f"{UNDEFINED_SIGN} in all of these columns: the score has no threshold that guarantees the target.")
    lines.append(f"Means leave out what is undefined: {undefined_text}.")
    if has_thresholds and unit_words(benchmark_rows).parts:
        lines.append("In coverage and risk every image weighs the same, and in accuracy and AUROC every pixel does.")
    lines.append(f"↑ higher is better, {UNDEFINED_SIGN} undefined{best_text}.")
    if too_little:
        lines.append(f"No value is marked as the best one: {too_little.sentence}.")
    if oracle_methods := list(dict.fromkeys(shift_rows.loc[shift_rows["oracle"], "method"])):
        lines.append(f"{join_names(map(display_name, oracle_methods))} reads the labels, and is not a competing method.")
    return tuple(lines)


def _corruption_table(shift_rows: pd.DataFrame, reference_methods: Sequence[str]) -> Table:
    """Return the table with one row per corruption and severity, of the reference methods and the score with the best mean AUROC."""
    competing_rows = shift_rows[~shift_rows["oracle"]]
    references = [method for method in reference_methods if method in set(competing_rows["method"])]
    mean_aurocs = competing_rows[competing_rows["severity"] > 0].groupby("method", sort=False)["auroc"].mean().dropna()
    best_methods = [] if mean_aurocs.empty else [str(mean_aurocs.idxmax())]
    shown = [(method, AUROC_COLUMN) for method in dict.fromkeys([*references, *best_methods])]
    if served_target_risk(competing_rows) is not None:
        shown += [(method, column) for method in dict.fromkeys([*references[:1], *best_methods]) for column in THRESHOLD_COLUMNS]
    columns = [
        replace(column, key=f"{method}_{column.key}", title=f"{column.title} {display_name(method)}", higher_is_better=None)
        for method, column in shown
    ]
    table_rows = []
    for (corruption, severity), set_rows in shift_rows.groupby(["corruption", "severity"], sort=False):
        accuracy = _one_row_per_image_set(set_rows)["accuracy"].mean()
        means = (set_rows.loc[set_rows["method"] == method, column.key].astype(float).mean() for method, column in shown)
        name = f"{corruption} {severity}" if severity else "test images as they are"
        table_rows.append(Row(f"{corruption}_{severity}", name, tuple(map(Cell, (float(accuracy), *map(float, means))))))
    legend = [
        f"{'Means over seeds, in' if shift_rows['seed'].nunique() > 1 else 'In'} percent. The number behind a corruption is its severity.",
        *(f"{display_name(method)} has the best mean AUROC over all corrupted sets." for method in best_methods),
        "The kinds of corruption are among those of arXiv:1903.12261; confidnet_core/scoring/corruptions.py has their strengths.",
    ]
    all_columns = (ACCURACY_COLUMN, *columns)
    return Table("By corruption", all_columns, tuple(table_rows), "corruption and severity", legend=tuple(legend))


def _one_row_per_image_set(shift_rows: pd.DataFrame) -> pd.DataFrame:
    """Return one of the rows of each image set and seed, whose accuracy is the same for all scores."""
    return shift_rows.drop_duplicates(["corruption", "severity", "seed"])


def _and_seeds(shift_rows: pd.DataFrame) -> str:
    seed_count = shift_rows["seed"].nunique()
    return f" and {seed_count} seeds" if seed_count > 1 else ""
