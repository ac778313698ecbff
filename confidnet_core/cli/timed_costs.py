"""Costs of scores on this machine: run times from MLflow beside what params.yaml and the scores' attributes say."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.costs import cost_table, stage_counts
from confidnet_core.comparison.lines import iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.tracking.timings import Timing, mean_timings

MeanTimings = Mapping[tuple[str, str | None], Timing]
MILLISECONDS_COLUMN = Column("ms_per_image", "ms an image", number_format=".3g")
TRAINING_SECONDS_COLUMN = Column("training_seconds", "training s", number_format=".3g")
SECONDS_COLUMN = Column("seconds", "seconds", number_format=".3g")
LEGEND = (
    "Milliseconds an image at prediction time: the classifier's own forward pass, the score, and its extra forward passes, once networks",
    "are loaded and values fitted.",
    "Training seconds: of the networks that are trained for the score, and of what it fits.",
    "Of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run.",
)


def cost_tables_with_times(costs: pd.DataFrame, timings: Iterable[Timing], reference: str | None) -> list[Table]:
    """Return the cost table of one benchmark with times, and a table of its stages' seconds.

    costs: its rows of a `cost_frame`; reference: the score that times are relative to, None for no relative times
    """
    means = mean_timings(timings)
    times = {row.method: _milliseconds_per_image(row.method, row.extra_passes, means) for row in iterate_rows(costs)}
    reference_time, rows = times.get(reference or "", math.nan), []
    for row, cost in zip(cost_table(costs).rows, iterate_rows(costs), strict=True):
        relative = [Cell(times[cost.method] / reference_time)] if reference else []
        timed = (Cell(times[cost.method]), *relative, Cell(_training_seconds(cost.method, cost.extra_passes, means)))
        rows.append(replace(row, cells=(*row.cells, *timed)))
    relative = [Column("relative", f"× {display_name(reference)}", number_format=".3g")] if reference else []  # noqa: RUF001
    columns = (*cost_table(costs).columns, MILLISECONDS_COLUMN, *relative, TRAINING_SECONDS_COLUMN)
    return [Table("Costs on this machine", columns, tuple(rows), legend=LEGEND), _stage_table(means)]


def _milliseconds_per_image(method: str, extra_passes: int, means: MeanTimings) -> float:
    """Return the prediction time per image; NaN if a run has no such time."""
    evaluation, stage_uses = means.get(("evaluate", method)), stage_counts(method, extra_passes).prediction
    counts = {"predict": 1 + stage_uses.get("predict", 0)} | {stage: count for stage, count in stage_uses.items() if stage != "predict"}
    parts = [(evaluation, 1), *((means.get((stage, None)), count) for stage, count in counts.items())]
    return sum(math.nan if timing is None or timing.ms_per_image is None else count * timing.ms_per_image for timing, count in parts)


def _training_seconds(method: str, extra_passes: int, means: MeanTimings) -> float:
    evaluation, parts = means.get(("evaluate", method)), stage_counts(method, extra_passes).training
    networks = (math.nan if (timing := means.get((stage, None))) is None else count * timing.seconds for stage, count in parts.items())
    return math.nan if evaluation is None or evaluation.fit_seconds is None else evaluation.fit_seconds + sum(networks)


def _stage_table(means: MeanTimings) -> Table:
    rows = (Row(stage, stage, (Cell(timing.seconds),)) for (stage, method), timing in means.items() if method is None)
    return Table("", (SECONDS_COLUMN,), tuple(rows), first_column_title="stage")
