"""Compute the metrics of a score on bootstrap resamples of the test split: python -m stages.bootstrap BENCHMARK SEED METHOD

All scores are evaluated on the same resamples, so that differences between scores are paired.

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/METHOD/, params.yaml
writes  data/bootstrap/BENCHMARK/seedSEED/METHOD.npy
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.evaluation.intervals import metric_intervals
from confidnet_core.evaluation.stored import StoredResults, save_replicates
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, name: str, seed: int, method: str) -> None:
    stored, settings = StoredResults(name, seed, (method,)), params.bootstrap
    correct, sizes = stored.outcomes()

    with stage_run(stage="bootstrap", benchmark=name, seed=seed, method=method, params=dict(settings)) as tracked:
        replicates = bootstrap(
            stored.confidence(method), correct, pixels_per_image=sizes, resample_count=settings.resamples, seed=settings.seed
        )

        save_replicates(paths.replicates(name, seed, method), replicates)
        interval = metric_intervals({(method,): replicates}, settings.level, ["method"]).iloc[0]
        tracked.log_metrics({str(end): value for end, value in interval.items()})


if __name__ == "__main__":
    run_stage(main, check_entries=False, benchmark=str, seed=int, method=str)
