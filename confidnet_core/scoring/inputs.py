"""Digests of what each score reads beside the classifier and its predictions, so that an evaluation reruns only if its inputs changed.

The function of a score declares it in an attribute: `mc_dropout.reads = ("samples",)`. DVC cannot give the items of a stage's matrix
different dependencies. Each item can depend on one small file, which changes with what that item's score reads.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from confidnet_core import paths
from confidnet_core.config.registry import entry_attributes, suggestion
from confidnet_core.files import atomic_write, write_json
from confidnet_core.scoring.reads import READABLE, SAMPLES

NETWORK_FILES = ("weights.pt", "model.json")  # without origin.json: it does not matter where equal weights come from


def declared_inputs(methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return {score: names of the inputs, of READABLE, that the score declares in its attribute `reads`}; () without the attribute.

    Raises ValueError for a name that is not in READABLE.
    """
    inputs = {method: tuple(names or ()) for method, names in entry_attributes("scores", methods, "reads").items()}
    for method, names in inputs.items():
        for name in names:
            if name not in READABLE:
                raise ValueError(f"scores/{method}.py has reads {name!r}{suggestion(name, READABLE)}")
    return inputs


def save_inputs(folder: Path, methods: Iterable[str], benchmark: str, seed: int) -> None:
    """Write FOLDER/METHOD.json for each score: {name of an input that the score reads: SHA-256 of that input}; all files or none."""
    inputs = declared_inputs(methods)
    digests = {name: _sha256_of_input(name, benchmark, seed) for name in sorted({name for names in inputs.values() for name in names})}
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        for method, names in inputs.items():
            write_json(temporary / f"{method}.json", {name: digests[name] for name in names})


def _sha256_of_input(name: str, benchmark: str, seed: int) -> str:
    """Return the SHA-256 of one input of scores: the dropout samples for the name "samples", else the trained network of this name."""
    if name == SAMPLES:
        folder = paths.dropout_samples(benchmark, seed)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
    else:
        folder = paths.network(benchmark, seed, name)
        files = [folder / file for file in NETWORK_FILES]
    return _sha256_of_files({path.relative_to(folder).as_posix(): path for path in files})


def _sha256_of_files(files: Mapping[str, Path]) -> str:
    """Return one SHA-256, in hex, of several files together: of their names, the keys of `files`, and their contents."""
    digest = sha256()
    for name, path in files.items():
        try:
            with path.open("rb") as file:
                digest.update(name.encode())
                while file_block := file.read(1 << 20):
                    digest.update(file_block)
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    return digest.hexdigest()
