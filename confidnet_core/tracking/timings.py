"""Seconds that stages and scores took, of their newest finished runs in MLflow: no result of a study, since machines differ."""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, on_server, open_store, project_root, reason

PAGE = 1000  # runs in one answer of MLflow's


class Timing(NamedTuple):
    stage: str
    seed: str | None  # None of a stage for all seeds
    method: str | None  # None of a stage that does not run once a score
    seconds: float  # from start to end; of a score and of a stage that runs the classifier, what the work on images took
    ms_per_image: float | None = None  # once everything is loaded and fitted
    fit_seconds: float | None = None  # of a score: what it fits before


def timings(benchmark: str) -> list[Timing]:
    """Of the newest finished run of each stage, seed and method, in the order of these runs. ValueError where the store is not there,
    or does not answer."""
    database = project_root() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI") and not database.is_file():
        raise ValueError(f"{database} does not exist; `dvc repro` makes it, with the seconds of the stages that it runs")
    try:
        client, experiment = open_store(f"confidnet/{benchmark}")
        return _newest(client, experiment)
    except StoreError:
        raise
    except Exception as error:
        if not on_server():
            raise
        raise ValueError(f"the MLflow server {reason(error)}; the seconds are there alone") from None


def means_over_seeds(found: Iterable[Timing]) -> dict[tuple[str, str | None], Timing]:
    """(stage, method) -> its means over seeds, in the order of the runs; None for what a run has not got."""
    groups: dict[tuple[str, str | None], list[Timing]] = {}
    for one in found:
        groups.setdefault((one.stage, one.method), []).append(one)
    return {key: _mean(group) for key, group in groups.items()}


def _mean(group: list[Timing]) -> Timing:
    def of(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if len(known) == len(values) else None

    ms_per_image, fit_seconds = of([one.ms_per_image for one in group]), of([one.fit_seconds for one in group])
    return Timing(group[0].stage, None, group[0].method, mean(one.seconds for one in group), ms_per_image, fit_seconds)


def _newest(client, experiment: str) -> list[Timing]:
    found, token = {}, None
    while token != "":
        runs = client.search_runs(
            [experiment], "attributes.status = 'FINISHED'", max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        for run in runs:
            stage, seed, method = (run.data.tags.get(key) for key in ("stage", "seed", "method"))
            if stage is None:  # the row of a whole execution
                continue
            metrics, whole = run.data.metrics, (run.info.end_time - run.info.start_time) / 1000
            known = metrics.get("seconds", whole), metrics.get("ms_per_image"), metrics.get("fit_seconds")
            found[stage, seed, method] = Timing(stage, seed, method, *known)
        token = runs.token or ""
    return list(found.values())
