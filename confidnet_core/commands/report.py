"""The command `report`: the page in a browser."""

import webbrowser

import click

from confidnet_core.commands._shared import REPORTS_FOLDER


@click.command("report")
def command() -> None:
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
