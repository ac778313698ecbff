"""Training images per second of TrainingBatches against a torchvision DataLoader: same data, same augmentation, same run.

OMP_NUM_THREADS=1 python -m benchmarks.input_pipeline [--samples 50000] [--repeats 5]
"""

import argparse
import platform
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import (
    ColorJitter,
    Compose,
    InterpolationMode,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    ToTensor,
)
from torchvision.transforms.functional import hflip

sys.path.insert(0, str(Path(__file__).parents[1]))
from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import TrainingBatches

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
WORKERS = (0, 2)


@dataclass(frozen=True)
class Task:
    name: str
    size: tuple[int, int]
    batch_size: int
    augmentation: Augmentation
    transforms: list = field(default_factory=list)  # the same augmentation in torchvision's words; of classification
    most: int | None = None  # samples
    void: int | None = None  # of label maps


TASKS = (
    Task(
        "CIFAR-10: flip, rotation 15", (32, 32), 128, Augmentation(flip=True, rotation=15.0), [RandomHorizontalFlip(), RandomRotation(15)]
    ),
    Task("CIFAR-100: flip, crop 4", (32, 32), 128, Augmentation(flip=True, crop=4), [RandomHorizontalFlip(), RandomCrop(32, padding=4)]),
    Task(
        "digits: rotation 15, scale 0.15, shear 0.2, crop 2, bilinear",
        (32, 32),
        128,
        Augmentation(rotation=15.0, scale=0.15, shear=0.2, crop=2, interpolation="bilinear"),
        [RandomAffine(15, (2 / 32, 2 / 32), (0.85, 1.15), 11.3, InterpolationMode.BILINEAR)],
    ),
    Task(
        "photographs: flip, crop 4, brightness and contrast 0.2",
        (32, 32),
        128,
        Augmentation(flip=True, crop=4, brightness=0.2, contrast=0.2),
        [RandomHorizontalFlip(), RandomCrop(32, padding=4), ColorJitter(0.2, 0.2)],
    ),
    Task("CamVid: flip, label maps", (180, 240), 4, Augmentation(flip=True), most=367, void=11),
)


def generated(task: Task, samples: int) -> Dataset:
    """Noise to train on, and one image more each for validation and test."""
    rng, count = np.random.default_rng(0), min(samples, task.most or samples)
    images = rng.integers(0, 256, (count + 2, 3, *task.size), dtype=np.uint8)
    labels = rng.integers(0, 10, (count + 2, *(task.size if task.void else ())), dtype=np.uint8)
    splits = {"train": np.arange(count), "val": np.array([count]), "test": np.array([count + 1])}
    return Dataset(images, labels, splits, tuple("abcdefghij"), MEAN, STD, "noise", task.void)


class Images(torch.utils.data.Dataset):
    """As torchvision's data sets are: an array (n, height, width, channels), decoded to PIL and transformed one by one."""

    def __init__(self, dataset: Dataset, transforms: list) -> None:
        images, self.labels = dataset.split("train")
        self.images = np.ascontiguousarray(np.moveaxis(images, 1, -1))
        self.transform = Compose([*transforms, ToTensor(), Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class LabelMaps(Images):
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, labels = Image.fromarray(self.images[index]), Image.fromarray(self.labels[index])
        if random.random() < 0.5:
            image, labels = hflip(image), hflip(labels)
        return self.transform(image), torch.from_numpy(np.array(labels)).long()


class Epochs:
    """A pass over TrainingBatches each time, as the training loop makes it."""

    def __init__(self, dataset: Dataset, task: Task) -> None:
        self.batches = TrainingBatches(dataset, task.batch_size, task.augmentation, torch.device("cpu"))
        self.count = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.count += 1
        return (batch for _, batch in self.batches.epoch(Generator().manual_seed(self.count)))


def moments(epoch: Iterable[tuple[Tensor, Tensor]], samples: int) -> tuple[float, float]:
    """Mean and standard deviation of all that is fed. This first pass also starts the workers of a DataLoader."""
    sums = torch.zeros(2, dtype=torch.float64)
    for images, _ in epoch:
        sums += torch.stack([images.sum(dtype=torch.float64), images.double().square().sum()]) / images[0].numel()
    mean, square = (sums / samples).tolist()
    return mean, (square - mean**2) ** 0.5


def images_per_second(epoch: Iterable[tuple[Tensor, Tensor]]) -> float:
    start = time.perf_counter()
    count = sum(len(images) for images, _ in epoch)
    return count / (time.perf_counter() - start)


def compare(task: Task, samples: int, repeats: int) -> None:
    """One line a pipeline: the median of its speed, and of its distance to ours in the same repeat."""
    dataset = generated(task, samples)
    samples = len(dataset.splits["train"])
    kind = LabelMaps if dataset.is_segmentation else Images
    pipelines = {"TrainingBatches": Epochs(dataset, task)}
    for workers in WORKERS:
        loader = DataLoader(
            kind(dataset, task.transforms), task.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        pipelines[f"DataLoader, {workers} workers"] = loader
    fed = {name: moments(epoch, samples) for name, epoch in pipelines.items()}
    speeds = [{name: images_per_second(epoch) for name, epoch in pipelines.items()} for _ in range(repeats)]
    print(f"{task.name} ({samples:,} images, batches of {task.batch_size})")
    for name in pipelines:
        ratio = median(speed["TrainingBatches"] / speed[name] for speed in speeds)
        mean, deviation = fed[name]
        speed = median(speed[name] for speed in speeds)
        print(f"  {name:22} {speed:12,.0f} images/s {ratio:8.1f}x   fed: mean {mean:7.4f}, deviation {deviation:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=50_000, help="training images, at most (CamVid has 367)")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    versions = f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, {torch.get_num_threads()} threads"
    print(f"Python {platform.python_version()}, {versions}, median of {arguments.repeats}; ratio: TrainingBatches is so many times faster")
    for task in TASKS:
        compare(task, arguments.samples, arguments.repeats)


if __name__ == "__main__":
    main()
