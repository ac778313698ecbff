"""Command line of every stage: python -m stages.NAME ARGUMENTS. A user error ends with a one-line message and exit code 1."""

import os
import sys
from collections.abc import Callable

from confidnet_core.config.params import Params, load_params


def run_stage(stage_main: Callable[..., None], check_entries: bool = True, **argument_types: Callable[[str], object]) -> None:
    """Call STAGE_MAIN(params, *arguments) with the arguments of the command line.

    argument_types: name of each argument of the command line, in order, and its type, which converts it from text
    check_entries: False for a stage that reads no settings of data sets, models and scores; it starts much faster, see load_params
    ValueError and FileNotFoundError exit with one line, or with a traceback if CONFIDNET_DEBUG is set.
    """
    module_spec = sys.modules[stage_main.__module__].__spec__
    stage_name = module_spec.name.rpartition(".")[2] if module_spec and stage_main.__module__ == "__main__" else stage_main.__module__
    try:
        argument_values = _parse_arguments(stage_name, argument_types)
        stage_main(load_params(check_entries=check_entries), *argument_values)
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get("CONFIDNET_DEBUG"):
            raise
        missing_file = error.filename if isinstance(error, FileNotFoundError) else None
        problem_text = f"{missing_file} does not exist; `dvc repro` makes what a stage reads" if missing_file else str(error)
        sys.exit(f"{stage_name}: {one_line(problem_text)}")


def one_line(message: str) -> str:
    """Return a message on one line, but a list, whose lines begin with two spaces, as it is."""
    _, *other_lines = message.splitlines() or [""]
    is_list = bool(other_lines) and all(line.startswith("  ") for line in other_lines)
    return message if is_list else " ".join(message.split())


def _parse_arguments(stage_name: str, argument_types: dict[str, Callable[[str], object]]) -> list[object]:
    argument_texts = sys.argv[1:]
    if len(argument_texts) != len(argument_types):
        usage_text = " ".join([f"python -m stages.{stage_name}", *map(str.upper, argument_types)])
        raise ValueError(f"expected {usage_text}, got {' '.join(argument_texts) or 'no arguments'}")
    return [
        _convert_argument(argument_name, argument_type, argument_text)
        for (argument_name, argument_type), argument_text in zip(argument_types.items(), argument_texts, strict=True)
    ]


def _convert_argument(argument_name: str, argument_type: Callable[[str], object], argument_text: str) -> object:
    try:
        return argument_type(argument_text)
    except ValueError:
        raise ValueError(f"{argument_name.upper()} is {argument_text!r}; expected {argument_type.__name__}") from None


def stage_params(params: Params, benchmark_name: str, *section_names: str) -> dict:
    """Return sections of a benchmark exactly as in params.yaml, NAME -> content, for MLflow and for fingerprints of a stage's inputs."""
    params.benchmark(benchmark_name)
    return {section_name: params.raw_content["benchmarks"][benchmark_name].get(section_name) for section_name in section_names}
