"""Data sets of image files: images are decoded by Pillow and resized, many are read in threads, and splits are drawn.

`ImagePreparation.read` is the one way from the bytes of an image file to the pixels that a network sees, also of new images.
"""

import os
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
from PIL import Image

from confidnet_core.datasets._file_tree import DECODING_ERRORS, name_file_in_errors
from confidnet_core.datasets._image_formats import open_image
from confidnet_core.datasets._resizing import resize_by_exact_area
from confidnet_core.system.room import array_of_any_size

IMAGES_PER_THREAD_TASK = 8
Interpolation = Literal["area", "bilinear", "bicubic"]
EXIF_TRANSPOSES = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TRANSPOSE_OF_EXIF_ORIENTATION = {
    exif_orientation: Image.Transpose[transpose_name] for exif_orientation, transpose_name in enumerate(EXIF_TRANSPOSES, start=2)
}


@dataclass(frozen=True)
class ImagePreparation:
    """How an image file becomes an image of a fixed size.

    height, width: the size of the result
    resize: the length to which the shorter side is resized before the centre is cut out; None stretches the image to height x width
    interpolation: area (each pixel is the exact mean of the area that it covers; enlarged linearly), or as torchvision's transforms on
        Pillow's images, bilinear and bicubic, which with `resize` are Resize and CenterCrop to the last bit
    grey: one channel instead of three
    """

    height: int
    width: int
    resize: int | None = None
    interpolation: Interpolation = "area"
    grey: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (channels, height, width) of the images."""
        return 1 if self.grey else 3, self.height, self.width

    def read(self, file_bytes: bytes, file_name: str) -> np.ndarray:
        """Return the image in the bytes of a file, uint8 (channels, height, width). ValueError names a damaged file."""
        image = decode_image(file_bytes, file_name, "L" if self.grey else "RGB")
        pixels = np.atleast_3d(np.asarray(self._resized(image)))
        top, left = (round((size - wanted) / 2) for size, wanted in zip(pixels.shape, (self.height, self.width), strict=False))
        return pixels[top : top + self.height, left : left + self.width].transpose(2, 0, 1)

    def settings(self) -> dict[str, Any]:
        """Return the arguments of this class, which facts.json of a prepared data set holds."""
        return asdict(self)

    def _resized(self, image: Image.Image) -> Image.Image:
        height, width = self.height, self.width
        if self.resize is not None:  # torchvision truncates the longer side, too
            shorter_side = min(image.size)
            height, width = (int(self.resize * size / shorter_side) for size in (image.height, image.width))
        if self.interpolation == "area":
            return resize_by_exact_area(image, height, width)
        return image.resize((width, height), Image.Resampling[self.interpolation.upper()])


def decode_image(file_bytes: bytes, file_name: str, colour_mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """Return the first frame of an image file in 8 bits, turned by its EXIF orientation, on white. ValueError names a damaged file."""
    return upright_image(file_bytes, file_name, colour_mode)[0]


def upright_image(file_bytes: bytes, file_name: str, colour_mode: Literal["RGB", "L"] = "RGB") -> tuple[Image.Image, int]:
    """Return an image as `decode_image` does, and the EXIF orientation by which it was turned, 1 for none."""
    with name_file_in_errors(file_name):
        image = open_image(file_bytes, file_name)
        orientation = exif_orientation(image)
        image.load()  # Pillow turns a TIFF here, and then forgets its orientation
        remaining_orientation = exif_orientation(image)
        image = _to_opaque_8_bit_image(image).convert(colour_mode)
        return turned_by_orientation(image, remaining_orientation), orientation


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1, as it is stored, where it has none."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        return int(orientation) if orientation in TRANSPOSE_OF_EXIF_ORIENTATION else 1
    except DECODING_ERRORS:  # damaged EXIF data does not mean that the pixels are damaged
        return 1


def turned_by_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image that is stored in an EXIF orientation, 1 to 8, as it is to be seen."""
    return image if orientation == 1 else image.transpose(TRANSPOSE_OF_EXIF_ORIENTATION[orientation])


