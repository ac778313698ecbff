"""Logistic regression on several cheap scores. It is fitted on validation data.

Wolpert 1992, "Stacked generalization". The inputs mean the same for every class, so a hundred errors are enough for the fit, and scenes
unlike those of the validation data do no harm:
- the log-odds of MCP
- the mean log-odds over augmented views of the image: the score `tta`
- for classification, the two distances to training samples whose ratio is Trust Score (Jiang et al. 2018, arXiv:1805.11783)
- where there is a second network, its log-odds: the score `second_opinion`
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.params import Benchmark
from confidnet_core.config.ranges import FractionBelowOne, PositiveInt
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.device import to_float64
from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scores._neighbours import distance_to_neighbour, score_in_chunks, training_features_by_class
from confidnet_core.scores._second_network import second_log_odds
from confidnet_core.scores._views import count_views, mean_log_odds
from confidnet_core.scoring.run import Run, Split

FOLD_COUNT = 5  # of the cross-validation: each part of the validation data is scored by a regression on the others
MAX_FIT_SAMPLES = 2**20  # the maximum number of validation samples or pixels in the fit
LOG_DISTANCE_RANGE = (-30, 30)  # bounds for a sample that is in the training data, and for a class that is not

SECOND_NETWORK = "second network"  # the input that not every benchmark has
# Names of the inputs; means and standard deviations of their columns; coefficients; intercept.
Regression = tuple[list[str], list[float], list[float], list[float], float]


def stack(run: Run, samples_per_class: PositiveInt = 1000, shift: FractionBelowOne = 0.04) -> np.ndarray:
    """Return the log-odds that each prediction is correct, by a logistic regression on several cheap scores: float64 (n,).

    Where there is a second network, a regression that also reads its log-odds is fitted as well. Of the regressions, and of the inputs
    that are a score by themselves, the one with the highest AUPR-Error on validation data is taken, that of regressions by
    cross-validation with FOLD_COUNT folds. A fold holds consecutive images, since errors of neighbouring pixels go together.
    samples_per_class: the maximum number of training samples of a class, to the nearest of which distances are taken
    shift: the shift of the augmented views, as a fraction of the image's height
    """
    regression = run.fitted(_fit_best_regression, samples_per_class, shift)
    return apply_regression(regression, regression_inputs(run, regression[0], samples_per_class, shift))


def _count_passes(benchmark: Benchmark, score_settings: Mapping[str, Any]) -> int:
    """Return how many extra forward passes an image needs: those of the views, and that of the second network."""
    return count_views(benchmark, score_settings) + (benchmark.second_opinion is not None)


stack.display_name = "Stack"
stack.scale = "log_odds"
stack.needs_training_images = True
stack.reads_if_trained = ("second_opinion",)
stack.learned = "fitted"
stack.passes = "views"
stack.count_views = _count_passes


def choose_regression(columns_of_input: Mapping[str, np.ndarray], correct: np.ndarray) -> Regression:
    """Return the regression of `correct` on several scores that ranks validation data best, or one of the scores where it ranks as well.

    columns_of_input: {name in INPUTS: float64 (n, columns)}, in their order; correct: bool (n,); both in the order of the images
    A single score is taken if its AUPR-Error is no lower than the regressions', or if the other folds of one fold hold no error or no
    correct prediction, so that no regression can be fitted. A regression without the second network is taken if it ranks as well.
    """
    single_scores = [name for name in columns_of_input if name in SINGLE_SCORES]
    candidates = [_single_score(name) for name in single_scores]
    qualities = [failure_metrics(columns_of_input[name][:, 0], correct)["aupr_error"] or 0.0 for name in single_scores]
    fold_of_sample = np.arange(len(correct)) * FOLD_COUNT // len(correct)
    if all(len(np.unique(correct[fold_of_sample != fold])) == 2 for fold in range(FOLD_COUNT)):
        for names in _input_sets(columns_of_input):
            inputs = np.column_stack([columns_of_input[name] for name in names])
            held_out_log_odds = [
                apply_regression(
                    _fit_regression(names, inputs[fold_of_sample != fold], correct[fold_of_sample != fold]), inputs[fold_of_sample == fold]
                )
                for fold in range(FOLD_COUNT)
            ]
            qualities.append(failure_metrics(np.concatenate(held_out_log_odds), correct)["aupr_error"] or 0.0)
            candidates.append(_fit_regression(names, inputs, correct))
    return candidates[int(np.argmax(qualities))]


def _input_sets(names: Sequence[str] | Mapping[str, np.ndarray]) -> list[list[str]]:
    """Return the sets of inputs for which a regression is fitted: without the second network and, if there is one, with it."""
    cheap = [name for name in names if name != SECOND_NETWORK]
    return [cheap, list(names)] if SECOND_NETWORK in names else [cheap]


def _fit_best_regression(run: Run, samples_per_class: int, shift: float) -> Regression:
    """Return the regression fitted to at most MAX_FIT_SAMPLES validation samples, or the score that ranks as well as one.

    samples_per_class, shift: the settings of the score
    """
    validation = run.validation
    sampling_step = -(-len(validation.correct) // MAX_FIT_SAMPLES)
    columns_of_input = {
        name: run.cached(_input_columns, validation.split, name, samples_per_class, shift)[::sampling_step]
        for name in available_inputs(run)
    }
    return choose_regression(columns_of_input, validation.correct[::sampling_step])


def _fit_regression(names: Sequence[str], inputs: np.ndarray, correct: np.ndarray) -> Regression:
    from sklearn.linear_model import LogisticRegression  # imported here, since it takes a second and every stage imports the scores

    column_means, column_standard_deviations = inputs.mean(0), inputs.std(0) + 1e-12
    logistic_regression = LogisticRegression(max_iter=1000).fit((inputs - column_means) / column_standard_deviations, correct)
    coefficients, intercept = logistic_regression.coef_[0].tolist(), float(logistic_regression.intercept_[0])
    return list(names), column_means.tolist(), column_standard_deviations.tolist(), coefficients, intercept


def _single_score(name: str) -> Regression:
    """Return the regression that leaves the score with this name as it is."""
    return [name], [0.0], [1.0], [1.0], 0.0


def apply_regression(regression: Regression, inputs: np.ndarray) -> np.ndarray:
    """Return the log-odds, float64 (n,), that a logistic regression predicts from the columns of its inputs, float64 (n, columns)."""
    _, column_means, column_standard_deviations, coefficients, intercept = regression
    return (inputs - np.array(column_means)) / np.array(column_standard_deviations) @ np.array(coefficients) + intercept


def available_inputs(run: Run) -> list[str]:
    """Return the names of the inputs that the Run's data and networks have."""
    left_out = {"distances"} if run.dataset.is_segmentation else set()
    return [name for name in INPUTS if name not in left_out and (name != SECOND_NETWORK or run.has_network("second_opinion"))]


