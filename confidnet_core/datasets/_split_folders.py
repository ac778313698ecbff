"""The folders of a file tree that hold the splits, by all their usual names, and in sentences what is left out."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from confidnet_core.datasets._file_tree import FileTree
from confidnet_core.datasets._image_formats import IMAGE_SUFFIXES
from confidnet_core.display import display_text

NAMES_OF_SPLIT = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
ALL_SPLIT_NAMES = {name for names in NAMES_OF_SPLIT.values() for name in names}
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
MAX_LISTED = 6


def name_of_split(file_tree: FileTree, split: str, *path_patterns: str) -> str:
    """Return by which of its names a split is in the tree; its first name if it is not there.

    path_patterns: how paths of the split begin, with {} for its name, as "{}/". Raises ValueError where two of its names are there.
    """
    names = [
        name
        for name in NAMES_OF_SPLIT[split]
        if any(path.startswith(pattern.format(name)) for pattern in path_patterns for path in file_tree.paths)
    ]
    if len(names) > 1:
        raise ValueError(f"{file_tree.path_prefix_in_messages} holds {' and '.join(names)}, which name one split; keep one of them")
    return names[0] if names else split


def normalised_name(file_tree: FileTree, name: str, path: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which macOS's and other systems' spellings of a letter are equal.

    Raises ValueError, naming the path, for a name whose bytes are no UTF-8, which no file of results could hold.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{file_tree.path_in_messages(path)} has a name that is no UTF-8; rename it") from None
    return unicodedata.normalize("NFC", name)


def left_out_sentences(file_tree: FileTree, used_folders: Iterable[str], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[str]:
    """Return sentences about files below the used folders without one of these suffixes, and about top folders that are not used.

    used_folders: their paths, with a slash at the end
    """
    used_folders = tuple(used_folders)
    files = [path for path in file_tree.paths if not path.endswith("/") and PurePosixPath(path).name.lower() not in SYSTEM_FILES]
    left_out = [path for path in files if path.startswith(used_folders) and not path.lower().endswith(suffixes)]
    sentences = []
    if left_out:
        counts = Counter(PurePosixPath(path).suffix.lower() or "no ending" for path in left_out).most_common()
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in counts[:MAX_LISTED]) + ", ..." * (len(counts) > MAX_LISTED)
        files_text = "1 file is" if len(left_out) == 1 else f"{len(left_out):,} files are"
        sentences.append(
            f"{files_text} left out, since nothing reads such files here: {kinds}; the first is {display_text(left_out[0])}. "
            "Save images as PNG or JPEG to use them."
        )
    used_tops = {folder.partition("/")[0] for folder in used_folders}
    unused = Counter(top for path in files if (top := path.partition("/")[0]) not in used_tops and "/" in path)
    if unused:
        names = ", ".join(f"{display_text(name)}/ ({count:,} files)" for name, count in sorted(unused.items())[:MAX_LISTED])
        more = ", ..." * (len(unused) > MAX_LISTED)
        expected = ", ".join("/ or ".join(names) + "/" for names in NAMES_OF_SPLIT.values())
        sentences.append(f"{file_tree.path_prefix_in_messages} also holds {names}{more}, which nothing reads; splits are {expected}.")
    return sentences
