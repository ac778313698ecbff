"""Conversion of SIGTERM to an exception, so that a stage that is being stopped can still close its MLflow run."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGTERM_EXIT_CODE = 143  # 128 + SIGTERM, as a shell reports it


@contextmanager
def sigterm_raises() -> Iterator[threading.Event]:
    """Context manager in which SIGTERM raises SystemExit(143) and sets the yielded event; outside the main thread it does nothing."""
    sigterm_received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield sigterm_received
        return
    owner_pid = os.getpid()

    def raise_system_exit(signal_number: int, stack_frame: Any) -> None:
        if os.getpid() != owner_pid:  # a forked data loader inherits the handler, and must not close its parent's MLflow run
            os._exit(SIGTERM_EXIT_CODE)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not interrupt the closing
        sigterm_received.set()
        raise SystemExit(SIGTERM_EXIT_CODE)

    previous_handler = signal.signal(signal.SIGTERM, raise_system_exit)
    try:
        yield sigterm_received
    except Exception:
        if sigterm_received.is_set():  # a library's clean-up can fail due to the SystemExit, and hide it
            raise SystemExit(SIGTERM_EXIT_CODE) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous_handler or signal.SIG_DFL)
