"""Stages of dvc.yaml, started as `python -m stages.NAME ARGUMENTS`; stages that nobody needs to read a traceback of end in one line.

A stage imports its libraries for seconds before its own code runs. Ctrl-C in these seconds, and a library that is missing, end here.
"""

import os
import sys
from pathlib import Path
from types import TracebackType

INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as a shell reports it
INTERRUPTED_TEXT = "interrupted; run the same command again, it goes on"


def _report_in_one_line(error_type: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    stage_name = Path(sys.argv[0]).stem
    if os.environ.get("CONFIDNET_DEBUG") or not isinstance(error, KeyboardInterrupt | ModuleNotFoundError):
        sys.__excepthook__(error_type, error, traceback)
    elif isinstance(error, KeyboardInterrupt):
        print(f"{stage_name}: {INTERRUPTED_TEXT}", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED_EXIT_CODE)  # Python would print more
    else:
        activate_text = "activate the environment with `. .venv/bin/activate`, or use `make repro`, which does"
        print(f"{stage_name}: {sys.executable} has no module {error.name}; {activate_text}", file=sys.stderr)


if sys.argv[0] == "-m":  # as `python -m stages.NAME`, and not imported by another program
    sys.excepthook = _report_in_one_line
