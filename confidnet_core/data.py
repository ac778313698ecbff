"""A benchmark's data: 8-bit images and labels with named splits, as arrays on disk that later stages memory-map."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from confidnet_core.files import read_json, replacing, write_json

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """What a file of datasets/ returns.

    images: uint8 (n, channels, height, width)
    labels: uint8 (n,) for classification, (n, height, width) for segmentation; class indices, or `void`
    splits: int64 indices into the first axis under "train", "val", "test"; disjoint, none empty
    classes: class names in index order
    mean, std: one number a channel, of pixel values scaled to [0, 1]; what networks are fed is (image / 255 - mean) / std
    void: the label that is never trained on, predicted or counted; None if there is none
    source: where the data came from, in words
    """

    images: np.ndarray
    labels: np.ndarray
    splits: dict[str, np.ndarray]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    void: int | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.labels.dtype != np.uint8:
            got = f"{self.images.dtype} {self.images.shape} and {self.labels.dtype}"
            raise ValueError(f"{self.source}: expected uint8 images (n, c, h, w) and uint8 labels, got {got}")
        if set(self.splits) != set(SPLITS) or any(len(self.splits[name]) == 0 for name in SPLITS):
            sizes = {name: len(index) for name, index in self.splits.items()}
            raise ValueError(f"{self.source}: the splits train, val and test must all hold samples; got {sizes}")
        chosen = np.concatenate([self.splits[name] for name in SPLITS])
        if len(np.unique(chosen)) != len(chosen):
            raise ValueError(f"{self.source}: the splits share samples")

    @property
    def is_segmentation(self) -> bool:
        return self.labels.ndim == 3

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.images.shape[1:]

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels of a split, in memory."""
        index = self.splits[name]
        return self.images[index], self.labels[index]


def save_dataset(dataset: Dataset, folder: Path) -> dict:
    """Write images.npy, labels.npy, split.json (indices) and facts.json (everything else, with counts and a digest)."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        np.save(temporary / "images.npy", dataset.images)
        np.save(temporary / "labels.npy", dataset.labels)
        write_json(temporary / "split.json", {name: index.tolist() for name, index in dataset.splits.items()})
        facts = _facts(dataset)
        write_json(temporary / "facts.json", facts)
    return facts


def load_dataset(folder: Path) -> Dataset:
    """Memory-mapped, read-only. ValueError where the folder is missing or incomplete."""
    folder = Path(folder)
    facts, splits = read_json(folder / "facts.json"), read_json(folder / "split.json")
    return Dataset(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        labels=np.load(folder / "labels.npy", mmap_mode="r"),
        splits={name: np.asarray(splits[name], dtype=np.int64) for name in SPLITS},
        classes=tuple(facts["classes"]),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        source=facts["source"],
        void=facts["void"],
    )


def labelled(labels: np.ndarray, void: int | None) -> np.ndarray:
    """Which places count: bool, True where the label is a class."""
    return np.ones(labels.shape, bool) if void is None else labels != void


def _facts(dataset: Dataset) -> dict:
    digest = sha256()
    for array in (dataset.images, dataset.labels):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array))
    for name in SPLITS:
        digest.update(dataset.splits[name].astype(np.int64).tobytes())
    counts = {name: np.bincount(dataset.labels[dataset.splits[name]].ravel(), minlength=256) for name in SPLITS}
    return {
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "void": dataset.void,
        "source": dataset.source,
        "task": "segmentation" if dataset.is_segmentation else "classification",
        "image_shape": list(dataset.image_shape),
        "samples": {name: len(dataset.splits[name]) for name in SPLITS},
        "labels": {name: count[: len(dataset.classes)].tolist() for name, count in counts.items()},
        "void_labels": {name: 0 if dataset.void is None else int(count[dataset.void]) for name, count in counts.items()},
        "sha256": digest.hexdigest(),
    }
