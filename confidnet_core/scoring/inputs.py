"""What each score reads beside the classifier and its predictions, as digests: so that only what it reads reruns its evaluation.

The function of a score says it by an attribute: `mc_dropout.reads = ("samples",)`. DVC cannot make the dependencies of a stage differ from
one item of its matrix to the next. It can depend on one small file an item, which changes with what that item's score reads.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from confidnet_core import paths
from confidnet_core.config.registry import entry_attributes, suggestion
from confidnet_core.files import replacing, write_json
from confidnet_core.scoring.reads import READABLE, SAMPLES

OF_NETWORK = ("weights.pt", "model.json")  # not origin.json: of equal weights it does not matter where they come from


def declared(methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """METHOD -> what it reads, of READABLE; empty where the score does not say. ValueError for another word."""
    found = {method: tuple(words or ()) for method, words in entry_attributes("scores", methods, "reads").items()}
    for method, words in found.items():
        for word in words:
            if word not in READABLE:
                raise ValueError(f"scores/{method}.py has reads {word!r}{suggestion(word, READABLE)}")
    return found


def save_inputs(folder: Path, methods: Iterable[str], benchmark: str, seed: int) -> None:
    """METHOD.json each: name of what is read -> SHA-256 of its files; all or none."""
    reads = declared(methods)
    digests = {word: _digest(word, benchmark, seed) for word in sorted({word for words in reads.values() for word in words})}
    with replacing(folder) as temporary:
        temporary.mkdir()
        for method, words in reads.items():
            write_json(temporary / f"{method}.json", {word: digests[word] for word in words})


def _digest(word: str, benchmark: str, seed: int) -> str:
    if word == SAMPLES:
        folder = paths.samples(benchmark, seed)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
    else:
        folder = paths.network(benchmark, seed, word)
        files = [folder / name for name in OF_NETWORK]
    return _sha256({path.relative_to(folder).as_posix(): path for path in files})


def _sha256(files: Mapping[str, Path]) -> str:
    digest = sha256()
    for name, path in files.items():
        try:
            with path.open("rb") as file:
                digest.update(name.encode())
                while block := file.read(1 << 20):
                    digest.update(block)
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    return digest.hexdigest()
