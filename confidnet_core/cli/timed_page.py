"""The page with the seconds that MLflow has of its scores and stages: a copy to read, since equal studies give equal pages."""

import re
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path

from confidnet_core.comparison.table import aligned
from confidnet_core.files import write_text
from confidnet_core.reporting.markup import html
from confidnet_core.tracking.timings import LEGEND, Timing, of_scores, of_stages

PLACE = re.compile("<!-- seconds of (.+?) -->")  # in templates/benchmark.html
COPY = Path(".dvc/tmp/report.html")  # which git ignores


def write_timed_page(page: Path, root: Path, took: Callable[[str], Iterable[Timing]]) -> Path:
    """ROOT/.dvc/tmp/report.html: PAGE with what TOOK knows of each of its benchmarks. ValueError as from TOOK."""
    write_text(root / COPY, PLACE.sub(lambda found: _tables(list(took(unescape(found[1])))), page.read_text(encoding="utf-8")))
    return root / COPY


def _tables(found: list[Timing]) -> str:
    if not found:
        return ""
    scores = aligned([["method", "seconds"], *map(list, of_scores(found).items())], left=1)
    stages = aligned([["stage", "seconds"], *map(list, of_stages(found).items())], left=1)
    return html("\n\n".join(["### Seconds", "\n".join(scores), "\n".join(stages), LEGEND]))
