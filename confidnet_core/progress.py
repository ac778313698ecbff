"""Progress output of a running stage: on a terminal a bar with loss, speed and remaining time, and everywhere one line per epoch.

The bars are tqdm's (tqdm.github.io/docs/tqdm). DVC passes its own stderr on to a stage, so they also show under dvc repro and dvc exp run.
"""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress_bar(iterable: Iterable, total: int | None = None, description: str = "", unit: str = "batch") -> tqdm:
    """Iterate over the same items, with a bar on stderr that disappears at the end, if progress_bars_enabled().

    `bar.set_postfix(loss=...)` shows a number; check `bar.disable` first if computing it is expensive, such as a copy from a GPU.
    """
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        file=sys.stderr,
        disable=not progress_bars_enabled(),
        leave=False,
        dynamic_ncols=True,
        mininterval=0.2,
    )


def print_epoch(stage: str, epoch: int, epochs: int, metrics: dict[str, float | None], seconds: float) -> None:
    """Print a line such as "train_baseline: epoch 3/10, loss 0.1234, 5.2 s, 36 s left" to stderr; None is printed as undefined."""
    formatted = [f"{name} {'undefined' if value is None else format(value, '.4g')}" for name, value in metrics.items()]
    time_left = [f"{_format_duration(seconds * (epochs - epoch))} left"] if epoch < epochs else []
    tqdm.write(f"{stage}: " + ", ".join([f"epoch {epoch}/{epochs}", *formatted, _format_duration(seconds), *time_left]), file=sys.stderr)
    sys.stderr.flush()


def progress_bars_enabled() -> bool:
    """Return whether to show progress bars: as CONFIDNET_PROGRESS says (1 or 0), else on a terminal outside continuous integration.

    ValueError for any other value of CONFIDNET_PROGRESS.
    """
    choice = os.environ.get("CONFIDNET_PROGRESS", "")
    if choice not in ("", "0", "1"):
        raise ValueError(f"CONFIDNET_PROGRESS is {choice!r}; set it to 1 for bars, to 0 for plain lines, or unset it")
    if choice:
        return choice == "1"
    return os.environ.get("CI", "").lower() in ("", "0", "false") and sys.stderr is not None and sys.stderr.isatty()


def _format_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
