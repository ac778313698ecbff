"""Ctrl-C, which ends a stage or a command in one line with the exit code that a shell reports, 130."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT


@contextmanager
def one_line_if_interrupted(line: str | None) -> Iterator[None]:
    """Context manager that turns Ctrl-C into LINE on stderr and SystemExit(130), after all that clean up after KeyboardInterrupt.

    line: None prints nothing
    That also holds where a library hides the KeyboardInterrupt behind an error of its own, as numpy does while it is imported. Outside the
    main thread, and where SIGINT is ignored, as in the background of a shell, signals stay as they are.
    """
    interrupted = threading.Event()

    def raise_keyboard_interrupt(signal_number: int, stack_frame: Any) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    previous_handler = signal.getsignal(signal.SIGINT)
    handles_signal = threading.current_thread() is threading.main_thread() and previous_handler not in (signal.SIG_IGN, None)
    if handles_signal:
        signal.signal(signal.SIGINT, raise_keyboard_interrupt)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, KeyboardInterrupt) and not interrupted.is_set():
            raise
        if line is not None:
            print(line, file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    finally:
        if handles_signal:
            signal.signal(signal.SIGINT, previous_handler)
