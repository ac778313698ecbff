"""Stopwatch for work on images: total time, and time per image once everything is loaded and warm."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Measures the work on one split after another."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, float]] = []  # (images, seconds) of each split

    @contextmanager
    def measure(self, images: int) -> Iterator[None]:
        """Measure the block, which processes this number of images."""
        began = perf_counter()
        yield
        self._parts.append((images, perf_counter() - began))

    def metrics(self) -> dict[str, float]:
        """Return `seconds` in total and `ms_per_image`, or nothing if no image was processed.

        `ms_per_image` leaves out the first split, in which networks are loaded, values fitted and caches filled, unless it is the only one.
        """
        warm = self._parts[1:] or self._parts
        images, seconds = (sum(part) for part in zip(*warm, strict=True)) if warm else (0, 0.0)
        return {"seconds": sum(seconds for _, seconds in self._parts), "ms_per_image": 1000 * seconds / images} if images else {}
