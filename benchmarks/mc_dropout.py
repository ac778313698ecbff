"""Processor seconds of MC-dropout as the stage `sample` computes it against full passes of the network, in one run.

OMP_NUM_THREADS=1 python -m benchmarks.mc_dropout [--passes 50] [--repeats 3] [--precision fp32]

All ways give the three quantities of the same images; the last two draw the same masks, and nn.Dropout others. The networks are those of
the full recipes, with random weights and the statistics of BatchNorm of one batch: VGG16 on 128 images of 32x32, SegNet of half width on 4
images of 180x240. The rounds are mixed, and the least of each is taken, so that a busy machine slows all parts alike.
"""

import argparse
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.confidence_heads import CPU, SEGNET, VGG16, noise
from confidnet_core.config.recipes import McDropout
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.networks.batches import inference_batches
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.networks.dropout import RandomBitsDropout, set_dropout
from confidnet_core.scoring.mc_dropout import sample_dropout

TASKS = {"VGG16, 128 images": (VGG16, (32, 32), 128, False), "SegNet, 4 images 180x240": (SEGNET, (180, 240), 4, True)}


def with_usual_dropout(network: Classifier) -> Classifier:
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, RandomBitsDropout):
                setattr(module, name, nn.Dropout(layer.p).train(layer.training))
    return network


def full_passes(classifier: Classifier, dataset: Dataset, settings: McDropout) -> np.ndarray:
    """Return the quantities (3, n) of full passes, as the words of the papers have it."""
    set_dropout(classifier, True)
    torch.manual_seed(0)
    found = []
    with torch.inference_mode():
        for _, images in inference_batches(dataset.split("train")[0], dataset, CPU):
            mean, expected = 0.0, 0.0
            for _ in range(settings.passes):
                with autocast(CPU, settings.precision):
                    probabilities = classifier(images).float().softmax(1)
                mean = mean + probabilities / settings.passes
                expected = expected + torch.special.entr(probabilities.double()).sum(1) / settings.passes
            found.append(torch.stack([torch.special.entr(mean.double()).sum(1), expected, mean.amax(1).double()]).flatten(1))
    set_dropout(classifier, False)
    return torch.cat(found, dim=1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    arguments = parser.parse_args()
    settings = McDropout(passes=arguments.passes, precision=arguments.precision)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {settings.passes} passes, {settings.precision}")
    for title, (model, size, count, is_segmentation) in TASKS.items():
        dataset = noise(size, count, is_segmentation)
        torch.manual_seed(0)
        classifier = to_device(build_classifier(model, dataset), CPU)
        with torch.no_grad():
            classifier.train()(next(inference_batches(dataset.split("train")[0][:8], dataset, CPU))[1])
        freeze(classifier)
        usual_dropout = with_usual_dropout(deepcopy(classifier))
        ways: dict[str, Callable[[], np.ndarray]] = {
            "full passes, nn.Dropout": lambda classifier=usual_dropout, dataset=dataset: full_passes(classifier, dataset, settings),
            "full passes": lambda classifier=classifier, dataset=dataset: full_passes(classifier, dataset, settings),
            "the stage `sample`": lambda classifier=classifier, dataset=dataset: np.stack(
                list(sample_dropout(classifier, dataset, "train", settings, 0, CPU).values())
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        found = {}
        for _ in range(arguments.repeats):
            for name, way in ways.items():
                start = time.process_time()
                found[name] = way()
                seconds[name].append(time.process_time() - start)
        _, usual, fast = found.values()
        difference = np.abs(usual[0] - fast[0])
        full, *_ = map(min, seconds.values())
        print(f"{title}: predictive entropy {usual[0].mean():.4f}, mean difference {difference.mean():.1e}, largest {difference.max():.1e}")
        for name, values in seconds.items():
            print(f"  {name:24} {min(values):8.2f} s {full / min(values):6.2f}x")


if __name__ == "__main__":
    main()
