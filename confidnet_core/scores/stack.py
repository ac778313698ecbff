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
from confidnet_core.scores._neighbours import distance_to_neighbour, score_in_chunks, training_features_by_class
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run, Split

FOLD_COUNT = 5  # of the cross-validation: each part of the validation data is scored by a regression on the others
MAX_FIT_SAMPLES = 2**20  # the maximum number of validation samples or pixels in the fit
LOG_DISTANCE_RANGE = (-30, 30)  # bounds for a sample that is in the training data, and for a class that is not

RegressionInputs = np.ndarray  # float64 (n, columns): log-odds of MCP, their mean over views, and for classification two logs of distances
LOG_ODDS_COLUMNS = (0, 1)  # the columns that are a score by themselves: MCP and tta
# Means and standard deviations of the columns; coefficients; intercept.
RegressionParameters = tuple[list[float], list[float], list[float], float]


def stack(run: Run, samples_per_class: PositiveInt = 1000, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Return the log-odds that each prediction is correct, by a logistic regression on several cheap scores: float64 (n,).

    Where the regression is no better than the score `tta` or the log-odds of MCP, it is one of these instead. The regression is better if
    its AUPR-Error on validation data, by cross-validation with FOLD_COUNT folds, is higher. A fold holds consecutive images, since errors
    of neighbouring pixels go together.
    samples_per_class: the maximum number of training samples of a class, to the nearest of which distances are taken
    shift: the shift of the augmented views, as a fraction of the image's height
    """
    return apply_regression(
        run.fitted(_fit_best_regression, samples_per_class, shift),
        run.cached(compute_regression_inputs, run.split, samples_per_class, shift),
    )


stack.display_name = "Stack"
stack.scale = "log_odds"
stack.needs_training_images = True
stack.learned = "fitted"
stack.passes = "views"
stack.count_views = count_views


def choose_regression(regression_inputs: RegressionInputs, correct: np.ndarray) -> RegressionParameters | int:
    """Return a logistic regression of `correct` on several scores or, if one of the scores ranks as well, the index of its column.

    regression_inputs: float64 (n, columns), a score in each column; correct: bool (n,); both in the order of the images
    A column is taken if its AUPR-Error is no lower than the regression's, or if the other folds of one fold hold no error or no correct
    prediction, so that no regression can be fitted.
    """
    score_columns = {column_index: regression_inputs[:, column_index] for column_index in LOG_ODDS_COLUMNS}
    aupr_error_of_column = {
        column_index: failure_metrics(column_values, correct)["aupr_error"] or 0.0 for column_index, column_values in score_columns.items()
    }
    column_index = max(aupr_error_of_column, key=aupr_error_of_column.__getitem__)
    fold_of_sample = np.arange(len(correct)) * FOLD_COUNT // len(correct)
    if all(len(np.unique(correct[fold_of_sample != fold])) == 2 for fold in range(FOLD_COUNT)):
        held_out_log_odds = [
            apply_regression(
                _fit_regression(regression_inputs[fold_of_sample != fold], correct[fold_of_sample != fold]),
                regression_inputs[fold_of_sample == fold],
            )
            for fold in range(FOLD_COUNT)
        ]
        if (failure_metrics(np.concatenate(held_out_log_odds), correct)["aupr_error"] or 0.0) > aupr_error_of_column[column_index]:
            return _fit_regression(regression_inputs, correct)
    return column_index


def _fit_best_regression(run: Run, samples_per_class: int, shift: float) -> RegressionParameters | int:
    """Return the regression fitted to at most MAX_FIT_SAMPLES validation samples, or the index of the column that ranks as well.

    samples_per_class, shift: the settings of the score
    """
    validation = run.validation
    sampling_step = -(-len(validation.correct) // MAX_FIT_SAMPLES)
    return choose_regression(
        run.cached(compute_regression_inputs, validation.split, samples_per_class, shift)[::sampling_step],
        validation.correct[::sampling_step],
    )


def _fit_regression(regression_inputs: RegressionInputs, correct: np.ndarray) -> RegressionParameters:
    from sklearn.linear_model import LogisticRegression  # imported here, since it takes a second and every stage imports the scores

    column_means, column_standard_deviations = regression_inputs.mean(0), regression_inputs.std(0) + 1e-12
    logistic_regression = LogisticRegression(max_iter=1000).fit((regression_inputs - column_means) / column_standard_deviations, correct)
    return (
        column_means.tolist(),
        column_standard_deviations.tolist(),
        logistic_regression.coef_[0].tolist(),
        float(logistic_regression.intercept_[0]),
    )


def apply_regression(regression: RegressionParameters | int, regression_inputs: RegressionInputs) -> np.ndarray:
    """Return the log-odds, float64 (n,), that a logistic regression predicts from its inputs, float64 (n, columns).

    regression: its means, standard deviations, coefficients and intercept; or an integer, the index of the column to return instead
    """
    if isinstance(regression, int):
        return regression_inputs[:, regression]
    column_means, column_standard_deviations, coefficients, intercept = regression
    return (regression_inputs - np.array(column_means)) / np.array(column_standard_deviations) @ np.array(coefficients) + intercept


def compute_regression_inputs(run: Run, split: Split, samples_per_class: int, shift: float) -> RegressionInputs:
    """Return the inputs of the regression for all n predictions of a split, float64 (n, 2) for segmentation, (n, 4) for classification.

    The columns are the log-odds of MCP, their mean over augmented views and, for classification, two logarithms of distances to training
    samples.
    """
    run = run.on_split(split)
    input_columns = [run.map_logits(lambda logits, _: max_probability_log_odds(logits)), mean_log_odds(run, shift)]
    return np.column_stack(
        input_columns if run.dataset.is_segmentation else [*input_columns, _log_neighbour_distances(run, samples_per_class)]
    )


def _log_neighbour_distances(run: Run, samples_per_class: int) -> np.ndarray:
    """Return two log distances in penultimate features for each of n predictions, float64 (n, 2).

    First the log distance to the nearest training sample of the predicted class, then that to the nearest sample of any other class.
    """
    features_by_class = run.fitted(training_features_by_class, "stack", samples_per_class)

    def score_queries(query_features: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack([distance_to_neighbour(query_features, class_features, 1) for class_features in features_by_class], 1)
        predicted_class_distance = distances.gather(1, predicted[:, None])
        other_class_distance = distances.scatter(1, predicted[:, None], torch.inf).amin(1, keepdim=True)
        return to_float64(torch.cat([predicted_class_distance, other_class_distance], 1)).log().clamp(*LOG_DISTANCE_RANGE)

    def score_images(images: Tensor, predicted: Tensor) -> Tensor:
        return score_in_chunks(score_queries, max(map(len, features_by_class)), run.classifier.encode(images), predicted.long())

    return run.map_images(score_images, run.predicted_maps)
