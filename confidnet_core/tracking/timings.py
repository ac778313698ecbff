"""Seconds that stages and scores took, of their newest finished runs in MLflow: no result of a study, since machines differ."""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, on_server, open_store, project_root, reason

PAGE = 1000  # runs in one answer of MLflow's
LEGEND = (
    "Seconds of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run. Of a score: the test, "
    "validation and calibration splits with what it fits, from stored predictions. The passes with dropout on are made by the stage "
    "sample, networks by the training stages."
)


class Timing(NamedTuple):
    stage: str
    seed: str | None  # None of a stage for all seeds
    method: str | None  # None but of the stage `evaluate`
    seconds: float  # from start to end; of a score what it took itself, on all splits, with what it fits


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


def of_scores(found: Iterable[Timing]) -> dict[str, str]:
    """METHOD -> seconds as shown."""
    return _means((one.method, one.seconds) for one in found if one.method is not None)


def of_stages(found: Iterable[Timing]) -> dict[str, str]:
    """STAGE -> seconds as shown, of those that are no score's."""
    return _means((one.stage, one.seconds) for one in found if one.method is None)


def _means(pairs: Iterable[tuple[str, float]]) -> dict[str, str]:
    lists: dict[str, list[float]] = {}
    for name, seconds in pairs:
        lists.setdefault(name, []).append(seconds)
    return {name: f"{value:.3g}" if (value := mean(values)) < 100 else f"{value:.0f}" for name, values in lists.items()}


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
            took = run.data.metrics.get("seconds", (run.info.end_time - run.info.start_time) / 1000)
            found[stage, seed, method] = Timing(stage, seed, method, took)
        token = runs.token or ""
    return list(found.values())