def regression_inputs(run: Run, names: Sequence[str], samples_per_class: int, shift: float) -> np.ndarray:
    """Return the inputs with these names for all n predictions of the Run's split: float64 (n, columns)."""
    return np.column_stack([run.cached(_input_columns, run.split, name, samples_per_class, shift) for name in names])


def _input_columns(run: Run, split: Split, name: str, samples_per_class: int, shift: float) -> np.ndarray:
    """Return one input for all n predictions of a split: float64 (n, columns)."""
    columns = INPUTS[name](run.on_split(split), samples_per_class, shift)
    return columns.reshape(len(columns), -1)


def _log_neighbour_distances(run: Run, samples_per_class: int, shift: float) -> np.ndarray:
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


# Name of an input -> function of a Run and of the settings of `stack`, which returns float64 (n,) or (n, columns).
INPUTS: dict[str, Callable[[Run, int, float], np.ndarray]] = {
    "image": lambda run, samples_per_class, shift: run.map_logits(lambda logits, _: max_probability_log_odds(logits)),
    "views": lambda run, samples_per_class, shift: mean_log_odds(run, shift),
    "distances": _log_neighbour_distances,
    SECOND_NETWORK: lambda run, samples_per_class, shift: second_log_odds(run),
}
SINGLE_SCORES = ("image", "views", SECOND_NETWORK)  # the inputs that are a score by themselves
