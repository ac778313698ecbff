"""Copy of the report page with run times from MLflow; the page itself has none, so that equal studies give equal pages."""

import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

import pandas as pd

from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.rendering import html
from confidnet_core.files import write_text
from confidnet_core.tracking.timings import Timing

PLACEHOLDER = re.compile("<!-- seconds of (.+?) -->")  # comment in templates/benchmark.html that the tables replace
TIMED_PAGE = Path(".dvc/tmp/report.html")  # ignored by git


def write_timed_page(
    page: Path, root: Path, costs: pd.DataFrame, load_timings: Callable[[str], Iterable[Timing]], reference: str | None
) -> Path:
    """Write ROOT/.dvc/tmp/report.html, a copy of PAGE with the times that LOAD_TIMINGS returns for each benchmark, and return its path.

    costs: a `cost_frame`; reference: as `cost_tables_with_times` takes it. ValueError as from LOAD_TIMINGS.
    """

    def tables_for(match: re.Match[str]) -> str:
        benchmark = unescape(match[1])
        timings = list(load_timings(benchmark))
        tables = cost_tables_with_times(costs[costs["benchmark"] == benchmark], timings, reference) if timings else []
        return "".join(html(table, label="Seconds of stages" if table.first_column_title == "stage" else None) for table in tables)

    write_text(root / TIMED_PAGE, PLACEHOLDER.sub(tables_for, page.read_text(encoding="utf-8")))
    return root / TIMED_PAGE
