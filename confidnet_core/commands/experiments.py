"""The command `experiments`: DVC's experiments side by side."""

from contextlib import nullcontext

import click

from confidnet_core.commands._shared import make_console


@click.command("experiments")
@click.option("--sort", "sort_key", metavar="KEY", help="name, status, created, accuracy, errors, best, a score, or a changed parameter.")
@click.option("--reverse", is_flag=True, help="The other way round: by default the best results come first, the lowest of all else.")
@click.option("--scores", "scores_option", help="The scores to show instead of those that moved: mcp,confidnet; or all.")
@click.option("--all", "all_commits", is_flag=True, help="Experiments of earlier commits, too, each below its own.")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each experiment and benchmark, with all scores and changed parameters.")
@click.option("--md", "as_markdown", is_flag=True, help="Markdown, as where the output is no terminal.")
def command(sort_key: str | None, reverse: bool, scores_option: str | None, all_commits: bool, as_csv: bool, as_markdown: bool) -> None:
    """DVC's experiments: what each changed, and its results.

    The workspace, the present commit, and the experiments that started from it: queued, running, finished and failed ones. Results are
    accuracy and the AUPR-Error of the scores that moved, in percent, with their differences to that commit.
    """
    from rich.console import Console

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
    experiments_table.print_experiments(make_console(), ordered_experiments, scores_option, output_format)
    if not any(experiment.is_experiment for experiment in listed_experiments):
        click.echo(NO_EXPERIMENTS_MESSAGE, err=True)
