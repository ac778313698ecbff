"""Images from outside: files, base64 texts and nested lists become uint8 arrays as the networks read them, or are refused in a sentence."""

import base64
import binascii
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from confidnet_core.config.registry import find_entry
from confidnet_core.datasets._file_tree import name_file_in_errors
from confidnet_core.datasets._image_formats import open_image
from confidnet_core.datasets._images import read_image_of_exact_size

ImageReader = Callable[[bytes, str], np.ndarray]  # from the bytes of an image file and its name to uint8 (channels, height, width)
MAX_REQUEST_PIXELS = 2**26  # of one image file in a request
MAX_SHOWN_LENGTH = 60  # characters of a refused value in a message


def image_reader(model_metadata: Mapping[str, Any]) -> ImageReader:
    """Return the function by which a model reads an image file: as `prepare` read those of its data set.

    model_metadata: the content of model.json. The function raises ValueError, naming the file, if it is damaged or does not fit.
    """
    data_recipe, image_shape = model_metadata["recipes"]["data"], tuple(model_metadata["image_shape"])
    read_image = find_entry("datasets", data_recipe["name"]).__dict__.get("read_image")
    if read_image is None:
        return partial(read_image_of_exact_size, image_shape=image_shape)
    return partial(read_image, **reader_settings(data_recipe))


def reader_settings(data_recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a benchmark's data that say how an image file is read, such as its height; {} if none does.

    data_recipe: {"name": of the data set, "settings": {setting: value}}
    """
    read_image = find_entry("datasets", data_recipe["name"]).__dict__.get("read_image")
    names = set() if read_image is None else set(inspect.signature(read_image).parameters)
    return {name: value for name, value in data_recipe["settings"].items() if name in names}


def check_image_array(images: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return the images as an array. Raises ValueError unless they are uint8 (b, *image_shape) with b >= 1."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != image_shape or len(images) == 0:
        expected_text = f"uint8 {_batch_shape(image_shape)} with b >= 1, pixels in [0, 255]"
        raise ValueError(f"images are {images.dtype} {images.shape}; expected {expected_text}: resize them, or scale and round them")
    return images if images.flags.writeable else images.copy()  # PyTorch warns of memory that may not be written to, such as a file's


def images_from_json(inputs: Any, image_shape: tuple[int, ...], read_image: ImageReader) -> np.ndarray:
    """Return images that JSON holds as an array, uint8 (b, *image_shape).

    inputs: nested lists of whole numbers from 0 to 255, or a list of texts, each a PNG, JPEG or other image file in base64
    Raises ValueError, naming the first value that does not fit: pixels are never cast, scaled or cut off.
    """
    if not isinstance(inputs, list) or not inputs:
        expected_text = f"images {_batch_shape(image_shape)} as nested lists, or a list of image files in base64"
        raise ValueError(f"inputs is {_shown(inputs)}; expected {expected_text}")
    if all(isinstance(value, str) for value in inputs):
        return np.stack([_image_from_base64(text, f"inputs[{index}]", read_image) for index, text in enumerate(inputs)])
    try:
        values = np.array(inputs, dtype=object)  # without a cast, so that 0.5, true and "7" are seen
    except ValueError:
        raise ValueError(f"inputs has lists of unequal lengths; expected images {_batch_shape(image_shape)}") from None
    value_types = {*map(type, values.flat)}
    if list in value_types:
        raise ValueError(f"inputs has lists of unequal lengths or depths; expected images {_batch_shape(image_shape)}")
    if value_types - {int}:
        wrong_value = next(value for value in values.flat if type(value) is not int)
        remedy_text = "pixels scaled to [0, 1] have to be multiplied by 255 and rounded"
        raise ValueError(f"a pixel is {_shown(wrong_value)}; expected whole numbers from 0 to 255: {remedy_text}")
    if values.shape[1:] != image_shape or not values.size:
        raise ValueError(f"inputs is of shape {values.shape}; expected images {_batch_shape(image_shape)}")
    if values.min() < 0 or values.max() > 255:
        wrong_value = values.min() if values.min() < 0 else values.max()
        raise ValueError(f"a pixel is {_shown(wrong_value)}; expected whole numbers from 0 to 255")
    return values.astype(np.uint8)


def _image_from_base64(text: str, name: str, read_image: ImageReader) -> np.ndarray:
    """Return the image, uint8 (channels, height, width), in the base64 text of an image file, with or without data:image/...;base64,"""
    head, separator, encoded = text.partition(";base64,")
    try:
        file_bytes = base64.b64decode(encoded if separator and head.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):  # ValueError for letters that are not ASCII
        raise ValueError(f"{name} is {_shown(text)}, which is no base64; expected an image file, such as a PNG, in base64") from None
    with name_file_in_errors(name):
        open_image(file_bytes, name, MAX_REQUEST_PIXELS)  # refuses one of more pixels, which a few kilobytes can hold, before it is decoded
    return read_image(file_bytes, name)


def _batch_shape(image_shape: tuple[int, ...]) -> str:
    return f"(b, {', '.join(map(str, image_shape))})"


def _shown(value: Any) -> str:
    """Return a JSON value as a message shows it: shortened, with its kind where the value alone would not tell."""
    if isinstance(value, str):
        return f"the text {value[:MAX_SHOWN_LENGTH]!r}{'...' * (len(value) > MAX_SHOWN_LENGTH)}"
    if isinstance(value, dict | list):
        return f"an {'object' if isinstance(value, dict) else 'array'} of {len(value)} values"
    named_values = {True: "true", False: "false", None: "null"}
    return named_values[value] if value is None or isinstance(value, bool) else f"{value!r}"[:MAX_SHOWN_LENGTH]
