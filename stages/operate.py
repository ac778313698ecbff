"""Each score as a probability of being right, and thresholds with a guarantee: python -m stages.operate BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/, params.yaml
writes  data/operating/BENCHMARK/seedSEED/{METHOD/ with calibration.json, replicates.npy, reliability.csv and threshold.json}
"""

from pathlib import Path

from confidnet_core.config.params import Params
from confidnet_core.data import SCORED
from confidnet_core.evaluation.stored import Place
from confidnet_core.evaluation.thresholds import Scored, reliability, save_operation, thresholds
from confidnet_core.files import replacing
from confidnet_core.progress import progress
from confidnet_core.tracking.stage_run import stage_run
from stages._command import command


def main(params: Params, name: str, seed: int) -> None:
    place, how = Place(name, seed, tuple(params.methods)), params.thresholds
    outcomes = {split: place.outcomes(split) for split in SCORED}
    settings = {"risks": list(how.risks), "delta": how.delta}

    with (
        stage_run(stage="operate", benchmark=name, seed=seed, params=settings) as run,
        replacing(Path("data/operating") / place.folder) as folder,
    ):
        for method in progress(place.methods, description=f"operate {name}", unit="method"):
            scored = {split: Scored(place.confidence(method, split), *outcome) for split, outcome in outcomes.items()}
            found = reliability(scored["val"], scored["test"], place.evaluation(method).scale, params.bootstrap)
            promises = thresholds(scored["val"], scored["calibration"], scored["test"], how)
            save_operation(folder / method, found, promises)
            run.log_metrics({f"{method}.{key}": value for key, value in found.metrics.items()})
            run.log_metrics({f"{method}.coverage_at_{one['risk']:g}": one["test"]["coverage"] for one in promises})


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
