"""The operating-system process of DVC (`dvc repro`) that started this stage, and whether it will start further stages. The MLflow run of a
pipeline execution stays open until its last stage ends.

DVC sets DVC_STAGE for a stage but does not tell the id of its own process, which is the first ancestor without this variable. A stage that
was started by hand has no DVC process.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from confidnet_core.tracking.dvc_outputs import locked_output_md5s, stage_names

LAST_STAGE = "compare"  # the stage that completes a pipeline execution
REMOTE_ALIVE_TIMEOUT_S = 24 * 3600.0  # how long a silent process of another machine or container counts as alive


def find_dvc_process() -> psutil.Process | None:
    """Return the operating-system process of DVC that started this stage; None for a stage started by hand."""
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
    """Return a dictionary with host, process id and start time of a process, by which `is_process_alive` finds it again."""
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_process_alive(process_identity: Mapping[str, Any], silent_seconds: float) -> bool:
    """Return whether a process still runs.

    process_identity: host, process id and start time, from the function `process_identity`
    silent_seconds: time since the process last showed activity, which decides for a process on another machine or in another container
    """
    if process_identity["host"] != socket.gethostname():
        return silent_seconds < REMOTE_ALIVE_TIMEOUT_S
    try:
        process = psutil.Process(process_identity["pid"])
        return process.create_time() == process_identity["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def will_run_last_stage(dvc_process: psutil.Process, written_output_md5s: Mapping[str, str]) -> bool:
    """Return whether the DVC process will run the pipeline's last stage (LAST_STAGE) after the current stage.

    It will not if only other stages were requested on its command line, nor if the current stage's outputs are those already in dvc.lock.

    dvc_process: from `find_dvc_process`; written_output_md5s: PATH -> md5 of the outputs that the current stage wrote
    """
    try:
        command_words = {command_word.partition("@")[0] for command_word in dvc_process.cmdline()}
    except psutil.Error:
        return False
    requested_stages = command_words & stage_names()
    return (not requested_stages or LAST_STAGE in requested_stages) and written_output_md5s != locked_output_md5s(os.environ["DVC_STAGE"])
