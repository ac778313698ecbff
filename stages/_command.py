"""How every stage is started: python -m stages.NAME ARGUMENTS. A user's mistake ends as one line and exit code 1."""

import os
import sys
from collections.abc import Callable

from confidnet_core.params import Params, load_params


def command(main: Callable[..., None], **kinds: Callable[[str], object]) -> None:
    """Call main(params, *arguments). kinds: name and type of each argument, in order."""
    stage = sys.modules[main.__module__].__spec__.name.rpartition(".")[2] if main.__module__ == "__main__" else main.__module__
    try:
        main(load_params(), *_arguments(stage, kinds))
    except ValueError as error:
        if os.environ.get("CONFIDNET_DEBUG"):
            raise
        sys.exit(f"{stage}: {error}")


def _arguments(stage: str, kinds: dict[str, Callable[[str], object]]) -> list[object]:
    given = sys.argv[1:]
    if len(given) != len(kinds):
        raise ValueError(f"expected python -m stages.{stage} {' '.join(kinds).upper()}, got {len(given)} arguments")
    return [kind(value) for kind, value in zip(kinds.values(), given, strict=True)]


def stage_params(params: Params, benchmark: str, *sections: str) -> dict:
    """The parts of a benchmark that a stage computes with, as they stand in params.yaml: for MLflow and for fingerprints."""
    params.benchmark(benchmark)
    return {section: params.raw["benchmarks"][benchmark][section] for section in sections}
