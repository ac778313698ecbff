"""Calibrate a score to probabilities, and find thresholds with a guarantee: python -m stages.thresholds BENCHMARK SEED METHOD

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/METHOD/, params.yaml
writes  data/thresholds/BENCHMARK/seedSEED/METHOD/{calibration.json, replicates.npy, reliability.csv, threshold.json}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import SCORED_SPLITS
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.evaluation.thresholds import ScoredSplit, guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, name: str, seed: int, method: str) -> None:
    stored, settings = StoredResults(name, seed, (method,)), params.thresholds
    resampling = {"resamples": params.bootstrap.resamples, "seed": params.bootstrap.seed}
    targets = {"risks": list(settings.risks), "delta": settings.delta}

    with stage_run(stage="thresholds", benchmark=name, seed=seed, method=method, params=targets) as tracked:
        scored = {split: ScoredSplit(stored.confidence(method, split), *stored.outcomes(split)) for split in SCORED_SPLITS}
        probabilities = reliability(scored["val"], scored["test"], stored.evaluation(method).scale, **resampling)
        guarantees = guaranteed_thresholds(scored["val"], scored["calibration"], scored["test"], settings)

        save_thresholds(paths.thresholds(name, seed, method), probabilities, guarantees)
        tracked.log_metrics(probabilities.metrics)
        coverages = {f"guaranteed_coverage/risk_{100 * guarantee['risk']:g}": guarantee["test"]["coverage"] for guarantee in guarantees}
        tracked.log_metrics(coverages)


if __name__ == "__main__":
    run_stage(main, check_entries=False, benchmark=str, seed=int, method=str)
