"""The command `list`: names that params.yaml can use."""

import click

from confidnet_core.commands._shared import make_console

LISTABLE_ENTRY_KINDS = ("benchmarks", "methods", "models", "datasets")  # as the functions list_... of cli/listing.py


@click.command("list")
@click.argument("listed_entry_kind", type=click.Choice(LISTABLE_ENTRY_KINDS))
@click.option("-v", "--verbose", "prints_details", is_flag=True, help="References of scores and what they need; settings of benchmarks.")
@click.option("--json", "prints_json", is_flag=True, help="For scripts: a JSON list of name, selected, description and others.")
def command(listed_entry_kind: str, prints_details: bool, prints_json: bool) -> None:
    """Names that params.yaml can use, with a line about each.

    A star marks what params.yaml runs. Where the output is no terminal, all is printed, with tabs between the columns.
    """
    from confidnet_core.cli import listing, listing_table

    listed_entries = getattr(listing, f"list_{listed_entry_kind}")()
    listing_table.print_list(make_console(), listed_entry_kind, listed_entries, prints_details, prints_json)
