"""Networks as the authors released them: their layers in the published order, from PyTorch alone, under names of our own choosing."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CPU, benchmark, small_digits
from small_params import replace
from torch import Tensor, nn
from torch.nn import functional

from confidnet_core.checkpoints.importing import ImportedCheckpoint, import_checkpoint
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import load_verified_classifier
from confidnet_core.networks.batches import normalise_images
from confidnet_core.networks.classifier import Classifier

WIDTH = 20  # of the heads


class Mlp(nn.Module):
    def __init__(self, classes: int, pixels: int = 784, hidden: int = 1000) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(pixels, hidden), nn.Linear(hidden, classes)

    def features(self, images: Tensor) -> Tensor:
        return self.fc1(images.reshape(len(images), -1)).relu()


class Convnet(nn.Module):
    def __init__(self, classes: int, channels: tuple[int, int] = (32, 64), pooled: int = 144, hidden: int = 128) -> None:
        super().__init__()
        self.conv1 = nn.ModuleDict({"block": nn.ModuleList([nn.Conv2d(1, channels[0], 3)])})
        self.conv2 = nn.ModuleDict({"block": nn.ModuleList([nn.Conv2d(*channels, 3)])})
        self.fc1, self.fc2 = nn.Linear(channels[1] * pooled, hidden), nn.Linear(hidden, classes)

    def features(self, images: Tensor) -> Tensor:
        first = self.conv1["block"][0](images).relu()
        pooled = functional.max_pool2d(self.conv2["block"][0](first).relu(), 2)
        return self.fc1(pooled.flatten(1)).relu()


class Vgg(nn.Module):
    """13 convolutions: reflection padding, convolution, ReLU, BatchNorm; pooling after the 2nd, 4th, 7th, 10th and 13th."""

    def __init__(self, classes: int, divisor: int = 1, hidden: int = 512) -> None:
        super().__init__()
        widths = [width // divisor for width in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)]
        for place, (before, after) in enumerate(pairwise([3, *widths]), start=1):
            padded = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3))
            self.add_module(f"conv{place}", nn.ModuleDict({"padded": padded, "bn": nn.BatchNorm2d(after)}))
        self.fc1, self.fc2 = nn.Linear(widths[-1], hidden), nn.Linear(hidden, classes)

    def features(self, images: Tensor) -> Tensor:
        for place in range(1, 14):
            layer = self.get_submodule(f"conv{place}")
            images = layer["bn"](layer["padded"](images).relu())
            if place in (2, 4, 7, 10, 13):
                images = functional.max_pool2d(images, 2)
        return self.fc1(images.flatten(1)).relu()


def randomised(network: nn.Module) -> nn.Module:
    """Answers that vary with the image, and BatchNorm as after a training, so that what is in a wrong place is seen."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias, std=0.2)
            part.num_batches_tracked.fill_(7)
    return network.eval()


def with_head(network: nn.Module, width: int = 400) -> nn.Module:
    """ "Classic": the classifier with five layers of a head beside its own."""
    for place, (before, after) in enumerate(pairwise([network.fc2.in_features, width, width, width, width, 1]), start=1):
        network.add_module(f"uncertainty{place}", nn.Linear(before, after))
        nn.init.kaiming_normal_(network.get_submodule(f"uncertainty{place}").weight, nonlinearity="relu")
    return network


def cloning(classifier: nn.Module, classic: nn.Module) -> nn.ModuleDict:
    """The classifier, and a network with a head, built with one class."""
    return nn.ModuleDict({"pred_network": classifier, "uncertainty_network": classic})


@torch.no_grad()
def logits(network: nn.Module, images: Tensor) -> Tensor:
    return network.fc2(network.features(images))


@torch.no_grad()
def confidence(network: nn.Module, images: Tensor) -> Tensor:
    values = network.features(images)
    for place in range(1, 5):
        values = network.get_submodule(f"uncertainty{place}")(values).relu()
    return network.uncertainty5(values).squeeze(1)


def save(network: nn.Module, path: Path, **changes: Any) -> Path:
    """In the format of PyTorch 1.1, with what else a checkpoint holds. changes: of the content; None removes."""
    optimizer = torch.optim.Adam(network.parameters())
    content = {"epoch": 11, "model_state_dict": network.state_dict(), "optimizer_state_dict": optimizer.state_dict()} | changes
    content = {key: value for key, value in content.items() if value is not None}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def colours() -> Dataset:
    """90 images 3x32x32 of noise."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (90, 3, 32, 32), np.uint8), rng.integers(0, 10, 90, np.uint8)
    splits = dict(zip(("train", "val", "test"), np.split(np.arange(90), 3), strict=True))
    return Dataset(images, labels, splits, tuple("0123456789"), (0.5, 0.5, 0.4), (0.2, 0.2, 0.3), "noise")


MODELS: dict[str, tuple[RegistryEntryChoice, Callable[[int], nn.Module], Callable[[], Dataset]]] = {
    "mlp": (RegistryEntryChoice("mlp", {"hidden": 32}), lambda classes: Mlp(classes, 64, 32), small_digits),
    "convnet": (
        RegistryEntryChoice("mnist_convnet", {"width": 0.25, "feature_dim": 16}),
        lambda classes: Convnet(classes, (8, 16), 4, 16),
        small_digits,
    ),
    "vgg": (RegistryEntryChoice("vgg16", {"width": 1 / 8, "feature_dim": 16}), lambda classes: Vgg(classes, 8, 16), colours),
}


class Case:
    """A benchmark of ours, a published network for it, and a folder for both."""

    def __init__(self, name: str, folder: Path) -> None:
        choice, self.network, data = MODELS[name]
        what = benchmark(choice)
        self.benchmark: Benchmark = replace(what, confidnet=replace(what.confidnet, widths=(WIDTH,) * 4))
        self.dataset, self.folder, self.models = data(), folder, folder / "models"
        torch.manual_seed(0)
        self.classifier = randomised(self.network(10))
        self.classic = with_head(randomised(self.network(10)), WIDTH)
        self.classic.load_state_dict(self.classifier.state_dict(), strict=False)
        self.clone = cloning(self.classifier, with_head(randomised(self.network(1)), WIDTH)).eval()

    def take(self, kind: str, network: nn.Module, **changes: object) -> ImportedCheckpoint:
        path = save(network, self.folder / "released.ckpt", **changes)
        return import_checkpoint(kind, path, self.benchmark, self.dataset, self.models, CPU)

    def refusal(self, kind: str, network: nn.Module, **changes: object) -> str:
        with pytest.raises(ValueError) as caught:
            self.take(kind, network, **changes)
        assert not (self.models / kind).exists()
        return str(caught.value)

    def split(self, name: str) -> tuple[Tensor, np.ndarray]:
        images, labels = self.dataset.split(name)
        return normalise_images(torch.from_numpy(images), self.dataset, CPU), labels

    def own(self) -> Classifier:
        return load_verified_classifier(self.models / "baseline", self.benchmark, self.dataset, CPU)
