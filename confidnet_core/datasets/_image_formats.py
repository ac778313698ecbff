"""Image files of untrusted content: which formats are read, and checks by a file's head before its pixels are unpacked.

Only the formats of SUFFIXES_OF_FORMAT are opened, by their content and not by the name of the file: Pillow would hand PostScript in a file
x.png to Ghostscript. What is no regular file, such as a pipe, is refused, because reading it could wait for ever.
"""

import os
import stat
import warnings
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image, ImageFile, UnidentifiedImageError, features

# By Pillow's names. TGA has no mark by which its content is known, so it goes by the name of the file alone.
_SUFFIXES_OF_FORMAT = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "TGA": (".tga",),
    "QOI": (".qoi",),
    "PCX": (".pcx",),
    "SGI": (".sgi",),
}
_FEATURE_OF_FORMAT = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}  # which Pillow may have been built without
FORMAT_WITHOUT_MARK = "TGA"
SUFFIXES_OF_FORMAT = {
    name: suffixes
    for name, suffixes in _SUFFIXES_OF_FORMAT.items()
    if name not in _FEATURE_OF_FORMAT or features.check(_FEATURE_OF_FORMAT[name])
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES_OF_FORMAT.values() for suffix in suffixes)
EXPECTED_FILES_TEXT = "files that end in .png, .jpg, .bmp, .gif, .tif, .webp or another ending of an image"
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")  # which change, or may change, the values of a mask
# Of an image, and of an image file: the limit at which Pillow warns, and three bytes for each of these pixels.
MAX_IMAGE_PIXELS = 89_478_485
MAX_FILE_BYTES = 3 * MAX_IMAGE_PIXELS

_warning_filters_lock = Lock()  # the filters are those of all threads


def open_image(file_bytes: bytes, file_name: str, max_pixels: int = MAX_IMAGE_PIXELS) -> ImageFile.ImageFile:
    """Return an image of which only the head has been read. file_name: its suffix alone counts

    Raises ValueError for more than `max_pixels`, and whatever Pillow raises for content of another kind (DECODING_ERRORS of _file_tree.py).
    """
    is_named_as_format = file_name.lower().endswith(SUFFIXES_OF_FORMAT[FORMAT_WITHOUT_MARK])
    formats = [name for name in SUFFIXES_OF_FORMAT if is_named_as_format or name != FORMAT_WITHOUT_MARK]
    try:
        with _warning_filters_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked below, and of plugins that do not know the content
            image = Image.open(BytesIO(file_bytes), formats=formats)
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than {2 * MAX_IMAGE_PIXELS:,} pixels; expected at most {max_pixels:,}: reduce it") from None
    if image.width * image.height > max_pixels:
        raise ValueError(f"it has {image.width}x{image.height} pixels; expected at most {max_pixels:,}: reduce it")
    return image


def read_regular_file(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a regular file. Raises ValueError for a pipe, a device or a socket, and for more than `max_bytes`."""
    try:
        file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    except OSError:
        if not Path(path).exists() or stat.S_ISREG(os.stat(path).st_mode):
            raise
        raise ValueError("it is no regular file") from None  # a socket cannot even be opened
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        require_moderate_size(status.st_size, max_bytes)
        return file.read()


def require_moderate_size(byte_count: int, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Raise ValueError for a file, or a member of an archive, of more than `max_bytes` as its head or directory says."""
    if byte_count > max_bytes:
        raise ValueError(f"it has {byte_count:,} bytes; expected at most {max_bytes:,}")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def unreadable_reason(error: Exception) -> str:
    """Return in words why an image file cannot be read."""
    return "its content is that of no image" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
