"""`Dataset`, a benchmark's 8-bit images and labels with named splits, and its storage as arrays that later stages memory-map."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core.files import atomic_write, load_array, read_json, write_json
from confidnet_core.system.room import new_memory_map

TRAIN_VAL_TEST = ("train", "val", "test")  # splits of a data set that a function in datasets/ returns
PREPARED_SPLITS = (*TRAIN_VAL_TEST, "calibration")  # splits of a data set in data/prepared/
SCORED_SPLITS = ("test", "val", "calibration")  # splits whose predictions and scores are stored
BYTES_PER_BLOCK = 2**26  # of images that are copied at once
MAX_SHARED_EXAMPLES = 3  # images that two splits share, named in a warning
CONSEQUENCE_BY_SPLITS = {
    ("train", "val"): "what is chosen on val, such as the best epoch, is chosen on images that were trained on",
    ("train", "calibration"): "the guarantee of the thresholds does not hold for other images",
    ("val", "calibration"): "the guarantee of the thresholds does not hold for other images",
    ("train", "test"): "results on them are too good",
    ("val", "test"): "results on them are too good",
    ("calibration", "test"): "the thresholds look better on the test split than they are",
}


@dataclass(frozen=True)
class Dataset:
    """Images and labels with named splits; once prepared, a data set also has a calibration split.

    images: uint8 (n, channels, height, width)
    labels: class indices or `void`, uint8, or uint16 for more than 255 classes; (n,), or (n, height, width) for segmentation
    splits: int64 indices into the first axis for "train", "val", "test", and "calibration" once prepared; disjoint; train may be empty
    classes: class names in index order
    mean, std: one number for each channel, for pixels scaled to [0, 1]; the input of networks is (image / 255 - mean) / std
    void: the label of pixels without a class, which no training or metric uses; None if there is none
    source: a description of where the data came from
    preparation: how an image file becomes an image, as settings of `ImagePreparation` (datasets/_images.py); None for other sources
    notes: sentences about what is unusual in the data, such as files that are left out
    """

    images: np.ndarray
    labels: np.ndarray
    splits: dict[str, np.ndarray]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    void: int | None = None
    preparation: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError, which names the data set's source, for the first field that violates the description of the class."""
        for problem in self._field_problems():
            raise ValueError(f"{self.source}: {problem}")

    def _field_problems(self) -> Iterator[str]:
        """Yield a message for each field that violates the description of the class."""
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.labels.dtype not in (np.uint8, np.uint16):
            actual_values_text = f"{self.images.dtype} {self.images.shape} and {self.labels.dtype}"
            yield f"expected uint8 images (n, c, h, w) and uint8 or uint16 labels, got {actual_values_text}"
        n, channels, *image_size = self.images.shape
        if self.labels.shape not in ((n,), (n, *image_size)):
            yield f"expected labels ({n},), or {(n, *image_size)} for segmentation, got {self.labels.shape}"
        split_sizes = {split_name: len(split_indices) for split_name, split_indices in self.splits.items()}
        if set(self.splits) not in (set(TRAIN_VAL_TEST), set(PREPARED_SPLITS)) or 0 in (split_sizes | {"train": 1}).values():
            yield f"the splits val and test, and calibration if there is one, must hold samples, and train must be there; got {split_sizes}"
        all_indices = np.concatenate(list(self.splits.values()))
        if all_indices.dtype.kind not in "iu" or all_indices.min() < 0 or all_indices.max() >= n:
            actual_values_text = f"{all_indices.dtype}, {all_indices.min()} to {all_indices.max()}"
            yield f"the splits must hold whole numbers from 0 to {n - 1}; got {actual_values_text}"
        if len(np.unique(all_indices)) != len(all_indices):
            yield "the splits share samples"
        if len(self.mean) != channels or len(self.std) != channels or not all(channel_std > 0 for channel_std in self.std):
            yield f"expected a mean and a std above 0 for each of {channels} channels, got {self.mean} and {self.std}"
        largest_label = np.iinfo(self.labels.dtype).max if self.labels.dtype.kind == "u" else 255
        if self.void is not None and not len(self.classes) <= self.void <= largest_label:
            yield f"void is {self.void}; expected {len(self.classes)} to {largest_label}, a label of no class"

    @property
    def is_segmentation(self) -> bool:
        return self.labels.ndim == 3

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return the shape of an image: (channels, height, width)."""
        return self.images.shape[1:]

    def split(self, split_name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels of one split: of prepared data views, which are read from disk where they are used; else copies."""
        indices: Any = self.splits[split_name]
        if len(indices) and np.all(np.diff(indices) == 1):  # it lies in one piece
            indices = slice(int(indices[0]), int(indices[-1]) + 1)
        return self.images[indices], self.labels[indices]


