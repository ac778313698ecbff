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
REQUIREMENT_LABELS = {
    "trained": "trained network",
    "fitted": "validation data",
    "neighbours": "training features",
}


def show_list(console: Console, kind: str, entries: list[ListedEntry], verbose: bool, as_json: bool) -> None:
    """Print list entries: as a table or paragraphs in a terminal, as lines with tabs in a pipe, or as JSON.

    kind: what is listed, in the plural: models, datasets, methods or benchmarks
    """
    if as_json:
        json_entries = [{key: value for key, value in asdict(entry).items() if key != "brief"} for entry in entries]
        print(json.dumps(json_entries, indent=2, ensure_ascii=False), file=console.file)
    elif not console.is_terminal:
        for entry in entries:  # not with rich, which replaces tabs by spaces
            cost_texts = [entry.learned or "no", str(entry.passes or 0)] if any(other.learned or other.passes for other in entries) else []
            print("\t".join([f"{'*' if entry.selected else ' '} {entry.name}", entry.description, *cost_texts]), file=console.file)
    else:
        (_print_paragraphs if verbose else _print_table)(console, kind, entries)
        hint_texts = ["* what params.yaml runs"] * any(entry.selected for entry in entries) + ["-v shows details"] * (not verbose)
        console.print(Text("; ".join(hint_texts), style="dim"))


def _print_table(console: Console, kind: str, entries: list[ListedEntry]) -> None:
    """Print list entries in a terminal as a table with one line for each entry."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column(kind.removesuffix("s"), no_wrap=True)
    table.add_column("description")  # the only column that a narrow terminal truncates
    for entry in entries:
        table.add_row(_selection_star(entry), Text(entry.name, style="bold"), Text(entry.brief, no_wrap=True, overflow="ellipsis"))
    console.print(table)


def _print_paragraphs(console: Console, kind: str, entries: list[ListedEntry]) -> None:
    """Print list entries in a terminal with all details, several lines for each entry."""
    for entry in entries:
        console.print(Text.assemble(_selection_star(entry), " ", (entry.name, "bold")))
        console.print(Padding(Text(entry.description), (0, 0, 0, 4)))
        if entry.learned in REQUIREMENT_LABELS:
            console.print(f"    needs: {REQUIREMENT_LABELS[entry.learned]}")
        if entry.passes:
            console.print(f"    extra forward passes: {entry.passes}")


def _selection_star(entry: ListedEntry) -> Text:
    """Return a star if params.yaml runs the entry, else a blank."""
    return Text("*" if entry.selected else " ", style="green")
