"""Copy of the report page with run times from MLflow added; the report itself shows no times, so that equal studies give equal pages."""

import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

import pandas as pd

from confidnet_core.cli.timed_costs import cost_tables_with_times
from confidnet_core.comparison.rendering import table_to_html
from confidnet_core.files import write_text
from confidnet_core.tracking.timings import StageTiming

SECONDS_PLACEHOLDER = re.compile("<!-- seconds of (.+?) -->")  # comment in templates/benchmark.html that the tables replace
PAGE_WITH_RUN_TIMES_PATH = Path(".dvc/tmp/report.html")  # ignored by git


def write_page_with_run_times(
    report_page: Path,
    project_root: Path,
    cost_rows: pd.DataFrame,
    load_timings: Callable[[str], Iterable[StageTiming]],
    reference_method: str | None,
) -> Path:
    """Write PROJECT_ROOT/.dvc/tmp/report.html, a copy of the report page with tables of run times, and return its path.

    cost_rows: from `cost_frame`; load_timings: returns the run times of a benchmark, and its ValueError is passed on
    reference_method: the score that times are relative to, None for no relative times
    """

    def render_run_time_tables(placeholder_match: re.Match[str]) -> str:
        """Return the HTML tables of run times that replace a placeholder comment, which names a benchmark."""
        benchmark = unescape(placeholder_match[1])
        timings = list(load_timings(benchmark))
        run_time_tables = (
            cost_tables_with_times(cost_rows[cost_rows["benchmark"] == benchmark], timings, reference_method) if timings else []
        )
        return "".join(
            table_to_html(table, screen_reader_label="Seconds of stages" if table.first_column_title == "stage" else None)
            for table in run_time_tables
        )

    write_text(
        project_root / PAGE_WITH_RUN_TIMES_PATH, SECONDS_PLACEHOLDER.sub(render_run_time_tables, report_page.read_text(encoding="utf-8"))
    )
    return project_root / PAGE_WITH_RUN_TIMES_PATH
