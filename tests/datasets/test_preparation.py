"""How an image file becomes an image: own statistics, resizing and crop, folders without training images, and many classes."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from confidnet_core.config.params import CalibrationSplit
from confidnet_core.data import Dataset, load_dataset, save_dataset
from confidnet_core.datasets._images import ImagePreparation
from confidnet_core.datasets.image_folder import image_folder
from confidnet_core.splits import add_calibration_split
from confidnet_core.system import room

IMAGENET = {"mean": "imagenet", "std": "imagenet"}


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def folder(root: Path, **counts: dict[str, int]) -> str:
    """Pictures by split and class."""
    for split, count_of_class in counts.items():
        for name, count in count_of_class.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                picture(6, 8, crc32(f"{split} {name} {number}".encode())).save(root / split / name / f"{number}.png")
    return str(root)


def saved(data: Dataset, place: Path) -> Dataset:
    save_dataset(add_calibration_split(data, CalibrationSplit(share=0.5, gap=0.0, seed=0)), place)
    return load_dataset(place)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 37), (33, 33), (20, 90)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resize_and_crop_are_those_of_torchvision_to_the_last_bit(height: int, width: int, interpolation: str, tmp_path: Path):
    picture(height, width).save(tmp_path / "a.png")
    expected = Compose([Resize(32, InterpolationMode(interpolation)), CenterCrop(28)])(picture(height, width))
    found = ImagePreparation(28, 28, resize=32, interpolation=interpolation).read((tmp_path / "a.png").read_bytes(), "a.png")
    np.testing.assert_array_equal(found, np.asarray(expected).transpose(2, 0, 1))


def test_the_preparation_is_stored_and_repeats_the_images_from_the_files(tmp_path: Path):
    root = folder(tmp_path / "ants", train={"a": 3, "b": 3}, val={"a": 2, "b": 2}, test={"a": 1, "b": 1})
    stored = saved(image_folder(folder=root, height=4, width=4, resize=5, interpolation="bilinear", **IMAGENET), tmp_path / "stored")
    assert stored.mean == (0.485, 0.456, 0.406) and stored.std == (0.229, 0.224, 0.225)
    again = ImagePreparation(**stored.preparation).read((tmp_path / "ants/test/b/0.png").read_bytes(), "0.png")
    np.testing.assert_array_equal(again, stored.split("test")[0][1])


def test_one_folder_without_training_is_divided_at_random_into_val_and_test(tmp_path: Path):
    root = folder(tmp_path / "ants", val={"a": 6, "b": 6})
    data, other = (image_folder(folder=root, height=4, width=4, split_seed=seed, **IMAGENET) for seed in (0, 1))
    assert {split: len(indices) for split, indices in data.splits.items()} == {"train": 0, "val": 6, "test": 6}
    assert data.splits["val"].tolist() != other.splits["val"].tolist() and "val drawn at random" in data.source
    assert len(image_folder(folder=root, height=4, width=4, val=0.25, **IMAGENET).splits["val"]) == 3
    assert len(saved(data, tmp_path / "stored").split("train")[0]) == 0


def test_val_and_test_without_training_stay_as_they_are(tmp_path: Path):
    root = folder(tmp_path / "ants", val={"a": 2, "b": 2}, test={"a": 1, "b": 2})
    data = image_folder(folder=root, height=4, width=4, **IMAGENET)
    assert {split: len(indices) for split, indices in data.splits.items()} == {"train": 0, "val": 4, "test": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "train holds 0 class folders; expected train/CLASS/, or mean and std to evaluate without training; it holds val/"),
        ({"mean": "imagenet"}, "train holds 0 class folders"),
        ({"mean": [0.5], "std": [0.5, 0.5, 0.5]}, r"mean is \[0.5\], for 1 channels; the images have 3: give a list of 3"),
        ({"mean": "imagenet", "std": [0.5, 0.0, 0.5]}, "expected numbers above 0"),
        ({**IMAGENET, "grey": True}, "mean is imagenet, for 3 channels; the images have 1"),
        ({**IMAGENET, "resize": 3}, "resize is 3; expected at least 4, as height and width are cut from it"),
        ({**IMAGENET, "val": 99}, "val is 99, .*expected how many of its 4 images to draw"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict, message: str, tmp_path: Path):
    root = folder(tmp_path / "ants", val={"a": 2, "b": 2})
    with pytest.raises(ValueError, match=message):
        image_folder(folder=root, height=4, width=4, **settings)


def test_more_than_255_classes_have_labels_of_16_bits(tmp_path: Path):
    root = folder(tmp_path / "ants", val={f"{number:03}": 2 for number in range(300)})
    data = image_folder(folder=root, height=2, width=2, **IMAGENET)
    assert data.labels.dtype == np.uint16 and data.labels.max() == 299 and len(data.classes) == 300
    stored = saved(data, tmp_path / "stored")
    np.testing.assert_array_equal(np.sort(stored.labels), np.sort(data.labels))


def test_many_images_lie_on_disk_and_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = folder(tmp_path / "ants", val={"a": 6, "b": 6})
    in_memory = image_folder(folder=root, height=4, width=4, **IMAGENET)
    monkeypatch.setattr(room, "MAX_BYTES_IN_MEMORY", 100)
    on_disk = image_folder(folder=root, height=4, width=4, **IMAGENET)
    assert isinstance(on_disk.images, np.memmap) and not isinstance(in_memory.images, np.memmap)
    np.testing.assert_array_equal(on_disk.images, in_memory.images)
