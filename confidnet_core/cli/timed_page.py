"""Copy of the report page with run times from MLflow added; the report itself shows no times, so that equal studies give equal pages."""

import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

import pandas as pd

from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.rendering import html
from confidnet_core.files import write_text
from confidnet_core.tracking.timings import StageTiming

PLACEHOLDER = re.compile("<!-- seconds of (.+?) -->")  # comment in templates/benchmark.html that the tables replace
TIMED_PAGE = Path(".dvc/tmp/report.html")  # ignored by git


def write_timed_page(
    page: Path, root: Path, costs: pd.DataFrame, load_timings: Callable[[str], Iterable[StageTiming]], reference: str | None
) -> Path:
    """Write ROOT/.dvc/tmp/report.html, a copy of the report PAGE with tables of run times, and return its path.

    costs: a `cost_frame`; load_timings: returns the run times of a benchmark, and its ValueError is passed on; reference: as for
    `cost_tables_with_times`
    """

    def render_timed_tables(match: re.Match[str]) -> str:
        """Return the HTML tables of run times that replace a placeholder comment, which names a benchmark."""
        benchmark = unescape(match[1])
        timings = list(load_timings(benchmark))
        tables = cost_tables_with_times(costs[costs["benchmark"] == benchmark], timings, reference) if timings else []
        return "".join(html(table, label="Seconds of stages" if table.first_column_title == "stage" else None) for table in tables)

    write_text(root / TIMED_PAGE, PLACEHOLDER.sub(render_timed_tables, page.read_text(encoding="utf-8")))
    return root / TIMED_PAGE