def save_dataset(dataset: Dataset, prepared_folder: Path) -> dict:
    """Write a data set as images.npy, labels.npy, split.json (where each split begins and ends) and facts.json, and return the last.

    It holds the other fields, the number of samples and of labels in each split, the images that splits share, and a digest of all.
    Samples are stored split by split, in the order of the split, so that each split lies in one piece; those of no split come last.
    """
    split_names = [split_name for split_name in PREPARED_SPLITS if split_name in dataset.splits]
    order = np.concatenate([dataset.splits[split_name] for split_name in split_names]).astype(np.int64)
    order = np.concatenate([order, np.setdiff1d(np.arange(len(dataset.images)), order)])
    ends = np.cumsum([0, *(len(dataset.splits[split_name]) for split_name in split_names)]).tolist()
    with atomic_write(prepared_folder) as temporary_folder:
        temporary_folder.mkdir()
        _save_in_order(temporary_folder / "images.npy", dataset.images, order)
        _save_in_order(temporary_folder / "labels.npy", dataset.labels, order)
        split_ends = {split_name: ends[number : number + 2] for number, split_name in enumerate(split_names)}
        write_json(temporary_folder / "split.json", split_ends)
        write_json(temporary_folder / "facts.json", dataset_metadata := _describe_dataset(dataset))
    return dataset_metadata


