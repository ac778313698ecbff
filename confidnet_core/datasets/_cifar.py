"""Reader of CIFAR-10 and CIFAR-100: finds or downloads their files, checks them, and reads them by torchvision.

The format is the "python version" of www.cs.toronto.edu/~kriz/cifar.html: pickles of arrays (n, 3072), one image in each row, which has
1024 red values, then 1024 green and 1024 blue ones.
"""

import pickle
import shutil
import tarfile
import zlib
from contextlib import ExitStack
from errno import EACCES, EPERM, EROFS
from gzip import BadGzipFile, GzipFile
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np

from confidnet_core.data import Dataset
from confidnet_core.datasets._raw import BLOCK_BYTES, download, draw_split, exclusive, md5_of, raw_folder
from confidnet_core.files import atomic_write

# All globals that pickled arrays refer to, whether they were written by Python 2 (the published files) or 3, by numpy 1 or 2.
HARMLESS_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def read_cifar(name: str, title: str, reader: type, *, val: int, split_seed: int) -> Dataset:
    """Return CIFAR-10 or CIFAR-100 with images uint8 (n, 3, 32, 32), those of the training files first, then those of the test file.

    name: the data set's raw folder; title: its name in messages; reader: torchvision's CIFAR10 or CIFAR100
    Raises ValueError where `val` leaves no training image, and for a file that is missing, damaged, does not fit the others or could run
    code.
    """
    with ExitStack() as stack:
        root = raw_folder(name)
        folder = _locate_data_folder(root, reader, stack)
        remedy = f"put a whole {reader.base_folder} into {root}, or remove what is there, to have {reader.filename} unpacked or downloaded"
        as_published = _check_files(folder, reader, remedy)
        unchecked_reader = _reader_without_checksums(reader)
        train, test = unchecked_reader(folder, train=True), unchecked_reader(folder, train=False)
    return Dataset(
        images=np.concatenate([part.data.transpose(0, 3, 1, 2) for part in (train, test)]),
        labels=np.array(train.targets + test.targets, np.uint8),
        splits=draw_split(name, train=len(train), test=len(test), val=val, split_seed=split_seed),
        classes=tuple(train.classes),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        source=f"{title}, content as published" if as_published else f"pickles whose content is not {title} as published",
    )


def _published_digests(reader: type) -> dict[str, str]:
    """Return {file name: md5 as published} of a data set's files; the file of the class names is the last."""
    return dict([*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])])


def _locate_data_folder(root: Path, reader: type, stack: ExitStack) -> Path:
    """Return the folder with the data set's files, after unpacking the archive if needed.

    It is the published folder below `root`, else `root` itself if it holds any of the files, else the unpacked archive, which is downloaded
    if
    it is missing. The archive is unpacked below `root`, or, where that is read-only, into a temporary folder that is removed when `stack`
    closes.
    """
    target, archive, file_names = root / reader.base_folder, root / reader.filename, list(_published_digests(reader))
    if target.is_dir():
        return target
    if any((root / name).is_file() for name in file_names):
        return root
    if not archive.is_file():
        download([reader.url], archive, digest=reader.tgz_md5, needed=[f"{reader.filename} or its folder {reader.base_folder}"])
    try:
        with exclusive(target):
            if not target.is_dir():
                _unpack_archive(archive, target, file_names)
            return target
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
    temporary = Path(stack.enter_context(TemporaryDirectory())) / reader.base_folder
    _unpack_archive(archive, temporary, file_names)
    return temporary


def _unpack_archive(archive: Path, target: Path, file_names: list[str]) -> None:
    """Unpack the files with these names, from any folder of the archive, into the new folder `target`: all of them or none."""
    try:
        with atomic_write(target) as temporary, GzipFile(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            temporary.mkdir()
            for member in tar:
                name = PurePosixPath(member.name).name
                if name in file_names and member.isfile() and (content := tar.extractfile(member)):
                    with content, (temporary / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
            while stream.read(BLOCK_BYTES):  # gzip compares its checksum at the end of the file
                pass
            for name in file_names:
                if not (temporary / name).is_file():
                    raise ValueError(f"{archive} holds no file {name}; put a whole copy there, or delete it, to download it anew")
    except (EOFError, BadGzipFile, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{archive} is truncated or damaged ({error}); delete it, to download it anew, or put a whole copy there"
        ) from None


def _reader_without_checksums(reader: type) -> type:
    """Return a subclass of a torchvision reader that accepts any folder name and skips checksums, for files that _check_files accepted."""
    unchecked = {part: [(name, None) for name, _ in getattr(reader, part)] for part in ("train_list", "test_list")}
    return type(reader.__name__, (reader,), {"base_folder": "", "meta": reader.meta | {"md5": None}} | unchecked)


def _check_files(folder: Path, reader: type, remedy: str) -> bool:
    """Return whether all files have the published bytes. Raises ValueError if they do not and a file is missing or malformed."""
    digests = _published_digests(reader)
    for name in digests:
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} does not exist; {remedy}")
    if all(md5_of(folder / name) == digest for name, digest in digests.items()):
        return True
    *batches, meta = (folder / name for name in digests)
    classes = _read_class_names(meta, reader.meta["key"], remedy)
    for path in batches:
        _check_batch_file(path, len(classes), remedy)
    return False


class _ArraysOnly(pickle.Unpickler):
    """Unpickler that accepts only containers, strings, numbers and numpy arrays, since other globals in a pickle can run code."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in HARMLESS_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays do not need and which could run code")
        return super().find_class(module, name)


def _load_pickled_dict(path: Path, remedy: str) -> dict:
    """Return the dict that a pickle file holds. Raises ValueError, ending in `remedy`, for a damaged file and for another content."""
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is truncated, damaged or no file of CIFAR ({type(error).__name__}: {error}); {remedy}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dict; {remedy}")
    return content


def _read_class_names(path: Path, key: str, remedy: str) -> list[str]:
    names = _load_pickled_dict(path, remedy).get(key)
    if not isinstance(names, list) or not 1 < len(names) <= 256 or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} holds no list {key!r} of 2 to 256 class names; {remedy}")
    return names


def _check_batch_file(path: Path, class_count: int, remedy: str) -> None:
    """Raise ValueError, ending in `remedy`, unless a file holds images uint8 (n, 3072) and n labels below `class_count`."""
    batch = _load_pickled_dict(path, remedy)
    images, labels = batch.get("data"), batch.get("labels", batch.get("fine_labels"))  # in the order of torchvision
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        received = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else "no array"
        raise ValueError(f"{path} holds {received} under 'data'; expected uint8 (n, 3072); {remedy}")
    if not isinstance(labels, list) or not len(labels) == len(images) > 0:
        received = f"{len(labels)} labels" if isinstance(labels, list) else "no list of labels"
        raise ValueError(f"{path} holds {len(images)} images, but {received} under 'labels' or 'fine_labels'; {remedy}")
    unknown = set(map(repr, labels)) - set(map(repr, range(class_count)))
    if unknown:
        raise ValueError(f"{path} holds the label {min(unknown)}; expected whole numbers from 0 to {class_count - 1}; {remedy}")
