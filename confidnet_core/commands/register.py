"""The command `register`: the best score's model in MLflow."""

import click

from confidnet_core.commands._shared import complete_benchmark_name


@click.command("register")
@click.argument("benchmarks", nargs=-1, shell_complete=complete_benchmark_name)
@click.option(
    "--champion",
    "force_champion",
    is_flag=True,
    help="Give it the alias champion, even if the present champion is better or was evaluated on other data.",
)
def command(benchmarks: tuple[str, ...], force_champion: bool) -> None:
    """Register the best score's model in MLflow, as confidnet-BENCHMARK.

    The stage `compare` does it, too. It takes the outputs in the workspace, of these BENCHMARKS or of all that params.yaml runs. The same
    model is registered once.
    """
    from confidnet_core.config.params import load_params
    from confidnet_core.serving import registering  # importing torch takes seconds

    params = load_params()
    for benchmark in benchmarks or params.run:
        click.echo(registering.register_best_model(params, benchmark, force_champion=force_champion))
