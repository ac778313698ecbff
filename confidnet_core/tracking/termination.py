"""Conversion of SIGTERM to an exception, so that open rows can be closed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGTERM_EXIT_CODE = 143  # 128 + SIGTERM, as a shell reports it


@contextmanager
def sigterm_raises() -> Iterator[threading.Event]:
    """Make SIGTERM leave the block as SystemExit(143) and set the yielded event; only the main thread can do this."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return
    owner = os.getpid()

    def raise_system_exit(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a forked data loader inherits the handler, and must not close its parent's row
            os._exit(SIGTERM_EXIT_CODE)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not interrupt the closing
        terminated.set()
        raise SystemExit(SIGTERM_EXIT_CODE)

    previous = signal.signal(signal.SIGTERM, raise_system_exit)
    try:
        yield terminated
    except Exception:
        if terminated.is_set():  # a library's clean-up can fail due to the SystemExit, and hide it
            raise SystemExit(SIGTERM_EXIT_CODE) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
