"""Logistic regression on several cheap scores. Fitted on validation data to the log-odds of MCP and few numbers that tell more.

Wolpert 1992, "Stacked generalization". The inputs mean the same for every class: a hundred errors are enough to fit them, and scenes
unlike those of the validation data do no harm.
- the mean log-odds over augmented views of the image: the score `tta`
- classification: distances to training samples, those of Trust Score (Jiang et al. 2018, arXiv:1805.11783) before their division
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.ranges import FractionBelowOne, PositiveInt
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.device import double
from confidnet_core.networks.probabilities import log_odds_of_largest
from confidnet_core.scores._neighbours import distance_to_neighbour, reference, score_in_chunks
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run, Split

PARTS = 5  # of the validation data: each is scored by a regression on the others
MAX_SAMPLES = 2**20  # validation samples or pixels, at most, that the regression is fitted to
LOG_DISTANCES = (-30, 30)  # of a sample that is in the training data, and of a class that is not

Inputs = np.ndarray  # float64 (n, columns): log-odds of MCP, their mean over views, and for classification two logs of distances
LOG_ODDS = (0, 1)  # the columns that are a score by themselves
Regression = tuple[list[float], list[float], list[float], float]  # mean and deviation of the columns; coefficients; intercept


def stack(run: Run, samples_per_class: PositiveInt = 1000, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Log-odds that the prediction is correct, any real number, float64: of the regression, or, where it is no better, of `tta` or MCP.

    Better is a higher AUPR-Error on validation data by cross-validation in PARTS parts. A part is a run of consecutive images, since the
    pixels of an image are wrong together.
    samples_per_class: maximum number of training samples of a class, to the nearest of which distances are taken
    shift: of the views, as a fraction of the image's height
    """
    return apply(run.fitted(_best, samples_per_class, shift), run.once(stack_inputs, run.split, samples_per_class, shift))


stack.display_name = "Stack"
stack.scale = "log_odds"
stack.learned = "fitted"
stack.passes = "views"
stack.count_views = count_views


def choose(inputs: Inputs, correct: np.ndarray) -> Regression | int:
    """The regression of correct, bool (n,), on inputs, both in the order of the images; or the column of LOG_ODDS with the highest
    AUPR-Error, where that is no lower or there are too few errors to fit to."""
    columns = {column: inputs[:, column] for column in LOG_ODDS}
    quality = {column: failure_metrics(confidence, correct)["aupr_error"] or 0.0 for column, confidence in columns.items()}
    column = max(quality, key=quality.__getitem__)
    parts = np.arange(len(correct)) * PARTS // len(correct)
    if all(len(np.unique(correct[parts != part])) == 2 for part in range(PARTS)):
        scored = [apply(_fitted(inputs[parts != part], correct[parts != part]), inputs[parts == part]) for part in range(PARTS)]
        if (failure_metrics(np.concatenate(scored), correct)["aupr_error"] or 0.0) > quality[column]:
            return _fitted(inputs, correct)
    return column


def _best(run: Run, samples_per_class: int, shift: float) -> Regression | int:
    validation = run.validation
    every = -(-len(validation.correct) // MAX_SAMPLES)
    return choose(run.once(stack_inputs, validation.split, samples_per_class, shift)[::every], validation.correct[::every])


def _fitted(inputs: Inputs, correct: np.ndarray) -> Regression:
    from sklearn.linear_model import LogisticRegression  # here, because it takes a second and every stage reads the list of scores

    mean, deviation = inputs.mean(0), inputs.std(0) + 1e-12
    model = LogisticRegression(max_iter=1000).fit((inputs - mean) / deviation, correct)
    return mean.tolist(), deviation.tolist(), model.coef_[0].tolist(), float(model.intercept_[0])


def apply(regression: Regression | int, inputs: Inputs) -> np.ndarray:
    """Log-odds float64 (n,): predicted by a regression, or a column of the inputs."""
    if isinstance(regression, int):
        return inputs[:, regression]
    mean, deviation, coefficients, intercept = regression
    return (inputs - np.array(mean)) / np.array(deviation) @ np.array(coefficients) + intercept


def stack_inputs(run: Run, split: Split, samples_per_class: int, shift: float) -> Inputs:
    """Inputs of the regression on a split, float64 (n, 2), and for classification (n, 4)."""
    run = run.on(split)
    columns = [run.over_logits(lambda logits, _: log_odds_of_largest(logits)), mean_log_odds(run, shift)]
    return np.column_stack(columns if run.dataset.is_segmentation else [*columns, _distances(run, samples_per_class)])


def _distances(run: Run, samples_per_class: int) -> np.ndarray:
    """Logarithms of the distances to the nearest training sample of the predicted class and of any other class, float64 (n, 2)."""
    classes = run.fitted(reference, "stack", samples_per_class)

    def score_queries(queries: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack([distance_to_neighbour(queries, points, 1) for points in classes], 1)
        own = distances.gather(1, predicted[:, None])
        other = distances.scatter(1, predicted[:, None], torch.inf).amin(1, keepdim=True)
        return double(torch.cat([own, other], 1)).log().clamp(*LOG_DISTANCES)

    def of_images(images: Tensor, predicted: Tensor) -> Tensor:
        return score_in_chunks(score_queries, max(map(len, classes)), run.classifier.encode(images), predicted.long())

    return run.over_images(of_images, run.predicted_maps)
