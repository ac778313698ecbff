"""Predict the test, validation and calibration split with the classifier, for all scores: python -m stages.predict BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  data/predictions/BENCHMARK/seedSEED/{metrics.json, and test/, val/, calibration/ with logits.npy and predicted.npy}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import SCORED_SPLITS, load_dataset
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.device import select_device
from confidnet_core.networks.inference import predict, prediction_metrics, save_predictions
from confidnet_core.system.processes import leave_to_first_process
from confidnet_core.system.room import array_of_any_size
from confidnet_core.tracking.names import class_metrics
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import run_stage, stage_params


def main(params: Params, benchmark_name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name))
    logged_params = stage_params(params, benchmark_name, "model")

    with stage_run(stage="predict", benchmark=benchmark_name, seed=seed, params=logged_params, deferred=True) as tracked:
        classifier = load_classifier(paths.network_folder(benchmark_name, seed, "baseline"), benchmark, dataset)
        predictions_by_split, stopwatch = {}, Stopwatch()
        for split in SCORED_SPLITS:
            with stopwatch.measure(len(dataset.splits[split])):
                predictions_by_split[split] = predict(classifier, dataset.split(split)[0], dataset, select_device(), array_of_any_size)
        leave_to_first_process()
        metrics = prediction_metrics(predictions_by_split["test"], dataset.split("test")[1], dataset)

        save_predictions(paths.predictions_folder(benchmark_name, seed), predictions_by_split, metrics)
        tracked.log_metrics({metric: metric_value for metric, metric_value in metrics.items() if metric != "class_iou"})
        tracked.log_metrics(stopwatch.metrics())
        tracked.log_metrics(class_metrics("iou", metrics.get("class_iou", {})))


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
