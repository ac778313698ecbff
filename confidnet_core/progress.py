"""Progress output of a running stage: on a terminal a bar with loss, speed and remaining time, and everywhere one line per epoch.

The bars are tqdm's (tqdm.github.io/docs/tqdm). DVC passes its own stderr on to a stage, so they also show under dvc repro and dvc exp run.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tqdm import tqdm

from confidnet_core.system.processes import is_first_process

_bars_are_hidden = ContextVar("_bars_are_hidden", default=False)


def progress_bar(iterable: Iterable, total_count: int | None = None, bar_label: str = "", item_name: str = "batch") -> tqdm:
    """Return an iterator over the same items, which shows a bar on stderr until its end if progress_bars_enabled().

    total_count: number of items, for the remaining time; bar_label: text before the bar; item_name: what an item is, such as batch
    `bar.set_postfix(loss=...)` shows a number; check `bar.disable` first if computing it is expensive, such as a copy from a GPU.
    """
    return tqdm(
        iterable,
        total=total_count,
        desc=bar_label,
        unit=item_name,
        file=sys.stderr,
        disable=not progress_bars_enabled(),
        leave=False,
        dynamic_ncols=True,
        mininterval=0.2,
    )


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Context manager within which no bar is shown, for work that is a small part of what another bar shows."""
    token = _bars_are_hidden.set(True)
    try:
        yield
    finally:
        _bars_are_hidden.reset(token)


def print_epoch(stage: str, epoch: int, last_epoch: int, metrics: dict[str, float | None], epoch_seconds: float) -> None:
    """Print a line such as "train_baseline: epoch 3/10, loss 0.1234, 5.2 s, 36 s left" to stderr; None is printed as undefined."""
    metric_texts = [f"{metric} {'undefined' if value is None else format(value, '.4g')}" for metric, value in metrics.items()]
    time_left_texts = [f"{_format_duration(epoch_seconds * (last_epoch - epoch))} left"] if epoch < last_epoch else []
    line_parts = [f"epoch {epoch}/{last_epoch}", *metric_texts, _format_duration(epoch_seconds), *time_left_texts]
    tqdm.write(f"{stage}: {', '.join(line_parts)}", file=sys.stderr)
    sys.stderr.flush()


def progress_bars_enabled() -> bool:
    """Return whether to show progress bars: as CONFIDNET_PROGRESS says (1 or 0), else on a terminal outside continuous integration.

    Within without_progress_bars(), and in other processes of a stage than the first, none are shown. ValueError for any other value of
    CONFIDNET_PROGRESS.
    """
    if _bars_are_hidden.get() or not is_first_process():
        return False
    progress_setting = os.environ.get("CONFIDNET_PROGRESS", "")
    if progress_setting not in ("", "0", "1"):
        raise ValueError(f"CONFIDNET_PROGRESS is {progress_setting!r}; set it to 1 for bars, to 0 for plain lines, or unset it")
    if progress_setting:
        return progress_setting == "1"
    return os.environ.get("CI", "").lower() in ("", "0", "false") and sys.stderr is not None and sys.stderr.isatty()


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
