"""What several commands share: the console, options that hold lists, and completion of benchmark names in a shell."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

REPORTS_FOLDER = Path("reports")


def make_console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def split_at_commas(option_text: str | None) -> list[str]:
    """Return the words of an option such as "mcp,confidnet"; none for None and for empty text."""
    return [word.strip() for word in option_text.split(",")] if option_text else []


def complete_benchmark_name(click_context: click.Context, click_parameter: click.Parameter, typed_prefix: str) -> list[str]:
    """Return the names of benchmarks in params.yaml that begin with the typed letters, for the shell's tab completion."""
    from confidnet_core.cli import listing

    return [benchmark.name for benchmark in listing.list_benchmarks() if benchmark.name.startswith(typed_prefix)]
