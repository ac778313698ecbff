"""Command line of every stage: python -m stages.NAME ARGUMENTS. A user error ends with a one-line message and exit code 1."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from confidnet_core.config.params import Params, load_params
from confidnet_core.system.addresses import without_secrets
from confidnet_core.system.errors import find_disk_error
from confidnet_core.system.interruption import one_line_if_interrupted
from confidnet_core.system.leftovers import remove_leftovers
from confidnet_core.system.room import require_room_for_dvc, require_writable
from confidnet_core.tracking.dvc_outputs import stage_output_paths
from confidnet_core.tracking.store import project_root


def run_stage(stage_main: Callable[..., None], check_entries: bool = True, **argument_types: Callable[[str], object]) -> None:
    """Call STAGE_MAIN(params, *arguments) with the arguments of the command line, on disks that have room.

    argument_types: name of each argument of the command line, in order, and its type, which converts it from text
    check_entries: False for a stage that reads no settings of data sets, models and scores; it starts much faster, see load_params
    ValueError, FileNotFoundError, errors of disks and Ctrl-C exit with one line, or with a traceback if CONFIDNET_DEBUG is set.
    """
    module_spec = sys.modules[stage_main.__module__].__spec__
    stage_name = module_spec.name.rpartition(".")[2] if module_spec and stage_main.__module__ == "__main__" else stage_main.__module__
    try:
        with one_line_if_interrupted(f"{stage_name}: interrupted; run the same command again, it goes on"):
            _run_on_disks_with_room(stage_name, stage_main, check_entries, argument_types)
    except Exception as error:
        problem_text = _problem_text(error)
        if problem_text is None or os.environ.get("CONFIDNET_DEBUG"):
            raise
        sys.exit(f"{stage_name}: {without_secrets(one_line(problem_text))}")


def _run_on_disks_with_room(
    stage_name: str, stage_main: Callable[..., None], check_entries: bool, argument_types: dict[str, Callable[[str], object]]
) -> None:
    argument_by_name = _parse_arguments(stage_name, argument_types)
    params = load_params(check_entries=check_entries)
    if "benchmark" in argument_by_name:
        params.benchmark(str(argument_by_name["benchmark"]))
    output_paths = stage_outputs(stage_name, **argument_by_name)
    remove_leftovers(project_root(), (path.parent for path in output_paths))
    require_writable(output_paths)
    stage_main(params, *argument_by_name.values())
    require_room_for_outputs(output_paths)


def stage_outputs(stage_name: str, **argument_by_name: object) -> list[Path]:
    """Return the paths of the files and folders that a stage writes, of dvc.yaml; none for a script that is no stage."""
    return [Path(path) for path in stage_output_paths(stage_name, **argument_by_name)]


def require_room_for_outputs(output_paths: Iterable[Path]) -> None:
    """Raise DiskError where DVC, which has started this stage, has no room to store what the stage has written."""
    if os.environ.get("DVC_STAGE"):
        require_room_for_dvc(output_paths, project_root())


def _problem_text(error: Exception) -> str | None:
    """Return what a user is told of an error; None for a fault of the code, whose traceback is needed."""
    if (disk_error := find_disk_error(error)) is not None:
        return str(disk_error)
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} does not exist; `dvc repro` makes what a stage reads"
    return str(error) if isinstance(error, ValueError | FileNotFoundError) else None


def one_line(message: str) -> str:
    """Return a message on one line, but a list, whose lines begin with two spaces, as it is."""
    _, *other_lines = message.splitlines() or [""]
    is_list = bool(other_lines) and all(line.startswith("  ") for line in other_lines)
    return message if is_list else " ".join(message.split())


def _parse_arguments(stage_name: str, argument_types: dict[str, Callable[[str], object]]) -> dict[str, object]:
    """Return the arguments by name. They are given in order, or as dvc.yaml gives them: --benchmark digits --seed 0.

    DVC writes `${item}` in that form, and it is the only one that it quotes for the shell: a name such as "a;b" stays one word.
    """
    argument_texts, option_names = sys.argv[1:], [f"--{argument_name}" for argument_name in argument_types]
    if option_names and argument_texts[::2] == option_names:
        argument_texts = argument_texts[1::2]
    if len(argument_texts) != len(argument_types):
        usage_text = " ".join([f"python -m stages.{stage_name}", *map(str.upper, argument_types)])
        raise ValueError(f"expected {usage_text}, got {' '.join(argument_texts) or 'no arguments'}")
    return {
        argument_name: _convert_argument(argument_name, argument_type, argument_text)
        for (argument_name, argument_type), argument_text in zip(argument_types.items(), argument_texts, strict=True)
    }


def _convert_argument(argument_name: str, argument_type: Callable[[str], object], argument_text: str) -> object:
    try:
        return argument_type(argument_text)
    except ValueError:
        raise ValueError(f"{argument_name.upper()} is {argument_text!r}; expected {argument_type.__name__}") from None


def stage_params(params: Params, benchmark_name: str, *section_names: str) -> dict:
    """Return sections of a benchmark exactly as in params.yaml, NAME -> content, for MLflow and for fingerprints of a stage's inputs."""
    params.benchmark(benchmark_name)
    return {section_name: params.raw_content["benchmarks"][benchmark_name].get(section_name) for section_name in section_names}
