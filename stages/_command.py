"""Command line of every stage: python -m stages.NAME ARGUMENTS. A user error ends with a one-line message and exit code 1."""

import os
import sys
from collections.abc import Callable

from confidnet_core.config.params import Params, load_params


def run_stage(main: Callable[..., None], check_entries: bool = True, **argument_types: Callable[[str], object]) -> None:
    """Call main(params, *arguments) with the arguments of the command line. argument_types: type of each argument by name, in order.

    check_entries: False for a stage that reads no settings of data sets, models and scores; it starts much faster, see load_params
    ValueError and FileNotFoundError exit with one line, or with a traceback if CONFIDNET_DEBUG is set.
    """
    spec = sys.modules[main.__module__].__spec__
    stage = spec.name.rpartition(".")[2] if spec and main.__module__ == "__main__" else main.__module__
    try:
        arguments = _parse_arguments(stage, argument_types)
        main(load_params(check_entries=check_entries), *arguments)
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get("CONFIDNET_DEBUG"):
            raise
        missing_file = error.filename if isinstance(error, FileNotFoundError) else None
        problem = f"{missing_file} does not exist; `dvc repro` makes what a stage reads" if missing_file else str(error)
        sys.exit(f"{stage}: {' '.join(problem.split())}")


def _parse_arguments(stage: str, argument_types: dict[str, Callable[[str], object]]) -> list[object]:
    arguments = sys.argv[1:]
    if len(arguments) != len(argument_types):
        usage = " ".join([f"python -m stages.{stage}", *map(str.upper, argument_types)])
        raise ValueError(f"expected {usage}, got {' '.join(arguments) or 'no arguments'}")
    return [_convert(name, argument_type, value) for (name, argument_type), value in zip(argument_types.items(), arguments, strict=True)]


def _convert(name: str, argument_type: Callable[[str], object], value: str) -> object:
    try:
        return argument_type(value)
    except ValueError:
        raise ValueError(f"{name.upper()} is {value!r}; expected {argument_type.__name__}") from None


def stage_params(params: Params, benchmark: str, *sections: str) -> dict:
    """Return these sections of a benchmark exactly as in params.yaml, for MLflow and for fingerprints of a stage's inputs."""
    params.benchmark(benchmark)
    return {section: params.raw["benchmarks"][benchmark][section] for section in sections}
