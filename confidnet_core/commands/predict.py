"""The command `predict`: labels, confidences and decisions for new images."""

from pathlib import Path

import click

from confidnet_core.commands._shared import complete_benchmark_name


@click.command("predict")
@click.argument("model_name", metavar="MODEL", shell_complete=complete_benchmark_name)
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--risk", type=float, help="The target risk: one of the model's, by default the one it serves.")
@click.option(
    "-o",
    "--out",
    "out_name",
    default="-",
    help="A .csv or .parquet file, for segmentation a folder; by default CSV on the terminal.",
)
@click.option("--batch-size", "batch", type=click.IntRange(min=1), help="Images in a batch; by default as many as fit.")
@click.option("--force", is_flag=True, help="Write --out anew if it exists.")
@click.pass_context
def command(
    click_context: click.Context,
    model_name: str,
    images: tuple[str, ...],
    risk: float | None,
    out_name: str,
    batch: int | None,
    force: bool,
) -> None:
    """Label, probability, confidence and whether it is accepted, for each of IMAGES.

    MODEL is a registered model (confidnet-digits, confidnet-digits@champion), a folder of a packed or downloaded model, or a benchmark of
    params.yaml, with its present outputs. IMAGES are files, folders, .zip archives, and arrays in .npy or .npz. They are read and resized
    as the training images were.

    What cannot be read is listed at the end, and the exit code is 1. A run that was killed continues if it is started again.
    """
    from confidnet_core.serving.answering import Task, check_task, print_answers, write_answers
    from confidnet_core.serving.identity import served_model_digest  # importing torch takes seconds
    from confidnet_core.serving.opening import find_model_folder
    from confidnet_core.serving.selective_classifier import SelectiveClassifier

    model_folder = find_model_folder(model_name)
    model = SelectiveClassifier.load(model_folder)
    out = None if out_name == "-" else Path(out_name)
    task = Task(model, served_model_digest(model_folder), images, out, risk, batch)
    check_task(task, overwrite=force)
    summary = print_answers(task) if out is None else write_answers(task, out, lambda sentence: click.echo(sentence, err=True))
    for line in summary.lines(model.guaranteed_threshold(risk)):
        click.echo(line, err=True)
    click_context.exit(1 if summary.failures else 0)
