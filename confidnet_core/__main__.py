"""The command line for daily use beside DVC: python -m confidnet_core COMMAND, or `confidnet` where the package is installed.

DVC runs the pipeline: `dvc repro`, `dvc exp run`, `dvc push`. A user error ends as one line and exit code 1. Each command imports what it
needs itself, so that `--help` answers at once.
"""

import os
import sys
import webbrowser
from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console

LISTABLE_ENTRY_KINDS = ("benchmarks", "methods", "models", "datasets")  # as the functions list_... of cli/listing.py
REPORTS_FOLDER = Path("reports")
TABLE_FORMATS = ("terminal", "md", "latex", "csv", "json")


def _print_version(click_context: click.Context, click_parameter: click.Parameter, is_version_requested: bool) -> None:
    if not is_version_requested or click_context.resilient_parsing:
        return
    from confidnet_core.revision import CODE_ROOT, VERSION, git

    commit = git("-C", str(CODE_ROOT), "log", "-1", "--format=commit %h of %cs", "--", "confidnet_core")
    changed_files = commit and git("-C", str(CODE_ROOT), "status", "--porcelain", "--", "confidnet_core")
    click.echo(", ".join([f"confidnet {VERSION}", *([commit] if commit else []), *(["with changed files"] if changed_files else [])]))
    click_context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print version and commit.")
def cli() -> None:
    """Lists what can be run, shows results and experiments, and sends and registers runs. Run it from the project's root.

    DVC runs the pipeline: `dvc repro`, `dvc exp run -S 'run=[mnist_mlp]'`.
    """


@cli.command("list")
@click.argument("listed_entry_kind", type=click.Choice(LISTABLE_ENTRY_KINDS))
@click.option("-v", "--verbose", "prints_details", is_flag=True, help="References of scores and what they need; settings of benchmarks.")
@click.option("--json", "prints_json", is_flag=True, help="For scripts: a JSON list of name, selected, description and others.")
def list_command(listed_entry_kind: str, prints_details: bool, prints_json: bool) -> None:
    """Names that params.yaml can use, with a line about each.

    A star marks what params.yaml runs. Where the output is no terminal, all is printed, with tabs between the columns.
    """
    from confidnet_core.cli import listing, listing_table

    listed_entries = getattr(listing, f"list_{listed_entry_kind}")()
    listing_table.print_list(_make_console(), listed_entry_kind, listed_entries, prints_details, prints_json)


def _complete_benchmark_name(click_context: click.Context, click_parameter: click.Parameter, typed_prefix: str) -> list[str]:
    """Return the names of benchmarks in params.yaml that begin with the typed letters, for the shell's tab completion."""
    from confidnet_core.cli import listing

    return [benchmark.name for benchmark in listing.list_benchmarks() if benchmark.name.startswith(typed_prefix)]


@cli.command()
@click.argument("benchmarks_or_revisions", metavar="[NAMES]...", nargs=-1, shell_complete=_complete_benchmark_name)
@click.option("-m", "--metrics", help="Columns, as in reports/comparison.csv: aupr_error,auroc,risk_at_80_coverage; or all.")
@click.option(
    "--sort", "sort_by", default="aupr_error", metavar="METRIC", show_default=True, help="The metric that orders the scores, best first."
)
@click.option("--seeds", help="Means over these seeds alone: 0,1; of one seed with its intervals.")
@click.option("--intervals/--no-intervals", "show_intervals", default=None, help="Whether to show them; by default where they fit.")
@click.option(
    "-f",
    "--format",
    "table_format",
    type=click.Choice(TABLE_FORMATS),
    default="terminal",
    show_default=True,
    help="For a paper or a script.",
)
@click.option("--cost", is_flag=True, help="What each score costs instead: what it needs, forward passes, milliseconds and seconds.")
def show(
    benchmarks_or_revisions: tuple[str, ...],
    metrics: str | None,
    sort_by: str,
    seeds: str | None,
    show_intervals: bool | None,
    table_format: str,
    cost: bool,
) -> None:
    """The comparison as a table, with what is significant.

    NAMES are benchmarks, or DVC experiments, branches and commits, which are shown side by side: `show main EXP`. The best values are
    bold, and the table is Markdown where the output is no terminal. Here: reports/comparison.csv and differences.csv, of the last
    `dvc repro` or `dvc exp apply NAME`. Times are those that MLflow has of the newest runs on this machine or server.
    """
    from confidnet_core.cli import showing  # importing pandas takes a second

    if cost:
        from confidnet_core.tracking.timings import newest_timings

        if metrics or seeds or show_intervals is not None:
            raise ValueError("--cost shows no metrics, no seeds and no intervals; leave the other options out")
        showing.print_costs(_make_console(), REPORTS_FOLDER, benchmarks_or_revisions, newest_timings, table_format)
        return
    metric_names = tuple(showing.COLUMN_BY_METRIC) if metrics == "all" else tuple(_split_option_at_commas(metrics))
    options = showing.ShowOptions(benchmarks_or_revisions, metric_names, sort_by, show_intervals, _parse_seeds_option(seeds), table_format)
    showing.print_comparison(_make_console(), REPORTS_FOLDER, options)


def _split_option_at_commas(option_text: str | None) -> list[str]:
    return [word.strip() for word in option_text.split(",")] if option_text else []


