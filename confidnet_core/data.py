"""`Dataset`, a benchmark's 8-bit images and labels with named splits, and its storage as arrays that later stages memory-map."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from confidnet_core.files import atomic_write, read_json, write_json

SPLITS = ("train", "val", "test")  # of a data set in datasets/
PREPARED_SPLITS = (*SPLITS, "calibration")  # of a prepared data set
SCORED_SPLITS = ("test", "val", "calibration")  # whose predictions and scores are stored


@dataclass(frozen=True)
class Dataset:
    """Images and labels with named splits; once prepared, a data set also has a calibration split.

    images: uint8 (n, channels, height, width)
    labels: uint8 (n,) for classification, (n, height, width) for segmentation; class indices, or `void`
    splits: int64 indices into the first axis for "train", "val", "test", and "calibration" once prepared; disjoint, none empty
    classes: class names in index order
    mean, std: one number for each channel, for pixels scaled to [0, 1]; the input of networks is (image / 255 - mean) / std
    void: the label of pixels without a class, which no training or metric uses; None if there is none
    source: a description of where the data came from
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
        """Raise ValueError, beginning with the source, for the first field that violates the description of the class."""
        for problem in self._field_problems():
            raise ValueError(f"{self.source}: {problem}")

    def _field_problems(self) -> Iterator[str]:
        """Yield a message for each field that violates the description of the class."""
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.labels.dtype != np.uint8:
            received = f"{self.images.dtype} {self.images.shape} and {self.labels.dtype}"
            yield f"expected uint8 images (n, c, h, w) and uint8 labels, got {received}"
        n, channels, *size = self.images.shape
        if self.labels.shape not in ((n,), (n, *size)):
            yield f"expected labels ({n},), or {(n, *size)} for segmentation, got {self.labels.shape}"
        sizes = {name: len(index) for name, index in self.splits.items()}
        if set(self.splits) not in (set(SPLITS), set(PREPARED_SPLITS)) or 0 in sizes.values():
            yield f"the splits train, val and test, and calibration if there is one, must all hold samples; got {sizes}"
        indices = np.concatenate(list(self.splits.values()))
        if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= n:
            yield f"the splits must hold whole numbers from 0 to {n - 1}; got {indices.dtype}, {indices.min()} to {indices.max()}"
        if len(np.unique(indices)) != len(indices):
            yield "the splits share samples"
        if len(self.mean) != channels or len(self.std) != channels or not all(value > 0 for value in self.std):
            yield f"expected a mean and a std above 0 for each of {channels} channels, got {self.mean} and {self.std}"
        if self.void is not None and not len(self.classes) <= self.void <= 255:
            yield f"void is {self.void}; expected {len(self.classes)} to 255, a label of no class"

    @property
    def is_segmentation(self) -> bool:
        return self.labels.ndim == 3

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image: (channels, height, width)."""
        return self.images.shape[1:]

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and the labels of the split `name`, as copies in memory."""
        index = self.splits[name]
        return self.images[index], self.labels[index]


def save_dataset(dataset: Dataset, folder: Path) -> dict:
    """Write a data set as images.npy, labels.npy, split.json (indices) and facts.json; return the facts.

    The facts are everything else, with counts and a digest.
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        np.save(temporary / "images.npy", dataset.images)
        np.save(temporary / "labels.npy", dataset.labels)
        write_json(temporary / "split.json", {name: index.tolist() for name, index in dataset.splits.items()})
        facts = _dataset_facts(dataset)
        write_json(temporary / "facts.json", facts)
    return facts


def load_dataset(folder: Path) -> Dataset:
    """Return a prepared data set from its folder, memory-mapped and read-only.

    Raises ValueError where the folder is missing, incomplete or of an older version.
    """
    folder = Path(folder)
    facts, splits = read_json(folder / "facts.json"), read_json(folder / "split.json")
    try:
        return Dataset(
            images=_load_memory_mapped(folder / "images.npy"),
            labels=_load_memory_mapped(folder / "labels.npy"),
            splits={name: np.asarray(splits[name], dtype=np.int64) for name in PREPARED_SPLITS},
            classes=tuple(facts["classes"]),
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            source=facts["source"],
            void=facts["void"],
        )
    except (KeyError, TypeError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{folder} is incomplete or of another version ({problem}); delete it and run `dvc repro`") from None


def _load_memory_mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete {path.parent} and run `dvc repro`") from None


def labelled(labels: np.ndarray, void: int | None) -> np.ndarray:
    """Return a bool mask of the labels' shape, True where the label is a class, False where it is void."""
    return np.ones(labels.shape, bool) if void is None else labels != void


def _dataset_facts(dataset: Dataset) -> dict:
    """Return the content of facts.json: a data set's fields without arrays, counts of each split, and a digest of everything."""
    digest = sha256()
    for array in (dataset.images, dataset.labels):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    splits = {name: dataset.splits[name] for name in PREPARED_SPLITS if name in dataset.splits}
    for name, index in splits.items():
        digest.update(f"{name} {len(index)}".encode())
        digest.update(index.astype(np.int64).tobytes())
    digest.update(repr((dataset.classes, dataset.mean, dataset.std, dataset.void)).encode())
    counts = _label_counts(dataset)
    return {
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "void": dataset.void,
        "source": dataset.source,
        "task": "segmentation" if dataset.is_segmentation else "classification",
        "image_shape": list(dataset.image_shape),
        "samples": {name: len(index) for name, index in splits.items()},
        "labels": {name: count[: len(dataset.classes)].tolist() for name, count in counts.items()},
        "void_labels": {name: 0 if dataset.void is None else int(count[dataset.void]) for name, count in counts.items()},
        "sha256": digest.hexdigest(),
    }


def _label_counts(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return {split: how often each label from 0 to 255 occurs}. Raises ValueError for a label that is neither a class nor void."""
    counts = {name: np.bincount(dataset.labels[index].ravel(), minlength=256) for name, index in dataset.splits.items()}
    for name, count in counts.items():
        unknown = [label for label in np.flatnonzero(count).tolist() if label >= len(dataset.classes) and label != dataset.void]
        if unknown:
            expected = f"0 to {len(dataset.classes) - 1}" + ("" if dataset.void is None else f", or {dataset.void} for void")
            raise ValueError(f"{dataset.source}: the {name} split holds the labels {unknown}; expected {expected}")
    return counts