def image_to_array(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image, uint8 (channels, height, width)."""
    return np.ascontiguousarray(np.atleast_3d(np.asarray(image)).transpose(2, 0, 1))


def read_image_of_exact_size(file_bytes: bytes, file_name: str, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image file as an array, uint8 (channels, height, width), for a data set that resizes no images.

    image_shape: (channels, height, width) of its images. Raises ValueError naming the file if it is damaged, or of another size.
    """
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise ValueError(
            f"{file_name} is an image file, but the model's images have {channels} channels; give them as arrays, in .npy or .npz"
        )
    image = decode_image(file_bytes, file_name, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        problem_text = f"{file_name} is {image.width}x{image.height} pixels, but the model's images are {width}x{height}"
        raise ValueError(f"{problem_text}, and its data set resizes none; bring it to that size as its training images were")
    return image_to_array(image)


def _to_opaque_8_bit_image(image: Image.Image) -> Image.Image:
    """Return an image in 8 bits a channel, reduced from 16 if need be, and on white where it is transparent."""
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion would clip the values at 255
        pixel_values = np.asarray(image)
        if image.mode == "F" or pixel_values.min() < 0 or pixel_values.max() > 65535:
            raise ValueError("its pixels are no whole numbers of 8 or 16 bits")
        return Image.fromarray(((pixel_values.astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def require_equal_sizes(image: Image.Image, image_file: object, mask: Image.Image, mask_file: object) -> None:
    if mask.size != image.size:
        raise ValueError(f"{mask_file} is {mask.size[0]}x{mask.size[1]}, but its image {image_file} {image.size[0]}x{image.size[1]}")


def parse_image_list(list_bytes: bytes, image_list_file: object) -> list[tuple[str, str]]:
    """Return pairs (image name, mask name) from the first and last column of each line of a list, in Unicode's composed form (NFC).

    Raises ValueError for text that is no UTF-8, and for a list without any line.
    """
    try:
        list_text = normalize("NFC", list_bytes.decode("utf-8-sig"))
    except UnicodeDecodeError:
        kind = "UTF-16" if list_bytes[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "another encoding"
        raise ValueError(f"{image_list_file} is text in {kind}; save it in UTF-8") from None
    if "\0" in list_text:
        raise ValueError(f"{image_list_file} holds bytes that are no text, as UTF-16 without a mark; save it in UTF-8")
    columns_of_lines = [image_list_line.replace("\\", "/").split() for image_list_line in list_text.splitlines() if image_list_line.strip()]
    if not columns_of_lines:
        raise ValueError(f"{image_list_file} lists no images; expected one a line")
    return [(columns_of_line[0], columns_of_line[-1]) for columns_of_line in columns_of_lines]


def read_samples_in_threads(
    read_sample: Callable[[int], Sequence[np.ndarray]], sample_count: int, *sample_array_shapes: tuple[int, ...]
) -> list[np.ndarray]:
    """Read all samples in threads, and return one uint8 array (sample_count, *shape) for each shape in `sample_array_shapes`.

    Large arrays lie in temporary files, so that memory does not grow with the number of samples.
    read_sample: returns the arrays of the sample with the given index, one for each shape, in the same order
    """
    stacked_arrays = [array_of_any_size((sample_count, *sample_array_shape), np.uint8) for sample_array_shape in sample_array_shapes]

    def read_chunk_of_samples(first_sample_index: int) -> None:
        for index in range(first_sample_index, min(first_sample_index + IMAGES_PER_THREAD_TASK, sample_count)):
            for stacked_array, sample_array in zip(stacked_arrays, read_sample(index), strict=True):
                stacked_array[index] = sample_array

    with ThreadPoolExecutor(os.cpu_count()) as thread_pool:  # decoding and resampling release the interpreter's lock
        list(thread_pool.map(read_chunk_of_samples, range(0, sample_count, IMAGES_PER_THREAD_TASK)))
    return stacked_arrays
