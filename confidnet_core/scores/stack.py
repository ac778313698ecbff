"""A stack of cheap scores: logistic regression, on validation data, of the log-odds of MCP and of what stands around a prediction.

Wolpert 1992, "Stacked generalization". Few numbers that mean the same for every class are stacked: a hundred errors are enough, and
scenes unlike those of the validation data do no harm.
- classification: distances to training samples, those of Trust Score (Jiang et al. 2018, arXiv:1805.11783) before their division
- segmentation: how sure the neighbouring pixels are, and how many of them are predicted as the same class
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import one_hot, pad

from confidnet_core.device import double
from confidnet_core.metrics import failure_metrics
from confidnet_core.probabilities import log_odds_of_largest
from confidnet_core.run import Run
from confidnet_core.scores._neighbours import distance_to_neighbour, over_places, reference

PARTS = 5  # of the validation data: each is scored by a regression on the others
MOST = 2**20  # validation pixels that are fitted to
SUREST = 20  # log-odds above it are cut before they are averaged: one pixel must not outweigh its neighbours
LOG_DISTANCES = (-30, 30)  # of a sample that is in the training data, and of a class that is not

Inputs = np.ndarray  # float64 (n, columns), the first of which is the log-odds of MCP
Settings = tuple[int, tuple[float, ...]]
Regression = tuple[list[float], list[float], list[float], float]  # mean and deviation of the columns; coefficients; intercept


def stack(run: Run, samples_per_class: int = 1000, windows: tuple[float, ...] = (0.04, 0.08)) -> np.ndarray:
    """Log-odds of being right, any real number; those of MCP where the stack is no better.

    Better: a higher AUPR-Error on validation data, each part of which is scored by a regression on the others; a part is a stretch of
    images, since the pixels of an image err together.
    samples_per_class: bounds the training samples of a class, whose nearest counts
    windows: squares around a pixel, as shares of the image's height
    ValueError for samples_per_class below 1 and for windows outside (0, 1].
    """
    if not all(0 < share <= 1 for share in windows):
        raise ValueError(f"methods.stack.windows is {list(windows)}; expected shares of the image's height, above 0 and at most 1")
    settings = (samples_per_class, tuple(windows))
    return applied(run.fitted(_regression, *settings), run.once(stacked, run.split, *settings))


stack.scale = "log_odds"


def best_regression(inputs: Inputs, correct: np.ndarray) -> Regression | None:
    """Of correct, bool (n,), on inputs, in the order of the images; None where the first column is no worse or nothing can be fitted."""
    parts = np.arange(len(correct)) * PARTS // len(correct)
    if all(len(np.unique(correct[parts != part])) == 2 for part in range(PARTS)):
        scored = np.concatenate(
            [applied(_fitted(inputs[parts != part], correct[parts != part]), inputs[parts == part]) for part in range(PARTS)]
        )
        found, mcp = (failure_metrics(confidence, correct)["aupr_error"] for confidence in (scored, inputs[:, 0]))
        if found > mcp:
            return _fitted(inputs, correct)
    return None


def _regression(run: Run, *settings: Settings) -> Regression | None:
    validation = run.validation
    every = -(-len(validation.correct) // MOST)
    return best_regression(run.once(stacked, validation.split, *settings)[::every], validation.correct[::every])


def _fitted(inputs: Inputs, correct: np.ndarray) -> Regression:
    mean, deviation = inputs.mean(0), inputs.std(0) + 1e-12
    found = LogisticRegression(max_iter=1000).fit((inputs - mean) / deviation, correct)
    return mean.tolist(), deviation.tolist(), found.coef_[0].tolist(), float(found.intercept_[0])


def applied(regression: Regression | None, inputs: Inputs) -> np.ndarray:
    """Log-odds float64 (n,): of a regression, or the first column."""
    if regression is None:
        return inputs[:, 0]
    mean, deviation, coefficients, intercept = regression
    return (inputs - np.array(mean)) / np.array(deviation) @ np.array(coefficients) + intercept


def stacked(run: Run, split: str, samples_per_class: int, windows: tuple[float, ...]) -> Inputs:
    """What is stacked, of a split."""
    run = run.on(split)
    log_odds = run.over_logits(lambda logits, _: log_odds_of_largest(logits))
    return np.column_stack([log_odds, _surroundings(run, windows) if run.dataset.is_segmentation else _distances(run, samples_per_class)])


def _distances(run: Run, samples_per_class: int) -> np.ndarray:
    """Logs of the distances to the nearest training sample of the predicted class and of all others, (n, 2)."""
    classes = run.fitted(reference, "stack", samples_per_class)

    def of_places(queries: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack([distance_to_neighbour(queries, points, 1) for points in classes], 1)
        own = distances.gather(1, predicted[:, None])
        other = distances.scatter(1, predicted[:, None], torch.inf).amin(1, keepdim=True)
        return double(torch.cat([own, other], 1)).log().clamp(*LOG_DISTANCES)

    def of_images(images: Tensor, predicted: Tensor) -> Tensor:
        return over_places(of_places, max(map(len, classes)), run.classifier.encode(images), predicted.long())

    return run.over_images(of_images, run.predicted_maps)


def _surroundings(run: Run, windows: tuple[float, ...]) -> np.ndarray:
    """Of each window the mean log-odds, and the share of pixels that are predicted as the one in its middle: (n, 2 windows)."""
    sizes = [1 + 2 * round(share * run.dataset.image_shape[1] / 2) for share in windows]

    def of_maps(logits: Tensor) -> Tensor:
        predicted = logits.argmax(1)
        log_odds = _sums(log_odds_of_largest(logits).unsqueeze(1).clamp(max=SUREST))
        counts = _sums(one_hot(predicted, logits.shape[1]).movedim(-1, 1).int())
        means = [_mean_around(log_odds, torch.zeros_like(predicted), size) for size in sizes]
        return torch.stack([*means, *(_mean_around(counts, predicted, size) for size in sizes)], dim=-1)

    return run.over_logit_maps(of_maps)


def _sums(maps: Tensor) -> Tensor:
    """Of all that is above and to the left of a corner: (b, channels, h, w) -> (b, channels, h + 1, w + 1), of the same type."""
    return pad(maps.cumsum(3, dtype=maps.dtype).cumsum(2, dtype=maps.dtype), [1, 0, 1, 0])


def _mean_around(sums: Tensor, channel: Tensor, size: int) -> Tensor:
    """Of the part of a square of odd `size` around each pixel that lies inside, in the pixel's CHANNEL int64 (b, h, w): float64 (b, h, w).

    SUMS as from _sums: four corners of a square give its sum, whatever its size.
    """
    height, width = channel.shape[1:]
    (top, bottom), (left, right) = (_ends(length, size) for length in (height, width))

    def corner(rows: Tensor, columns: Tensor) -> Tensor:
        places = (channel * (height + 1) + rows[:, None]) * (width + 1) + columns
        return sums.flatten(1).gather(1, places.flatten(1)).view(channel.shape)

    total = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
    return total.double() / ((bottom - top)[:, None] * (right - left))


def _ends(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Where the squares around 0 ... length - 1 begin and end: int64 (length,) each."""
    middle = torch.arange(length)
    return (middle - size // 2).clamp(min=0), (middle + size // 2 + 1).clamp(max=length)
