"""The calibration split: which validation samples it takes, and which remain for validation."""

import numpy as np
import pytest
from project_code import ROOT
from small import small_segmentation
from small_params import replace

from confidnet_core.config.params import CalibrationSplit, load_params
from confidnet_core.data import PREPARED_SPLITS, TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._raw import draw_split
from confidnet_core.datasets.digits import digits
from confidnet_core.splits import add_calibration_split

THIRD = CalibrationSplit(share=0.3333, gap=0.05, seed=0)


def images(splits: dict[str, np.ndarray], frames: bool = False) -> Dataset:
    """Return tiny images sorted by ten classes, or frames to segment."""
    count = 1 + max(index.max() for index in splits.values())
    labels = np.zeros((count, 2, 2), np.uint8) if frames else (10 * np.arange(count) // count).astype(np.uint8)
    return Dataset(np.zeros((count, 1, 2, 2), np.uint8), labels, splits, tuple("0123456789"), (0.5,), (0.5,), "tiny images")


def in_storage(val: int, frames: bool = False) -> Dataset:
    """Return data with one training image, `val` validation images in the order of their storage, and one test image."""
    return images({"train": np.array([0]), "val": 1 + np.arange(val), "test": np.array([1 + val])}, frames)


@pytest.mark.parametrize("dataset", [digits(), in_storage(100), small_segmentation(), in_storage(101, frames=True)])
def test_the_two_parts_share_no_sample_and_training_and_test_stay(dataset: Dataset):
    given = replace(dataset, splits={name: dataset.splits[name] for name in TRAIN_VAL_TEST})
    splits = add_calibration_split(given, THIRD).splits
    both = np.concatenate([splits["val"], splits["calibration"]])
    assert tuple(splits) == PREPARED_SPLITS
    assert len(np.unique(both)) == len(both) and np.isin(both, given.splits["val"]).all()
    assert all(np.array_equal(splits[name], given.splits[name]) for name in ("train", "test"))
    if not given.is_segmentation:
        assert len(both) == len(given.splits["val"])


def test_of_597_digits_199_are_for_calibration():
    splits = add_calibration_split(digits(train=300, val=597, test=900), THIRD).splits
    assert {name: len(index) for name, index in splits.items()} == {"train": 300, "val": 398, "test": 900, "calibration": 199}


@pytest.mark.parametrize(
    ("name", "train", "published"), [("mnist_mlp", 60_000, 6000), ("svhn_convnet", 73_257, 7325), ("cifar10_vgg16", 50_000, 5000)]
)
def test_the_remaining_validation_split_is_the_published_one(name: str, train: int, published: int):
    params = load_params(ROOT / "params.yaml")
    settings = params.benchmark(name).data.settings
    drawn = draw_split(
        name, training_image_count=train, test_image_count=10, validation_image_count=settings["val"], split_seed=settings["split_seed"]
    )
    splits = add_calibration_split(images(drawn), params.calibration_split).splits
    published_splits = draw_split(name, training_image_count=train, test_image_count=10, validation_image_count=published, split_seed=42)
    assert np.array_equal(splits["val"], published_splits["val"])
    assert not np.isin(splits["calibration"], splits["train"]).any() and np.isin(splits["calibration"], published_splits["train"]).all()


def test_every_benchmark_whose_validation_images_are_drawn_keeps_as_many_as_published():
    data = [one.data for one in load_params(ROOT / "params.yaml").benchmarks.values()]
    validation_sizes = {one.name: one.settings["val"] - round(THIRD.share * one.settings["val"]) for one in data if "val" in one.settings}
    assert validation_sizes == {"digits": 398, "mnist": 6000, "svhn": 7325, "cifar10": 5000, "cifar100": 5000, "image_folder": 5000}


@pytest.mark.parametrize("seed", range(5))
def test_of_images_sorted_by_class_both_parts_hold_every_class(seed: int):
    dataset = in_storage(300)
    splits = add_calibration_split(dataset, replace(THIRD, seed=seed)).splits
    for name, size in (("val", 200), ("calibration", 100)):
        counts = np.bincount(dataset.labels[splits[name]], minlength=10)
        assert counts.sum() == size and counts.min() > 0.3 * size / 10
        assert (np.diff(splits[name]) > 0).all()


def test_the_draw_depends_on_the_seed_alone():
    first, again, other = (add_calibration_split(in_storage(300), replace(THIRD, seed=seed)).splits["calibration"] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_last_of_drawn_images_are_for_calibration_whatever_the_seed():
    val = digits().splits["val"]
    for seed in range(3):
        splits = add_calibration_split(digits(), replace(THIRD, seed=seed)).splits
        assert np.array_equal(splits["val"], val[:398]) and np.array_equal(splits["calibration"], val[398:])


def test_the_last_frames_are_for_calibration_and_a_gap_before_them_is_left_out():
    splits = add_calibration_split(in_storage(101, frames=True), THIRD).splits  # a third of CamVid's 101 is 34, a twentieth more than 5
    assert splits["val"].tolist() == list(range(1, 62))
    assert splits["calibration"].tolist() == list(range(68, 102))


@pytest.mark.parametrize(("frames", "gap", "skipped"), [(100, 0.07, 7), (100, 0.0, 0), (20, 0.05, 1), (9, 0.05, 1)])
def test_a_gap_is_at_least_its_share_of_frames(frames: int, gap: float, skipped: int):
    splits = add_calibration_split(in_storage(frames, frames=True), replace(THIRD, gap=gap)).splits
    assert splits["calibration"].min() - splits["val"].max() - 1 == skipped


@pytest.mark.parametrize(
    ("val", "frames", "share", "division"),
    [
        (1, False, 0.3333, "1 validation samples would be divided into 1 for validation and 0 for calibration; expected"),
        (4, False, 0.9, "4 validation samples would be divided into 0 for validation and 4 for calibration; expected"),
        (2, True, 0.3333, "2 validation samples would be divided into 0 for validation and 1 for calibration and 1 between them; expected"),
    ],
)
def test_a_part_without_a_sample_is_refused_with_the_remedy(val: int, frames: bool, share: float, division: str):
    with pytest.raises(ValueError) as caught:
        add_calibration_split(in_storage(val, frames), replace(THIRD, share=share))
    assert str(caught.value).startswith(f"tiny images: {division} at least 1 each")
    assert str(caught.value).endswith("change calibration_split.share or gap in params.yaml, or give more")
