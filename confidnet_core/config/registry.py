"""Registry of confidence scores, data sets and models: each public module in one of these three folders (families) of confidnet_core is an
entry, with a function of the same name.

A new entry is a new file in its folder; no list of entries has to be edited.
"""

import ast
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE_FOLDER = Path(__file__).parents[1]  # confidnet_core, with one folder per family


def entry_names(family: str) -> list[str]:
    """Return the sorted names of all scores, datasets or models (FAMILY): the modules in confidnet_core/FAMILY without a leading
    underscore.
    """
    family_folder = PACKAGE_FOLDER / family
    return sorted(path.stem for path in family_folder.glob("*.py") if not path.stem.startswith("_"))


def find_entry(family: str, name: str) -> Callable:
    """Return the function NAME of the module confidnet_core/FAMILY/NAME.py. ValueError for a missing file or function."""
    if name not in entry_names(family):
        raise ValueError(f"confidnet_core/{family}/{name}.py does not exist{suggestion(name, entry_names(family))}")
    entry = getattr(import_module(f"confidnet_core.{family}.{name}"), name, None)
    if not callable(entry):
        raise ValueError(f"confidnet_core/{family}/{name}.py has no function {name}; an entry's function bears the name of its file")
    return entry


def entry_attributes(family: str, entries: Iterable[str], attribute: str) -> dict[str, Any]:
    """Return NAME -> attribute of the function of each named score, data set or model; None where the attribute is not set.

    Such attributes tell the pipeline what an entry needs.
    """
    return {name: getattr(find_entry(family, name), attribute, None) for name in entries}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name: the most similar known names, else a list of all known names."""
    known = list(known)
    close_matches = get_close_matches(str(name), known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close_matches)}?" if close_matches else f"; known: {', '.join(known) or 'none'}"


def source_digest(family: str, name: str) -> str:
    """Return the SHA-256 over the source files of a score, data set or model: its own file, and shared ones with a leading underscore."""
    find_entry(family, name)
    family_folder = PACKAGE_FOLDER / family
    source_paths = [family_folder / f"{name}.py", *sorted(family_folder.glob("_[!_]*.py"))]
    return sha256(b"".join(path.name.encode() + path.read_bytes() for path in source_paths)).hexdigest()


def literal_attribute(family: str, name: str, attribute: str) -> Any:
    """Return the value that the file of a score, data set or model assigns to an attribute of its function, read without importing the
    file.

    None if the attribute is not set. ValueError with file and line for a value that is not a literal.
    """
    path, module = parse_entry(family, name)
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == f"{name}.{attribute}":
            try:
                return ast.literal_eval(statement.value)
            except ValueError:
                raise ValueError(
                    f"{path} line {statement.lineno}: {attribute} is {ast.unparse(statement.value)}; expected a literal"
                ) from None
    return None


def parse_entry(family: str, name: str) -> tuple[Path, ast.Module]:
    """Return the path of the file confidnet_core/FAMILY/NAME.py and its syntax tree.

    ValueError if the file is missing or is not valid Python.
    """
    path = PACKAGE_FOLDER / family / f"{name}.py"
    try:
        return path, ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist, but params.yaml names {name}") from None
    except SyntaxError as error:
        raise ValueError(f"{path} line {error.lineno} is no Python: {error.msg}") from None
