"""A data set on disk: it is loaded as it was saved, facts.json describes it, and invalid data is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from confidnet_core.data import PREPARED_SPLITS, TRAIN_VAL_TEST, Dataset, labelled_mask, load_dataset, save_dataset

CLASSES = ("road", "sky", "tree")
VOID = 7


def dataset(segmentation: bool, seed: int = 0) -> Dataset:
    """20 images (2, 6, 4); 8 for training, 5 for validation, 4 to test, 2 for calibration, 1 unused. Segmentation has void pixels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(20)
    labels = rng.integers(0, 3, (20, 6, 4) if segmentation else 20, dtype=np.uint8)
    if segmentation:
        labels[rng.random(labels.shape) < 0.2] = VOID
    return Dataset(
        images=rng.integers(0, 256, (20, 2, 6, 4), dtype=np.uint8),
        labels=labels,
        splits={"train": order[:8], "val": order[8:13], "test": order[13:17], "calibration": order[17:19]},
        classes=CLASSES,
        mean=(0.1, 0.2),
        std=(0.3, 0.4),
        source="random numbers",
        void=VOID if segmentation else None,
    )


@pytest.fixture(params=[False, True], ids=["classification", "segmentation"])
def example(request: pytest.FixtureRequest) -> Dataset:
    return dataset(request.param)


def test_what_was_saved_comes_back_equal_and_memory_mapped(example: Dataset, tmp_path: Path):
    save_dataset(example, tmp_path / "data")
    loaded = load_dataset(tmp_path / "data")
    for name in ("images", "labels"):
        array, expected = getattr(loaded, name), getattr(example, name)
        assert isinstance(array, np.memmap) and array.dtype == expected.dtype and array.shape == expected.shape
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for name in PREPARED_SPLITS:
        for array, expected in zip(loaded.split(name), example.split(name), strict=True):
            assert np.array_equal(array, expected)
    for name in ("classes", "mean", "std", "void", "source"):
        assert getattr(loaded, name) == getattr(example, name)


def test_a_split_of_stored_data_is_a_view_of_the_disk_in_the_order_of_its_indices(example: Dataset, tmp_path: Path):
    save_dataset(example, tmp_path / "data")
    images, labels = load_dataset(tmp_path / "data").split("val")
    assert len(images) == len(labels) == 5 and np.shares_memory(images, images.base) and isinstance(images, np.memmap)
    for row, index in enumerate(example.splits["val"]):
        assert np.array_equal(images[row], example.images[index]) and np.array_equal(labels[row], example.labels[index])


def test_facts_count_images_labels_and_void_of_each_split(tmp_path: Path):
    whole = dataset(segmentation=True)
    facts = save_dataset(whole, tmp_path / "data")
    assert set(facts["samples"]) == set(PREPARED_SPLITS)
    for name in PREPARED_SPLITS:
        _, labels = whole.split(name)
        assert facts["samples"][name] == len(labels)
        assert facts["labels"][name] == [int((labels == label).sum()) for label in range(3)]
        assert facts["void_labels"][name] == int((labels == VOID).sum()) > 0
        assert sum(facts["labels"][name]) + facts["void_labels"][name] == labels.size
    assert (facts["task"], facts["image_shape"], facts["void"]) == ("segmentation", [2, 6, 4], VOID)
    assert json.loads((tmp_path / "data/facts.json").read_text()) == facts


def test_facts_of_classification_have_no_void_and_a_count_for_every_class(tmp_path: Path):
    whole = dataset(segmentation=False)
    one = replace(whole, labels=np.zeros(20, np.uint8))
    facts = save_dataset(one, tmp_path / "data")
    assert (facts["task"], facts["void"], facts["void_labels"]) == ("classification", None, dict.fromkeys(PREPARED_SPLITS, 0))
    assert facts["labels"] == {"train": [8, 0, 0], "val": [5, 0, 0], "test": [4, 0, 0], "calibration": [2, 0, 0]}


def test_the_digest_depends_on_the_data_and_not_on_the_path(example: Dataset, tmp_path: Path):
    digests = {save_dataset(example, tmp_path / place)["sha256"] for place in ("a", "b/c", "a")}
    assert len(digests) == 1
    assert (tmp_path / "a/facts.json").read_bytes() == (tmp_path / "b/c/facts.json").read_bytes()


def test_every_part_of_the_data_changes_the_digest(example: Dataset, tmp_path: Path):
    images, labels, splits = example.images.copy(), example.labels.copy(), example.splits
    images[3, 0, 0, 0] ^= 1
    labels[3] = (labels[3] + 1) % 3
    turned = {"images": images.reshape(20, 2, 4, 6), "labels": labels.reshape(20, 4, 6) if example.is_segmentation else labels}
    parts = np.concatenate([splits[name] for name in TRAIN_VAL_TEST])
    variants = [
        example,
        replace(example, images=images),
        replace(example, labels=labels),
        replace(example, **turned),
        replace(example, splits=splits | {"val": splits["test"], "test": splits["val"]}),
        # The same indices in the same order, with another border between training and validation.
        replace(example, splits=splits | {"train": parts[:9], "val": parts[9:13], "test": parts[13:]}),
        replace(example, splits=splits | {"calibration": splits["calibration"][::-1]}),
        replace(example, splits={name: splits[name] for name in TRAIN_VAL_TEST}),
        replace(example, mean=(0.1, 0.21)),
        replace(example, std=(0.3, 0.41)),
        replace(example, classes=("road", "sky", "bush")),
    ]
    digests = [save_dataset(variant, tmp_path / "data")["sha256"] for variant in variants]
    assert len(set(digests)) == len(variants)


