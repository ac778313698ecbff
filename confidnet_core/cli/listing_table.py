"""A list of names for a terminal, one line each; verbose with all that is known of them, for a pipe with tabs, and as JSON."""

import json
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from confidnet_core.cli.listing import Listed

NEEDS = {"trained": "trained network", "fitted": "validation data", "neighbours": "training features"}  # `learned` of a score in words


def show(console: Console, kind: str, found: list[Listed], verbose: bool, as_json: bool) -> None:
    """Print it. kind: what is listed, in the plural."""
    if as_json:
        entries = [{key: value for key, value in asdict(each).items() if key != "brief"} for each in found]
        print(json.dumps(entries, indent=2, ensure_ascii=False), file=console.file)
    elif not console.is_terminal:
        for each in found:  # rich would make blanks of tabs
            costs = [each.learned or "no", str(each.passes or 0)] if any(one.learned or one.passes for one in found) else []
            print("\t".join([f"{'*' if each.selected else ' '} {each.name}", each.description, *costs]), file=console.file)
    else:
        (_print_paragraphs if verbose else _print_table)(console, kind, found)
        notes = ["* what params.yaml runs"] * any(each.selected for each in found) + ["-v shows details"] * (not verbose)
        console.print(Text("; ".join(notes), style="dim"))


def _print_table(console: Console, kind: str, found: list[Listed]) -> None:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column(kind.removesuffix("s"), no_wrap=True)
    table.add_column("description")  # the only one that a narrow terminal cuts
    for each in found:
        table.add_row(_star(each), Text(each.name, style="bold"), Text(each.brief, no_wrap=True, overflow="ellipsis"))
    console.print(table)


def _print_paragraphs(console: Console, kind: str, found: list[Listed]) -> None:
    for each in found:
        console.print(Text.assemble(_star(each), " ", (each.name, "bold")))
        console.print(Padding(Text(each.description), (0, 0, 0, 4)))
        if each.learned in NEEDS:
            console.print(f"    needs: {NEEDS[each.learned]}")
        if each.passes:
            console.print(f"    extra forward passes: {each.passes}")


def _star(each: Listed) -> Text:
    return Text("*" if each.selected else " ", style="green")