def _parse_seeds_option(seeds_option: str | None) -> tuple[int, ...]:
    for seed_text in _split_option_at_commas(seeds_option):
        if not seed_text.isdecimal():
            raise ValueError(f"--seeds is {seeds_option}; expected whole numbers with commas between them, such as 0,1")
    return tuple(map(int, _split_option_at_commas(seeds_option)))


@cli.command()
@click.option("--sort", "sort_key", metavar="KEY", help="name, status, created, accuracy, errors, best, a score, or a changed parameter.")
@click.option("--reverse", is_flag=True, help="The other way round: by default the best results come first, the lowest of all else.")
@click.option("--scores", "scores_option", help="The scores to show instead of those that moved: mcp,confidnet; or all.")
@click.option("--all", "all_commits", is_flag=True, help="Experiments of earlier commits, too, each below its own.")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each experiment and benchmark, with all scores and changed parameters.")
@click.option("--md", "as_markdown", is_flag=True, help="Markdown, as where the output is no terminal.")
def experiments(sort_key: str | None, reverse: bool, scores_option: str | None, all_commits: bool, as_csv: bool, as_markdown: bool) -> None:
    """DVC's experiments: what each changed, and its results.

    The workspace, the present commit, and the experiments that started from it: queued, running, finished and failed ones. Results are
    accuracy and the AUPR-Error of the scores that moved, in percent, with their differences to that commit.
    """
    from confidnet_core.cli import experiments_table
    from confidnet_core.cli.experiments import NO_EXPERIMENTS_MESSAGE, load_experiments
    from confidnet_core.cli.experiments_order import sort_experiments

    if as_csv and as_markdown:
        raise ValueError("--csv and --md exclude each other; leave one out")
    stderr_console = Console(stderr=True)
    with stderr_console.status("dvc exp show") if stderr_console.is_terminal else nullcontext():  # the command takes some seconds
        listed_experiments = load_experiments(all_commits)
    ordered_experiments = sort_experiments(listed_experiments, sort_key, reverse) if sort_key else listed_experiments
    output_format = "csv" if as_csv else "md" if as_markdown else ""
    experiments_table.print_experiments(_make_console(), ordered_experiments, scores_option, output_format)
    if not any(experiment.is_experiment for experiment in listed_experiments):
        click.echo(NO_EXPERIMENTS_MESSAGE, err=True)


@cli.command()
def report() -> None:
    """Open the report, reports/index.html, in the browser, with the seconds that MLflow has."""
    from confidnet_core.cli.result_tables import read_cost_rows, read_reference_method
    from confidnet_core.cli.timed_page import write_page_with_run_times
    from confidnet_core.tracking.store import project_root
    from confidnet_core.tracking.timings import newest_timings

    page_path = REPORTS_FOLDER / "index.html"
    if not page_path.is_file():
        raise ValueError(f"{page_path} does not exist; `dvc repro` makes it")
    click.echo(page_path)
    try:
        cost_rows, reference_method = read_cost_rows(REPORTS_FOLDER), read_reference_method(REPORTS_FOLDER)
        page_path = write_page_with_run_times(page_path, project_root(), cost_rows, newest_timings, reference_method)
    except (ValueError, OSError) as error:
        click.echo(f"without seconds: {error}", err=True)
    if not webbrowser.open(page_path.resolve().as_uri()):
        click.echo("no browser was found; open that file in one, or name one in BROWSER", err=True)


@cli.command()
def offline() -> None:
    """Write a page with which `dvc plots` draws without a network.

    DVC's own page loads the drawing library from a server. Once written, `dvc config --local plots.html_template tmp/plots.html` makes
    this page the one of `dvc plots show` and `dvc plots diff`.
    """
    from confidnet_core.cli.offline import write_plots_template
    from confidnet_core.tracking.store import project_root

    template_path = write_plots_template(project_root())
    click.echo(f"{template_path}: dvc plots show --html-template {os.path.relpath(template_path)}")


@cli.command()
@click.option("--to", "store_uri", metavar="URI", envvar="MLFLOW_TRACKING_URI", show_envvar=True, help="The MLflow store.")
def send(store_uri: str | None) -> None:
    """Send runs recorded while the MLflow server was unreachable.

    They lie in .mlflow_kept/. A run that cannot be sent stays there; its line says why, and the exit code is 1.
    """
    from confidnet_core.cli.recorded_runs import send_recorded_runs

    for outcome_line in send_recorded_runs(store_uri):
        click.echo(outcome_line)


@cli.command()
@click.argument("benchmarks", nargs=-1, shell_complete=_complete_benchmark_name)
@click.option(
    "--champion",
    "force_champion",
    is_flag=True,
    help="Give it the alias champion, even if the present champion is better or was evaluated on other data.",
)
def register(benchmarks: tuple[str, ...], force_champion: bool) -> None:
    """Register the best score's model in MLflow, as confidnet-BENCHMARK.

    The stage `compare` does it, too. It takes the outputs in the workspace, of these BENCHMARKS or of all that params.yaml runs. The same
    model is registered once.
    """
    from confidnet_core.config.params import load_params
    from confidnet_core.serving import registering  # importing torch takes seconds

    params = load_params()
    for benchmark in benchmarks or params.run:
        click.echo(registering.register_best_model(params, benchmark, force_champion=force_champion))


def _make_console() -> Console:
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
