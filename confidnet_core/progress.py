"""What a person sees while a stage works: a bar with loss, rate and time left on a terminal, a plain line for each epoch everywhere.

tqdm (tqdm.github.io/docs/tqdm); DVC hands a stage its own stderr, so bars also show under dvc repro and dvc exp run.
"""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress(iterable: Iterable, total: int | None = None, description: str = "", unit: str = "batch") -> tqdm:
    """The same items, with a bar on stderr that vanishes at the end, if bars_wanted().

    `bar.set_postfix(loss=...)` shows a figure; ask `bar.disable` first where the figure costs something, as a copy from a GPU does.
    """
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        file=sys.stderr,
        disable=not bars_wanted(),
        leave=False,
        dynamic_ncols=True,
        mininterval=0.2,
    )


def epoch_line(stage: str, epoch: int, epochs: int, figures: dict[str, float | None], seconds: float) -> None:
    """Print "train_baseline: epoch 3/10, loss 0.1234, 5.2 s, 36 s left" to stderr. Epochs count from 1; None reads undefined."""
    shown = [f"{name} {'undefined' if value is None else format(value, '.4g')}" for name, value in figures.items()]
    left = [f"{_duration(seconds * (epochs - epoch))} left"] if epoch < epochs else []
    tqdm.write(f"{stage}: " + ", ".join([f"epoch {epoch}/{epochs}", *shown, _duration(seconds), *left]), file=sys.stderr)
    sys.stderr.flush()


def bars_wanted() -> bool:
    """CONFIDNET_PROGRESS=1 or 0 decides; else bars are for a terminal outside continuous integration (CI unset). ValueError otherwise."""
    choice = os.environ.get("CONFIDNET_PROGRESS", "")
    if choice not in ("", "0", "1"):
        raise ValueError(f"CONFIDNET_PROGRESS is {choice!r}; set it to 1 for bars, to 0 for plain lines, or unset it")
    if choice:
        return choice == "1"
    return os.environ.get("CI", "").lower() in ("", "0", "false") and sys.stderr is not None and sys.stderr.isatty()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
