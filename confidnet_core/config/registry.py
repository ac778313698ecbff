"""The folder is the registry: a public module of a family, and the function of its own name in it, is an entry.

A new confidence score, data set or model is a new file in its folder; nothing else lists it.
"""

import ast
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]  # confidnet_core, which holds the folders of the families


def names(family: str) -> list[str]:
    """What params.yaml may name: the modules of confidnet_core/FAMILY without a leading underscore, sorted."""
    folder = PACKAGE / family
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(family: str, name: str) -> Callable:
    """The function NAME of confidnet_core/FAMILY/NAME.py. ValueError for a name without such a file or function."""
    if name not in names(family):
        raise ValueError(f"confidnet_core/{family}/{name}.py does not exist{suggestion(name, names(family))}")
    entry = getattr(import_module(f"confidnet_core.{family}.{name}"), name, None)
    if not callable(entry):
        raise ValueError(f"confidnet_core/{family}/{name}.py has no function {name}; an entry's function bears the name of its file")
    return entry


def marks(family: str, names: Iterable[str], attribute: str) -> dict[str, Any]:
    """The value of an attribute of each entry's function, which tells the pipeline what the entry needs; None where it is not set."""
    return {name: getattr(find(family, name), attribute, None) for name in names}


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known names, or all of them where none is near."""
    known = list(known)
    near = get_close_matches(str(name), known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(known) or 'none'}"


def source_digest(family: str, name: str) -> str:
    """SHA-256 of the entry's file and of the family's shared files, those with a leading underscore."""
    find(family, name)
    folder = PACKAGE / family
    files = [folder / f"{name}.py", *sorted(folder.glob("_[!_]*.py"))]
    return sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def said(family: str, name: str, attribute: str) -> Any:
    """The literal that confidnet_core/FAMILY/NAME.py sets as that attribute of its function, read without importing it; None where it
    sets none. ValueError with file and line for what is no literal."""
    path, module = parsed(family, name)
    for line in module.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == f"{name}.{attribute}":
            try:
                return ast.literal_eval(line.value)
            except ValueError:
                raise ValueError(f"{path} line {line.lineno}: {attribute} is {ast.unparse(line.value)}; expected a literal") from None
    return None


def parsed(family: str, name: str) -> tuple[Path, ast.Module]:
    """The file of an entry and its syntax tree. ValueError where it is missing or is no Python."""
    path = PACKAGE / family / f"{name}.py"
    try:
        return path, ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist, but params.yaml names {name}") from None
    except SyntaxError as error:
        raise ValueError(f"{path} line {error.lineno} is no Python: {error.msg}") from None
