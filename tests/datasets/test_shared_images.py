"""Images that two splits share: they are counted, named, and said with what they spoil, in prepare and in the thresholds' file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small import small_digits

from confidnet_core import paths
from confidnet_core.data import CONSEQUENCE_BY_SPLITS, Dataset, save_dataset, warning_sentences
from confidnet_core.evaluation.thresholds import Reliability, save_thresholds
from confidnet_core.files import read_json, write_json


@pytest.fixture(scope="module")
def clean_digits() -> Dataset:
    """Digits whose images all differ."""
    dataset = small_digits()
    images = dataset.images.copy()
    images.reshape(len(images), -1)[:, :2] = np.arange(len(images), dtype=">u2").view(np.uint8).reshape(-1, 2)
    return replace(dataset, images=images)


def with_copies(dataset: Dataset, **copies: tuple[str, int, int]) -> Dataset:
    """The data set with images copied: SPLIT=(from a split, its position, the position in SPLIT)."""
    images = dataset.images.copy()
    for split, (source, position, copy) in copies.items():
        images[dataset.splits[split][copy]] = images[dataset.splits[source][position]]
    return replace(dataset, images=images)


def test_without_shared_images_there_is_nothing_to_say(clean_digits: Dataset, tmp_path: Path):
    assert save_dataset(clean_digits, tmp_path / "data")["shared_images"] == {}
    assert warning_sentences(tmp_path / "data") == []


@pytest.mark.parametrize(("first", "second"), CONSEQUENCE_BY_SPLITS)
def test_an_image_in_two_splits_is_counted_named_and_said_with_what_it_spoils(
    clean_digits: Dataset, tmp_path: Path, first: str, second: str
):
    save_dataset(with_copies(clean_digits, **{second: (first, 4, 2)}), tmp_path / "data")
    total = len(clean_digits.splits[second])
    (sentence,) = warning_sentences(tmp_path / "data")
    counted = f"1 of {total} {second} images is also in {first}, pixel for pixel ({second} 2 is {first} 4): "
    assert sentence == f"{counted}{CONSEQUENCE_BY_SPLITS[first, second]}."
    assert warning_sentences(tmp_path / "data", second) == [sentence]
    assert warning_sentences(tmp_path / "data", *({"train", "val", "calibration", "test"} - {first, second})) == []


def test_an_image_in_three_splits_is_named_for_each_two(clean_digits: Dataset, tmp_path: Path):
    save_dataset(with_copies(clean_digits, val=("train", 0, 1), test=("train", 0, 3)), tmp_path / "data")
    assert [sentence.split(", pixel")[0].split(" of ")[1].split(" ", 1)[1] for sentence in warning_sentences(tmp_path / "data")] == [
        "val images is also in train",
        "test images is also in train",
        "test images is also in val",
    ]


def test_copies_within_a_split_are_no_reason_to_warn(clean_digits: Dataset, tmp_path: Path):
    save_dataset(with_copies(clean_digits, test=("test", 0, 1)), tmp_path / "data")
    assert warning_sentences(tmp_path / "data") == []


def test_of_many_shared_images_a_few_are_named(clean_digits: Dataset, tmp_path: Path):
    images, splits = clean_digits.images.copy(), clean_digits.splits
    images[splits["calibration"]] = images[splits["train"][: len(splits["calibration"])]]
    save_dataset(replace(clean_digits, images=images), tmp_path / "data")
    (sentence,) = warning_sentences(tmp_path / "data")
    count = len(splits["calibration"])
    assert sentence.startswith(f"{count} of {count} calibration images are also in train")
    assert "(calibration 0 is train 0, calibration 1 is train 1, calibration 2 is train 2, ...): the guarantee" in sentence


def test_prepared_data_of_another_version_are_refused_with_the_remedy(clean_digits: Dataset, tmp_path: Path):
    facts = save_dataset(clean_digits, tmp_path / "data")
    write_json(tmp_path / "data/facts.json", {key: value for key, value in facts.items() if key != "shared_images"})
    with pytest.raises(ValueError, match=r"data is of another version \(it lacks 'shared_images'\); delete it and run `dvc repro`"):
        warning_sentences(tmp_path / "data")


def test_the_file_of_the_thresholds_says_what_voids_their_guarantee(clean_digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_dataset(with_copies(clean_digits, calibration=("val", 0, 0), test=("train", 0, 0)), paths.prepared_data_folder("small"))
    about_thresholds = warning_sentences(paths.prepared_data_folder("small"), "calibration")
    assert len(about_thresholds) == 1 and "calibration 0 is val 0" in about_thresholds[0]
    save_thresholds(tmp_path / "thresholds", Reliability("none", {}, None, np.zeros((1, 4)), pd.DataFrame()), [], about_thresholds)
    assert read_json(tmp_path / "thresholds/threshold.json") == {"thresholds": [], "warnings": about_thresholds}
