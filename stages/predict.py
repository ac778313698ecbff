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
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import run_stage, stage_params


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(paths.prepared(name))

    with stage_run(stage="predict", benchmark=name, seed=seed, params=stage_params(params, name, "model")) as tracked:
        classifier = load_classifier(paths.network(name, seed, "baseline"), benchmark, dataset)
        predictions, stopwatch = {}, Stopwatch()
        for split in SCORED_SPLITS:
            with stopwatch.measure(len(dataset.splits[split])):
                predictions[split] = predict(classifier, dataset.split(split)[0], dataset, select_device())
        metrics = prediction_metrics(predictions["test"], dataset.split("test")[1], dataset)

        save_predictions(paths.predictions(name, seed), predictions, metrics)
        tracked.log_metrics({key: value for key, value in metrics.items() if key != "class_iou"})
        tracked.log_metrics(stopwatch.metrics())
        tracked.log_metrics({f"iou/{name}": value for name, value in metrics.get("class_iou", {}).items()})


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
