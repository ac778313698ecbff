"""Compute the metrics of a score on bootstrap resamples of the test split: python -m stages.bootstrap BENCHMARK SEED METHOD

All scores are evaluated on the same resamples, so that differences between scores are paired.

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/METHOD/, params.yaml
writes  data/bootstrap/BENCHMARK/seedSEED/METHOD.npy, which is empty for a score that was left out
"""

import numpy as np

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.evaluation.intervals import count_units, standard_errors
from confidnet_core.evaluation.left_out import left_out_reason
from confidnet_core.evaluation.stored import StoredResults, save_bootstrap_replicates
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int, method: str) -> None:
    if left_out_reason(benchmark_name, seed, method):
        save_bootstrap_replicates(paths.bootstrap_replicates_path(benchmark_name, seed, method), np.empty((0, len(METRICS))))
        return
    stored_results = StoredResults(benchmark_name, seed, (method,))
    confidence, correct, predictions_per_image = stored_results.confidence_and_outcomes(method)
    # Not the level of the intervals, which belongs to the comparison: another level resamples nothing anew.
    resample_count, resampling_seed = params.bootstrap.resamples, params.bootstrap.seed
    logged_params = {"resamples": resample_count, "seed": resampling_seed}

    with stage_run(stage="bootstrap", benchmark=benchmark_name, seed=seed, method=method, params=logged_params, deferred=True) as tracked:
        resampling_settings = {"resample_count": resample_count, "seed": resampling_seed}
        replicates = bootstrap(confidence, correct, pixels_per_image=predictions_per_image, **resampling_settings)

        save_bootstrap_replicates(paths.bootstrap_replicates_path(benchmark_name, seed, method), replicates)
        error_by_metric = standard_errors(replicates, count_units(correct, predictions_per_image))
        tracked.log_metrics({f"{metric}_standard_error": error for metric, error in error_by_metric.items()})


if __name__ == "__main__":
    run_stage(main, check_entries=False, benchmark=str, seed=int, method=str)
