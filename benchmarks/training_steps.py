"""Processor seconds of a classifier's training step, and of one pass with dropout, against the usual ways, in one run.

OMP_NUM_THREADS=1 python -m benchmarks.training_steps [--repeats 5] [--dropout-alone]

The networks are those of the full recipes: VGG16 on 128 images of 32x32, SegNet of half width on 4 images of 180x240. "As published" is
float32, images in the order (channels, height, width), and nn.Dropout. The rounds are mixed, and the least of each is taken, so that a busy
machine slows all ways alike.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks._timing import print_processor_seconds
from benchmarks.confidence_heads import CPU, SEGNET, VGG16, noise
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.registry import find_entry
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import labels_to_tensor, normalise_images
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.networks.dropout import RandomBitsDropout, with_fast_dropout
from confidnet_core.training.losses import cross_entropy

TASKS = {"VGG16, 128 images": (VGG16, (32, 32), 128, False), "SegNet, 4 images 180x240": (SEGNET, (180, 240), 4, True)}
AS_PUBLISHED = "as published"


def built(model: RegistryEntryChoice, dataset: Dataset) -> nn.Module:
    torch.manual_seed(0)
    return find_entry("models", model.name)(classes=len(dataset.classes), image_shape=dataset.image_shape, **model.settings).train()


def training_step(network: nn.Module, images: Tensor, labels: Tensor, precision: str) -> Callable[[], object]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)

    def step() -> None:
        with autocast(CPU, precision):
            loss = cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def random_pass(network: nn.Module, images: Tensor, precision: str) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode(), autocast(CPU, precision):
            network(images)

    return run


def ways_of(model: RegistryEntryChoice, dataset: Dataset) -> dict[str, dict[str, Callable[[], object]]]:
    images, labels = dataset.split("train")
    inputs, targets = normalise_images(torch.from_numpy(images), dataset, CPU), labels_to_tensor(labels, CPU)
    published, usual_dropout = built(model, dataset), to_device(built(model, dataset), CPU)
    ours, rows = to_device(with_fast_dropout(built(model, dataset)), CPU), inputs.contiguous()
    return {
        "training step": {
            AS_PUBLISHED: training_step(published, rows, targets, "fp32"),
            "bf16, channels last, nn.Dropout": training_step(usual_dropout, inputs, targets, "bf16"),
            "as here: with random bits": training_step(ours, inputs, targets, "bf16"),
        },
        "pass with dropout": {
            AS_PUBLISHED: random_pass(published, rows, "fp32"),
            "fp32, channels last, nn.Dropout": random_pass(usual_dropout, inputs, "fp32"),
            "fp32 with random bits": random_pass(ours, inputs, "fp32"),
            "bf16 with random bits": random_pass(ours, inputs, "bf16"),
        },
    }


def dropout_alone() -> dict[str, Callable[[], object]]:
    values = torch.randn(128, 64, 32, 32).contiguous(memory_format=torch.channels_last)  # 8.4 million elements
    return {
        name: lambda layer=layer: layer.train()(values)
        for name, layer in {"nn.Dropout": nn.Dropout(), "random bits": RandomBitsDropout()}.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dropout-alone", action="store_true")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, least of {arguments.repeats}")
    print_processor_seconds("dropout of 8.4 million elements", dropout_alone(), arguments.repeats)
    for name, (model, size, count, is_segmentation) in ({} if arguments.dropout_alone else TASKS).items():
        for work, ways in ways_of(model, noise(size, count, is_segmentation)).items():
            print_processor_seconds(f"{work}, {name}", ways, arguments.repeats)


if __name__ == "__main__":
    main()
