"""Display names of confidence scores in tables, from the attribute `display_name` that a score's function sets in its own file."""

from collections.abc import Iterable
from functools import cache

from confidnet_core.config.registry import entry_names, literal_attribute


def display_names(methods: Iterable[str]) -> dict[str, str]:
    """Return {method: its name for readers}; a method without one, or without a file in confidnet_core/scores, keeps its own name."""
    return {method: display_name(method) for method in methods}


@cache
def display_name(method: str) -> str:
    """Return the name of a confidence score for readers, without importing its module: a table in a terminal must not wait for torch."""
    return str(literal_attribute("scores", method, "display_name") or method) if method in entry_names("scores") else method
