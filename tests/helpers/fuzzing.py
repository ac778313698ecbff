"""How random input is tried: how many cases, and what may come of each."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

LONG_PROFILE = "fuzz"  # of conftest.py, which `make fuzz` chooses
LONG_FACTOR = 10  # so many times the cases of an ordinary run


def cases(count: int) -> Callable[[Callable], Callable]:
    """Decorator of a test: how many cases are tried, in the long form LONG_FACTOR times as many."""
    factor = LONG_FACTOR if settings.get_current_profile_name() == LONG_PROFILE else 1
    return settings(max_examples=count * factor, deadline=None, suppress_health_check=list(HealthCheck), derandomize=factor == 1)


def one_line_or_result(compute: Callable[[], Any], file_name: str, *, names_file: bool = True) -> Any:
    """Return what `compute` returns, or None where it raises the project's error for wrong input, a ValueError of one line.

    file_name: a part of the message; every other error, and one of several lines, fails the test
    """
    try:
        return compute()
    except ValueError as error:
        assert type(error).__module__.startswith(("builtins", "confidnet_core")), type(error)
        assert type(error) is ValueError or type(error).__module__.startswith("confidnet_core"), repr(error)
        message = str(error)
        assert message and "\n" not in message, message
        assert not names_file or file_name in message, message
        return None
