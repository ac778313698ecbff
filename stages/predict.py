"""The classifier's answers on the test, validation and calibration split, once, for all scores: python -m stages.predict BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  data/predictions/BENCHMARK/seedSEED/{metrics.json, and test/, val/, calibration/ with logits.npy and predicted.npy}
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import SCORED, load_dataset
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.device import device
from confidnet_core.networks.inference import predict, prediction_metrics, save_predictions
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.tracking.stopwatch import Stopwatch
from stages._command import command, stage_params


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(paths.prepared(name))

    with stage_run(stage="predict", benchmark=name, seed=seed, params=stage_params(params, name, "model")) as tracked:
        classifier = load_classifier(paths.network(name, seed, "baseline"), benchmark, dataset)
        answers, stopwatch = {}, Stopwatch()
        for split in SCORED:
            with stopwatch.measure(len(dataset.splits[split])):
                answers[split] = predict(classifier, dataset.split(split)[0], dataset, device())
        metrics = prediction_metrics(answers["test"], dataset.split("test")[1], dataset)

        save_predictions(paths.predictions(name, seed), answers, metrics)
        tracked.log_metrics({key: value for key, value in metrics.items() if key != "class_iou"})
        tracked.log_metrics(stopwatch.metrics())
        tracked.log_metrics({f"iou/{name}": value for name, value in metrics.get("class_iou", {}).items()})


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
