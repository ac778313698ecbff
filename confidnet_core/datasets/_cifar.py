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
from confidnet_core.datasets._collections import ChannelStatistics, statistics_of_settings
from confidnet_core.datasets._raw import (
    READ_BLOCK_BYTES,
    compute_file_md5,
    download,
    draw_split,
    exclusive_creation_lock,
    raw_folder_of_data_set,
)
from confidnet_core.files import atomic_write

PUBLISHED_MEAN, PUBLISHED_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # with ConfidNet
# All globals that pickled arrays refer to, whether they were written by Python 2 (the published files) or 3, by numpy 1 or 2.
ALLOWED_PICKLE_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


def read_cifar(
    data_set_name: str,
    data_set_title: str,
    torchvision_class: type,
    *,
    val: int,
    split_seed: int,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return CIFAR-10 or CIFAR-100 with images uint8 (n, 3, 32, 32), those of the training files first, then those of the test file.

    data_set_name: the name of its raw folder; data_set_title: its name in messages; torchvision_class: torchvision's CIFAR10 or CIFAR100
    val, split_seed: the number of training images drawn at random for the validation split, and the seed of that draw
    mean, std: as for the data sets cifar10 and cifar100
    Raises ValueError where `val` leaves no training image, and for a file that is missing, damaged, does not fit the others or could run
    code.
    """
    channel_mean, channel_std = statistics_of_settings(data_set_name, 3, mean, std) or (PUBLISHED_MEAN, PUBLISHED_STD)
    with ExitStack() as exit_stack:
        raw_data_folder = raw_folder_of_data_set(data_set_name)
        batch_folder = _locate_data_folder(raw_data_folder, torchvision_class, exit_stack)
        archive_remedy_text = f"remove what is there, to have {torchvision_class.filename} unpacked or downloaded"
        remedy_text = f"put a whole {torchvision_class.base_folder} into {raw_data_folder}, or {archive_remedy_text}"
        has_published_content = _has_published_content(batch_folder, torchvision_class, remedy_text)
        dataset_class_without_md5 = _dataset_class_without_md5(torchvision_class)
        train, test = dataset_class_without_md5(batch_folder, train=True), dataset_class_without_md5(batch_folder, train=False)
    return Dataset(
        images=np.concatenate([torchvision_dataset.data.transpose(0, 3, 1, 2) for torchvision_dataset in (train, test)]),
        labels=np.array(train.targets + test.targets, np.uint8),
        splits=draw_split(
            data_set_name, training_image_count=len(train), test_image_count=len(test), validation_image_count=val, split_seed=split_seed
        ),
        classes=tuple(train.classes),
        mean=channel_mean,
        std=channel_std,
        source=f"{data_set_title}, content as published"
        if has_published_content
        else f"pickles whose content is not {data_set_title} as published",
    )


def _published_md5_of_files(torchvision_class: type) -> dict[str, str]:
    """Return {file name: published md5} of the files of a torchvision data set; the file of the class names is the last."""
    return dict(
        [*torchvision_class.train_list, *torchvision_class.test_list, (torchvision_class.meta["filename"], torchvision_class.meta["md5"])]
    )


def _locate_data_folder(raw_data_folder: Path, torchvision_class: type, exit_stack: ExitStack) -> Path:
    """Return the folder with the files of a CIFAR data set, after downloading and unpacking its archive if needed.

    It is the published folder below `raw_data_folder`, else `raw_data_folder` itself if it holds any of the files, else the unpacked
    archive. The archive is unpacked below `raw_data_folder`, or, where that is read-only, into a temporary folder that is removed when
    `exit_stack` closes.
    """
    unpacked_folder, archive_path = raw_data_folder / torchvision_class.base_folder, raw_data_folder / torchvision_class.filename
    file_names = list(_published_md5_of_files(torchvision_class))
    if unpacked_folder.is_dir():
        return unpacked_folder
    if any((raw_data_folder / file_name).is_file() for file_name in file_names):
        return raw_data_folder
    if not archive_path.is_file():
        download(
            [torchvision_class.url],
            archive_path,
            expected_md5=torchvision_class.tgz_md5,
            files_to_provide_by_hand=[f"{torchvision_class.filename} or its folder {torchvision_class.base_folder}"],
        )
    try:
        with exclusive_creation_lock(unpacked_folder):
            if not unpacked_folder.is_dir():
                _unpack_archive(archive_path, unpacked_folder, file_names)
            return unpacked_folder
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
    temporary_folder = Path(exit_stack.enter_context(TemporaryDirectory())) / torchvision_class.base_folder
    _unpack_archive(archive_path, temporary_folder, file_names)
    return temporary_folder


def _unpack_archive(archive_path: Path, target_folder: Path, file_names: list[str]) -> None:
    """Unpack the files with these names, from any folder of a .tar.gz archive, into the new folder `target_folder`: all of them or none."""
    try:
        with (
            atomic_write(target_folder) as temporary_folder,
            GzipFile(archive_path) as gzip_stream,
            tarfile.open(fileobj=gzip_stream, mode="r:") as tar_archive,
        ):
            temporary_folder.mkdir()
            for archive_member in tar_archive:
                file_name = PurePosixPath(archive_member.name).name
                if (
                    file_name in file_names
                    and archive_member.isfile()
                    and (archive_member_stream := tar_archive.extractfile(archive_member))
                ):
                    with archive_member_stream, (temporary_folder / file_name).open("wb") as output_file:
                        shutil.copyfileobj(archive_member_stream, output_file)
            while gzip_stream.read(READ_BLOCK_BYTES):  # gzip compares its checksum at the end of the file
                pass
            for file_name in file_names:
                if not (temporary_folder / file_name).is_file():
                    raise ValueError(f"{archive_path} holds no file {file_name}; put a whole copy there, or delete it, to download it anew")
    except (EOFError, BadGzipFile, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{archive_path} is truncated or damaged ({error}); delete it, to download it anew, or put a whole copy there"
        ) from None


def _dataset_class_without_md5(torchvision_class: type) -> type:
    """Return a subclass of torchvision's CIFAR10 or CIFAR100 that accepts any folder name and skips checksums, for files checked before."""
    file_lists_without_md5 = {
        file_list_name: [(file_name, None) for file_name, _ in getattr(torchvision_class, file_list_name)]
        for file_list_name in ("train_list", "test_list")
    }
    return type(
        torchvision_class.__name__,
        (torchvision_class,),
        {"base_folder": "", "meta": torchvision_class.meta | {"md5": None}} | file_lists_without_md5,
    )


def _has_published_content(batch_folder: Path, torchvision_class: type, remedy_text: str) -> bool:
    """Return whether all files of a CIFAR data set have the published bytes.

    If they do not, raise ValueError, ending in `remedy_text`, for a file that is missing or malformed.
    """
    md5_of_file = _published_md5_of_files(torchvision_class)
    for file_name in md5_of_file:
        if not (batch_folder / file_name).is_file():
            raise ValueError(f"{batch_folder / file_name} does not exist; {remedy_text}")
    if all(compute_file_md5(batch_folder / file_name) == published_md5 for file_name, published_md5 in md5_of_file.items()):
        return True
    *batch_paths, class_names_path = (batch_folder / file_name for file_name in md5_of_file)
    class_names = _read_class_names(class_names_path, torchvision_class.meta["key"], remedy_text)
    for batch_path in batch_paths:
        _check_batch_file(batch_path, len(class_names), remedy_text)
    return False


class _ArraysOnlyUnpickler(pickle.Unpickler):
    """Unpickler that accepts only containers, strings, numbers and numpy arrays, since other globals in a pickle can run code."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ALLOWED_PICKLE_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays do not need and which could run code")
        return super().find_class(module, name)


def _load_pickled_dict(path: Path, remedy_text: str) -> dict:
    """Return the dict that a pickle file holds. Raises ValueError, ending in `remedy_text`, for a damaged file or one without a dict."""
    try:
        with path.open("rb") as pickle_file:
            unpickled_object = _ArraysOnlyUnpickler(pickle_file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is truncated, damaged or no file of CIFAR ({type(error).__name__}: {error}); {remedy_text}") from None
    if not isinstance(unpickled_object, dict):
        raise ValueError(f"{path} holds a {type(unpickled_object).__name__}; expected a dict; {remedy_text}")
    return unpickled_object


def _read_class_names(path: Path, class_names_key: str, remedy_text: str) -> list[str]:
    class_names = _load_pickled_dict(path, remedy_text).get(class_names_key)
    if (
        not isinstance(class_names, list)
        or not 1 < len(class_names) <= 256
        or not all(isinstance(class_name, str) for class_name in class_names)
    ):
        raise ValueError(f"{path} holds no list {class_names_key!r} of 2 to 256 class names; {remedy_text}")
    return class_names


def _check_batch_file(path: Path, class_count: int, remedy_text: str) -> None:
    """Raise ValueError, ending in `remedy_text`, unless a CIFAR file holds images uint8 (n, 3072) and n labels below `class_count`."""
    batch = _load_pickled_dict(path, remedy_text)
    images, labels = batch.get("data"), batch.get("labels", batch.get("fine_labels"))  # in the order of torchvision
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        found_content_text = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else "no array"
        raise ValueError(f"{path} holds {found_content_text} under 'data'; expected uint8 (n, 3072); {remedy_text}")
    if not isinstance(labels, list) or not len(labels) == len(images) > 0:
        found_content_text = f"{len(labels)} labels" if isinstance(labels, list) else "no list of labels"
        raise ValueError(f"{path} holds {len(images)} images, but {found_content_text} under 'labels' or 'fine_labels'; {remedy_text}")
    unknown_labels = set(map(repr, labels)) - set(map(repr, range(class_count)))
    if unknown_labels:
        raise ValueError(f"{path} holds the label {min(unknown_labels)}; expected whole numbers from 0 to {class_count - 1}; {remedy_text}")
