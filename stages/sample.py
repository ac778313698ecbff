"""Run the classifier several times with dropout on, for all scores that need these samples: python -m stages.sample BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  data/samples/BENCHMARK/seedSEED/{facts.json, test/, val/, calibration/}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import SCORED_SPLITS, load_dataset
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.device import select_device
from confidnet_core.scoring.mc_dropout import has_dropout, sample_dropout, save_dropout_samples
from confidnet_core.system.processes import leave_to_first_process
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import run_stage


def main(params: Params, benchmark_name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name))
    mc_dropout_settings = benchmark.mc_dropout

    with stage_run(stage="sample", benchmark=benchmark_name, seed=seed, params=dict(mc_dropout_settings)) as tracked:
        classifier = load_classifier(paths.network_folder(benchmark_name, seed, "baseline"), benchmark, dataset)
        has_dropout_layers = has_dropout(classifier)
        splits_with_dropout_samples = SCORED_SPLITS if mc_dropout_settings.passes and has_dropout_layers else ()
        dropout_samples_by_split, stopwatch = {}, Stopwatch()
        for split in splits_with_dropout_samples:
            with stopwatch.measure(len(dataset.splits[split])):
                dropout_samples_by_split[split] = sample_dropout(classifier, dataset, split, mc_dropout_settings, seed, select_device())

        leave_to_first_process()
        save_dropout_samples(
            paths.dropout_samples_folder(benchmark_name, seed), dropout_samples_by_split, mc_dropout_settings.passes, has_dropout_layers
        )
        tracked.log_metrics(stopwatch.metrics())


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
