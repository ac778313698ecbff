"""The command line for daily use beside DVC: python -m confidnet_core COMMAND, or `confidnet` where the package is installed.

DVC stays the engine: `dvc repro`, `dvc exp run`, `dvc push`. A user's mistake ends as one line and exit code 1.
"""

import json
import os
import sys
import webbrowser
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from confidnet_core.cli import listing
from confidnet_core.config.params import load_params

KINDS = {kind.__name__: kind for kind in (listing.benchmarks, listing.methods, listing.models, listing.datasets)}
REPORTS = Path("reports")
FORMATS = ("terminal", "md", "latex", "csv", "json")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """What there is, what came out, and what is still to be sent. Run it from the project's root.

    Experiments are run by DVC: `dvc repro`, `dvc exp run -S 'run=[mnist_mlp]'`.
    """


@cli.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--json", "as_json", is_flag=True, help="For scripts: a JSON list of name, selected, description.")
def list_command(kind: str, as_json: bool) -> None:
    """Names that params.yaml can use, with a line about each.

    A star marks what params.yaml runs. Of methods also: whether something is learned for them, and further passes of a network.
    """
    found = KINDS[kind]()
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    console, costing = _console(), any(one.learned or one.passes for one in found)
    if not console.is_terminal:
        for one in found:
            click.echo("\t".join([f"{'*' if one.selected else ' '} {one.name}", one.description, *(_cost(one) if costing else ())]))
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column(kind[:-1], no_wrap=True)
    for title in ("learned", "passes") if costing else ():
        table.add_column(title, no_wrap=True)
    table.add_column("description", overflow="fold")
    for one in found:
        star, name = Text("*" if one.selected else "", style="green"), Text(one.name, style="bold")
        table.add_row(star, name, *(_cost(one) if costing else ()), Text(one.description))
    console.print(table)
    if any(one.selected for one in found):
        console.print(Text("* what params.yaml runs", style="dim"))


def _cost(one: listing.Listed) -> tuple[str, str]:
    return one.learned or "no", str(one.passes or 0)


