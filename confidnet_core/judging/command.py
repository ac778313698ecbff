"""What the command `confidnet judge` does: it reads a table, judges its scores, prints the result, and writes the report."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from confidnet_core.cli.terminal import print_lines, print_results_table
from confidnet_core.comparison.frames import MAIN_METRIC_COLUMNS
from confidnet_core.comparison.main_table import errors_and_accuracy_phrase, main_table
from confidnet_core.comparison.risk_guarantees import risk_guarantee_tables
from confidnet_core.judging.judgement import Judgement, judge
from confidnet_core.judging.map_folders import MapFolders, judge_arguments_of_maps
from confidnet_core.judging.predictions_table import ColumnOptions, judge_arguments
from confidnet_core.judging.saving import require_own_folder
from confidnet_core.judging.table_files import open_table


@dataclass(frozen=True)
class JudgeOptions:
    """Options of the command `confidnet judge`; risks are text as it was typed."""

    columns: ColumnOptions
    against: tuple[str, ...] | None
    risks: tuple[str, ...]
    delta: float
    resamples: int
    seed: int
    name: str | None = None
    report_folder: Path | None = None
    prints_json: bool = False


def judge_files(console: Console, files: Sequence[str], options: JudgeOptions) -> Judgement:
    """Judge the scores of the predictions in files, print the result, and write the report. Raises ValueError for wrong input."""
    if not files:
        raise ValueError("there are no predictions; give CSV, Parquet or NPZ files, or --masks for maps of a segmentation")
    name = Path(files[0]).stem.strip("*?-_ ") or "predictions"
    return _judge_arguments(console, lambda: judge_arguments(open_table(files), options.columns), name, options)


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
    return _judge_arguments(console, lambda: judge_arguments_of_maps(folders), masks_folder.name, options)


def _named_folder(text: str) -> tuple[str, Path]:
    """Return name and folder of a score from NAME=FOLDER, or from FOLDER, whose last part is then the name."""
    name, separator, folder = text.partition("=")
    return (name, Path(folder)) if separator else (Path(text).name, Path(text))


def _judge_arguments(console: Console, read: Callable[[], dict[str, Any]], default_name: str, options: JudgeOptions) -> Judgement:
    """Judge what `read` returns, the arguments of `judge`, once all options are known to be right."""
    if options.report_folder is not None:
        require_own_folder(options.report_folder)
    risks = _parse_risks(options.risks)
    judgement = judge(
        **read(),
        against=options.against,
        risks=risks,
        delta=options.delta,
        resamples=options.resamples,
        seed=options.seed,
        name=options.name or default_name,
    )
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
