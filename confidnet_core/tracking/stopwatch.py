"""Stopwatch for the processing of images: total seconds, and milliseconds per image once networks are loaded and caches are filled."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Measures how long images take to process, in one timed block for each data split (train, validation, test)."""

    def __init__(self) -> None:
        self._images_and_seconds: list[tuple[int, float]] = []  # (images, seconds) of each split

    @contextmanager
    def measure(self, image_count: int) -> Iterator[None]:
        """Context manager that times the code in its with-block, in which IMAGE_COUNT images are processed."""
        start_time = perf_counter()
        yield
        self._images_and_seconds.append((image_count, perf_counter() - start_time))

    def metrics(self) -> dict[str, float]:
        """Return {"seconds": total, "ms_per_image": mean}, or an empty dictionary if no image was processed.

        "ms_per_image" leaves out the first split, in which networks are loaded, values fitted and caches filled, unless only one split was
        timed.
        """
        counted_splits = self._images_and_seconds[1:] or self._images_and_seconds
        image_count = sum(images for images, _ in counted_splits)
        counted_seconds = sum(seconds for _, seconds in counted_splits)
        total_seconds = sum(seconds for _, seconds in self._images_and_seconds)
        return {"seconds": total_seconds, "ms_per_image": 1000 * counted_seconds / image_count} if image_count else {}
