"""What the command `confidnet judge` does: it reads a table, judges its scores, prints the result, and writes the report."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from confidnet_core.cli.terminal import print_lines, print_results_table
from confidnet_core.comparison.frames import MAIN_METRIC_COLUMNS
from confidnet_core.comparison.main_table import errors_and_accuracy_phrase, main_table
from confidnet_core.comparison.risk_guarantees import risk_guarantee_tables
from confidnet_core.judging.judged_tables import judge_table
from confidnet_core.judging.judgement import Judgement, judge
from confidnet_core.judging.map_folders import MapFolders, judge_arguments_of_maps
from confidnet_core.judging.predictions_table import ColumnOptions, judge_arguments
from confidnet_core.judging.saving import require_own_folder
from confidnet_core.judging.table_files import ArrayTable, open_table
from confidnet_core.tables.columns import Columns, Table
from confidnet_core.tables.database import DatabaseTable
from confidnet_core.tables.files import FileTable

MAX_ROWS_IN_MEMORY = 20_000_000  # of files; of more, only counts are held
MEMORY_LIMIT = "3GB"  # of DuckDB where it counts files; Python and arrays take up to 1 GB beside it


@dataclass(frozen=True)
class JudgeOptions:
    """Options of the command `confidnet judge`; risks are text as it was typed. table_name, row_key: of a table in a database"""

    columns: ColumnOptions
    against: tuple[str, ...] | None
    risks: tuple[str, ...]
    delta: float
    resamples: int
    seed: int
    name: str | None = None
    report_folder: Path | None = None
    prints_json: bool = False
    table_name: str | None = None
    row_key: str | None = None


def judge_files(console: Console, files: Sequence[str], options: JudgeOptions) -> Judgement:
    """Judge the scores of the predictions in files, or in a table of a database, print the result, and write the report.

    Files of more than MAX_ROWS_IN_MEMORY rows are counted and not fetched. Raises ValueError for wrong input.
    """
    if not files:
        raise ValueError("there are no predictions; give CSV, Parquet or NPZ files, or --masks for maps of a segmentation")
    if options.table_name is not None:
        if len(files) > 1:
            raise ValueError(f"--table is {options.table_name}, of one database; got {len(files)} addresses")
        table_name, address = options.table_name, files[0]
        return _report(console, lambda: _judge_counted(DatabaseTable.connect(address, table_name), table_name, options), options)
    if "://" in files[0]:
        raise ValueError("a database needs --table, the name of its table")
    name = Path(files[0]).stem.strip("*?-_ ") or "predictions"

    def judge_rows_or_counts() -> Judgement:
        table = open_table(files)
        if table.row_count > MAX_ROWS_IN_MEMORY and not isinstance(table, ArrayTable):
            with FileTable(table.files, memory_limit=MEMORY_LIMIT) as counted_table:
                return _judge_counted(counted_table, name, options)
        return _judge(judge_arguments(table, options.columns), name, options)

    return _report(console, judge_rows_or_counts, options)


def judge_maps(console: Console, masks_folder: Path, void_texts: Sequence[str], options: JudgeOptions) -> Judgement:
    """Judge the scores of folders of maps, print the result, and write the report. Raises ValueError for wrong input.

    --predicted names a folder, and --confidence folders, as FOLDER or NAME=FOLDER.
    """
    columns = options.columns
    if not columns.predicted or not columns.confidences:
        raise ValueError("--masks needs --predicted and --confidence, the folders of the predicted classes and of the confidences")
    confidence_folders = dict(map(_named_folder, columns.confidences))
    if not all(text.removeprefix("-").isdecimal() for text in void_texts):
        raise ValueError(f"--void is {','.join(void_texts)}; expected whole numbers with commas between them, as 255")
    folders = MapFolders(masks_folder, Path(columns.predicted), confidence_folders, tuple(map(int, void_texts)))
    return _report(console, lambda: _judge(judge_arguments_of_maps(folders), masks_folder.name, options), options)


def _named_folder(text: str) -> tuple[str, Path]:
    """Return name and folder of a score from NAME=FOLDER, or from FOLDER, whose last part is then the name."""
    name, separator, folder = text.partition("=")
    return (name, Path(folder)) if separator else (Path(text).name, Path(text))


def _judge(arguments: Mapping[str, Any], default_name: str, options: JudgeOptions) -> Judgement:
    """Judge with the arguments of `judge` that were read, and with the options."""
    return judge(**arguments, **_common_arguments(default_name, options))


def _common_arguments(default_name: str, options: JudgeOptions) -> dict[str, Any]:
    """Return the arguments that `judge` and `judge_table` have in common."""
    return {
        "against": options.against,
        "risks": _parse_risks(options.risks),
        "delta": options.delta,
        "resamples": options.resamples,
        "seed": options.seed,
        "name": options.name or default_name,
    }


def _judge_counted(table: Table, default_name: str, options: JudgeOptions) -> Judgement:
    """Judge a table by counts. Raises ValueError for options that need its rows."""
    chosen = options.columns
    if chosen.probabilities or chosen.logits:
        raise ValueError(
            f"{table.name}: a database, and files of more than {MAX_ROWS_IN_MEMORY:,} rows, are counted by column; give the confidences as "
            "columns with --confidence, and leave out --probabilities and --logits"
        )
    label = None if chosen.correct else chosen.label
    columns = Columns(chosen.confidences, chosen.correct, label, chosen.predicted, chosen.unit, options.row_key)
    return judge_table(table, columns, split=chosen.split, **_common_arguments(default_name, options))


def _report(console: Console, judge_predictions: Callable[[], Judgement], options: JudgeOptions) -> Judgement:
    """Print a judgement and write its report, once all options are known to be right."""
    if options.report_folder is not None:
        require_own_folder(options.report_folder)
    _parse_risks(options.risks)
    judgement = judge_predictions()
    page_path = judgement.save(options.report_folder) if options.report_folder is not None else None
    if options.prints_json:
        console.print(json.dumps(judgement.to_json(), indent=2, allow_nan=False, ensure_ascii=False), soft_wrap=True, markup=False)
        return judgement
    print_judgement(console, judgement)
    if page_path is not None:
        console.print(f"report: {page_path}", soft_wrap=True, markup=False)
    return judgement


def print_judgement(console: Console, judgement: Judgement) -> None:
    """Print the table of scores, the verdict in sentences, the thresholds with a guarantee, and what is left out."""
    comparison, name = judgement.comparison, judgement.results.benchmark
    heading = Text.assemble((name, "bold"), (f": {errors_and_accuracy_phrase(comparison.evaluation_rows)}", "dim"))
    console.print(heading, soft_wrap=not console.is_terminal)
    console.print()
    table = main_table(
        comparison.evaluation_rows,
        comparison.intervals_of_means,
        comparison.difference_rows,
        shown_columns=MAIN_METRIC_COLUMNS,
        confidence_level=comparison.confidence_level,
    )
    print_results_table(console, table)
    verdict = comparison.verdicts[name]
    if not judgement.too_little:  # else the table says so already
        print_lines(console, Text(verdict.summary_sentence))
        console.print()
    for sentence in verdict.further_sentences:
        print_lines(console, Text(f"- {sentence}"))
    for tables in risk_guarantee_tables(comparison.risk_guarantee_rows).values():
        console.print()
        for threshold_table in tables:
            print_results_table(console, threshold_table)
    for sentence in judgement.left_out:
        print_lines(console, Text(f"- {sentence}"))
    console.print()
    console.print(Text(" ".join(table.legend), style="dim"), soft_wrap=not console.is_terminal)


def _parse_risks(texts: Sequence[str]) -> tuple[float, ...]:
    """Return error rates from text. Raises ValueError for text that is no number."""
    try:
        return tuple(map(float, texts))
    except ValueError:
        raise ValueError(f"--risk is {','.join(texts)}; expected numbers between 0 and 1 with commas between them, as 0.01,0.05") from None
