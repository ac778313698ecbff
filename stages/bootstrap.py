"""Compute the metrics of a score on bootstrap resamples of the test split: python -m stages.bootstrap BENCHMARK SEED METHOD

All scores are evaluated on the same resamples, so that differences between scores are paired.

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/METHOD/, params.yaml
writes  data/bootstrap/BENCHMARK/seedSEED/METHOD.npy
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.evaluation.intervals import intervals
from confidnet_core.evaluation.stored import StoredResults, save_replicates
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int, method: str) -> None:
    stored_results, bootstrap_settings = StoredResults(benchmark_name, seed, (method,)), params.bootstrap
    correct, predictions_per_image = stored_results.outcomes()

    with stage_run(stage="bootstrap", benchmark=benchmark_name, seed=seed, method=method, params=dict(bootstrap_settings)) as mlflow_run:
        resample_count, resampling_seed = bootstrap_settings.resamples, bootstrap_settings.seed
        confidence = stored_results.confidence(method)
        replicates = bootstrap(confidence, correct, sizes=predictions_per_image, resamples=resample_count, seed=resampling_seed)

        save_replicates(paths.bootstrap_replicates(benchmark_name, seed, method), replicates)
        interval_ends = intervals({(method,): replicates}, bootstrap_settings.level, ["method"]).iloc[0]
        mlflow_run.log_metrics({str(end_name): end_value for end_name, end_value in interval_ends.items()})


if __name__ == "__main__":
    run_stage(main, check_entries=False, benchmark=str, seed=int, method=str)
