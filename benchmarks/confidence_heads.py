"""Processor seconds of a step of a confidence head: on stored features and on sampled pixels, against the published step, in one run.

OMP_NUM_THREADS=1 python -m benchmarks.confidence_heads [--repeats 5] [--precision bf16]

The networks are those of the full recipes, with random weights, which take as long: VGG16 on 128 images of 32x32, SegNet of half width on 4
images of 180x240. The rounds are mixed, and the least of each is taken, so that a busy machine slows all parts alike.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks._timing import print_processor_seconds
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.recipes import ConfidnetRecipe
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_classifier, build_confidnet
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.networks.confidnet import ConfidNet, freeze
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.training.head_inputs import StoredFeatureBatches, sample_pixels
from confidnet_core.training.loop import Training
from confidnet_core.training.losses import confidence_loss
from confidnet_core.training.resume import ResumeFolder

CPU = torch.device("cpu")
VGG16, SEGNET = RegistryEntryChoice("vgg16", {"dropout": 0.25}), RegistryEntryChoice("segnet", {"width": 0.5})
RECIPE = {"epochs": 40, "learning_rate": 0.001, "optimizer": "adam"}


def noise(size: tuple[int, int], count: int, is_segmentation: bool) -> Dataset:
    """Return images of noise to train on, and one image more each for validation and test."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count + 2, 3, *size), dtype=np.uint8)
    labels = rng.integers(0, 10, (count + 2, *(size if is_segmentation else ())), dtype=np.uint8)
    splits = {"train": np.arange(count), "val": np.array([count]), "test": np.array([count + 1])}
    return Dataset(images, labels, splits, tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3, "noise", None)


def built(model: RegistryEntryChoice, dataset: Dataset, recipe: ConfidnetRecipe) -> ConfidNet:
    torch.manual_seed(0)
    return to_device(build_confidnet(freeze(build_classifier(model, dataset)), recipe, dataset), CPU).train()


def step(network: ConfidNet, recipe: ConfidnetRecipe, inputs: Callable[[], tuple[Tensor, Tensor, Tensor]]) -> Callable[[], None]:
    """Return a function that takes one optimizer step on features, class logits and labels from `inputs`."""
    optimizer = torch.optim.Adam(network.head.parameters(), lr=recipe.learning_rate)

    def take_step() -> None:
        with autocast(CPU, recipe.precision):
            features, class_logits, labels = inputs()
            loss = confidence_loss(network.confidence_of_features(features, class_logits), class_logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return take_step


def classification_steps(precision: str) -> dict[str, Callable[[], None]]:
    recipe = ConfidnetRecipe(**RECIPE, batch_size=128, precision=precision, feature_passes=1)
    dataset = noise((32, 32), 128, is_segmentation=False)
    network = built(VGG16, dataset, recipe)
    ((_, (images, labels)),) = TrainingBatches(dataset, 128, recipe.augmentation, CPU).epoch(torch.Generator().manual_seed(0))
    stored = StoredFeatureBatches(network, Training("", dataset, recipe, 0, CPU, ResumeFolder(Path("unused")), lambda *_: None))
    return {
        "encoder and head, as published": step(network, recipe, lambda: (*network.encode_with_logits(images), labels)),
        "stored features": step(network, recipe, lambda: next(stored.epoch(torch.Generator().manual_seed(0)))[1]),
    }


def segmentation_steps(precision: str) -> dict[str, Callable[[], None]]:
    recipe = ConfidnetRecipe(**RECIPE, batch_size=4, precision=precision, kernel=1)
    dataset = noise((180, 240), 4, is_segmentation=True)
    network = built(SEGNET, dataset, recipe)
    ((_, (images, labels)),) = TrainingBatches(dataset, 4, recipe.augmentation, CPU).epoch(torch.Generator().manual_seed(0))

    def sampled(share: float) -> Callable[[], tuple[Tensor, Tensor, Tensor]]:
        return lambda: sample_pixels(*network.encode_with_logits(images), labels, share)

    return {
        "all pixels, as published with kernel 1": step(network, recipe, lambda: (*network.encode_with_logits(images), labels)),
        **{f"pixel_share {share}": step(network, recipe, sampled(share)) for share in (0.25, 0.08, 0.02)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.precision}, least of {arguments.repeats}")
    titles = {"ConfidNet on VGG16, 128 images": classification_steps, "ConfidNet on SegNet, 4 images 180x240": segmentation_steps}
    for title, steps_of in titles.items():
        print_processor_seconds(title, steps_of(arguments.precision), arguments.repeats)


if __name__ == "__main__":
    main()
