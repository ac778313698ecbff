"""Images of other data sets, made to fit: channels, sizes, which splits count; image files without classes, and scikit-learn's photos."""

from pathlib import Path

import numpy as np
import pytest
from image_files import png_bytes
from PIL import Image
from sklearn.datasets import load_sample_images
from small import small_digits, small_segmentation
from small_params import replace

from confidnet_core.datasets._foreign import fit_images, save_foreign_images
from confidnet_core.datasets.image_files import image_files
from confidnet_core.datasets.sample_photos import sample_photos
from confidnet_core.files import read_json


def test_images_that_fit_stay_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 7, 9), np.uint8)
    np.testing.assert_array_equal(fit_images(images, (3, 7, 9)), images)


def test_grey_images_are_repeated_and_colours_become_grey():
    grey = np.random.default_rng(0).integers(0, 256, (4, 1, 6, 6), np.uint8)
    np.testing.assert_array_equal(fit_images(grey, (3, 6, 6)), grey.repeat(3, axis=1))
    colours = np.random.default_rng(1).integers(0, 256, (4, 3, 6, 6), np.uint8)
    expected = np.einsum("nchw,c->nhw", colours.astype(float), [0.299, 0.587, 0.114])[:, None]
    np.testing.assert_allclose(fit_images(colours, (1, 6, 6)), expected, atol=1)


@pytest.mark.parametrize("size", [(8, 8), (32, 20), (5, 47), (1, 1)])
def test_a_resized_image_is_pillows(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (3, 20, 32), np.uint8)
    resized = Image.fromarray(image.transpose(1, 2, 0)).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(fit_images(image[None], (3, *size))[0], np.asarray(resized).transpose(2, 0, 1), atol=1)


def test_many_images_are_converted_block_by_block(monkeypatch: pytest.MonkeyPatch):
    images = np.random.default_rng(0).integers(0, 256, (11, 3, 6, 6), np.uint8)
    at_once = fit_images(images, (1, 4, 4))
    monkeypatch.setattr("confidnet_core.datasets._foreign.BYTES_PER_BLOCK", 2 * images[0].nbytes)
    np.testing.assert_array_equal(fit_images(images, (1, 4, 4)), at_once)


def test_other_numbers_of_channels_are_refused_with_the_name(tmp_path: Path):
    scans = replace(small_segmentation(), images=np.zeros((14, 4, 32, 48), np.uint8), mean=(0.5,) * 4, std=(1.0,) * 4)
    message = "foreign.scans: the images have 4 channels, and those of the classifier 3; expected as many, or 1 and 3"
    with pytest.raises(ValueError, match=f"^{message}$"):
        save_foreign_images(tmp_path / "foreign", [("scans", scans)], (3, 32, 32))
    assert not [*tmp_path.iterdir()]


def test_the_test_split_is_taken_and_all_images_of_a_data_set_that_trains_nothing(tmp_path: Path):
    digits, photos = small_digits(), sample_photos(side=64)
    save_foreign_images(tmp_path / "foreign", [("digits", digits), ("photos", photos)], (1, 8, 8))
    facts = read_json(tmp_path / "foreign/facts.json")
    assert {name: entry["images"] for name, entry in facts.items()} == {"digits": 300, "photos": 120}
    np.testing.assert_array_equal(np.load(tmp_path / "foreign/digits.npy"), digits.split("test")[0])
    assert facts["photos"]["image_shape"] == [3, 64, 64] and facts["digits"]["notes"] == []


def test_no_foreign_images_leave_a_folder_that_says_so(tmp_path: Path):
    save_foreign_images(tmp_path / "foreign", (), (1, 8, 8))
    assert read_json(tmp_path / "foreign/facts.json") == {} and len([*(tmp_path / "foreign").iterdir()]) == 1


def test_image_files_are_found_in_any_folder_and_the_others_are_noted(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 6, 6), np.uint8)
    for name, image in zip(("b.png", "a.png", "deep/er/c.png", "deep/d.png", "e.PNG"), images, strict=True):
        (tmp_path / "mixed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mixed" / name).write_bytes(png_bytes(image))
    (tmp_path / "mixed/deep/readme.txt").write_text("no image")
    dataset = image_files(folder=str(tmp_path / "mixed"), height=6, width=6)
    np.testing.assert_array_equal(dataset.images, images[[1, 0, 3, 2, 4]])
    assert {split: len(indices) for split, indices in dataset.splits.items()} == {"train": 0, "val": 3, "test": 2}
    assert len(dataset.notes) == 1 and "1 .txt" in dataset.notes[0] and dataset.source == "image files of mixed, 5 images"


def test_too_few_or_damaged_image_files_are_named(tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a.png").write_bytes(png_bytes(np.zeros((3, 4, 4), np.uint8)))
    with pytest.raises(ValueError, match=r"image_files: .*one/ holds 1 images; expected two or more"):
        image_files(folder=str(tmp_path / "one"), height=4, width=4)
    (tmp_path / "one/b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"one/b\.png"):
        image_files(folder=str(tmp_path / "one"), height=4, width=4)


def test_photos_are_cut_into_squares_side_by_side():
    dataset, photo = sample_photos(side=100), np.asarray(load_sample_images().images[0])
    assert dataset.images.shape == (2 * 4 * 6, 3, 100, 100)
    np.testing.assert_array_equal(dataset.images[7], photo[100:200, 100:200].transpose(2, 0, 1))
    with pytest.raises(ValueError, match="sample_photos: side is 428; expected at most 427"):
        sample_photos(side=428)
