"""Stages of dvc.yaml, started as `python -m stages.NAME ARGUMENTS`.

A stage imports its libraries for seconds before its own code runs. Ctrl-C in these seconds, and a library that is missing, end in one line.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType


def _exit_interrupted(signal_number: int, stack_frame: FrameType | None) -> None:
    """Leave at once, since nothing is open yet; a KeyboardInterrupt would come out of a library's import as any error."""
    sys.stderr.write(f"{Path(sys.argv[0]).stem}: interrupted; run the same command again, it goes on\n")
    sys.stderr.flush()
    os._exit(130)


def _report_missing_module(error_type: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if not isinstance(error, ModuleNotFoundError) or os.environ.get("CONFIDNET_DEBUG"):
        sys.__excepthook__(error_type, error, traceback)
        return
    remedy = "activate the environment with `. .venv/bin/activate`, or use `make repro`, which does"
    print(f"{Path(sys.argv[0]).stem}: {sys.executable} has no module {error.name}; {remedy}", file=sys.stderr)


if sys.argv[0] == "-m":  # as `python -m stages.NAME`, and not imported by another program
    sys.excepthook = _report_missing_module
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as in the background of a shell
        signal.signal(signal.SIGINT, _exit_interrupted)
