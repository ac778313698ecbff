"""SIGTERM as an exception, so that what is open can be closed."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TERMINATED = 143  # 128 + SIGTERM, as a shell reports it


@contextmanager
def sigterm_raises() -> Iterator[threading.Event]:
    """SIGTERM leaves the block as SystemExit(143), so that the row can be closed; the event is set. Only in the main thread."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return
    owner = os.getpid()

    def leave(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a forked data loader inherits the handler, and must not close its parent's row
            os._exit(TERMINATED)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not stop the closing
        terminated.set()
        raise SystemExit(TERMINATED)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield terminated
    except Exception:
        if terminated.is_set():  # a library's clean-up can fail over the SystemExit, and hide it
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
