"""Image files without classes, for `foreign`. They lie in any folders of a folder or .zip, and train nothing."""

import numpy as np

from confidnet_core.config.ranges import ImageSide, PathText
from confidnet_core.data import Dataset
from confidnet_core.datasets._file_tree import open_file_tree
from confidnet_core.datasets._image_formats import EXPECTED_FILES_TEXT, IMAGE_SUFFIXES
from confidnet_core.datasets._images import ImagePreparation, Interpolation, read_samples_in_threads
from confidnet_core.datasets._split_folders import left_out_sentences


def image_files(
    *,
    folder: PathText,
    height: ImageSide,
    width: ImageSide,
    grey: bool = False,
    resize: ImageSide | None = None,
    interpolation: Interpolation = "area",
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), or with 1 channel if `grey`, in the order of their names: the first half as val, then test.

    folder: an absolute path, or one below $CONFIDNET_DATA or data/raw; the other settings are those of `image_folder`
    Raises ValueError naming the folder if it holds fewer than two images, or the file that is damaged.
    """
    preparation = ImagePreparation(height, width, resize, interpolation, grey)
    with open_file_tree(folder, set()) as file_tree:
        image_paths = [path for path in file_tree.paths if path.lower().endswith(IMAGE_SUFFIXES)]
        if len(image_paths) < 2:
            found_text = f"holds {len(image_paths)} images; expected two or more, {EXPECTED_FILES_TEXT}"
            raise ValueError(f"image_files: {file_tree.path_prefix_in_messages} {found_text}")
        top_folders = {path.partition("/")[0] + "/" for path in file_tree.paths if "/" in path}
        notes = left_out_sentences(file_tree, ["", *top_folders])

        def read_image_at(index: int) -> tuple[np.ndarray]:
            path = image_paths[index]
            return (preparation.read(file_tree.read(path), file_tree.path_in_messages(path)),)

        (images,) = read_samples_in_threads(read_image_at, len(image_paths), preparation.image_shape)
    empty, (val, test) = np.array([], np.int64), np.array_split(np.arange(len(images)), 2)
    channels = len(images[0])
    return Dataset(
        images=images,
        labels=np.zeros(len(images), np.uint8),
        splits={"train": empty, "val": val, "test": test},
        classes=("none",),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        source=f"image files of {file_tree.path_prefix_in_messages.rstrip('/: ').rpartition('/')[2]}, {len(images)} images",
        preparation=preparation.settings(),
        notes=tuple(notes),
    )