def test_labelled_is_true_where_the_label_is_a_class():
    labels = np.array([[0, VOID], [2, 1]], np.uint8)
    assert labelled_mask(labels, VOID).tolist() == [[True, False], [True, True]]
    assert labelled_mask(labels, None).all() and labelled_mask(labels, None).dtype == bool


def refused(example: Dataset, **changes: object) -> str:
    with pytest.raises(ValueError) as caught:
        replace(example, **changes)
    source, found, problem = str(caught.value).partition("random numbers: ")
    assert found and not source
    return problem


def test_arrays_of_another_type_or_shape_are_refused(example: Dataset):
    images, labels = example.images, example.labels
    expected = "expected uint8 images (n, c, h, w) and uint8 or uint16 labels, got "
    assert refused(example, images=images.astype(np.float32)) == f"{expected}float32 (20, 2, 6, 4) and uint8"
    assert refused(example, labels=labels.astype(np.int64)) == f"{expected}uint8 (20, 2, 6, 4) and int64"
    assert refused(example, images=images[:, 0]) == f"{expected}uint8 (20, 6, 4) and uint8"
    assert refused(example, labels=labels[:-1]).startswith("expected labels (20,), or (20, 6, 4) for segmentation, got (19,")
    assert refused(example, labels=np.zeros((20, 4, 6), np.uint8)).endswith("got (20, 4, 6)")
    assert refused(example, labels=np.zeros((20, 1), np.uint8)).endswith("got (20, 1)")


def test_splits_that_are_missing_empty_shared_or_outside_are_refused(example: Dataset):
    splits = example.splits
    missing = {name: splits[name] for name in ("train", "val")}
    sizes = {"train": 8, "val": 0, "test": 4, "calibration": 2}
    all_hold = "the splits val and test, and calibration if there is one, must hold samples, and train must be there; got "
    message = "the splits must hold whole numbers from 0 to 19; got "
    assert refused(example, splits=missing) == all_hold + "{'train': 8, 'val': 5}"
    assert refused(example, splits=splits | {"val": splits["val"][:0]}) == f"{all_hold}{sizes}"
    assert refused(example, splits=splits | {"extra": splits["val"]}).startswith(all_hold)
    assert refused(example, splits=missing | {"calibration": splits["test"]}).startswith(all_hold)
    assert refused(example, splits=splits | {"calibration": splits["test"][:0]}).startswith(all_hold)
    assert refused(example, splits=splits | {"calibration": splits["val"][:1]}) == "the splits share samples"
    assert refused(example, splits=splits | {"val": splits["train"][:1]}) == "the splits share samples"
    assert refused(example, splits=splits | {"val": np.repeat(splits["val"], 2)}) == "the splits share samples"
    assert refused(example, splits=splits | {"val": np.array([20])}).startswith(message)
    assert refused(example, splits=splits | {"val": np.array([-1])}).startswith(message)
    assert refused(example, splits=splits | {"val": np.array([0.5])}).startswith(f"{message}float64")


def test_invalid_normalisation_and_void_are_refused(example: Dataset):
    assert refused(example, mean=(0.1,)) == "expected a mean and a std above 0 for each of 2 channels, got (0.1,) and (0.3, 0.4)"
    for std in ((0.3,), (0.3, 0.0), (float("nan"), 0.4), (0.4, float("nan"))):
        assert refused(example, std=std).startswith("expected a mean and a std above 0 for each of 2 channels")
    for void in (-1, 2, 256):
        assert refused(example, void=void) == f"void is {void}; expected 3 to 255, a label of no class"


def test_a_label_of_no_class_is_refused_before_anything_is_written(tmp_path: Path):
    for whole, expected in ((dataset(False), "0 to 2"), (dataset(True), "0 to 2, or 7 for void")):
        labels = whole.labels.copy()
        labels[whole.splits["test"][0]] = 4
        with pytest.raises(ValueError, match=rf"random numbers: the test split holds the labels \[4\]; expected {expected}$"):
            save_dataset(replace(whole, labels=labels), tmp_path / "data")
        assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_with_the_remedy(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere/facts\.json does not exist; `dvc repro` makes it"):
        load_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "split.json", "facts.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
def test_an_incomplete_folder_is_refused_with_the_remedy(example: Dataset, tmp_path: Path, name: str, damage: str):
    save_dataset(example, tmp_path / "data")
    path = tmp_path / "data" / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{name}.*`dvc repro`"):
        load_dataset(tmp_path / "data")


@pytest.mark.parametrize(("file", "key"), [("facts.json", "classes"), ("split.json", "val"), ("split.json", "calibration")])
def test_a_folder_of_another_version_is_refused_with_the_remedy(example: Dataset, tmp_path: Path, file: str, key: str):
    save_dataset(example, tmp_path / "data")
    content = json.loads((tmp_path / "data" / file).read_text())
    del content[key]
    (tmp_path / "data" / file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"data is incomplete or of another version \(it lacks '{key}'\); delete it and run `dvc repro`"):
        load_dataset(tmp_path / "data")
