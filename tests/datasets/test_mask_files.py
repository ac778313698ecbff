"""Masks in every lossless form give the same labels, lossy ones are refused, and orientations are applied to both files or to neither."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from confidnet_core.datasets._mask_legend import parse_mask_legend
from confidnet_core.datasets._masks import read_image_and_labels

LABELS = np.random.default_rng(0).integers(0, 2, (6, 9), dtype=np.uint8)
IMAGE = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
COLOURED = np.stack([LABELS, 2 * LABELS, 0 * LABELS], axis=-1)
RGBA = np.dstack([LABELS, LABELS, LABELS, np.full_like(LABELS, 7)])


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", orientation: int = 1, **settings: object) -> bytes:
    image, file, exif = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels), io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(file, kind, **settings | ({} if orientation == 1 else {"exif": exif}))
    return file.getvalue()


def labels_of(mask: bytes, classes: object = ("bg", "fg"), void: object = None, name: str = "mask.png") -> np.ndarray:
    return read_image_and_labels(encoded(IMAGE), "image.png", mask, name, parse_mask_legend("streets", classes, void))[1]


def four_bits(labels: np.ndarray) -> bytes:
    """A grey PNG of 4 bits, which Pillow does not write: two pixels a byte, after the byte of the filter of each row."""
    even = np.pad(labels, ((0, 0), (0, labels.shape[1] % 2)))
    rows = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in even)
    head = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


LOSSLESS = {
    "8 bits": encoded(LABELS),
    "16 bits": encoded(LABELS.astype(np.uint16)),
    "16 bits in TIFF": encoded(LABELS.astype(np.uint16), "TIFF"),
    "32 bits": encoded(LABELS.astype(np.int32), "TIFF"),
    "whole floats": encoded(LABELS.astype(np.float32), "TIFF"),
    "1 bit": encoded(LABELS.astype(bool)),
    "4 bits": four_bits(LABELS),
    "grey with transparency": encoded(np.dstack([LABELS, np.full_like(LABELS, 255)])),
    "grey stored as RGB": encoded(np.dstack([LABELS] * 3)),
    "grey stored as RGBA": encoded(RGBA),
    "BMP": encoded(LABELS, "BMP"),
    "GIF": encoded(LABELS, "GIF"),
    "a palette": encoded(Image.fromarray(LABELS, "P")),
}


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.parametrize("classes", [("bg", "fg"), {"bg": 0, "fg": 1}])
def test_every_lossless_form_gives_the_same_labels(form: str, classes: object) -> None:
    np.testing.assert_array_equal(labels_of(LOSSLESS[form], classes), LABELS)


def test_tga_goes_by_its_name() -> None:
    np.testing.assert_array_equal(labels_of(encoded(LABELS, "TGA"), name="mask.TGA"), LABELS)


@pytest.mark.parametrize(("classes", "void"), [({"bg": 0, "fg": 255}, None), ({"fg": 255}, 0), ({"bg": 0, "x": 3}, 255)])
def test_a_mask_of_1_bit_may_also_be_meant_as_0_and_255(classes: dict[str, int], void: int | None) -> None:
    classes = classes if len(classes) > 1 else classes | {"unused": 9}
    table = dict.fromkeys([0, 255], len(classes)) | {value: label for label, value in enumerate(classes.values())}
    np.testing.assert_array_equal(labels_of(LOSSLESS["1 bit"], classes, void), np.vectorize(table.get)(LABELS * 255))


def test_values_of_16_bits_may_be_classes_and_void() -> None:
    deep = np.where(LABELS == 1, 40000, 65535).astype(np.uint16)
    np.testing.assert_array_equal(labels_of(encoded(deep), {"a": 40000, "b": 1}, 65535), np.where(LABELS == 1, 0, 2))


def test_colours_are_read_with_and_without_transparency() -> None:
    classes = {"bg": [0, 0, 0], "fg": [1, 2, 0]}
    np.testing.assert_array_equal(labels_of(encoded(COLOURED), classes), LABELS)
    np.testing.assert_array_equal(labels_of(encoded(np.dstack([COLOURED, RGBA[..., 3]])), classes), LABELS)


REFUSED = {
    "JPEG": (encoded(LABELS, "JPEG"), "mask.png is compressed as JPEG, which changes the values of a mask; save masks as PNG"),
    "WebP": (encoded(np.dstack([LABELS] * 3), "WEBP", lossless=True), "mask.png is compressed as WEBP"),
    "JPEG in TIFF": (encoded(LABELS, "TIFF", compression="jpeg"), "mask.png is compressed as TIFF"),
    "colours": (encoded(COLOURED), r"mask.png is in colours, such as \[1, 2, 0\]; expected grey, or under classes a colour for each"),
    "fractions": (encoded(LABELS / np.float32(2), "TIFF"), r"mask.png holds 0.5; expected whole numbers from 0 to 65535"),
    "negative": (encoded(-LABELS.astype(np.int32), "TIFF"), r"mask.png holds -1; expected whole numbers"),
    "printing colours": (encoded(Image.fromarray(COLOURED).convert("CMYK"), "TIFF"), "mask.png is of mode CMYK; expected grey"),
    "an unknown value of 4 bits": (four_bits(LABELS * 5), "mask.png holds the values 5; name them under classes or void"),
    "another size": (encoded(LABELS[:4]), "mask.png is 9x4, but its image image.png 9x6"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_mask_whose_values_are_unsure_is_refused_with_the_reason(fault: str) -> None:
    mask, message = REFUSED[fault]
    with pytest.raises(ValueError, match=message):
        labels_of(mask)


# Orientations


def pair(
    image_orientation: int, mask_orientation: int, kind: str = "PNG", mask: np.ndarray = LABELS
) -> tuple[np.ndarray, np.ndarray, bool]:
    image_bytes = encoded(np.dstack([LABELS * 255] * 3), kind, image_orientation)
    legend = parse_mask_legend("streets", ("bg", "fg"), None)
    image, labels, is_turned = read_image_and_labels(image_bytes, "image.png", encoded(mask, kind, mask_orientation), "mask.png", legend)
    return np.asarray(image)[..., 0] // 255, labels, is_turned


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("is_on_both", [True, False])
def test_a_mask_of_the_stored_pixels_is_turned_with_its_image(orientation: int, is_on_both: bool, kind: str) -> None:
    image, labels, is_turned = pair(orientation, orientation if is_on_both else 1, kind)
    np.testing.assert_array_equal(labels, image)
    assert is_turned == (not is_on_both and orientation > 1)


@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_mask_of_the_upright_image_is_left_as_it_is(orientation: int) -> None:
    upright, _, _ = pair(orientation, orientation)
    image, labels, is_turned = pair(orientation, 1, mask=upright)
    np.testing.assert_array_equal(labels, image)
    assert not is_turned


def test_orientations_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mask.png has the EXIF orientation 6, but its image image.png 3; save both upright"):
        pair(3, 6)
