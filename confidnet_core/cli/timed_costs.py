"""Tables of what each confidence score costs on this machine: run times from MLflow, beside its forward passes and training."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.costs import cost_table, stage_counts
from confidnet_core.comparison.lines import iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.tracking.timings import StageTiming, mean_timings

MeanTimings = Mapping[tuple[str, str | None], StageTiming]
MILLISECONDS_COLUMN = Column("ms_per_image", "ms an image", number_format=".3g")
TRAINING_SECONDS_COLUMN = Column("training_seconds", "training s", number_format=".3g")
SECONDS_COLUMN = Column("seconds", "seconds", number_format=".3g")
LEGEND = (
    "Milliseconds an image at prediction time: the classifier's own forward pass, the score, and its extra forward passes, once networks",
    "are loaded and values fitted.",
    "Training seconds: of the networks that are trained for the score, and of what it fits.",
    "Of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run.",
)


def cost_tables_with_times(costs: pd.DataFrame, timings: Iterable[StageTiming], reference: str | None) -> list[Table]:
    """Return two tables for one benchmark: the costs of its scores with run times, and the seconds of its pipeline stages.

    costs: the benchmark's part of a `cost_frame`; reference: the score that times are relative to, None for no relative times
    """
    means = mean_timings(timings)
    ms_by_method = {row.method: _milliseconds_per_image(row.method, row.extra_passes, means) for row in iterate_rows(costs)}
    reference_ms, rows = ms_by_method.get(reference or "", math.nan), []
    for row, cost in zip(cost_table(costs).rows, iterate_rows(costs), strict=True):
        relative = [Cell(ms_by_method[cost.method] / reference_ms)] if reference else []
        timed_cells = (Cell(ms_by_method[cost.method]), *relative, Cell(_training_seconds(cost.method, cost.extra_passes, means)))
        rows.append(replace(row, cells=(*row.cells, *timed_cells)))
    relative = [Column("relative", f"× {display_name(reference)}", number_format=".3g")] if reference else []  # noqa: RUF001
    columns = (*cost_table(costs).columns, MILLISECONDS_COLUMN, *relative, TRAINING_SECONDS_COLUMN)
    return [Table("Costs on this machine", columns, tuple(rows), legend=LEGEND), _build_stage_table(means)]


def _milliseconds_per_image(method: str, extra_passes: int, means: MeanTimings) -> float:
    """Return the milliseconds that a score needs for one image at prediction time, with all forward passes.

    NaN if the time of a stage was not measured.
    """
    evaluation_timing, stage_uses = means.get(("evaluate", method)), stage_counts(method, extra_passes).prediction
    uses_by_stage = {"predict": 1 + stage_uses.get("predict", 0)} | {
        stage: count for stage, count in stage_uses.items() if stage != "predict"
    }
    timings_and_uses = [(evaluation_timing, 1), *((means.get((stage, None)), count) for stage, count in uses_by_stage.items())]
    return sum(
        math.nan if timing is None or timing.ms_per_image is None else count * timing.ms_per_image for timing, count in timings_and_uses
    )


def _training_seconds(method: str, extra_passes: int, means: MeanTimings) -> float:
    """Return the seconds of all training and fitting that a score needs; NaN if the time of a stage was not measured."""
    evaluation_timing, uses_by_stage = means.get(("evaluate", method)), stage_counts(method, extra_passes).training
    network_seconds = (
        math.nan if (timing := means.get((stage, None))) is None else count * timing.seconds for stage, count in uses_by_stage.items()
    )
    return (
        math.nan
        if evaluation_timing is None or evaluation_timing.fit_seconds is None
        else evaluation_timing.fit_seconds + sum(network_seconds)
    )


def _build_stage_table(means: MeanTimings) -> Table:
    """Return a table with the seconds of each pipeline stage that does not belong to a single score."""
    rows = (Row(stage, stage, (Cell(timing.seconds),)) for (stage, method), timing in means.items() if method is None)
    return Table("", (SECONDS_COLUMN,), tuple(rows), first_column_title="stage")
