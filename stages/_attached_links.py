"""Links to the files that a benchmark takes from elsewhere, on which DVC can depend."""

import os
from pathlib import Path

from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import entry_attributes
from confidnet_core.files import atomic_write, write_json
from stages._attached import find_file, weights_path

NO_CODE_TEXT = "no code of one's own\n"  # DVC warns of an empty file


def weights_files(benchmark_name: str, benchmark: Benchmark) -> dict[str, Path]:
    """Return {key in params.yaml: path} of the files of weights that a benchmark names: to take as they are, and to train on from."""
    path_by_key = {"baseline.weights": weights_path(benchmark_name, benchmark)}
    for key, model in {"model": benchmark.model, "second_opinion.model": benchmark.second_opinion_model}.items():
        if isinstance(pretrained := model.settings.get("pretrained"), str) and (key == "model" or model != benchmark.model):
            path_by_key[f"{key}.pretrained"] = find_file(pretrained, f"benchmarks.{benchmark_name}.{key}.pretrained")
    return {key: path for key, path in path_by_key.items() if path is not None}


def link_files(links_folder: Path, path_by_key: dict[str, Path]) -> None:
    """Write a folder of links KEY=NAME OF THE FILE, and files.json, which names what they lead to.

    DVC hashes a link by the content that it leads to, so that a changed file is a changed output of this stage, which then runs again. If
    the file is gone, DVC fails before it runs any stage, and names the link: hence its name.
    """
    with atomic_write(links_folder) as temporary_folder:
        temporary_folder.mkdir()
        # DVC warns of an empty folder; and no cache has this folder, so that it is never restored as copies of older files.
        write_json(temporary_folder / "files.json", {key: path.name for key, path in path_by_key.items()})
        for key, path in path_by_key.items():
            # Relative to the folder that the temporary one becomes, so that the links stay whole if the project is moved.
            (temporary_folder / f"{key}={path.name}").symlink_to(os.path.relpath(path.resolve(), links_folder.resolve()))


def link_code(link: Path, benchmark: Benchmark) -> None:
    """Write a link to the folder, or the one file, of the package of one's own that the model comes from; a short text if there is none.

    DVC hashes all that is in the folder. Links to its files, one by one, would stop DVC as soon as one of these is renamed.
    """
    model_names = {benchmark.model.name, benchmark.second_opinion_model.name}
    find_code_path_by_model = entry_attributes("models", model_names, "code_path")
    if benchmark.second_opinion_model != benchmark.model and find_code_path_by_model[benchmark.second_opinion_model.name]:
        raise ValueError(
            f"second_opinion.model is {benchmark.second_opinion_model.name}, which takes code of one's own; only model can: give a model "
            "of this project, or remove second_opinion.model for a second network like the classifier"
        )
    find_code_path = find_code_path_by_model[benchmark.model.name]
    code_path = find_code_path(benchmark.model.settings) if find_code_path else None
    with atomic_write(link) as temporary_path:
        if code_path is None:
            temporary_path.write_text(NO_CODE_TEXT)
        else:
            temporary_path.symlink_to(os.path.relpath(code_path.resolve(), link.parent.resolve()))
