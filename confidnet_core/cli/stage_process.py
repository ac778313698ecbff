"""The process of a stage: its command line, the disks that it writes to, and errors of users in one line."""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

from confidnet_core.system.addresses import without_secrets
from confidnet_core.system.errors import find_disk_error
from confidnet_core.system.interruption import one_line_if_interrupted
from confidnet_core.system.leftovers import remove_leftovers
from confidnet_core.system.processes import (
    end_with_parent,
    is_connection_error,
    is_first_process,
    process_count,
    report_failure,
    requested_processes,
    run_in_processes,
)
from confidnet_core.system.room import require_room_for_dvc, require_writable
from confidnet_core.tracking.dvc_outputs import stage_output_paths
from confidnet_core.tracking.store import project_root

# A file where a folder has to be, or the reverse; a circle of links; a name that is too long.
PATH_ERRNOS = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)


@contextmanager
def errors_in_one_line(stage_name: str) -> Iterator[None]:
    """Context manager that ends the process with one line for ValueError, FileNotFoundError, errors of disks and Ctrl-C.

    Other errors, and all where CONFIDNET_DEBUG is set, pass with their traceback. One of several processes leaves its line to the
    process that has started it, which prints one for all.
    """
    try:
        interrupted_line = f"{stage_name}: interrupted; run the same command again, it goes on"
        with one_line_if_interrupted(interrupted_line if is_first_process() else None):
            yield
    except Exception as error:
        problem_text, is_lost_connection = _problem_text(error), False
        if problem_text is None and process_count() > 1 and is_connection_error(error):
            problem_text, is_lost_connection = f"another of its {process_count()} processes has ended", True
        if problem_text is None or os.environ.get("CONFIDNET_DEBUG"):
            raise
        line = f"{stage_name}: {without_secrets(one_line(problem_text))}"
        if process_count() > 1:
            report_failure(line, is_lost_connection)
        sys.exit(line)


@contextmanager
def shared_work(stage_name: str) -> Iterator[None]:
    """Context manager for the work of a stage that CONFIDNET_PROCESSES, or torchrun, divides among processes.

    The process that was started as the stage starts the others, and does not return. Each of them joins a process group of
    torch.distributed; only the first one, with rank 0, prints. ValueError for a CONFIDNET_PROCESSES that is no number of processes.
    """
    if (count := requested_processes()) > 1:
        run_in_processes(count, stage_name, sys.argv[1:])
    if process_count() == 1:
        yield
        return
    from confidnet_core.cli.process_group import process_group  # imported here, since it imports torch

    end_with_parent()
    with process_group(), nullcontext() if is_first_process() else _silence():
        yield


@contextmanager
def _silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


@contextmanager
def disks_with_room(stage_name: str, argument_by_name: Mapping[str, object]) -> Iterator[None]:
    """Context manager that clears what killed processes left beside a stage's outputs, and requires room before and after its work.

    Of several processes, only the first one writes, clears and checks.
    Raises DiskError where an output cannot be written, or where DVC has no room to store it.
    """
    if not is_first_process():
        yield
        return
    output_paths = stage_outputs(stage_name, **argument_by_name)
    remove_leftovers(project_root(), (path.parent for path in output_paths))
    require_writable(output_paths)
    yield
    require_room_for_outputs(output_paths)


def stage_outputs(stage_name: str, **argument_by_name: object) -> list[Path]:
    """Return the paths of the files and folders that a stage writes, of dvc.yaml; none for a script that is no stage."""
    return [Path(path) for path in stage_output_paths(stage_name, **argument_by_name)]


def require_room_for_outputs(output_paths: Iterable[Path]) -> None:
    """Raise DiskError where DVC, which has started this stage, has no room to store what the stage has written."""
    if os.environ.get("DVC_STAGE"):
        require_room_for_dvc(output_paths, project_root())


def parse_arguments(stage_name: str, argument_types: dict[str, Callable[[str], object]]) -> dict[str, object]:
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


def _problem_text(error: Exception) -> str | None:
    """Return what a user is told of an error; None for a fault of the code, whose traceback is needed."""
    if (disk_error := find_disk_error(error)) is not None:
        return str(disk_error)
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} does not exist; `dvc repro` makes what a stage reads"
    if isinstance(error, OSError) and error.errno in PATH_ERRNOS and error.filename:
        path = Path(os.fsdecode(error.filename))
        obstacle = next((place for place in (path, *path.parents) if os.path.lexists(place) and not place.is_dir()), path)
        return f"{obstacle} is in the way of {path} ({error.strerror}); move or rename it, then run the same command again"
    return str(error) if isinstance(error, ValueError | FileNotFoundError) else None


def one_line(message: str) -> str:
    """Return a message on one line, but a list, whose lines begin with two spaces, as it is."""
    _, *other_lines = message.splitlines() or [""]
    is_list = bool(other_lines) and all(line.startswith("  ") for line in other_lines)
    return message if is_list else " ".join(message.split())
