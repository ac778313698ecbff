"""The command `watch`: has the world changed since the model was calibrated, and is its guarantee kept?"""

import json
import shutil
import textwrap
from pathlib import Path

import click


@click.command("watch")
@click.argument("model")
@click.argument("answers", nargs=-1, required=True)
@click.option("--labels", multiple=True, metavar="FILE", help="True classes of some answers: file and label (or class_index). Repeatable.")
@click.option("--period", "period_column", metavar="COLUMN", help="The column whose values are the periods; else each file is one.")
@click.option("--risk", "target_risk", type=float, help="The target risk of the answers; by default the one that the model serves.")
@click.option("--false-alarms", default=0.05, show_default=True, help="Their probability over the whole time, not per day.")
@click.option("--page", "page_path", type=click.Path(path_type=Path), metavar="HTML", help="A page over time, which needs no network.")
@click.option("--json", "prints_json", is_flag=True, help="The findings for a script, as JSON.")
def command(
    model: str,
    answers: tuple[str, ...],
    labels: tuple[str, ...],
    period_column: str | None,
    target_risk: float | None,
    false_alarms: float,
    page_path: Path | None,
    prints_json: bool,
) -> None:
    """Compare a model's answers over time with its calibration data.

    MODEL is a folder, a benchmark, or a registered model such as confidnet-digits@champion. ANSWERS are all files of `confidnet predict` so
    far, in the order of time, or a pattern: 'answers-*.csv'. The tests are made for being asked every day. Without labels, only drift can
    be found, which need not mean more errors; with labels of some answers, whether the guarantee is kept, broken, or open.

    Exit code: 0 nothing found, 3 drift, 4 guarantee broken; 1 and 2 wrong input.
    """
    from confidnet_core.monitoring.page import write_page
    from confidnet_core.monitoring.watching import as_json, watch_model
    from confidnet_core.monitoring.words import in_words
    from confidnet_core.serving.opening import find_model_folder

    settings = {"target_risk": target_risk, "false_alarms": false_alarms, "period_column": period_column}
    watch = watch_model(find_model_folder(model), answers, labels, **settings)
    if page_path is not None:
        write_page(watch, page_path)
    width = min(shutil.get_terminal_size().columns, 100)
    paragraphs = [textwrap.fill(line, width, subsequent_indent="  " if line.startswith("- ") else "") for line in in_words(watch)]
    click.echo(json.dumps(as_json(watch), indent=2, allow_nan=False) if prints_json else "\n".join(paragraphs))
    click.get_current_context().exit(watch.exit_code)
