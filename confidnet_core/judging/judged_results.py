"""The results of all scores on predictions that a user brings, computed in memory by the functions of the pipeline's stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, Real

from confidnet_core.config.params import Thresholds
from confidnet_core.evaluation.result import RANK_SCALE, Evaluation, evaluate
from confidnet_core.evaluation.stored import Reliability
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, reliability
from confidnet_core.judging.scored_predictions import CheckedSplit
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.progress import progress_bar

ONLY_SEED = 0  # predictions of one trained classifier, whose seed is not known


@dataclass(frozen=True)
class JudgingSettings:
    """How scores are judged.

    against: scores that all others are compared with; risks, delta: of the thresholds with a guarantee, see `threshold_with_guarantee`
    resamples, level, seed: of the bootstrap and its intervals; scales: {score: one of SCORE_SCALES}, by default "rank"
    oracles: scores that read the labels, which are never ranked
    unit_name: what tables call that which errs together; None for images, whose predictions are pixels
    """

    against: tuple[str, ...]
    risks: tuple[float, ...]
    delta: float
    resamples: int
    level: float
    seed: int
    scales: Mapping[str, str]
    oracles: tuple[str, ...]
    unit_name: str | None = None


@dataclass(frozen=True)
class JudgedResults:
    """The results of all scores on one test split, in the form of `comparison.results.Results`.

    benchmark: the name of the predictions in tables; correct: bool (n,); predictions_per_unit: (units,) or None
    The dictionaries are by score; reliabilities and thresholds are empty without validation and calibration data.
    """

    benchmark: str
    correct: Bool[np.ndarray, " n"]
    predictions_per_unit: Int64[np.ndarray, " units"] | None
    confidences: Mapping[str, Real[np.ndarray, " n"]]
    evaluations: Mapping[str, Evaluation]
    replicates: Mapping[str, Float32[np.ndarray, "resamples metrics"]]
    reliabilities: Mapping[str, Reliability]
    thresholds: Mapping[str, list[dict[str, Any]]]
    seed: int = ONLY_SEED

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.evaluations)

    def evaluation(self, method: str) -> Evaluation:
        return self.evaluations[method]

    def compared_methods(self) -> list[str]:
        return [method for method, evaluation in self.evaluations.items() if not evaluation.oracle]

    def confidence(self, method: str) -> Real[np.ndarray, " n"]:
        return self.confidences[method]

    def bootstrap_replicates(self, method: str) -> Float32[np.ndarray, "resamples metrics"]:
        return self.replicates[method]

    def outcomes(self) -> tuple[Bool[np.ndarray, " n"], Int64[np.ndarray, " units"] | None]:
        return self.correct, self.predictions_per_unit

    def reliability(self, method: str) -> Reliability | None:
        return self.reliabilities.get(method)

    def guarantees(self, method: str) -> list[dict[str, Any]]:
        return self.thresholds.get(method, [])


def judge_splits(
    name: str, test: CheckedSplit, validation: CheckedSplit | None, calibration: CheckedSplit | None, settings: JudgingSettings
) -> JudgedResults:
    """Compute the results of all scores of the test split, with a progress bar.

    Without validation data there is no reliability; without calibration data there are no thresholds. Replicates are rounded to float32, as
    the stages store them, so that the same predictions give the same figures.
    """
    evaluations, replicates, reliabilities, thresholds = {}, {}, {}, {}
    resampling: dict[str, Any] = {"resample_count": settings.resamples, "seed": settings.seed}
    for score in progress_bar(test.confidences, bar_label="judge", item_name="score"):
        is_oracle, scale = score in settings.oracles, settings.scales.get(score, RANK_SCALE)
        test_split = test.scored(score)
        evaluations[score] = evaluate(
            test_split.confidence, test_split.correct, benchmark=name, seed=ONLY_SEED, method=score, oracle=is_oracle, scale=scale
        )
        replicates[score] = bootstrap(
            test_split.confidence, test_split.correct, pixels_per_image=test_split.pixels_per_image, **resampling
        ).astype(np.float32)
        if validation is not None:
            reliabilities[score] = reliability_of_score(score, test, validation, settings)
        if calibration is not None:
            thresholds[score] = thresholds_of_score(score, test, validation, calibration, settings)
    return JudgedResults(
        name, test.correct, test.predictions_per_unit, test.confidences, evaluations, replicates, reliabilities, thresholds
    )


def reliability_of_score(score: str, test: CheckedSplit, validation: CheckedSplit, settings: JudgingSettings) -> Reliability:
    """Return how well the probabilities fitted to the validation predictions agree with the test predictions."""
    scale = settings.scales.get(score, RANK_SCALE)
    resampling: dict[str, Any] = {"resample_count": settings.resamples, "seed": settings.seed}
    return reliability(validation.scored(score), test.scored(score), scale, **resampling).with_float32_replicates()


def thresholds_of_score(
    score: str, test: CheckedSplit, validation: CheckedSplit | None, calibration: CheckedSplit, settings: JudgingSettings
) -> list[dict[str, Any]]:
    """Return the thresholds of a score, as `guaranteed_thresholds` gives them."""
    threshold_settings = Thresholds(risks=settings.risks, serve=settings.risks[0], delta=settings.delta)
    validation_split = None if validation is None else validation.scored(score)
    unit_name = settings.unit_name or "image"
    return guaranteed_thresholds(validation_split, calibration.scored(score), test.scored(score), threshold_settings, unit_name)
