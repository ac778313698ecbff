"""Stopwatch for the processing of images: total seconds, and milliseconds per image once networks are loaded and caches are filled."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Measures how long images take to process, in one timed block for each data split (train, validation, test)."""

    def __init__(self) -> None:
        self._split_times: list[tuple[int, float]] = []  # (images, seconds) of each split

    @contextmanager
    def measure(self, images: int) -> Iterator[None]:
        """Context manager that times the code in its with-block, in which `images` (a number) images are processed."""
        start_time = perf_counter()
        yield
        self._split_times.append((images, perf_counter() - start_time))

    def metrics(self) -> dict[str, float]:
        """Return {"seconds": total, "ms_per_image": mean}, or an empty dictionary if no image was processed.

        `ms_per_image` leaves out the first split, in which networks are loaded, values fitted and caches filled, unless only one split was
        timed.
        """
        warm_splits = self._split_times[1:] or self._split_times
        images, seconds = (sum(column) for column in zip(*warm_splits, strict=True)) if warm_splits else (0, 0.0)
        return {"seconds": sum(seconds for _, seconds in self._split_times), "ms_per_image": 1000 * seconds / images} if images else {}
