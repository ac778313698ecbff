"""Validation AUPR-Error of heads on stored features or sampled pixels against heads trained as published, over several seeds.

OMP_NUM_THREADS=1 python -m benchmarks.head_inputs BENCHMARK [--seeds 5] [--train N] [--feature-passes 1 4 16] [--pixel-share 0.02 0.08]
    [--section confidnet]

The classifier and the head are those of BENCHMARK in params.yaml; N takes the first training images alone. All heads of a seed are on one
classifier, so their differences have no scatter of classifiers. The best epoch is chosen by AUPR-Error on the validation split, as in the
stage, so that its value is optimistic, for every way of training alike; the mean over the last half of the epochs is not.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from confidnet_core.config.params import Benchmark, load_params
from confidnet_core.config.registry import find_entry
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.device import select_device
from confidnet_core.splits import add_calibration_split
from confidnet_core.training.loop import Training
from confidnet_core.training.resume import ResumeFolder
from confidnet_core.training.targets import training_target_summary
from confidnet_core.training.trainings import train_classifier, train_confidnet, train_corrected_mcp

WAYS = {"confidnet": (build_confidnet, train_confidnet), "corrected_mcp": (build_corrected_mcp, train_corrected_mcp)}


def train_head(section: str, classifier: Any, benchmark: Benchmark, keys: dict, dataset: Dataset, seed: int) -> tuple[float, float, float]:
    """Return best and late validation AUPR-Error, and processor seconds, of a head whose recipe has these keys."""
    recipe = getattr(benchmark, section)
    recipe = type(recipe)(**dict(recipe) | keys)
    build, train = WAYS[section]
    torch.manual_seed(seed)
    network = build(freeze(classifier), recipe, dataset)
    if getattr(recipe, "first_confidence", "half") == "mean_tcp":
        network.head.set_initial_confidence(training_target_summary(network, dataset, select_device())["mean"])
    start = time.process_time()
    with TemporaryDirectory() as folder:
        state = train(
            network, Training(f"train_{section}", dataset, recipe, seed, select_device(), ResumeFolder(Path(folder)), lambda *_: None)
        )
    late = [row["val_aupr_error"] or 0.0 for row in state.history[-(recipe.epochs + 1) // 2 :]]
    return state.best_metrics["val_aupr_error"] or 0.0, mean(late), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train", type=int, help="training images, at most")
    parser.add_argument("--feature-passes", type=int, nargs="*", default=[])
    parser.add_argument("--pixel-share", type=float, nargs="*", default=[])
    parser.add_argument("--section", choices=list(WAYS), default="confidnet")
    arguments = parser.parse_args()
    params = load_params()
    benchmark = params.benchmark(arguments.benchmark)
    dataset = add_calibration_split(find_entry("datasets", benchmark.data.name)(**benchmark.data.settings), params.calibration_split)
    if arguments.train:
        dataset = replace(dataset, splits={**dataset.splits, "train": dataset.splits["train"][: arguments.train]})
    ways: dict[str, dict] = {"as published": {}}
    ways |= {f"feature_passes: {passes}": {"feature_passes": passes} for passes in arguments.feature_passes}
    ways |= {f"pixel_share: {share:g}": {"pixel_share": share, "kernel": 1} for share in arguments.pixel_share}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        classifier = build_classifier(benchmark.model, dataset)
        with TemporaryDirectory() as folder:
            resume = ResumeFolder(Path(folder))
            train_classifier(
                classifier, Training("train_baseline", dataset, benchmark.baseline, seed, select_device(), resume, lambda *_: None)
            )
        for name, keys in ways.items():
            found[name].append(train_head(arguments.section, classifier, benchmark, keys, dataset, seed))
            print(
                f"seed {seed}, {name}: best {found[name][-1][0]:.4f}, late {found[name][-1][1]:.4f}, {found[name][-1][2]:.1f} s", flush=True
            )
    published = found["as published"]
    print(f"{arguments.benchmark}, {arguments.section}, {arguments.seeds} seeds")
    print("validation AUPR-Error in percent, and what it gains over the published way, with the standard error of this mean")
    for name, values in found.items():
        columns = []
        for index in (0, 1):
            gains = [100 * (value[index] - usual[index]) for value, usual in zip(values, published, strict=True)]
            error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
            columns.append(f"{100 * mean(value[index] for value in values):6.2f} {mean(gains):+6.2f} ({error:.2f})")
        ratio = sum(usual[2] for usual in published) / sum(value[2] for value in values)
        print(f"  {name:20} best {columns[0]}   last half of the epochs {columns[1]}   {ratio:5.1f}x faster")


if __name__ == "__main__":
    main()
