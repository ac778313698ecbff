"""The command `offline`: a page for `dvc plots` that needs no network."""

import os

import click


@click.command("offline")
def command() -> None:
    """Write a page with which `dvc plots` draws without a network.

    DVC's own page loads the drawing library from a server. Once written, `dvc config --local plots.html_template tmp/plots.html` makes
    this page the one of `dvc plots show` and `dvc plots diff`.
    """
    from confidnet_core.cli.offline import write_plots_template
    from confidnet_core.tracking.store import project_root

    template_path = write_plots_template(project_root())
    click.echo(f"{template_path}: dvc plots show --html-template {os.path.relpath(template_path)}")
