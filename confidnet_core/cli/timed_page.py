"""The page with the seconds that MLflow has of its scores and stages: a copy to read, since equal studies give equal pages."""

import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

import pandas as pd

from confidnet_core.cli.timed_costs import timed_costs
from confidnet_core.comparison.rendering import html
from confidnet_core.files import write_text
from confidnet_core.tracking.timings import Timing

PLACE = re.compile("<!-- seconds of (.+?) -->")  # in templates/benchmark.html
COPY = Path(".dvc/tmp/report.html")  # which git ignores


def write_timed_page(page: Path, root: Path, costs: pd.DataFrame, took: Callable[[str], Iterable[Timing]], reference: str | None) -> Path:
    """ROOT/.dvc/tmp/report.html: PAGE with what TOOK knows of each of its benchmarks. ValueError as from TOOK.

    costs: a `cost_frame`; reference: as `timed_costs` takes it
    """

    def drawn(found: re.Match[str]) -> str:
        benchmark = unescape(found[1])
        timings = list(took(benchmark))
        tables = timed_costs(costs[costs["benchmark"] == benchmark], timings, reference) if timings else []
        return "".join(html(table, label="Seconds of stages" if table.stub == "stage" else None) for table in tables)

    write_text(root / COPY, PLACE.sub(drawn, page.read_text(encoding="utf-8")))
    return root / COPY
