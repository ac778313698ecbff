"""Test sets with two equally good scores whose true metrics are known: samples, and pixels of images that err together."""

from typing import NamedTuple

import numpy as np

from confidnet_core.metrics import failure_metrics

SEPARATION = 1.8  # between correct predictions and errors, in standard deviations
PIXELS = 200  # of an image
IMAGE_DEVIATION = 0.5  # of an image's scores, for all its pixels together, and of the logit of its error rate
MEAN_ERROR_LOGIT = -1.7
LARGE = 2_000_000  # samples from which true metrics are measured


class Drawn(NamedTuple):
    """Correctness bool (n,), two confidences float64 (n,), and None or the pixels of each image."""

    correct: np.ndarray
    first: np.ndarray
    second: np.ndarray
    pixels_per_image: np.ndarray | None = None


class Samples(NamedTuple):
    """A test set of samples, whose number of errors is drawn, too."""

    samples: int
    mean_errors: int
    separation: float = SEPARATION

    def draw(self, generator: np.random.Generator) -> Drawn:
        errors = generator.binomial(self.samples, self.mean_errors / self.samples)
        correct = np.arange(self.samples) >= errors
        return Drawn(correct, *(self.separation * correct + generator.normal(size=self.samples) for _ in range(2)))

    def draw_large(self, generator: np.random.Generator) -> Drawn:
        correct = np.arange(LARGE) >= round(LARGE * self.mean_errors / self.samples)
        return Drawn(correct, *(self.separation * correct + generator.normal(size=LARGE) for _ in range(2)))

    def __str__(self) -> str:
        return f"{self.mean_errors} of {self.samples}" + ("" if self.separation == SEPARATION else f", {self.separation:g} apart")


class Images(NamedTuple):
    """A test set of images, whose pixels share a part of their scores and of their error rate."""

    images: int
    mean_error_logit: float = MEAN_ERROR_LOGIT
    separation: float = SEPARATION

    def draw(self, generator: np.random.Generator) -> Drawn:
        shape = (self.images, 1)
        error_rate = 1 / (1 + np.exp(-(self.mean_error_logit + IMAGE_DEVIATION * generator.normal(size=shape))))
        correct = (generator.random((self.images, PIXELS)) >= error_rate).ravel()
        shared = [IMAGE_DEVIATION * generator.normal(size=shape).repeat(PIXELS, 1).ravel() for _ in range(2)]
        scores = (self.separation * correct + part + generator.normal(size=len(correct)) for part in shared)
        return Drawn(correct, *scores, np.full(self.images, PIXELS))

    def draw_large(self, generator: np.random.Generator) -> Drawn:
        return self._replace(images=LARGE // PIXELS).draw(generator)

    def __str__(self) -> str:
        rate = 1 / (1 + np.exp(-self.mean_error_logit))
        return f"{self.images} images" + ("" if self.mean_error_logit == MEAN_ERROR_LOGIT else f", {100 * rate:.2g} % errors")


def measured_metrics(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """All failure metrics as float64 (metrics,), NaN where undefined."""
    return np.array(list(failure_metrics(confidence, correct).values()), float)


def true_metrics(drawing: Samples | Images, generator: np.random.Generator) -> np.ndarray:
    """The failure metrics of a very large test set, float64 (metrics,), in the order of METRICS."""
    large = drawing.draw_large(generator)
    return measured_metrics(large.first, large.correct)
