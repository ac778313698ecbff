"""How every stage is started: python -m stages.NAME ARGUMENTS. A user's mistake ends as one line and exit code 1."""

import os
import sys
from collections.abc import Callable

from confidnet_core.config.params import Params, load_params


def command(main: Callable[..., None], **kinds: Callable[[str], object]) -> None:
    """Call main(params, *arguments). kinds: name and type of each argument, in order."""
    spec = sys.modules[main.__module__].__spec__
    stage = spec.name.rpartition(".")[2] if spec and main.__module__ == "__main__" else main.__module__
    try:
        arguments = _arguments(stage, kinds)
        main(load_params(), *arguments)
    except (ValueError, FileNotFoundError) as error:
        if os.environ.get("CONFIDNET_DEBUG"):
            raise
        missing = error.filename if isinstance(error, FileNotFoundError) else None
        problem = f"{missing} does not exist; `dvc repro` makes what a stage reads" if missing else str(error)
        sys.exit(f"{stage}: {' '.join(problem.split())}")


def _arguments(stage: str, kinds: dict[str, Callable[[str], object]]) -> list[object]:
    given = sys.argv[1:]
    if len(given) != len(kinds):
        usage = " ".join([f"python -m stages.{stage}", *map(str.upper, kinds)])
        raise ValueError(f"expected {usage}, got {' '.join(given) or 'no arguments'}")
    return [_typed(name, kind, value) for (name, kind), value in zip(kinds.items(), given, strict=True)]


def _typed(name: str, kind: Callable[[str], object], value: str) -> object:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name.upper()} is {value!r}; expected {kind.__name__}") from None


def stage_params(params: Params, benchmark: str, *sections: str) -> dict:
    """The parts of a benchmark that a stage computes with, as they stand in params.yaml: for MLflow and for fingerprints."""
    params.benchmark(benchmark)
    return {section: params.raw["benchmarks"][benchmark][section] for section in sections}
