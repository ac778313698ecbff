"""The DVC process that runs this stage, and whether it will run further ones: the row of an execution is open until the last stage ended.

DVC gives a stage DVC_STAGE and nothing of its own process, which is the first ancestor without this variable. A stage started by hand has
none.
"""

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from confidnet_core.tracking.dvc_outputs import locked, stage_names

LAST = "compare"  # the stage that ends an execution
ELSEWHERE_BUDGET_S = 24 * 3600.0  # that a process of another machine or container counts as alive without a sign


def dvc_process() -> psutil.Process | None:
    """The DVC process that started this stage; None for one that was started by hand."""
    if not os.environ.get("DVC_STAGE"):
        return None
    for process in psutil.Process().parents():
        try:
            if "DVC_STAGE" not in process.environ():
                return process
        except psutil.Error:  # of another user, or gone: DVC starts a stage with the rights that it has itself
            return None
    return None


def identity(process: psutil.Process) -> dict[str, Any]:
    """By which is_alive recognises it, on this machine."""
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_alive(known: Mapping[str, Any], silent: float) -> bool:
    """Whether the process of this identity still runs. silent: seconds since a stage of it was seen, which alone tell of another machine
    or container."""
    if known["host"] != socket.gethostname():
        return silent < ELSEWHERE_BUDGET_S
    try:
        process = psutil.Process(known["pid"])
        return process.create_time() == known["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def last_stage_follows(process: psutil.Process, written: Mapping[str, str]) -> bool:
    """Whether DVC will run LAST after this stage: not where it was asked for other stages, and not where nothing changed by this one.

    process: of dvc_process; written: path -> md5 of the outputs that this stage wrote
    """
    try:
        words = {word.partition("@")[0] for word in process.cmdline()}
    except psutil.Error:
        return False
    asked = words & stage_names()
    return (not asked or LAST in asked) and written != locked(os.environ["DVC_STAGE"])
