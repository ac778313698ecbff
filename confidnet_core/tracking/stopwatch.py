"""How long work on images takes: in all, and for one image once everything is loaded and warm."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Measures work on one split after the other."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, float]] = []  # images and seconds

    @contextmanager
    def of(self, images: int) -> Iterator[None]:
        """Measure the block, which works on so many images."""
        began = perf_counter()
        yield
        self._parts.append((images, perf_counter() - began))

    def metrics(self) -> dict[str, float]:
        """`seconds` in all, and `ms_per_image` of all splits but the first, in which networks are loaded, values fitted and caches filled;
        of the first where it is the only one. Nothing where there was no work on any image."""
        warm = self._parts[1:] or self._parts
        images, seconds = (sum(part) for part in zip(*warm, strict=True)) if warm else (0, 0.0)
        return {"seconds": sum(seconds for _, seconds in self._parts), "ms_per_image": 1000 * seconds / images} if images else {}
