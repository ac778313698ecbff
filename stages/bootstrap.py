"""How the metrics scatter over resamples of the test split, for intervals and paired differences: python -m stages.bootstrap BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/seedSEED/, data/scores/BENCHMARK/seedSEED/, params.yaml
writes  data/bootstrap/BENCHMARK/seedSEED/{METHOD.npy}
"""

from pathlib import Path

from confidnet_core.config.params import Params
from confidnet_core.evaluation.intervals import intervals
from confidnet_core.evaluation.stored import Place, save_replicates
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.progress import progress
from confidnet_core.tracking.stage_run import stage_run
from stages._command import command


def main(params: Params, name: str, seed: int) -> None:
    place, how, rows = Place(name, seed, tuple(params.methods)), params.bootstrap, {}
    correct, sizes = place.outcomes()

    with stage_run(stage="bootstrap", benchmark=name, seed=seed, params=dict(how)) as run:
        for method in progress(place.methods, description=f"bootstrap {name}", unit="method"):
            rows[method] = bootstrap(place.confidence(method), correct, sizes=sizes, resamples=how.resamples, seed=how.seed)

        save_replicates(Path("data/bootstrap") / place.folder, rows)
        ends = intervals({(method,): values for method, values in rows.items()}, how.level, ["method"])
        run.log_metrics({f"{method}.{end}": value for (method,), values in ends.iterrows() for end, value in values.items()})


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
