"""Answers for images from files, in batches: one batch is decoded by threads while the model answers the one before."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from confidnet_core.networks.batches import PIXELS_PER_INFERENCE_BATCH
from confidnet_core.serving.image_files import ImageSource, images_of_paths, require_existing_paths
from confidnet_core.serving.new_images import ImageReader, image_reader
from confidnet_core.serving.selective_classifier import SelectiveClassifier

MAX_BATCH = 1024
IMAGES_PER_THREAD_TASK = 8


@dataclass(frozen=True)
class BatchAnswers:
    """The answers for one batch of images.

    names: of the images in it, in order; of a file its path, of an image in an archive ARCHIVE/PATH, of a row of an array ARRAY[ROW]
    failures: {name: why it could not be read} of the images without an answer
    answers: those of SelectiveClassifier.predict for the others, in the order of `names`: arrays (b,), or (b, height, width) for
        segmentation; {} where none could be read
    images: the images that were answered, uint8 (b, channels, height, width), as the model saw them
    """

    names: list[str]
    failures: dict[str, str]
    answers: dict[str, np.ndarray]
    images: np.ndarray

    @property
    def answered_names(self) -> list[str]:
        return [name for name in self.names if name not in self.failures]


def predict_files(
    model: SelectiveClassifier,
    paths: Sequence[str | os.PathLike[str]],
    *,
    batch: int | None = None,
    risk: float | None = None,
    skip: int = 0,
) -> Iterator[BatchAnswers]:
    """Yield the answers for all images that the paths name, a batch at a time, in bounded memory.

    paths: image files, folders (with all images below them), .zip archives of image files, and arrays in .npy or .npz, uint8 (n, channels,
        height, width). Files are read and resized as `prepare` did with the training images; arrays have to be of the model's image shape.
    batch: images in a batch; by default as many as have PIXELS_PER_INFERENCE_BATCH pixels, at most MAX_BATCH
    risk: the target risk, by default the model's; skip: the number of first images to leave out
    What cannot be read is in the `failures` of its batch. Raises ValueError for a path that does not exist, a risk that the model does not
    have, and where the paths hold no images.
    """
    batch_size = default_batch_size(model) if batch is None else batch
    if batch_size < 1:
        raise ValueError(f"batch is {batch}; expected at least 1")
    threshold = model.guaranteed_threshold(risk)["threshold"]
    require_existing_paths(paths)
    is_empty = True
    for names, images, failures in _decoded_batches(model, paths, batch_size, skip):
        is_empty = False
        answers = model.answers_at_threshold(images, threshold) if len(images) else {}
        yield BatchAnswers(names, failures, answers, images)
    if is_empty and not skip:
        raise ValueError(f"{', '.join(map(str, paths))} hold no images; expected files that end in .png, .jpg, .tif and so on")


def default_batch_size(model: SelectiveClassifier) -> int:
    _, height, width = model.model_metadata["image_shape"]
    return max(1, min(MAX_BATCH, PIXELS_PER_INFERENCE_BATCH // (height * width)))


def _decoded_batches(
    model: SelectiveClassifier, paths: Sequence[str | os.PathLike[str]], batch_size: int, skip: int
) -> Iterator[tuple[list[str], np.ndarray, dict[str, str]]]:
    """Yield names, images uint8 (b, *image_shape) and failures {name: reason} of each batch; the next one is decoded meanwhile."""
    read_image, image_shape = image_reader(model.model_metadata), tuple(model.model_metadata["image_shape"])
    sources = islice(images_of_paths(paths), skip, None)
    batches_ahead: deque[tuple[list[str], list[Future]]] = deque()
    thread_pool = ThreadPoolExecutor(os.cpu_count())
    try:
        while True:
            batch_sources = list(islice(sources, batch_size))
            if batch_sources:
                parts = [batch_sources[start : start + IMAGES_PER_THREAD_TASK] for start in range(0, batch_size, IMAGES_PER_THREAD_TASK)]
                tasks = [thread_pool.submit(_read_part, part, read_image, image_shape) for part in parts if part]
                batches_ahead.append(([source.name for source in batch_sources], tasks))
            if not batches_ahead:
                return
            if len(batches_ahead) > 1 or not batch_sources:
                names, tasks = batches_ahead.popleft()
                outcomes = [outcome for task in tasks for outcome in task.result()]
                failures = {name: outcome for name, outcome in zip(names, outcomes, strict=True) if isinstance(outcome, str)}
                images = [outcome for outcome in outcomes if not isinstance(outcome, str)]
                yield names, np.stack(images) if images else np.empty((0, *image_shape), np.uint8), failures
    finally:
        # Without waiting: where an error has left this generator behind, one of the threads itself may come to collect it.
        thread_pool.shutdown(wait=False, cancel_futures=True)


def _read_part(sources: list[ImageSource], read_image: ImageReader, image_shape: tuple[int, ...]) -> list[np.ndarray | str]:
    """Return of each image its array, or as text why it cannot be read."""
    return [_read_or_reason(source, read_image, image_shape) for source in sources]


def _read_or_reason(source: ImageSource, read_image: ImageReader, image_shape: tuple[int, ...]) -> np.ndarray | str:
    try:
        content = source.read()
        image = content if isinstance(content, np.ndarray) else read_image(content, source.name)
    except Exception as error:  # whatever one file is, the others are to be answered
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return " ".join(reason.removeprefix(source.name).split())
    if image.shape != image_shape:
        return f"is of shape {image.shape}; expected {image_shape}"
    return image