def _completed(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    return [one.name for one in listing.benchmarks() if one.name.startswith(begun)]


@cli.command()
@click.argument("names", nargs=-1, shell_complete=_completed)
@click.option("-m", "--metrics", help="Columns, as in reports/comparison.csv: aupr_error,auroc,risk_at_80_coverage; or all.")
@click.option("--sort", default="aupr_error", metavar="METRIC", show_default=True, help="The metric that orders the scores, best first.")
@click.option("--seeds", help="Means over these seeds alone: 0,1; of one seed with its intervals.")
@click.option("--intervals/--no-intervals", default=None, help="Whether to show them; by default where they fit.")
@click.option("-f", "--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True, help="For a paper or a script.")
@click.option("--cost", is_flag=True, help="What each score costs instead: what it needs, forward passes, milliseconds and seconds.")
def show(names: tuple[str, ...], metrics: str | None, sort: str, seeds: str | None, intervals: bool | None, form: str, cost: bool) -> None:
    """The comparison as a table, with what is significant.

    NAMES are benchmarks, or DVC experiments, branches and commits, which are shown side by side: `show main EXP`. The best values are
    bold, and the table is Markdown where the output is no terminal. Here: reports/comparison.csv and differences.csv, of the last
    `dvc repro` or `dvc exp apply NAME`. Times are those that MLflow has of the newest runs on this machine or server.
    """
    from confidnet_core.cli import showing  # pandas takes a second

    if cost:
        from confidnet_core.tracking.timings import timings

        if metrics or seeds or intervals is not None:
            raise ValueError("--cost shows no metrics, no seeds and no intervals; leave the other options out")
        showing.show_costs(_console(), REPORTS, names, timings, form)
        return
    columns = tuple(showing.BY_METRIC) if metrics == "all" else tuple(_words(metrics))
    showing.show(_console(), REPORTS, showing.Choice(names, columns, sort, intervals, _numbers(seeds), form))


def _words(listed: str | None) -> list[str]:
    return [word.strip() for word in listed.split(",")] if listed else []


def _numbers(listed: str | None) -> tuple[int, ...]:
    for word in _words(listed):
        if not word.isdecimal():
            raise ValueError(f"--seeds is {listed}; expected whole numbers with commas between them, such as 0,1")
    return tuple(map(int, _words(listed)))


@cli.command()
def report() -> None:
    """Open the report, reports/index.html, in the browser, with the seconds that MLflow has."""
    from confidnet_core.cli.showing import costs_of, reference_of
    from confidnet_core.cli.timed_page import write_timed_page
    from confidnet_core.tracking.store import project_root
    from confidnet_core.tracking.timings import timings

    page = REPORTS / "index.html"
    if not page.is_file():
        raise ValueError(f"{page} does not exist; `dvc repro` makes it")
    click.echo(page)
    try:
        page = write_timed_page(page, project_root(), costs_of(REPORTS), timings, reference_of(REPORTS))
    except (ValueError, OSError) as error:
        click.echo(f"without seconds: {error}", err=True)
    if not webbrowser.open(page.resolve().as_uri()):
        click.echo("no browser was found; open that file in one, or name one in BROWSER", err=True)


@cli.command()
def offline() -> None:
    """Write a page with which `dvc plots` draws without a network.

    DVC's own page loads the drawing library from a server. Once written, `dvc config --local plots.html_template tmp/plots.html` makes
    this page the one of `dvc plots show` and `dvc plots diff`.
    """
    from confidnet_core.cli.offline import write_template
    from confidnet_core.tracking.store import project_root

    path = write_template(project_root())
    click.echo(f"{path}: dvc plots show --html-template {os.path.relpath(path)}")


@cli.command()
@click.option("--to", "address", metavar="URI", envvar="MLFLOW_TRACKING_URI", show_envvar=True, help="The MLflow store.")
def send(address: str | None) -> None:
    """Send the runs that an MLflow server did not take.

    They lie in .mlflow_kept/. What cannot be sent stays there, with the reason in its line, and the exit code is 1.
    """
    from confidnet_core.tracking.records import kept
    from confidnet_core.tracking.sending import send_kept
    from confidnet_core.tracking.store import project_root

    waiting = kept(root := project_root())
    if not waiting:
        click.echo("nothing is kept: all runs are in their MLflow store")
        return
    if not address:
        meant = ", ".join(sorted({str(one.header()["meant_for"]) for one in waiting}))
        raise ValueError(f"MLFLOW_TRACKING_URI is not set; give --to URI ({len(waiting)} kept for {meant})")
    os.environ["MLFLOW_TRACKING_URI"] = address
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # MLflow's two lines for each run that ends
    left = 0
    for outcome in send_kept(root):
        what = f"{outcome.header.get('experiment', '?')}  {outcome.header.get('name', '?')}"
        left += outcome.left is not None
        if outcome.left:
            click.echo(f"left  {what}  {outcome.record}: {outcome.left}")
        else:
            click.echo(f"sent  {what}  {outcome.entries} entries to run {outcome.row} ({outcome.status})")
    if left:
        raise ValueError(f"{left} of {len(waiting)} left in {waiting[0].folder.parent}; nothing of them is lost, send again later")


@cli.command()
@click.argument("benchmarks", nargs=-1, shell_complete=_completed)
@click.option(
    "--champion", is_flag=True, help="Give the alias champion to it, even if the present one is better or was judged on other data."
)
def register(benchmarks: tuple[str, ...], champion: bool) -> None:
    """Register the best score's model as confidnet-BENCHMARK in MLflow.

    `compare` does it, too. From the present outputs, of what params.yaml runs, or of BENCHMARKS; the same model is registered once.
    """
    from confidnet_core.serving.selective_classifier import registering  # torch takes seconds

    params = load_params()
    for benchmark in benchmarks or params.run:
        click.echo(registering.register(params, benchmark, champion=champion))


def _console() -> Console:
    return Console(highlight=False)


def main() -> None:
    try:
        cli()
    except ValueError as error:
        if os.environ.get("CONFIDNET_DEBUG"):
            raise
        sys.exit(f"confidnet: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
