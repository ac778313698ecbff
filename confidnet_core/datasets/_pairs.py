"""The images and masks of a data set: found in a file tree in one of four layouts, by lists or by equal names."""

from pathlib import PurePosixPath
from unicodedata import normalize

from confidnet_core.data import TRAIN_VAL_TEST
from confidnet_core.datasets._file_tree import FileTree
from confidnet_core.datasets._image_formats import EXPECTED_FILES_TEXT, IMAGE_SUFFIXES
from confidnet_core.datasets._images import parse_image_list
from confidnet_core.datasets._masks import LOSSLESS_REMEDY, LOSSY_SUFFIXES, MASK_SUFFIXES
from confidnet_core.datasets._split_folders import left_out_sentences, name_of_split

# The folder of a split's images and that of its masks, with {} for the name of the split.
FOLDER_LAYOUTS = (("{}/images", "{}/masks"), ("{}", "{}annot"), ("images/{}", "masks/{}"), ("images", "masks"))


def list_image_mask_pairs(file_tree: FileTree) -> tuple[dict[str, list[tuple[str, str]]], list[str]]:
    """Return {split: paths of image and mask of each sample}, and sentences about what is left out.

    Raises ValueError naming what is missing or in two splits.
    """
    folder_layout = next((layout for layout in FOLDER_LAYOUTS if _files_below(file_tree, layout[0].format("train"))), None)
    if folder_layout is None:
        expected_layouts = ", or ".join(" and ".join(f"{folder.format('train')}/" for folder in layout) for layout in FOLDER_LAYOUTS)
        problem_text = f"{file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}"
        raise ValueError(f"{problem_text}; expected {expected_layouts} with lists")
    split_patterns = ["{}.txt", *(f"{folder}/" for folder in folder_layout if "{}" in folder)]
    name_in_tree = {split: name_of_split(file_tree, split, *split_patterns) for split in TRAIN_VAL_TEST}
    image_mask_pairs_of_split = {
        split: _image_mask_pairs_of_split(file_tree, split, name, *folder_layout) for split, name in name_in_tree.items()
    }
    split_of_image: dict[str, str] = {}
    for split, name in name_in_tree.items():
        if not image_mask_pairs_of_split[split] and split != "val":
            folder = file_tree.path_in_messages(folder_layout[0].format(name))
            raise ValueError(f"{folder} holds no images; expected {EXPECTED_FILES_TEXT}")
        for image_path, _ in image_mask_pairs_of_split[split]:
            if image_path in split_of_image:
                image_list_path, other_split = file_tree.path_in_messages(f"{name}.txt"), split_of_image[image_path]
                problem_text = f"{image_list_path} lists {image_path}, which {other_split}.txt already did"
                raise ValueError(f"{problem_text}; an image is in one split, once")
            split_of_image[image_path] = name
    used_folders = {f"{folder.format(name)}/" for name in name_in_tree.values() for folder in folder_layout}
    return image_mask_pairs_of_split, left_out_sentences(file_tree, sorted(used_folders))


def _files_below(file_tree: FileTree, folder: str) -> list[str]:
    return [path for path in file_tree.paths if path.startswith(f"{folder}/")]


def _image_mask_pairs_of_split(file_tree: FileTree, split: str, name_in_tree: str, *folder_layout: str) -> list[tuple[str, str]]:
    """Return the paths of image and mask of each sample of a split, by its list or, without a list, of all files with the same stem."""
    split_folders = image_folder, mask_folder = [folder.format(name_in_tree) for folder in folder_layout]
    image_path_of_stem = _files_by_stem(file_tree, image_folder, IMAGE_SUFFIXES)
    mask_path_of_stem = _files_by_stem(file_tree, mask_folder, MASK_SUFFIXES)
    image_list_name = f"{name_in_tree}.txt"
    if image_list_name in file_tree.paths:
        listed_name_pairs = parse_image_list(file_tree.read(image_list_name), file_tree.path_in_messages(image_list_name))
        return [
            (
                _find_listed_file(file_tree, image_path_of_stem, listed_image_path, image_folder, image_list_name),
                _find_listed_file(file_tree, mask_path_of_stem, listed_mask_path, mask_folder, image_list_name),
            )
            for listed_image_path, listed_mask_path in listed_name_pairs
        ]
    if split_folders == list(folder_layout):
        if split == "val":
            return []
        image_list_path = file_tree.path_in_messages(image_list_name)
        raise ValueError(f"{image_list_path} does not exist; expected the list of the split's images, one a line")
    for stem in sorted(image_path_of_stem.keys() ^ mask_path_of_stem.keys()):
        has_image = stem in image_path_of_stem
        if has_image:
            _require_no_lossy_mask(file_tree, mask_folder, stem)
        path, missing_partner_folder = (image_path_of_stem[stem], mask_folder) if has_image else (mask_path_of_stem[stem], image_folder)
        problem_text = f"{file_tree.path_in_messages(path)} has no partner {stem} in {missing_partner_folder}/"
        raise ValueError(f"{problem_text}; expected one, or a list {image_list_name} of those to use")
    return [(image_path_of_stem[stem], mask_path_of_stem[stem]) for stem in sorted(image_path_of_stem)]


def _require_no_lossy_mask(file_tree: FileTree, mask_folder: str, stem: str) -> None:
    """Raise ValueError where the mask of an image is there in a format that changes values, such as JPEG, alone."""
    for path in _files_below(file_tree, mask_folder):
        if path.lower().endswith(LOSSY_SUFFIXES) and _name_without_suffix(path.removeprefix(f"{mask_folder}/")) == stem:
            problem_text = f"{file_tree.path_in_messages(path)} is in a format that changes the values of a mask"
            raise ValueError(f"{problem_text}; {LOSSLESS_REMEDY}, from the labels and not from this file")


def _files_by_stem(file_tree: FileTree, folder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return {path in a folder without suffix: path} of the files below it with one of `suffixes`. ValueError for two of a stem."""
    path_of_stem: dict[str, str] = {}
    for path in _files_below(file_tree, folder):
        if path.lower().endswith(suffixes):
            stem = _name_without_suffix(path.removeprefix(f"{folder}/"))
            if stem in path_of_stem:
                problem_text = f"{file_tree.path_in_messages(path)} and {path_of_stem[stem]} differ in their ending only"
                raise ValueError(f"{problem_text}; remove the one that is not meant")
            path_of_stem[stem] = path
    return path_of_stem


def _name_without_suffix(file_name: str) -> str:
    """Return the name of an image file without its ending, in Unicode's composed form (NFC), so that all spellings of a name are equal."""
    has_suffix = file_name.lower().endswith(IMAGE_SUFFIXES) and PurePosixPath(file_name).name
    return normalize("NFC", str(PurePosixPath(file_name).with_suffix("")) if has_suffix else file_name)


def _find_listed_file(file_tree: FileTree, path_of_stem: dict[str, str], listed_path: str, folder: str, image_list_name: str) -> str:
    """Return the file of a folder that a line of a list names; the entry may begin with folders of its author's computer."""
    listed_path_parts = _name_without_suffix(listed_path).split("/")
    for first_part_index in range(len(listed_path_parts)):
        if file := path_of_stem.get("/".join(listed_path_parts[first_part_index:])):
            return file
    problem_text = f"{file_tree.path_in_messages(folder)} holds no {listed_path_parts[-1]} with the ending of an image"
    raise ValueError(f"{file_tree.path_in_messages(image_list_name)} lists {listed_path}, but {problem_text}")
