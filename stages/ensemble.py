"""Average the softmax over the classifiers of all seeds, for the scores that need it: python -m stages.ensemble BENCHMARK

Each method has its own folder, so that a new seed reruns only the evaluations of methods that need the ensemble.

reads   data/prepared/BENCHMARK/, data/predictions/BENCHMARK/, params.yaml
writes  data/ensembles/BENCHMARK/{METHOD/ with facts.json and, where the method needs them, test.npy, val.npy, calibration.npy}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_attributes
from confidnet_core.data import load_dataset
from confidnet_core.scoring.ensembles import save_ensembles
from confidnet_core.tracking.stage_run import stage_run
from stages._command import run_stage


def main(params: Params, name: str) -> None:
    params.benchmark(name)
    dataset, seeds, methods = load_dataset(paths.prepared(name)), params.seeds, entry_attributes("scores", params.methods, "over_seeds")

    with stage_run(stage="ensemble", benchmark=name, seed=None, params={"seeds": list(seeds)}):
        save_ensembles(paths.ENSEMBLES / name, methods, seeds, paths.PREDICTIONS / name, dataset)


if __name__ == "__main__":
    run_stage(main, benchmark=str)
