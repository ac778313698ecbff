"""The command `send`: runs recorded while the MLflow server was unreachable."""

import click


@click.command("send")
@click.option("--to", "store_uri", metavar="URI", envvar="MLFLOW_TRACKING_URI", show_envvar=True, help="The MLflow store.")
def command(store_uri: str | None) -> None:
    """Send runs recorded while the MLflow server was unreachable.

    They lie in .mlflow_kept/. A run that cannot be sent stays there; its line says why, and the exit code is 1.
    """
    from confidnet_core.cli.recorded_runs import send_recorded_runs

    for outcome_line in send_recorded_runs(store_uri):
        click.echo(outcome_line)
