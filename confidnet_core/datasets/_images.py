"""What data sets of image files share: a folder or .zip listed and read, images decoded and fitted, splits drawn, pixels measured.

Pillow decodes. An archive's members are read one by one, never unpacked to disk.
"""

import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image, UnidentifiedImageError

from confidnet_core.data import SPLITS
from confidnet_core.datasets._raw import VARIABLE, raw_root

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
JUNK = {"__macosx", "@eadir", "$recycle.bin"}  # folders in which systems keep thumbnails and copies
CHUNK = 8  # images that a thread reads at a time
DIGEST = 8  # bytes: two different files among a million have the same one with probability 3e-8
BROKEN = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)  # by Pillow
PACKED = (BadZipFile, NotImplementedError, RuntimeError)  # and what zipfile does; the last one for a password
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
ORIENTATIONS = {number: Image.Transpose[turn] for number, turn in enumerate(TURNS, start=2)}  # of EXIF


@dataclass(frozen=True)
class Tree:
    """The files and folders in a folder or archive, hidden ones and junk left out."""

    prefix: str  # of all names, in messages
    names: tuple[str, ...]  # sorted; the name of a folder ends in /
    get: Callable[[str], bytes]

    def read(self, name: str) -> bytes:
        with naming(self.where(name)):
            return self.get(name)

    def where(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def content(self) -> str:
        """For messages: what lies at the top."""
        tops = sorted({name.partition("/")[0] + "/" * ("/" in name) for name in self.names})
        return ", ".join(tops[:6]) + ", ..." * (len(tops) > 6) or "nothing"


def locate(folder: str) -> Path:
    """FOLDER as it is if absolute, else in $CONFIDNET_DATA if the variable is set, else in data/raw of the project."""
    path = raw_root() / Path(folder).expanduser()
    if not path.exists():
        raise ValueError(
            f"folder is {folder}, but {path} does not exist; put the folder or .zip there, set {VARIABLE} to the folder that holds it, "
            "or give an absolute path"
        )
    return path


@contextmanager
def opened(folder: str, marks: set[str]) -> Iterator[Tree]:
    """FOLDER, a folder or .zip; or the one folder in it that holds the top-level names MARKS, as archives often have one around all."""
    path = locate(folder)
    if path.is_dir():
        yield _unwrapped(Tree(f"{path}/", tuple(sorted(_walk(path))), lambda name: (path / name).read_bytes()), marks)
        return
    try:
        archive = ZipFile(path)
    except (BadZipFile, OSError) as error:
        raise ValueError(f"{path} is neither a folder nor a whole .zip archive ({error}); put a whole copy there") from None
    with archive:
        members = {name: member for member in archive.infolist() if not _is_junk(name := _posix(member))}
        yield _unwrapped(Tree(f"{path}: ", tuple(sorted(members)), lambda name: archive.read(members[name])), marks)


def _walk(folder: Path) -> Iterator[str]:
    """Links are followed, except those that lead back to a folder around them."""

    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be listed ({error.strerror}); make it readable") from None

    for current, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = Path(current).resolve()
        folders[:] = [name for name in folders if not _is_junk(name) and not real.is_relative_to(Path(current, name).resolve())]
        inner = "" if Path(current) == folder else f"{Path(current).relative_to(folder).as_posix()}/"
        yield from (f"{inner}{name}/" for name in folders)
        yield from (f"{inner}{name}" for name in files if not _is_junk(name))


def _posix(member: ZipInfo) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/").strip("/"))  # some archives of Windows hold backslashes
    return f"{path}/" if member.filename.endswith(("/", "\\")) else f"{path}"


def _is_junk(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK for part in name.split("/"))


def _unwrapped(tree: Tree, marks: set[str]) -> Tree:
    if any(name.partition("/")[0] in marks for name in tree.names):
        return tree
    parts = [name.split("/") for name in tree.names]
    around = {part[0] for part in parts if len(part) > 1 and part[1] in marks}
    if len(around) != 1:
        return tree
    top = f"{around.pop()}/"
    inside = tuple(name.removeprefix(top) for name in tree.names if name.startswith(top) and name != top)
    return Tree(tree.where(top), inside, lambda name: tree.get(top + name))


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Around the reading and decoding of a file: an error becomes a ValueError that names FILE."""
    try:
        yield
    except (*BROKEN, *PACKED) as error:
        reason = "its content is that of no image" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{file} is damaged, or of a kind that cannot be read ({reason}); replace it by a whole copy") from None


def decoded(data: bytes, file: str, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """The first frame in 8 bits, turned as its EXIF data says; what is transparent becomes white. ValueError naming FILE."""
    with naming(file):
        image = Image.open(BytesIO(data))
        image.load()  # first, because Pillow turns a TIFF here, and then forgets its orientation
        turn = _turn(image)
        image = _opaque(image).convert(mode)
        return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return ORIENTATIONS.get(image.getexif().get(0x0112, 1))
    except BROKEN:  # damaged EXIF data says nothing of the pixels
        return None


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion cuts off at 255
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels are no whole numbers of 8 or 16 bits")
        return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def area_average(image: Image.Image, height: int, width: int) -> Image.Image:
    """Exact where the sizes divide; elsewhere Pillow's box filter, which counts a border pixel wholly or not at all."""
    if image.width % width == 0 and image.height % height == 0:
        return image.reduce((image.width // width, image.height // height))
    return image.resize((width, height), Image.Resampling.BOX)


def nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The label of the pixel that each new pixel's centre falls on; in integers, so that no rounding decides a border."""
    rows, columns = ((2 * np.arange(wanted) + 1) * size // (2 * wanted) for size, wanted in zip(labels.shape, (height, width), strict=True))
    return labels[np.ix_(rows, columns)]


def check_sizes(image: Image.Image, image_file: object, mask: Image.Image, mask_file: object) -> None:
    if mask.size != image.size:
        raise ValueError(f"{mask_file} is {mask.size[0]}x{mask.size[1]}, but its image {image_file} {image.size[0]}x{image.size[1]}")


def listed(text: str, file: object) -> list[tuple[str, str]]:
    """The first and the last column of each line that is not empty. ValueError if there is none."""
    lines = [line.replace("\\", "/").split() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{file} lists no images; expected one a line")
    return [(columns[0], columns[-1]) for columns in lines]


def read_in_threads(read: Callable[[int], Sequence[np.ndarray]], count: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """An uint8 array (COUNT, *shape) for each of SHAPES. READ(i) gives the i-th entry of each; the error of the lowest i is raised."""
    arrays = [np.empty((count, *shape), np.uint8) for shape in shapes]

    def fill(start: int) -> None:
        for index in range(start, min(start + CHUNK, count)):
            for array, value in zip(arrays, read(index), strict=True):
                array[index] = value

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and resampling release the interpreter's lock
        list(threads.map(fill, range(0, count, CHUNK)))
    return arrays


def split_indices(name: str, tree: Tree, counts: Sequence[int], val: int | float, split_seed: int) -> dict[str, np.ndarray]:
    """Indices of samples that lie in the order train, val, test. Without any of val, VAL of train's are drawn, a number or a share.

    The draw is that of ConfidNet's published split: the first of train's samples, shuffled by the legacy generator.
    """
    splits: dict[str, np.ndarray] = dict(zip(SPLITS, np.split(np.arange(sum(counts)), np.cumsum(counts)[:2]), strict=True))
    if counts[1]:
        if val:
            raise ValueError(f"{name}: val is {val}, but {tree.prefix} has a val split of {counts[1]}; set val to 0, or take that away")
        return splits
    size = val if isinstance(val, int) else int(val * counts[0] + 1e-9)  # 0.29 * 100 is below 29
    if not 0 < size < counts[0]:
        raise ValueError(
            f"{name}: val is {val}, and {tree.prefix} has no val split; expected how many of its {counts[0]} training images to draw: "
            "1 or more, but not all, or a share such as 0.1"
        )
    order = splits["train"].copy()
    np.random.RandomState(split_seed).shuffle(order)
    return splits | {"train": np.sort(order[size:]), "val": np.sort(order[:size])}


def source(kind: str, folder: str, splits: dict[str, np.ndarray], *, drawn: bool) -> str:
    """A description of the data. drawn: whether val was drawn from train."""
    counts = "/".join(str(len(splits[split])) for split in SPLITS)
    return f"{kind} {Path(folder).name}, {counts} images" + ", val drawn from train" * drawn


def digest(data: bytes) -> np.ndarray:
    return np.frombuffer(blake2b(data, digest_size=DIGEST).digest(), np.uint8)


def warn_of_leaks(name: str, digests: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Print how many test images are, byte for byte, also in train or val; (n, DIGEST) digests."""
    numbers = digests.view(np.uint64)[:, 0]
    leaked = int(np.isin(numbers[splits["test"]], numbers[np.concatenate([splits["train"], splits["val"]])]).sum())
    if leaked:
        count = f"{leaked} of {len(splits['test'])} test images"
        print(f"warning: {name}: {count} are also in train or val, byte for byte; results on them are too good", file=sys.stderr)


def statistics(images: np.ndarray, index: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images[index], scaled to [0, 1]; from histograms: exact, in little memory."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    step = max(1, 2**22 // images[0].size)
    for start in range(0, len(index), step):
        part = images[index[start : start + step]]
        counts += [np.bincount(part[:, channel].ravel(), minlength=256) for channel in range(len(counts))]
    values, share = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())
