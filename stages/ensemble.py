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


def main(params: Params, benchmark_name: str) -> None:
    params.benchmark(benchmark_name)
    dataset, seeds = load_dataset(paths.prepared_data_folder(benchmark_name)), params.seeds
    ensemble_quantity_of_method = entry_attributes("scores", params.methods, "over_seeds")
    ensembles_folder, predictions_folder = paths.ENSEMBLES_FOLDER / benchmark_name, paths.PREDICTIONS_FOLDER / benchmark_name

    with stage_run(stage="ensemble", benchmark=benchmark_name, seed=None, params={"seeds": list(seeds)}, deferred=True):
        save_ensembles(ensembles_folder, ensemble_quantity_of_method, seeds, predictions_folder, dataset)


if __name__ == "__main__":
    run_stage(main, benchmark=str)
