"""Digests of what each score reads beside the classifier and its predictions, so that an evaluation reruns only if its inputs changed.

The function of a score declares it in an attribute: `mc_dropout.reads = ("samples",)`. DVC cannot give the items of a stage's matrix
different dependencies. Each item can depend on one small file, which changes with what that item's score reads.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from confidnet_core import paths
from confidnet_core.config.registry import entry_attributes, suggestion
from confidnet_core.evaluation.left_out import LEFT_OUT_KEY
from confidnet_core.files import atomic_write, read_json, write_json
from confidnet_core.scoring.reads import DROPOUT_SAMPLES, READABLE_INPUTS

NO_TRAINING_IMAGES = "there are no training images"
NETWORK_FILE_NAMES = ("weights.pt", "model.json")  # without origin.json: it does not matter where equal weights come from


def declared_inputs(methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return {name of a score: names of the inputs that it declares in its attribute `reads`}; () for a score without the attribute.

    Inputs are trained networks and samples of forward passes with dropout. Raises ValueError for a name that is not in READABLE_INPUTS.
    """
    inputs_of_method = {method: tuple(input_names or ()) for method, input_names in entry_attributes("scores", methods, "reads").items()}
    for method, input_names in inputs_of_method.items():
        for input_name in input_names:
            if input_name not in READABLE_INPUTS:
                raise ValueError(f"scores/{method}.py has reads {input_name!r}{suggestion(input_name, READABLE_INPUTS)}")
    return inputs_of_method


def optional_inputs(methods: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return {name of a score: networks that it reads only where they were trained}, from its attribute `reads_if_trained`."""
    return {method: tuple(names or ()) for method, names in entry_attributes("scores", methods, "reads_if_trained").items()}


def save_input_digests(inputs_folder: Path, methods: Iterable[str], benchmark: str, seed: int) -> dict[str, str | None]:
    """Write METHOD.json in `inputs_folder` for each score: {name of an input that the score reads: SHA-256 of it}; all files or none.

    For a score that reads what the benchmark does not have, METHOD.json is {"left_out": reason}. Returns {score: this reason, or None}.
    """
    methods = list(methods)
    inputs_of_method = declared_inputs(methods)
    reason_of_method = _left_out_reasons(inputs_of_method, benchmark, seed)
    for method, network_names in optional_inputs(methods).items():
        inputs_of_method[method] += tuple(name for name in network_names if _missing_input_reason(name, benchmark, seed) is None)
    sha256_of_input = {
        input_name: _sha256_of_input(input_name, benchmark, seed)
        for input_name in sorted({input_name for input_names in inputs_of_method.values() for input_name in input_names})
    }
    with atomic_write(inputs_folder) as temporary_folder:
        temporary_folder.mkdir()
        for method, input_names in inputs_of_method.items():
            digests = {input_name: sha256_of_input[input_name] for input_name in input_names}
            left_out = {LEFT_OUT_KEY: reason_of_method[method]}
            write_json(temporary_folder / f"{method}.json", digests if reason_of_method[method] is None else left_out)
    return reason_of_method


def _left_out_reasons(inputs_of_method: Mapping[str, tuple[str, ...]], benchmark: str, seed: int) -> dict[str, str | None]:
    """Return {score: why it cannot be computed for this benchmark}; None if it can."""
    missing_inputs = {
        input_name: reason
        for input_name in sorted({input_name for input_names in inputs_of_method.values() for input_name in input_names})
        if (reason := _missing_input_reason(input_name, benchmark, seed))
    }
    has_training_images = read_json(paths.prepared_data_folder(benchmark) / "facts.json")["samples"]["train"] > 0
    needs_training_images = entry_attributes("scores", inputs_of_method, "needs_training_images")
    return {
        method: next((missing_inputs[name] for name in input_names if name in missing_inputs), None)
        or (NO_TRAINING_IMAGES if needs_training_images[method] and not has_training_images else None)
        for method, input_names in inputs_of_method.items()
    }


def _missing_input_reason(input_name: str, benchmark: str, seed: int) -> str | None:
    """Return why an input of scores does not exist for this benchmark, such as dropout samples of a network without dropout, or None."""
    if input_name != DROPOUT_SAMPLES:
        return read_json(paths.network_folder(benchmark, seed, input_name) / "model.json").get(LEFT_OUT_KEY)
    dropout_facts = read_json(paths.dropout_samples_folder(benchmark, seed) / "facts.json")
    if not dropout_facts["dropout"]:
        return "the classifier has no dropout"
    return None if dropout_facts["passes"] else f"benchmarks.{benchmark} has no mc_dropout.passes above 0"


def _sha256_of_input(input_name: str, benchmark: str, seed: int) -> str:
    """Return the SHA-256 of an input of scores: of the dropout samples if `input_name` is "samples", else of the network of this name."""
    if input_name == DROPOUT_SAMPLES:
        input_folder = paths.dropout_samples_folder(benchmark, seed)
        input_files = sorted(path for path in input_folder.rglob("*") if path.is_file())
    else:
        input_folder = paths.network_folder(benchmark, seed, input_name)
        input_files = [input_folder / file_name for file_name in NETWORK_FILE_NAMES]
    return _sha256_of_files({path.relative_to(input_folder).as_posix(): path for path in input_files})


def _sha256_of_files(path_of_file_name: Mapping[str, Path]) -> str:
    """Return one SHA-256, in hex, of the names and contents of several files together.

    path_of_file_name: {name: path of the file}, in the order in which they count. Raises ValueError for a missing file.
    """
    digest = sha256()
    for file_name, path in path_of_file_name.items():
        try:
            with path.open("rb") as file:
                digest.update(file_name.encode())
                while file_block := file.read(1 << 20):
                    digest.update(file_block)
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    return digest.hexdigest()
