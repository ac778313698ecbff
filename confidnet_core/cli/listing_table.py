"""Printing of the list of scores, models, data sets or benchmarks: in a terminal one line for each, or all details if verbose; lines with
tabs in a pipe; or JSON.
"""

import json
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from confidnet_core.cli.listing import ListedEntry

# Value of a score's attribute `learned` -> its name for readers.
SCORE_REQUIREMENT_NAMES = {
    "trained": "trained network",
    "fitted": "validation data",
    "neighbours": "training features",
}


def print_list(
    console: Console, listed_entry_kind: str, listed_entries: list[ListedEntry], prints_details: bool, prints_json: bool
) -> None:
    """Print entries of `confidnet list`: as a table or paragraphs in a terminal, as lines with tabs in a pipe, or as JSON.

    listed_entry_kind: what is listed, in the plural: models, datasets, methods or benchmarks
    """
    if prints_json:
        json_entries = [
            {field_name: field_value for field_name, field_value in asdict(listed_entry).items() if field_name != "short_description"}
            for listed_entry in listed_entries
        ]
        print(json.dumps(json_entries, indent=2, ensure_ascii=False), file=console.file)
    elif not console.is_terminal:
        for listed_entry in listed_entries:  # not with rich, which replaces tabs by spaces
            cost_texts = (
                [listed_entry.learned or "no", str(listed_entry.passes or 0)]
                if any(entry.learned or entry.passes for entry in listed_entries)
                else []
            )
            print(
                "\t".join([f"{'*' if listed_entry.selected else ' '} {listed_entry.name}", listed_entry.description, *cost_texts]),
                file=console.file,
            )
    else:
        (_print_entry_paragraphs if prints_details else _print_entry_table)(console, listed_entry_kind, listed_entries)
        hint_texts = ["* what params.yaml runs"] * any(listed_entry.selected for listed_entry in listed_entries) + ["-v shows details"] * (
            not prints_details
        )
        console.print(Text("; ".join(hint_texts), style="dim"))


def _print_entry_table(console: Console, listed_entry_kind: str, listed_entries: list[ListedEntry]) -> None:
    """Print the entries in a terminal as a table with one line for each entry."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column(listed_entry_kind.removesuffix("s"), no_wrap=True)
    table.add_column("description")  # the only column that a narrow terminal truncates
    for listed_entry in listed_entries:
        table.add_row(
            _selection_star(listed_entry),
            Text(listed_entry.name, style="bold"),
            Text(listed_entry.short_description, no_wrap=True, overflow="ellipsis"),
        )
    console.print(table)


def _print_entry_paragraphs(console: Console, listed_entry_kind: str, listed_entries: list[ListedEntry]) -> None:
    """Print the entries in a terminal with all details, several lines for each entry."""
    for listed_entry in listed_entries:
        console.print(Text.assemble(_selection_star(listed_entry), " ", (listed_entry.name, "bold")))
        console.print(Padding(Text(listed_entry.description), (0, 0, 0, 4)))
        if listed_entry.learned in SCORE_REQUIREMENT_NAMES:
            console.print(f"    needs: {SCORE_REQUIREMENT_NAMES[listed_entry.learned]}")
        if listed_entry.passes:
            console.print(f"    extra forward passes: {listed_entry.passes}")


def _selection_star(listed_entry: ListedEntry) -> Text:
    """Return a star if params.yaml runs the score or benchmark, else a blank."""
    return Text("*" if listed_entry.selected else " ", style="green")
