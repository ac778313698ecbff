"""Command line of every stage: python -m stages.NAME ARGUMENTS. A user error ends with a one-line message and exit code 1."""

import sys
from collections.abc import Callable
from contextlib import nullcontext

from confidnet_core.cli.stage_process import disks_with_room, errors_in_one_line, parse_arguments, shared_work
from confidnet_core.config.params import Params, load_params


def run_stage(
    stage_main: Callable[..., None], check_entries: bool = True, is_shared: bool = False, **argument_types: Callable[[str], object]
) -> None:
    """Call STAGE_MAIN(params, *arguments) with the arguments of the command line, on disks that have room.

    argument_types: name of each argument of the command line, in order, and its type, which converts it from text
    check_entries: False for a stage that reads no settings of data sets, models and scores; it starts much faster, see load_params
    is_shared: True for a stage whose work several processes can share
    ValueError, FileNotFoundError, errors of disks and Ctrl-C exit with one line, or with a traceback if CONFIDNET_DEBUG is set.
    """
    module_spec = sys.modules[stage_main.__module__].__spec__
    stage_name = module_spec.name.rpartition(".")[2] if module_spec and stage_main.__module__ == "__main__" else stage_main.__module__
    with errors_in_one_line(stage_name), shared_work(stage_name) if is_shared else nullcontext():
        argument_by_name = parse_arguments(stage_name, argument_types)
        params = load_params(check_entries=check_entries)
        if "benchmark" in argument_by_name:
            params.benchmark(str(argument_by_name["benchmark"]))
        with disks_with_room(stage_name, argument_by_name):
            stage_main(params, *argument_by_name.values())


def stage_params(params: Params, benchmark_name: str, *section_names: str) -> dict:
    """Return sections of a benchmark exactly as in params.yaml, NAME -> content, for MLflow and for fingerprints of a stage's inputs."""
    params.benchmark(benchmark_name)
    return {section_name: params.raw_content["benchmarks"][benchmark_name].get(section_name) for section_name in section_names}
