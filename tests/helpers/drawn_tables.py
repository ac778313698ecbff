"""Tables as Markdown, and their cells read back."""

from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.tables import Table


def drawn(tables: list[Table]) -> str:
    return "\n\n".join(map(table_to_markdown, tables))


def table_of(text: str) -> list[list[str]]:
    """The cells of all its tables' lines; each of a table has as many."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    return [line for line in lines if not set("".join(line)) <= set("-: ")]
