"""Run times of pipeline stages and confidence scores, read from the newest finished MLflow run of each. They are shown beside a study's
results but are no part of them, since machines differ.
"""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, failure_reason, open_store, project_root, uses_server

RUNS_PER_PAGE = 1000  # runs per answer of MLflow


class Timing(NamedTuple):
    """Run times of one pipeline stage, for one seed and one confidence score (method)."""

    stage: str
    seed: str | None  # None for a stage that covers all seeds
    method: str | None  # None for a stage that does not run per score
    seconds: float  # wall time; for a score and for a stage that runs the classifier, only the work on images
    ms_per_image: float | None = None  # after loading and fitting
    fit_seconds: float | None = None  # of a score's fitting, before it scores


def newest_timings(benchmark: str) -> list[Timing]:
    """Return the run times of a benchmark's newest finished MLflow runs, one for each stage, seed and method, in the order of the runs.

    ValueError if there is no MLflow store or the store does not answer.
    """
    database_path = project_root() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database_path.is_file():
        raise ValueError(f"{database_path} does not exist; `dvc repro` makes it, with the seconds of the stages that it runs")
    try:
        client, experiment_id = open_store(f"confidnet/{benchmark}")
        return _load_newest_timings(client, experiment_id)
    except StoreError:
        raise
    except Exception as error:
        if not uses_server():
            raise
        raise ValueError(f"the MLflow server {failure_reason(error)}; the seconds are there alone") from None


def mean_timings(timings: Iterable[Timing]) -> dict[tuple[str, str | None], Timing]:
    """Return (stage, method) -> run times averaged over seeds, in the order of the given timings.

    A time is None in the mean if it is None for any seed.
    """
    timings_by_stage_and_method: dict[tuple[str, str | None], list[Timing]] = {}
    for timing in timings:
        timings_by_stage_and_method.setdefault((timing.stage, timing.method), []).append(timing)
    return {key: _average_timings(grouped_timings) for key, grouped_timings in timings_by_stage_and_method.items()}


def _average_timings(timings: list[Timing]) -> Timing:
    """Return one `Timing` with the mean times of several seeds of the same stage and method."""

    def mean_if_all_known(values: list[float | None]) -> float | None:
        known_values = [value for value in values if value is not None]
        return mean(known_values) if len(known_values) == len(values) else None

    ms_per_image = mean_if_all_known([timing.ms_per_image for timing in timings])
    fit_seconds = mean_if_all_known([timing.fit_seconds for timing in timings])
    return Timing(timings[0].stage, None, timings[0].method, mean(timing.seconds for timing in timings), ms_per_image, fit_seconds)


def _load_newest_timings(client, experiment_id: str) -> list[Timing]:
    """Return the run times of an experiment's newest finished MLflow run for each stage, seed and method."""
    timing_by_tags, page_token = {}, None
    while page_token != "":
        runs = client.search_runs(
            [experiment_id],
            "attributes.status = 'FINISHED'",
            max_results=RUNS_PER_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=page_token,
        )
        for run in runs:
            stage, seed, method = (run.data.tags.get(key) for key in ("stage", "seed", "method"))
            if stage is None:  # the row of an execution
                continue
            metrics, run_seconds = run.data.metrics, (run.info.end_time - run.info.start_time) / 1000
            measured_times = metrics.get("seconds", run_seconds), metrics.get("ms_per_image"), metrics.get("fit_seconds")
            timing_by_tags[stage, seed, method] = Timing(stage, seed, method, *measured_times)
        page_token = runs.token or ""
    return list(timing_by_tags.values())
