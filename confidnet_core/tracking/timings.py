"""Run times of pipeline stages and confidence scores, read from the newest finished MLflow run of each. They are shown beside a study's
results but are no part of them, since machines differ.
"""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, open_mlflow_store, project_root, server_failure_reason, uses_server

RUNS_PER_MLFLOW_PAGE = 1000  # MLflow runs per answer of a search


class StageTiming(NamedTuple):
    """Run times of one pipeline stage, for one seed and one confidence score (`method`)."""

    stage: str
    seed: str | None  # None for a stage that covers all seeds
    method: str | None  # None for a stage that does not run per score
    seconds: float  # wall time; for a score and for a stage that runs the classifier, only the work on images
    ms_per_image: float | None = None  # after loading and fitting
    fit_seconds: float | None = None  # of a score's fitting, before it scores


def newest_timings(benchmark: str) -> list[StageTiming]:
    """Return the run times of each stage, seed and method of a benchmark, from its newest finished MLflow run, in the order of the runs.

    ValueError if there is no MLflow store or the store does not answer.
    """
    database_path = project_root() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database_path.is_file():
        raise ValueError(f"{database_path} does not exist; `dvc repro` makes it, with the seconds of the stages that it runs")
    try:
        mlflow_client, experiment_id = open_mlflow_store(f"confidnet/{benchmark}")
        return _load_newest_timings(mlflow_client, experiment_id)
    except StoreError:
        raise
    except Exception as error:
        if not uses_server():
            raise
        raise ValueError(f"the MLflow server {server_failure_reason(error)}; the seconds are there alone") from None


def mean_timings(timings: Iterable[StageTiming]) -> dict[tuple[str, str | None], StageTiming]:
    """Return a dictionary (STAGE, METHOD) -> run times averaged over seeds, in the order of the given timings.

    A time is None in the mean if it is None for any seed.
    """
    timings_by_stage_and_method: dict[tuple[str, str | None], list[StageTiming]] = {}
    for timing in timings:
        timings_by_stage_and_method.setdefault((timing.stage, timing.method), []).append(timing)
    return {
        stage_and_method: _average_timings(timings_over_seeds)
        for stage_and_method, timings_over_seeds in timings_by_stage_and_method.items()
    }


def _average_timings(timings_over_seeds: list[StageTiming]) -> StageTiming:
    """Return one `StageTiming` with the mean times of several seeds of the same stage and method."""

    def mean_if_all_known(times: list[float | None]) -> float | None:
        known_times = [known_time for known_time in times if known_time is not None]
        return mean(known_times) if len(known_times) == len(times) else None

    ms_per_image = mean_if_all_known([timing.ms_per_image for timing in timings_over_seeds])
    fit_seconds = mean_if_all_known([timing.fit_seconds for timing in timings_over_seeds])
    seconds = mean(timing.seconds for timing in timings_over_seeds)
    return StageTiming(timings_over_seeds[0].stage, None, timings_over_seeds[0].method, seconds, ms_per_image, fit_seconds)


def _load_newest_timings(mlflow_client, experiment_id: str) -> list[StageTiming]:
    """Return the run times of an experiment's newest finished MLflow run for each stage, seed and method."""
    timing_by_tags, page_token = {}, None
    while page_token != "":
        mlflow_runs = mlflow_client.search_runs(
            [experiment_id],
            "attributes.status = 'FINISHED'",
            max_results=RUNS_PER_MLFLOW_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=page_token,
        )
        for mlflow_run in mlflow_runs:
            stage, seed, method = (mlflow_run.data.tags.get(tag_name) for tag_name in ("stage", "seed", "method"))
            if stage is None:  # the MLflow run of a whole pipeline execution
                continue
            metrics, run_seconds = mlflow_run.data.metrics, (mlflow_run.info.end_time - mlflow_run.info.start_time) / 1000
            measured_times = metrics.get("seconds", run_seconds), metrics.get("ms_per_image"), metrics.get("fit_seconds")
            timing_by_tags[stage, seed, method] = StageTiming(stage, seed, method, *measured_times)
        page_token = mlflow_runs.token or ""
    return list(timing_by_tags.values())
