"""Test sets with two equally good scores whose true metrics are known: samples, and pixels of images that err together."""

import numpy as np

from confidnet_core.metrics import failure_metrics

SEPARATION = 1.8  # between correct predictions and errors, in standard deviations
PIXELS = 200  # of an image
IMAGE_DEVIATION = 0.5  # of an image's scores, for all its pixels together, and of the logit of its error rate
MEAN_ERROR_LOGIT = -1.7
LARGE = 2_000_000  # samples from which true metrics are measured

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, int]


def draw_samples(sample_count: int, mean_errors: int, generator: np.random.Generator) -> Drawn:
    """Correctness, two confidences, None for the pixels of images, and the degrees of freedom; the number of errors is drawn, too."""
    errors = int(np.clip(generator.binomial(sample_count, mean_errors / sample_count), 1, sample_count - 1))
    correct = np.arange(sample_count) >= errors
    first, second = (SEPARATION * correct + generator.normal(size=sample_count) for _ in range(2))
    return correct, first, second, None, min(errors, sample_count - errors) - 1


def draw_images(image_count: int, generator: np.random.Generator) -> Drawn:
    """The same for the pixels of images."""
    rate = 1 / (1 + np.exp(-(MEAN_ERROR_LOGIT + IMAGE_DEVIATION * generator.normal(size=(image_count, 1)))))
    correct = (generator.random((image_count, PIXELS)) >= rate).ravel()
    shared = [IMAGE_DEVIATION * generator.normal(size=(image_count, 1)).repeat(PIXELS, 1).ravel() for _ in range(2)]
    first, second = (SEPARATION * correct + part + generator.normal(size=len(correct)) for part in shared)
    return correct, first, second, np.full(image_count, PIXELS), image_count - 1


def true_metrics(error_rate: float | None, metrics: tuple[str, ...], generator: np.random.Generator) -> np.ndarray:
    """The metrics of a very large test set; error_rate: that of samples, None for images."""
    if error_rate is None:
        correct, confidence, *_ = draw_images(LARGE // PIXELS, generator)
    else:
        correct = np.arange(LARGE) >= round(LARGE * error_rate)
        confidence = SEPARATION * correct + generator.normal(size=LARGE)
    measured = failure_metrics(confidence, correct)
    return np.array([measured[metric] for metric in metrics], float)
