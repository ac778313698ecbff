"""What CIFAR-10 and CIFAR-100 share: their folder or archive, checked, and read by torchvision.

Format: www.cs.toronto.edu/~kriz/cifar.html, "python version": pickles of arrays (n, 3072), a row's 1024 red values, then green, blue.
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
from confidnet_core.datasets._raw import CHUNK, alone, download, draw_split, md5_of, raw_folder
from confidnet_core.files import atomic_write

# All that pickled arrays ask for: of Python 2 (the published files), of Python 3, of numpy 1 and 2.
HARMLESS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def read_cifar(name: str, title: str, kind: type, *, val: int, split_seed: int) -> Dataset:
    """Images (n, 3, 32, 32) of the training files, then of the test file, through KIND, torchvision's CIFAR10 or CIFAR100.

    ValueError where val leaves nothing to train on, and for a file that is missing, damaged, does not fit the others or could run code.
    """
    with ExitStack() as stack:
        root = raw_folder(name)
        folder = _locate(root, kind, stack)
        remedy = f"put a whole {kind.base_folder} into {root}, or remove what is there, to have {kind.filename} unpacked or downloaded"
        as_published = _check(folder, kind, remedy)
        reader = _any_content(kind)
        train, test = reader(folder, train=True), reader(folder, train=False)
    return Dataset(
        images=np.concatenate([part.data.transpose(0, 3, 1, 2) for part in (train, test)]),
        labels=np.array(train.targets + test.targets, np.uint8),
        splits=draw_split(name, train=len(train), test=len(test), val=val, split_seed=split_seed),
        classes=tuple(train.classes),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        source=f"{title}, content as published" if as_published else f"pickles whose content is not {title} as published",
    )


def _digests(kind: type) -> dict[str, str]:
    """The published md5 of each file, that of the class names last."""
    return dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])


def _locate(root: Path, kind: type, stack: ExitStack) -> Path:
    """The folder in ROOT; or ROOT, if it holds any file of it; else the archive's, unpacked beside it, or until STACK ends."""
    target, archive, names = root / kind.base_folder, root / kind.filename, list(_digests(kind))
    if target.is_dir():
        return target
    if any((root / name).is_file() for name in names):
        return root
    if not archive.is_file():
        download([kind.url], archive, digest=kind.tgz_md5, needed=[f"{kind.filename} or its folder {kind.base_folder}"])
    try:
        with alone(target):
            if not target.is_dir():
                _unpack(archive, target, names)
            return target
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
    aside = Path(stack.enter_context(TemporaryDirectory())) / kind.base_folder
    _unpack(archive, aside, names)
    return aside


def _unpack(archive: Path, target: Path, names: list[str]) -> None:
    """The archive's files of these NAMES, whatever folder it has them in, as TARGET: all of them, or nothing."""
    try:
        with atomic_write(target) as temporary, GzipFile(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            temporary.mkdir()
            for member in tar:
                name = PurePosixPath(member.name).name
                if name in names and member.isfile() and (content := tar.extractfile(member)):
                    with content, (temporary / name).open("wb") as file:
                        shutil.copyfileobj(content, file)
            while stream.read(CHUNK):  # to its end, where gzip compares its checksum
                pass
            for name in names:
                if not (temporary / name).is_file():
                    raise ValueError(f"{archive} holds no file {name}; put a whole copy there, or delete it, to download it anew")
    except (EOFError, BadGzipFile, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{archive} is truncated or damaged ({error}); delete it, to download it anew, or put a whole copy there"
        ) from None


def _any_content(kind: type) -> type:
    """The reader without its checksums, for files that _check() let pass, and for a folder of any name."""
    unchecked = {part: [(name, None) for name, _ in getattr(kind, part)] for part in ("train_list", "test_list")}
    return type(kind.__name__, (kind,), {"base_folder": "", "meta": kind.meta | {"md5": None}} | unchecked)


def _check(folder: Path, kind: type, remedy: str) -> bool:
    """Whether all files are the published ones, byte for byte. ValueError where they are not, and one is not what it should be."""
    digests = _digests(kind)
    for name in digests:
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} does not exist; {remedy}")
    if all(md5_of(folder / name) == digest for name, digest in digests.items()):
        return True
    *batches, meta = (folder / name for name in digests)
    classes = _class_names(meta, kind.meta["key"], remedy)
    for path in batches:
        _check_batch(path, len(classes), remedy)
    return False


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers, strings, numbers and numpy arrays. What else a pickle may name can run code."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays do not need and which could run code")
        return super().find_class(module, name)


def _content(path: Path, remedy: str) -> dict:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is truncated, damaged or no file of CIFAR ({type(error).__name__}: {error}); {remedy}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dict; {remedy}")
    return content


def _class_names(path: Path, key: str, remedy: str) -> list[str]:
    names = _content(path, remedy).get(key)
    if not isinstance(names, list) or not 1 < len(names) <= 256 or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} holds no list {key!r} of 2 to 256 class names; {remedy}")
    return names


def _check_batch(path: Path, classes: int, remedy: str) -> None:
    content = _content(path, remedy)
    images, labels = content.get("data"), content.get("labels", content.get("fine_labels"))  # which torchvision prefers so, too
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else "no array"
        raise ValueError(f"{path} holds {got} under 'data'; expected uint8 (n, 3072); {remedy}")
    if not isinstance(labels, list) or not len(labels) == len(images) > 0:
        got = f"{len(labels)} labels" if isinstance(labels, list) else "no list of labels"
        raise ValueError(f"{path} holds {len(images)} images, but {got} under 'labels' or 'fine_labels'; {remedy}")
    unknown = set(map(repr, labels)) - set(map(repr, range(classes)))
    if unknown:
        raise ValueError(f"{path} holds the label {min(unknown)}; expected whole numbers from 0 to {classes - 1}; {remedy}")
