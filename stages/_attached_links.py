"""Links to the files that a benchmark takes from elsewhere, on which DVC can depend."""

import os
from pathlib import Path

from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import entry_attributes
from confidnet_core.files import atomic_write, write_json
from stages._attached import find_file


def files_of_model(benchmark_name: str, benchmark: Benchmark) -> dict[str, Path]:
    """Return {name of a link: path} of the files that the model's settings name: weights to start from, and code."""
    model, path_by_link = benchmark.model, {}
    if isinstance(pretrained := model.settings.get("pretrained"), str):
        path_by_link["pretrained"] = find_file(pretrained, f"benchmarks.{benchmark_name}.model.pretrained")
    find_code_files = entry_attributes("models", [model.name], "code_files")[model.name]
    for number, code_path in enumerate(find_code_files(model.settings) if find_code_files else ()):
        path_by_link[f"{number}_{code_path.name}"] = code_path
    return path_by_link


def link_files(links_folder: Path, path_by_link: dict[str, Path]) -> None:
    """Write a folder of links, and files.json, which names what they lead to.

    DVC hashes a link by the content that it leads to, so that a changed file is a changed output of this stage, which then runs again.
    """
    with atomic_write(links_folder) as temporary_folder:
        temporary_folder.mkdir()
        # DVC warns of an empty folder; and no cache has this folder, so that it is never restored as copies of older files.
        write_json(temporary_folder / "files.json", {link: path.name for link, path in path_by_link.items()})
        for link, path in path_by_link.items():
            # Relative to the folder that the temporary one becomes, so that the links stay whole if the project is moved.
            (temporary_folder / link).symlink_to(os.path.relpath(path.resolve(), links_folder.resolve()))
