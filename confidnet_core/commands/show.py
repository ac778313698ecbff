"""The command `show`: the comparison as a table."""

import click

from confidnet_core.commands._shared import REPORTS_FOLDER, complete_benchmark_name, make_console, split_at_commas

TABLE_FORMATS = ("terminal", "md", "latex", "csv", "json")


@click.command("show")
@click.argument("benchmarks_or_revisions", metavar="[NAMES]...", nargs=-1, shell_complete=complete_benchmark_name)
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
def command(
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
        showing.print_costs(make_console(), REPORTS_FOLDER, benchmarks_or_revisions, newest_timings, table_format)
        return
    metric_names = tuple(showing.COLUMN_BY_METRIC) if metrics == "all" else tuple(split_at_commas(metrics))
    options = showing.ShowOptions(benchmarks_or_revisions, metric_names, sort_by, show_intervals, _parse_seeds_option(seeds), table_format)
    showing.print_comparison(make_console(), REPORTS_FOLDER, options)


def _parse_seeds_option(seeds_option: str | None) -> tuple[int, ...]:
    for seed_text in split_at_commas(seeds_option):
        if not seed_text.isdecimal():
            raise ValueError(f"--seeds is {seeds_option}; expected whole numbers with commas between them, such as 0,1")
    return tuple(map(int, split_at_commas(seeds_option)))
