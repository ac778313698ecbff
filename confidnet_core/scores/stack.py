"""Logistic regression on several cheap scores. It is fitted on validation data.

Wolpert 1992, "Stacked generalization". The inputs mean the same for every class, so a hundred errors are enough for the fit, and scenes
unlike those of the validation data do no harm:
- the log-odds of MCP
- the mean log-odds over augmented views of the image: the score `tta`
- for classification, the two distances to training samples whose ratio is Trust Score (Jiang et al. 2018, arXiv:1805.11783)
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.ranges import FractionBelowOne, PositiveInt
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.device import to_float64
from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scores._neighbours import distance_to_neighbour, reference, score_in_chunks
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run, Split

FOLDS = 5  # of the cross-validation: each part of the validation data is scored by a regression on the others
MAX_SAMPLES = 2**20  # the maximum number of validation samples or pixels in the fit
LOG_DISTANCE_RANGE = (-30, 30)  # bounds for a sample that is in the training data, and for a class that is not

RegressionInputs = np.ndarray  # float64 (n, columns): log-odds of MCP, their mean over views, and for classification two logs of distances
LOG_ODDS_COLUMNS = (0, 1)  # the columns that are a score by themselves: MCP and tta
Regression = tuple[list[float], list[float], list[float], float]  # means and standard deviations of the columns; coefficients; intercept


def stack(run: Run, samples_per_class: PositiveInt = 1000, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Return the log-odds that the prediction is correct, by the regression or, where it is no better, by `tta` or MCP, float64 (n,).

    The regression is better if its AUPR-Error on validation data, by cross-validation with FOLDS folds, is higher. A fold holds consecutive
    images, since errors of neighbouring pixels go together.
    samples_per_class: the maximum number of training samples of a class, to the nearest of which distances are taken
    shift: the shift of the views, as a fraction of the image's height
    """
    return apply_regression(run.fitted(_best, samples_per_class, shift), run.cached(stack_inputs, run.split, samples_per_class, shift))


stack.display_name = "Stack"
stack.scale = "log_odds"
stack.learned = "fitted"
stack.passes = "views"
stack.count_views = count_views


def choose_regression(inputs: RegressionInputs, correct: np.ndarray) -> Regression | int:
    """Return a logistic regression of correct, bool (n,), on the inputs; if a single column ranks as well, the column's index.

    A column is taken if its AUPR-Error is no lower than the regression's, or if a fold's regression lacks errors or correct predictions.
    Both arrays are in the order of the images.
    """
    columns = {column: inputs[:, column] for column in LOG_ODDS_COLUMNS}
    aupr_error_of_column = {column: failure_metrics(confidence, correct)["aupr_error"] or 0.0 for column, confidence in columns.items()}
    column = max(aupr_error_of_column, key=aupr_error_of_column.__getitem__)
    folds = np.arange(len(correct)) * FOLDS // len(correct)
    if all(len(np.unique(correct[folds != fold])) == 2 for fold in range(FOLDS)):
        held_out_log_odds = [
            apply_regression(_fit_regression(inputs[folds != fold], correct[folds != fold]), inputs[folds == fold]) for fold in range(FOLDS)
        ]
        if (failure_metrics(np.concatenate(held_out_log_odds), correct)["aupr_error"] or 0.0) > aupr_error_of_column[column]:
            return _fit_regression(inputs, correct)
    return column


def _best(run: Run, samples_per_class: int, shift: float) -> Regression | int:
    """Return the result of choose_regression on at most MAX_SAMPLES validation samples; `run.fitted` stores the result."""
    validation = run.validation
    step = -(-len(validation.correct) // MAX_SAMPLES)
    return choose_regression(run.cached(stack_inputs, validation.split, samples_per_class, shift)[::step], validation.correct[::step])


def _fit_regression(inputs: RegressionInputs, correct: np.ndarray) -> Regression:
    from sklearn.linear_model import LogisticRegression  # imported here, since it takes a second and every stage imports the scores

    mean, deviation = inputs.mean(0), inputs.std(0) + 1e-12
    model = LogisticRegression(max_iter=1000).fit((inputs - mean) / deviation, correct)
    return mean.tolist(), deviation.tolist(), model.coef_[0].tolist(), float(model.intercept_[0])


def apply_regression(regression: Regression | int, inputs: RegressionInputs) -> np.ndarray:
    """Return log-odds float64 (n,) predicted by a regression from the inputs; for an integer, the column of the inputs with that index."""
    if isinstance(regression, int):
        return inputs[:, regression]
    mean, deviation, coefficients, intercept = regression
    return (inputs - np.array(mean)) / np.array(deviation) @ np.array(coefficients) + intercept


def stack_inputs(run: Run, split: Split, samples_per_class: int, shift: float) -> RegressionInputs:
    """Return the inputs of the regression for all predictions of a split: float64 (n, 2) for segmentation, (n, 4) for classification."""
    run = run.on_split(split)
    columns = [run.map_logits(lambda logits, _: max_probability_log_odds(logits)), mean_log_odds(run, shift)]
    return np.column_stack(columns if run.dataset.is_segmentation else [*columns, _log_distances(run, samples_per_class)])


def _log_distances(run: Run, samples_per_class: int) -> np.ndarray:
    """Return the logarithms of the distances to the nearest training sample of the predicted and of any other class, float64 (n, 2)."""
    classes = run.fitted(reference, "stack", samples_per_class)

    def score_queries(queries: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack([distance_to_neighbour(queries, points, 1) for points in classes], 1)
        own_distance = distances.gather(1, predicted[:, None])
        other_distance = distances.scatter(1, predicted[:, None], torch.inf).amin(1, keepdim=True)
        return to_float64(torch.cat([own_distance, other_distance], 1)).log().clamp(*LOG_DISTANCE_RANGE)

    def score_images(images: Tensor, predicted: Tensor) -> Tensor:
        return score_in_chunks(score_queries, max(map(len, classes)), run.classifier.encode(images), predicted.long())

    return run.map_images(score_images, run.predicted_maps)
