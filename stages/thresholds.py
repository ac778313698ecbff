"""Calibrate a score to probabilities, and find thresholds with a guarantee: python -m stages.thresholds BENCHMARK SEED METHOD

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/METHOD/, params.yaml
writes  data/thresholds/BENCHMARK/seedSEED/METHOD/{calibration.json, replicates.npy, reliability.csv, threshold.json}, or
        left_out.json there for a score that was left out
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import SCORED_SPLITS, warning_sentences
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.left_out import left_out_reason, save_left_out
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int, method: str) -> None:
    if reason := left_out_reason(benchmark_name, seed, method):
        save_left_out(paths.thresholds_folder(benchmark_name, seed, method), reason)
        return
    stored_results, threshold_settings = StoredResults(benchmark_name, seed, (method,)), params.thresholds
    resampling_settings = {"resample_count": params.bootstrap.resamples, "seed": params.bootstrap.seed}
    guarantee_targets = threshold_settings.model_dump(mode="json")

    with stage_run(
        stage="thresholds", benchmark=benchmark_name, seed=seed, method=method, params=guarantee_targets, deferred=True
    ) as tracked:
        results_by_split = {split: ScoredSplit(*stored_results.confidence_and_outcomes(method, split)) for split in SCORED_SPLITS}
        val_split, calibration_split, test_split = (results_by_split[split] for split in ("val", "calibration", "test"))
        reliability_on_test = reliability(val_split, test_split, stored_results.evaluation(method).scale, **resampling_settings)
        guarantees = guaranteed_thresholds(val_split, calibration_split, test_split, threshold_settings)

        warnings = warning_sentences(paths.prepared_data_folder(benchmark_name), "calibration")
        save_thresholds(paths.thresholds_folder(benchmark_name, seed, method), reliability_on_test, guarantees, warnings)
        tracked.log_metrics(reliability_on_test.metrics)
        coverage_by_risk = {f"{100 * guarantee['risk']:g}": guarantee["test"]["coverage"] for guarantee in guarantees}
        tracked.log_metrics({f"guaranteed_coverage/risk_{risk}": coverage for risk, coverage in coverage_by_risk.items()})


if __name__ == "__main__":
    run_stage(main, check_entries=False, benchmark=str, seed=int, method=str)
