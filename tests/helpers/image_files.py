"""Files of images for tests: whole ones, and the ways in which one can be damaged."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image


def picture(image: np.ndarray) -> Image.Image:
    """Of uint8 (1, h, w) or (3, h, w)."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def png_bytes(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    picture(image).save(file, "PNG")
    return file.getvalue()


def write_png_files(folder: Path, images: np.ndarray) -> list[str]:
    """Write 0000.png, 0001.png, ... and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:05}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(png_bytes(image))
    return [str(path) for path in paths]


def write_damaged_files(folder: Path, image: np.ndarray) -> dict[str, str]:
    """Write nine files that are no whole images, and return {name: a part of what is said of it}."""
    whole = png_bytes(image)
    (folder / "00003-truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "00005-empty.png").write_bytes(b"")
    (folder / "00007-text.jpg").write_text("hello")
    Image.fromarray(np.full(image.shape[1:], 0.5, np.float32)).save(folder / "00009-float.tif")
    (folder / "00011-folder.png").mkdir()
    os.symlink("00013-loop.png", folder / "00013-loop.png")
    os.symlink("nowhere.png", folder / "00015-gone.png")
    os.mkfifo(folder / "00017-pipe.png")
    picture(image).resize((31, 17)).save(folder / "00019-large.png")
    return {
        "00003-truncated.png": "is damaged, or of a kind that cannot be read",
        "00005-empty.png": "its content is that of no image",
        "00007-text.jpg": "its content is that of no image",
        "00009-float.tif": "its pixels are no whole numbers of 8 or 16 bits",
        "00011-folder.png": "is a folder, and holds no images",
        "00013-loop.png": "Too many levels of symbolic links",
        "00015-gone.png": "No such file or directory",
        "00017-pipe.png": "is no regular file",
        "00019-large.png": "is 31x17 pixels, but the model's images are",
    }
