"""Tables of what each confidence score costs on this machine: run times from MLflow, beside its forward passes and training."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from confidnet_core.comparison.costs import cost_table, stage_run_counts
from confidnet_core.comparison.lines import iterate_rows
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.tracking.timings import StageTiming, mean_timings

TimingByStage = Mapping[tuple[str, str | None], StageTiming]
MILLISECONDS_COLUMN = Column("ms_per_image", "ms an image", number_format=".3g")
TRAINING_SECONDS_COLUMN = Column("training_seconds", "training s", number_format=".3g")
SECONDS_COLUMN = Column("seconds", "seconds", number_format=".3g")
COST_LEGEND = (
    "Milliseconds an image at prediction time: the classifier's own forward pass, the score, and its extra forward passes, once networks",
    "are loaded and values fitted.",
    "Training seconds: of the networks that are trained for the score, and of what it fits.",
    "Of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run.",
)


def cost_tables_with_times(cost_rows: pd.DataFrame, timings: Iterable[StageTiming], reference_method: str | None) -> list[Table]:
    """Return two tables for one benchmark: the costs of its scores with run times, and the seconds of its pipeline stages.

    cost_rows: the benchmark's rows of `cost_frame`; timings: of its pipeline stages, from MLflow
    reference_method: the score that times are relative to, None for no relative times
    """
    timing_by_stage = mean_timings(timings)
    ms_by_method = {
        cost_row.method: _milliseconds_per_image(cost_row.method, cost_row.extra_passes, timing_by_stage)
        for cost_row in iterate_rows(cost_rows)
    }
    reference_ms, table_rows = ms_by_method.get(reference_method or "", math.nan), []
    for cost_row, cost in zip(cost_table(cost_rows).rows, iterate_rows(cost_rows), strict=True):
        relative_time_cells = [Cell(ms_by_method[cost.method] / reference_ms)] if reference_method else []
        run_time_cells = (
            Cell(ms_by_method[cost.method]),
            *relative_time_cells,
            Cell(_training_seconds(cost.method, cost.extra_passes, timing_by_stage)),
        )
        table_rows.append(replace(cost_row, cells=(*cost_row.cells, *run_time_cells)))
    relative_time_columns = (
        [Column("relative", f"× {display_name(reference_method)}", number_format=".3g")] if reference_method else []  # noqa: RUF001
    )
    table_columns = (*cost_table(cost_rows).columns, MILLISECONDS_COLUMN, *relative_time_columns, TRAINING_SECONDS_COLUMN)
    return [Table("Costs on this machine", table_columns, tuple(table_rows), legend=COST_LEGEND), _build_stage_table(timing_by_stage)]


def _milliseconds_per_image(method: str, extra_passes: int, timing_by_stage: TimingByStage) -> float:
    """Return the milliseconds that a score needs for one image at prediction time, with all forward passes.

    timing_by_stage: {(stage, method): mean timing}, with None for the method of a stage that all scores share. The
    result is NaN if the time of a stage was not measured.
    """
    evaluation_timing = timing_by_stage.get(("evaluate", method))
    prediction_repetitions = stage_run_counts(method, extra_passes).prediction_stage_runs
    repetitions_by_stage = {"predict": 1 + prediction_repetitions.get("predict", 0)} | {
        stage: repetition_count for stage, repetition_count in prediction_repetitions.items() if stage != "predict"
    }
    timings_and_repetitions = [
        (evaluation_timing, 1),
        *((timing_by_stage.get((stage, None)), repetition_count) for stage, repetition_count in repetitions_by_stage.items()),
    ]
    return sum(
        math.nan if timing is None or timing.ms_per_image is None else repetition_count * timing.ms_per_image
        for timing, repetition_count in timings_and_repetitions
    )


def _training_seconds(method: str, extra_passes: int, timing_by_stage: TimingByStage) -> float:
    """Return the seconds of all training and fitting that a score needs; NaN if the time of a stage was not measured.

    timing_by_stage: {(stage, method or None): mean timing}
    """
    evaluation_timing = timing_by_stage.get(("evaluate", method))
    repetitions_by_stage = stage_run_counts(method, extra_passes).training_stage_runs
    network_seconds = (
        math.nan if (timing := timing_by_stage.get((stage, None))) is None else repetition_count * timing.seconds
        for stage, repetition_count in repetitions_by_stage.items()
    )
    return (
        math.nan
        if evaluation_timing is None or evaluation_timing.fit_seconds is None
        else evaluation_timing.fit_seconds + sum(network_seconds)
    )


def _build_stage_table(timing_by_stage: TimingByStage) -> Table:
    """Return a table with the seconds of each pipeline stage that does not belong to a single score."""
    table_rows = (Row(stage, stage, (Cell(timing.seconds),)) for (stage, method), timing in timing_by_stage.items() if method is None)
    return Table("", (SECONDS_COLUMN,), tuple(table_rows), first_column_title="stage")
