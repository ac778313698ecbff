"""The processes that share the work of one stage: which of them this one is, and how they are started.

CONFIDNET_PROCESSES=N in the environment makes a stage start N processes of itself by torch.distributed's launcher, the engine of torchrun.
It is a setting of the machine and no parameter, since results depend on it by rounding alone. A stage that torchrun itself starts, or
another launcher that sets RANK and WORLD_SIZE, takes part in the same way. The process with rank 0 writes and logs; the others compute.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

PROCESSES_VARIABLE = "CONFIDNET_PROCESSES"
ERROR_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"  # set by the launcher for each process, which writes into this file why it failed
PARENT_CHECK_S = 1.0
OTHERS_WAIT_S = 10.0  # for the first process, which has to close its row before it loses the connection to the others


def process_count() -> int:
    """Return the number of processes that share this stage's work, 1 where it was not started together with others."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE"} <= os.environ.keys() else 1


def process_rank() -> int:
    """Return the rank of this process among those that share the stage's work, from 0; 0 where there are no others."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def is_first_process() -> bool:
    """Return whether this process has rank 0, and so writes files, logs and prints."""
    return process_rank() == 0


def leave_to_first_process() -> None:
    """End every other process of this stage, since what is left to do is done once; raises SystemExit(0) there."""
    if not is_first_process():
        raise SystemExit(0)


def requested_processes() -> int:
    """Return the number of processes that this process has to start for its work; 1 if it does the work itself.

    ValueError for a CONFIDNET_PROCESSES that is no whole number above 0.
    """
    text = os.environ.get(PROCESSES_VARIABLE, "").strip() or "1"
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"{PROCESSES_VARIABLE} is {text!r}; expected a number of processes, 1 or more; unset it for one")
    return 1 if process_count() > 1 else int(text)


def run_in_processes(count: int, stage_name: str, arguments: Sequence[str]) -> NoReturn:
    """Run `python -m stages.STAGE_NAME ARGUMENTS` in several processes, and exit as they did: with one line for the one that failed first.

    If a process dies, the others are ended within half a minute. SIGTERM and SIGINT are passed on to all.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # the launcher's own pages of text about a process that failed
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // count)))  # else each process would take all cores
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"{stage_name}-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle="SIGTERM,SIGINT",
    )
    try:
        elastic_launch(config, sys.executable)("-m", f"stages.{stage_name}", *arguments)
    except ChildFailedError as error:
        exit_code, problem_text = first_failure(error.failures, count, stage_name)
        if problem_text:
            print(problem_text, file=sys.stderr, flush=True)
        sys.exit(exit_code)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    sys.exit(0)


def first_failure(failures: dict[int, Any], count: int, stage_name: str) -> tuple[int, str]:
    """Return the exit code of the stage, and what is to be printed of the processes that failed, empty if they have printed it.

    failures: torch.distributed's ProcessFailure by rank, of some of the `count` processes. One that was killed comes first, then one that
    names its own error; the others only lost it. Those that the launcher ended with SIGTERM say nothing.
    """
    by_rank = [failures[rank] for rank in sorted(failures)]
    killed = next((failure for failure in by_rank if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM), None)
    if killed is not None:
        process_text = f"process {killed.local_rank + 1} of {count} (pid {killed.pid}) was killed by {killed.signal_name()}"
        memory_text = ", perhaps for want of memory" if killed.exitcode == -signal.SIGKILL else ""
        return 1, f"{stage_name}: {process_text}{memory_text}; run the same command again, it goes on"
    named = [failure.error_file_data for failure in by_rank if failure.error_file_data.get("is_named")]
    if named:
        return 1, min(named, key=lambda error: error["is_lost_connection"])["message"]
    return max((failure.exitcode for failure in by_rank if failure.exitcode > 0), default=1), ""


def report_failure(message: str, is_lost_connection: bool = False) -> NoReturn:
    """End this process, one of several, with a message for the process that started it, which prints one message of them all."""
    if error_file := os.environ.get(ERROR_FILE_VARIABLE):
        content = {"message": message, "timestamp": int(time.time()), "is_named": True, "is_lost_connection": is_lost_connection}
        Path(error_file).write_text(json.dumps(content))
        sys.exit(1)
    sys.exit(message)


def is_connection_error(error: Exception) -> bool:
    """Return whether an error of torch.distributed says that another process is gone, or does not answer."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "nccl", "connection", "broken pipe", "process group"))


def end_with_parent() -> None:
    """End this process, as by SIGTERM, once the process that started it is gone, which a SIGKILL keeps from ending its children.

    The first process ends first; most others end as soon as they lose the connection to it.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_S)
        if not is_first_process():
            time.sleep(OTHERS_WAIT_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
