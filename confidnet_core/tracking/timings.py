"""Run times of stages and scores, read from their newest finished runs in MLflow; they are no results of a study, since machines differ."""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, failure_reason, open_store, project_root, uses_server

RUNS_PER_PAGE = 1000  # runs per answer of MLflow


class Timing(NamedTuple):
    """Times of one stage, seed and method."""

    stage: str
    seed: str | None  # None for a stage that covers all seeds
    method: str | None  # None for a stage that does not run per score
    seconds: float  # wall time; for a score and for a stage that runs the classifier, only the work on images
    ms_per_image: float | None = None  # after loading and fitting
    fit_seconds: float | None = None  # of a score's fitting, before it scores


def newest_timings(benchmark: str) -> list[Timing]:
    """Return the times of the newest finished run of each stage, seed and method, in the order of these runs.

    ValueError if there is no store or it does not answer.
    """
    database = project_root() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database.is_file():
        raise ValueError(f"{database} does not exist; `dvc repro` makes it, with the seconds of the stages that it runs")
    try:
        client, experiment = open_store(f"confidnet/{benchmark}")
        return _newest_by_stage(client, experiment)
    except StoreError:
        raise
    except Exception as error:
        if not uses_server():
            raise
        raise ValueError(f"the MLflow server {failure_reason(error)}; the seconds are there alone") from None


def mean_timings(timings: Iterable[Timing]) -> dict[tuple[str, str | None], Timing]:
    """Return (stage, method) -> its mean times over seeds, in the order of the runs; None for a time that some run lacks."""
    groups: dict[tuple[str, str | None], list[Timing]] = {}
    for timing in timings:
        groups.setdefault((timing.stage, timing.method), []).append(timing)
    return {key: _mean_timing(group) for key, group in groups.items()}


def _mean_timing(group: list[Timing]) -> Timing:
    def mean_if_complete(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if len(known) == len(values) else None

    ms_per_image = mean_if_complete([timing.ms_per_image for timing in group])
    fit_seconds = mean_if_complete([timing.fit_seconds for timing in group])
    return Timing(group[0].stage, None, group[0].method, mean(timing.seconds for timing in group), ms_per_image, fit_seconds)


def _newest_by_stage(client, experiment: str) -> list[Timing]:
    by_stage, token = {}, None
    while token != "":
        runs = client.search_runs(
            [experiment],
            "attributes.status = 'FINISHED'",
            max_results=RUNS_PER_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        for run in runs:
            stage, seed, method = (run.data.tags.get(key) for key in ("stage", "seed", "method"))
            if stage is None:  # the row of an execution
                continue
            metrics, run_seconds = run.data.metrics, (run.info.end_time - run.info.start_time) / 1000
            measured = metrics.get("seconds", run_seconds), metrics.get("ms_per_image"), metrics.get("fit_seconds")
            by_stage[stage, seed, method] = Timing(stage, seed, method, *measured)
        token = runs.token or ""
    return list(by_stage.values())
