"""What scores are called in tables for readers: the attribute `display_name` of a score's function, in its own file."""

from collections.abc import Iterable
from functools import cache

from confidnet_core.config.registry import names, said


def display_names(methods: Iterable[str]) -> dict[str, str]:
    """METHOD -> its display name; the method itself where it sets none, or is no file of confidnet_core/scores."""
    return {method: display_name(method) for method in methods}


@cache
def display_name(method: str) -> str:
    """Read without importing the score, since a table in a terminal should not wait for torch."""
    return str(said("scores", method, "display_name") or method) if method in names("scores") else method
