"""The command `judge`: confidence scores on predictions that a user brings."""

from pathlib import Path
from typing import Any

import click

from confidnet_core.commands._shared import make_console, split_at_commas


@click.command("judge")
@click.argument("files", metavar="[PREDICTIONS]...", nargs=-1)
@click.option("--label", default="label", show_default=True, metavar="COLUMN", help="True classes, as names or numbers.")
@click.option("--predicted", metavar="COLUMN", help="Predicted classes; by default those of the largest probability or logit.")
@click.option("--correct", metavar="COLUMN", help="Whether each prediction is correct, in place of label and predicted.")
@click.option("--probabilities", metavar="PATTERN", help="A column a class, as 'p_*', or an array with two axes in NPZ.")
@click.option("--logits", metavar="PATTERN", help="The same with logits.")
@click.option("--confidence", "confidences", metavar="COLUMNS", help="Your own scores, higher is more confident: mine,other.")
@click.option("--scores", metavar="NAMES", help="Scores to add of probabilities or logits, as mcp,entropy; by default all.")
@click.option("--split", metavar="COLUMN", help="Says test, val or calibration for each row; by default all are test.")
@click.option("--unit", metavar="COLUMN", help="What errs together, as the patient or the video: rows of one unit are resampled together.")
@click.option("--masks", metavar="FOLDER", help="Segmentation: maps of true classes; --predicted and --confidence are folders, too.")
@click.option("--void", default="255", show_default=True, metavar="LABELS", help="Labels of pixels without a class, in --masks.")
@click.option("--table", "table_name", metavar="NAME", help="A table of the database whose address PREDICTIONS is: postgres://...")
@click.option("--row-key", metavar="COLUMN", help="Names each row of a large table in a database, for resamples.")
@click.option("--against", metavar="SCORES", help="Scores that all others are compared with; by default mcp and entropy.")
@click.option("--risk", "risks", metavar="RATES", default="0.01,0.05,0.1", show_default=True, help="Error rates to guarantee.")
@click.option("--delta", default=0.05, show_default=True, help="Probability that a guarantee does not hold.")
@click.option("--resamples", default=10_000, show_default=True, help="Bootstrap resamples of the test split.")
@click.option("--seed", default=0, show_default=True, help="Of the resampling.")
@click.option("--name", help="Of the predictions in tables; by default the name of the first file.")
@click.option("--out", "report_folder", metavar="FOLDER", type=click.Path(path_type=Path), help="Writes page, tables and curves there.")
@click.option("--json", "prints_json", is_flag=True, help="Prints all figures as JSON, and nothing else.")
def command(
    files: tuple[str, ...], report_folder: Path | None, prints_json: bool, name: str | None, masks: str | None, void: str, **options: Any
) -> None:
    """Judge confidence scores on predictions in CSV, Parquet or NPZ files.

    PREDICTIONS are files or patterns in quotes, as 'part-*.parquet'. Every score that probabilities or logits give is added to your own.
    Prints which separate correct from incorrect predictions, by how much, and which differences are significant.
    For segmentation, --masks takes the place of PREDICTIONS.

    \b
    confidnet judge predictions.csv --probabilities 'p_*' --confidence mine --out report
    confidnet judge --masks masks/ --predicted predicted/ --confidence mine=maps/
    """
    from confidnet_core.judging.command import JudgeOptions, judge_files, judge_maps
    from confidnet_core.judging.predictions_table import ColumnOptions

    lists = {key: tuple(split_at_commas(options.pop(key))) for key in ("confidences", "scores", "against", "risks")}
    column_names = {key: options.pop(key) for key in ("label", "predicted", "correct", "probabilities", "logits", "split", "unit")}
    columns = ColumnOptions(**column_names, confidences=lists["confidences"], scores=lists["scores"] or None)
    judge_options = JudgeOptions(
        columns, lists["against"] or None, lists["risks"], **options, name=name, report_folder=report_folder, prints_json=prints_json
    )
    if masks is None:
        judge_files(make_console(), files, judge_options)
    else:
        judge_maps(make_console(), Path(masks), split_at_commas(void), judge_options)
