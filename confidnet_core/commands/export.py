"""The command `export`: a model as one graph, for programs without this project."""

from pathlib import Path

import click

from confidnet_core.commands._shared import complete_benchmark_name


@click.command("export")
@click.argument("model", shell_complete=complete_benchmark_name)
@click.argument("out_path", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--risk", "target_risk", type=float, help="The target risk of `accepted`; by default the one that the model serves.")
@click.option("--score", "method", help="For a benchmark: this score in place of the best one on validation data.")
def command(model: str, out_path: Path, target_risk: float | None, method: str | None) -> None:
    """Write classifier, confidence and threshold as one graph.

    MODEL is a folder, a benchmark, or a registered model such as confidnet-digits@champion. OUT ends in .pt2 (torch.export) or .onnx.
    The graph takes images as uint8 (batch, channels, height, width), in batches of any size. It is checked against the model before it is
    written. Scores that compare images with training images, such as Stack, are no graphs: choose another with --score.
    """
    from confidnet_core.serving.exporting import export_model
    from confidnet_core.serving.opening import find_model_folder

    click.echo(export_model(find_model_folder(model, method), out_path, target_risk))
