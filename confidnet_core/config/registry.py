"""Registry of confidence scores, data sets and models. An entry is one of these: a file without a leading underscore in the folder scores,
datasets or models of confidnet_core (the registry folders), which has a function with the name of the file.

A new entry is a new file in its folder; no list of entries has to be edited.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE_FOLDER = Path(__file__).parents[1]  # confidnet_core, with the folders scores, datasets and models


def entry_names(registry_folder: str) -> list[str]:
    """Return the sorted names of all confidence scores, data sets or models: of the files without a leading underscore in their folder.

    registry_folder: "scores", "datasets" or "models"
    """
    entries_folder = PACKAGE_FOLDER / registry_folder
    return sorted(entry_path.stem for entry_path in entries_folder.glob("*.py") if not entry_path.stem.startswith("_"))


def find_entry(registry_folder: str, entry_name: str) -> Callable:
    """Return the function of a score, data set or model: that of confidnet_core/REGISTRY_FOLDER/ENTRY_NAME.py with the name of the file.

    registry_folder: "scores", "datasets" or "models"; ValueError for a missing file or function
    """
    if entry_name not in entry_names(registry_folder):
        suggestion_text = suggestion(entry_name, entry_names(registry_folder))
        raise ValueError(f"confidnet_core/{registry_folder}/{entry_name}.py does not exist{suggestion_text}")
    entry_function = getattr(import_module(f"confidnet_core.{registry_folder}.{entry_name}"), entry_name, None)
    if not callable(entry_function):
        problem_text = f"has no function {entry_name}; an entry's function bears the name of its file"
        raise ValueError(f"confidnet_core/{registry_folder}/{entry_name}.py {problem_text}")
    return entry_function


def entry_attributes(registry_folder: str, selected_entries: Iterable[str], attribute_name: str) -> dict[str, Any]:
    """Return a dictionary NAME -> value of an attribute of the function of each selected score, data set or model; None if it has none.

    Such attributes tell the pipeline what a score, data set or model needs. registry_folder: "scores", "datasets" or "models"
    """
    return {entry_name: getattr(find_entry(registry_folder, entry_name), attribute_name, None) for entry_name in selected_entries}


def suggestion(unknown_name: str, known_names: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the most similar known names, else a list of all known names."""
    known_names = list(known_names)
    close_matches = get_close_matches(str(unknown_name), known_names, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close_matches)}?" if close_matches else f"; known: {', '.join(known_names) or 'none'}"


def entry_code_digest(registry_folder: str, entry_name: str, settings: Mapping[str, Any] | None = None) -> str:
    """Return the SHA-256 of the source files of a score, data set or model: its own file, and its folder's files with a leading underscore.

    registry_folder: "scores", "datasets" or "models"
    settings: with them, the digest covers code that the settings name, where the entry's function has an attribute `code_digest` for that
    """
    digest_named_code = getattr(find_entry(registry_folder, entry_name), "code_digest", None)
    entries_folder = PACKAGE_FOLDER / registry_folder
    source_paths = [entries_folder / f"{entry_name}.py", *sorted(entries_folder.glob("_[!_]*.py"))]
    named_code = digest_named_code(settings).encode() if digest_named_code and settings is not None else b""
    return sha256(b"".join(source_path.name.encode() + source_path.read_bytes() for source_path in source_paths) + named_code).hexdigest()


def literal_attribute(registry_folder: str, entry_name: str, attribute_name: str) -> Any:
    """Return the value of an attribute of the function of a score, data set or model, read from its file without importing the file.

    registry_folder: "scores", "datasets" or "models". None if the attribute is not set. ValueError with file and line for a value that is
    no literal.
    """
    entry_path, syntax_tree = parse_entry(registry_folder, entry_name)
    for statement in syntax_tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == f"{entry_name}.{attribute_name}":
            try:
                return ast.literal_eval(statement.value)
            except ValueError:
                raise ValueError(
                    f"{entry_path} line {statement.lineno}: {attribute_name} is {ast.unparse(statement.value)}; expected a literal"
                ) from None
    return None


def parse_entry(registry_folder: str, entry_name: str) -> tuple[Path, ast.Module]:
    """Return the path of the file confidnet_core/REGISTRY_FOLDER/ENTRY_NAME.py and its syntax tree.

    registry_folder: "scores", "datasets" or "models". ValueError if the file is missing or is not valid Python.
    """
    entry_path = PACKAGE_FOLDER / registry_folder / f"{entry_name}.py"
    try:
        return entry_path, ast.parse(entry_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{entry_path} does not exist, but params.yaml names {entry_name}") from None
    except SyntaxError as error:
        raise ValueError(f"{entry_path} line {error.lineno} is no Python: {error.msg}") from None
