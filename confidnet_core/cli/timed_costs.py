"""What scores cost on this machine: the milliseconds and seconds that MLflow has, beside what params.yaml and their files say."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.costs import cost_table, stages_of
from confidnet_core.comparison.lines import lines_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.tracking.timings import Timing, means_over_seeds

Means = Mapping[tuple[str, str | None], Timing]
MILLISECONDS = Column("ms_per_image", "ms an image", form=".3g")
TRAINING = Column("training_seconds", "training s", form=".3g")
SECONDS = Column("seconds", "seconds", form=".3g")
LEGEND = (
    "Milliseconds an image at prediction time: the classifier's own forward pass, the score, and its extra forward passes, once networks",
    "are loaded and values fitted.",
    "Training seconds: of the networks that are trained for the score, and of what it fits.",
    "Of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run.",
)


def timed_costs(costs: pd.DataFrame, took: Iterable[Timing], reference: str | None) -> list[Table]:
    """The scores of one benchmark of a `cost_frame`, and its stages with their seconds.

    reference: the score with which times are compared; None compares them with none
    """
    means = means_over_seeds(took)
    times = {row.method: _milliseconds(row.method, row.extra_passes, means) for row in lines_of(costs)}
    unit, rows = times.get(reference or "", math.nan), []
    for row, cost in zip(cost_table(costs).rows, lines_of(costs), strict=True):
        relative = [Cell(times[cost.method] / unit)] if reference else []
        timed = (Cell(times[cost.method]), *relative, Cell(_training(cost.method, cost.extra_passes, means)))
        rows.append(replace(row, cells=(*row.cells, *timed)))
    relative = [Column("relative", f"× {display_name(reference)}", form=".3g")] if reference else []  # noqa: RUF001
    columns = (*cost_table(costs).columns, MILLISECONDS, *relative, TRAINING)
    return [Table("Costs on this machine", columns, tuple(rows), legend=LEGEND), _stages(means)]


def _milliseconds(method: str, extra: int, means: Means) -> float:
    """NaN where a run of it has no time for an image."""
    own, before = means.get(("evaluate", method)), stages_of(method, extra).predicting
    counts = {"predict": 1 + before.get("predict", 0)} | {stage: count for stage, count in before.items() if stage != "predict"}
    parts = [(own, 1), *((means.get((stage, None)), count) for stage, count in counts.items())]
    return sum(math.nan if timing is None or timing.ms_per_image is None else count * timing.ms_per_image for timing, count in parts)


def _training(method: str, extra: int, means: Means) -> float:
    own, parts = means.get(("evaluate", method)), stages_of(method, extra).training
    networks = (math.nan if (timing := means.get((stage, None))) is None else count * timing.seconds for stage, count in parts.items())
    return math.nan if own is None or own.fit_seconds is None else own.fit_seconds + sum(networks)


def _stages(means: Means) -> Table:
    rows = (Row(stage, stage, (Cell(timing.seconds),)) for (stage, method), timing in means.items() if method is None)
    return Table("", (SECONDS,), tuple(rows), stub="stage")