def _save_in_order(array_path: Path, array: np.ndarray, order: np.ndarray) -> None:
    """Write array[order] as a NumPy file, in blocks of bounded memory."""
    stored_array = new_memory_map(array_path, array.dtype, array.shape)
    samples_per_block = max(1, BYTES_PER_BLOCK // max(1, array[:1].nbytes))
    for block_start in range(0, len(order), samples_per_block):
        stored_array[block_start : block_start + samples_per_block] = array[order[block_start : block_start + samples_per_block]]
    stored_array.flush()


def load_dataset(prepared_folder: Path) -> Dataset:
    """Return a prepared data set from its folder, memory-mapped and read-only.

    Raises ValueError where the folder is missing, incomplete or of an older version.
    """
    dataset_metadata, ends_by_split = read_json(prepared_folder / "facts.json"), read_json(prepared_folder / "split.json")
    images, labels = (load_array(prepared_folder / name, memory_mapped=True) for name in ("images.npy", "labels.npy"))
    try:
        return Dataset(
            images=images,
            labels=labels,
            splits={split_name: np.arange(*ends_by_split[split_name]) for split_name in PREPARED_SPLITS},
            classes=tuple(dataset_metadata["classes"]),
            mean=tuple(dataset_metadata["mean"]),
            std=tuple(dataset_metadata["std"]),
            source=dataset_metadata["source"],
            void=dataset_metadata["void"],
            preparation=dataset_metadata["preparation"],
            notes=tuple(dataset_metadata.get("notes", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"it lacks {error.args[-1]!r}" if isinstance(error, KeyError) else error
        raise ValueError(f"{prepared_folder} is incomplete or of another version ({problem}); delete it and run `dvc repro`") from None
    except ValueError as error:  # of the checks of Dataset, which know no file
        raise ValueError(f"{prepared_folder} holds other arrays than `prepare` wrote: {error}; delete it and run `dvc repro`") from None


def labelled_mask(labels: np.ndarray, void: int | None) -> np.ndarray:
    """Return a bool array of the labels' shape: True where the label is a class, False where it is VOID (no class)."""
    return np.ones(labels.shape, bool) if void is None else labels != void


def warning_sentences(prepared_folder: Path, *splits: str) -> list[str]:
    """Return the notes of a prepared data set, and a sentence for each two splits that share images: how many, and what that spoils.

    splits: only sentences about at least one of these splits; all sentences, and the notes, without any
    Raises ValueError where the folder is missing or of an older version.
    """
    dataset_metadata = read_json(prepared_folder / "facts.json")
    try:
        shared_images, sample_counts = dataset_metadata["shared_images"], dataset_metadata["samples"]
    except KeyError as error:
        raise ValueError(f"{prepared_folder} is of another version (it lacks {error.args[-1]!r}); delete it and run `dvc repro`") from None
    sentences = [] if splits else [*dataset_metadata.get("notes", [])]
    for (first_split, second_split), consequence in CONSEQUENCE_BY_SPLITS.items():
        shared = shared_images.get(f"{first_split}/{second_split}")
        if shared and (not splits or {first_split, second_split} & set(splits)):
            count, examples = shared["images"], shared["examples"]
            examples_text = ", ".join(f"{second_split} {second} is {first_split} {first}" for first, second in examples)
            verb = "is" if count == 1 else "are"
            sentences.append(
                f"{count:,} of {sample_counts[second_split]:,} {second_split} images {verb} also in {first_split}, pixel for pixel "
                f"({examples_text}{', ...' * (count > len(examples))}): {consequence}."
            )
    return sentences


def _find_shared_images(images: np.ndarray, indices_by_split: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """Return {"FIRST/SECOND": {"images": how many images of SECOND are also in FIRST, "examples": [[position, position], ...]}}.

    images: uint8 (n, ...), which are the same if all their pixels are; pairs of splits without a common image are left out.
    The examples are positions in FIRST and in SECOND, at most MAX_SHARED_EXAMPLES.
    """
    digests = np.array([blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images])
    image_ids = np.unique(digests, return_inverse=True)[1]
    shared_images = {}
    for first_split, second_split in CONSEQUENCE_BY_SPLITS:
        if not {first_split, second_split} <= indices_by_split.keys():
            continue
        first_ids, second_ids = image_ids[indices_by_split[first_split]], image_ids[indices_by_split[second_split]]
        shared_positions = np.flatnonzero(np.isin(second_ids, first_ids))
        if len(shared_positions):
            examples = [[int(np.argmax(first_ids == second_ids[second])), int(second)] for second in shared_positions[:MAX_SHARED_EXAMPLES]]
            shared_images[f"{first_split}/{second_split}"] = {"images": len(shared_positions), "examples": examples}
    return shared_images


def _describe_dataset(dataset: Dataset) -> dict:
    """Return the content of facts.json: a data set's fields except arrays, the counts of each split, and a digest of everything."""
    digest = sha256()
    for array in (dataset.images, dataset.labels):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    indices_by_split = {split_name: dataset.splits[split_name] for split_name in PREPARED_SPLITS if split_name in dataset.splits}
    for split_name, split_indices in indices_by_split.items():
        digest.update(f"{split_name} {len(split_indices)}".encode())
        digest.update(split_indices.astype(np.int64).tobytes())
    digest.update(repr((dataset.classes, dataset.mean, dataset.std, dataset.void)).encode())
    label_counts_by_split = _count_labels(dataset)
    return {
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "void": dataset.void,
        "source": dataset.source,
        "preparation": None if dataset.preparation is None else dict(dataset.preparation),
        "task": "segmentation" if dataset.is_segmentation else "classification",
        "image_shape": list(dataset.image_shape),
        "samples": {split_name: len(split_indices) for split_name, split_indices in indices_by_split.items()},
        "labels": {split_name: label_counts[: len(dataset.classes)].tolist() for split_name, label_counts in label_counts_by_split.items()},
        "void_labels": {
            split: 0 if dataset.void is None else int(label_counts[dataset.void]) for split, label_counts in label_counts_by_split.items()
        },
        "shared_images": _find_shared_images(dataset.images, indices_by_split),
        "sha256": digest.hexdigest(),
        **({"notes": list(dataset.notes)} if dataset.notes else {}),
    }


def _count_labels(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return SPLIT -> how often each label occurs, int64 (labels,). ValueError for a label that is neither a class nor void."""
    label_count = max(256, len(dataset.classes), 1 + (dataset.void or 0))
    labels_by_split = {name: dataset.split(name)[1].ravel() for name in dataset.splits}
    label_counts_by_split = {name: np.bincount(labels, minlength=label_count) for name, labels in labels_by_split.items()}
    for split_name, label_counts in label_counts_by_split.items():
        known_labels = {*range(len(dataset.classes)), dataset.void}
        unknown_labels = [label for label in np.flatnonzero(label_counts).tolist() if label not in known_labels][:9]
        if unknown_labels:
            valid_labels_text = f"0 to {len(dataset.classes) - 1}" + ("" if dataset.void is None else f", or {dataset.void} for void")
            raise ValueError(f"{dataset.source}: the {split_name} split holds the labels {unknown_labels}; expected {valid_labels_text}")
    return label_counts_by_split
