"""The DVC process that runs this stage, and whether it will run further stages, since an execution's row stays open until the last one
ends.

DVC sets DVC_STAGE for a stage but does not tell it DVC's own process, which is the first ancestor without this variable. A stage that was
started by hand has no DVC process.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from confidnet_core.tracking.dvc_outputs import locked_outputs, stage_names

LAST_STAGE = "compare"  # the stage that completes an execution
REMOTE_ALIVE_TIMEOUT_S = 24 * 3600.0  # how long a silent process of another machine or container counts as alive


def dvc_process() -> psutil.Process | None:
    """Return the DVC process that started this stage; None for a stage started by hand."""
    if not os.environ.get("DVC_STAGE"):
        return None
    for process in psutil.Process().parents():
        try:
            if "DVC_STAGE" not in process.environ():
                return process
        except psutil.Error:  # another user's, or gone; DVC starts stages under its own user
            return None
    return None


def process_identity(process: psutil.Process) -> dict[str, Any]:
    """Return host, process id and start time, by which `is_alive` recognises the process."""
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_alive(identity: Mapping[str, Any], silent_s: float) -> bool:
    """Return whether the process of this identity still runs.

    silent_s: seconds since one of its stages was last seen, which decide for a process on another machine or in another container
    """
    if identity["host"] != socket.gethostname():
        return silent_s < REMOTE_ALIVE_TIMEOUT_S
    try:
        process = psutil.Process(identity["pid"])
        return process.create_time() == identity["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def will_run_last_stage(process: psutil.Process, written_md5s: Mapping[str, str]) -> bool:
    """Return whether DVC will run LAST_STAGE after this stage: not if other stages were requested, nor if this stage changed nothing.

    process: from `dvc_process`; written_md5s: PATH -> md5 of the outputs that this stage wrote
    """
    try:
        argument_names = {word.partition("@")[0] for word in process.cmdline()}
    except psutil.Error:
        return False
    requested_stages = argument_names & stage_names()
    return (not requested_stages or LAST_STAGE in requested_stages) and written_md5s != locked_outputs(os.environ["DVC_STAGE"])
