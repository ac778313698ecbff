"""Seconds that stages and scores took, of their newest finished runs in MLflow: no result of a study, since machines differ."""

import os
from collections.abc import Iterable
from statistics import mean
from typing import NamedTuple

from confidnet_core.tracking.store import StoreError, on_server, open_store, project_root, reason

PAGE = 1000  # runs in one answer of MLflow's
SCORED = "evaluate"  # the stage whose seconds are those of a score
LEGEND = (
    "Seconds of the newest runs in MLflow, means over seeds; what DVC restored from its cache did not run. Of a score: the test, "
    "validation and calibration splits with what it fits, from stored predictions. The stochastic forward passes are made by the stage "
    "sample, networks by the training stages."
)


class Timing(NamedTuple):
    stage: str
    seed: str | None  # None of a stage for all seeds
    method: str | None  # None of a stage that does not run once a score
    seconds: float  # from start to end; of a score what it took itself, on all splits, with what it fits


def timings(benchmark: str) -> list[Timing]:
    """The newest finished run of each stage, seed and method, in the order of these runs. ValueError where the store is not there, or does
    not answer."""
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


def of_scores(newest: Iterable[Timing]) -> dict[str, str]:
    """METHOD -> seconds that its evaluation took, as shown."""
    return _means((each.method, each.seed, each.seconds) for each in newest if each.method is not None and each.stage == SCORED)


def of_stages(newest: Iterable[Timing]) -> dict[str, str]:
    """STAGE -> seconds as shown, but for the evaluation of scores; of a stage that runs once a score, all scores together."""
    return _means((each.stage, each.seed, each.seconds) for each in newest if each.stage != SCORED)


def _means(timed: Iterable[tuple[str, str | None, float]]) -> dict[str, str]:
    """Name -> mean over seeds, as shown, of the sums of seconds of each seed."""
    sums: dict[str, dict[str | None, float]] = {}
    for name, seed, seconds in timed:
        of_name = sums.setdefault(name, {})
        of_name[seed] = of_name.get(seed, 0.0) + seconds
    return {name: f"{value:.3g}" if (value := mean(seeds.values())) < 100 else f"{value:.0f}" for name, seeds in sums.items()}


def _newest(client, experiment: str) -> list[Timing]:
    newest, token = {}, None
    while token != "":
        runs = client.search_runs(
            [experiment], "attributes.status = 'FINISHED'", max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        for run in runs:
            stage, seed, method = (run.data.tags.get(key) for key in ("stage", "seed", "method"))
            if stage is None:  # the row of a whole execution
                continue
            took = run.data.metrics.get("seconds", (run.info.end_time - run.info.start_time) / 1000)
            newest[stage, seed, method] = Timing(stage, seed, method, took)
        token = runs.token or ""
    return list(newest.values())
