"""`judge`: which confidence separates correct from incorrect predictions, for predictions that a user brings."""

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from confidnet_core.comparison.results import CountedResults
from confidnet_core.comparison.study import Comparison, compare_results
from confidnet_core.comparison.uncertainty import insufficiency
from confidnet_core.config.ranges import MAX_RESAMPLES
from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.result import SCORE_SCALES
from confidnet_core.judging.judged_results import JudgedResults, JudgingSettings, judge_splits
from confidnet_core.judging.judgement_frames import significance_frame, table_frame, thresholds_frame
from confidnet_core.judging.judgement_json import judgement_to_json
from confidnet_core.judging.saving import save_judgement
from confidnet_core.judging.scored_predictions import (
    CheckedSplit,
    ScoredPredictions,
    check_split,
    require_disjoint_units,
    require_equal_scores,
    without_single_units,
)

USUAL_REFERENCES = ("mcp", "entropy")  # compared with all others where they are among the scores and nothing else is asked for
NEEDS_VALIDATION = "Calibration (ECE, Brier score, NLL, reliability diagrams) needs validation data, which were not given."
NEEDS_CALIBRATION = "Thresholds with a guarantee need calibration data, which were not given: predictions that nothing was fitted to."


@dataclass(frozen=True)
class Judgement:
    """What `judge` found, as data frames and sentences; `save` writes all of it as files, with a page.

    results: of each score; comparison: of the scores side by side
    left_out: sentences about what is missing and what it would need
    facts: {heading: text} about where the predictions come from, for the page
    """

    results: JudgedResults | CountedResults
    comparison: Comparison
    settings: JudgingSettings
    left_out: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """The number of test predictions."""
        return int(self.comparison.evaluation_rows["samples"].iloc[0])

    @property
    def errors(self) -> int:
        """The number of errors among them."""
        return int(self.comparison.evaluation_rows["errors"].iloc[0])

    @cached_property
    def table(self) -> pd.DataFrame:
        """The metrics of each score, a row each, as fractions, with the columns <metric>_low and <metric>_high of their intervals."""
        return table_frame(self.comparison)

    @cached_property
    def significance(self) -> pd.DataFrame:
        """The differences between scores: method, against, metric, difference, low, high, p, p_corrected and verdict."""
        return significance_frame(self.comparison)

    @cached_property
    def thresholds(self) -> pd.DataFrame:
        """The threshold of each score and target risk, its guarantee and its result on the test split; empty without calibration data."""
        return thresholds_frame(self.results)

    @property
    def calibration(self) -> pd.DataFrame:
        """The calibration metrics of each score; empty without validation data."""
        return self.comparison.calibration_rows.drop(columns=["benchmark", "seed"], errors="ignore")

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        return self.comparison.verdicts[self.results.benchmark].summary_sentence

    @property
    def too_little(self) -> str | None:
        """Why the scores cannot be compared, as "too few errors"; None where they can."""
        found = insufficiency(self.comparison.evaluation_rows)
        return found.verdict if found else None

    def to_json(self) -> dict[str, Any]:
        """Return all figures as data for strict JSON; docs/own-predictions.md describes its form."""
        return judgement_to_json(self)

    def save(self, folder: str | Path) -> Path:
        """Write page, tables, curves and figures into a folder, and return the path of the page, index.html.

        Raises ValueError for a folder that holds other files.
        """
        return save_judgement(self, Path(folder))

    def __str__(self) -> str:
        """Return the table of scores and the verdict as text."""
        main_tables = self.comparison.main_tables()
        return self.comparison.markdown(main_tables, {}, []) + "\n" + "\n".join([self.verdict, *self.left_out]) + "\n"


def judge(
    correct: ArrayLike,
    confidences: Mapping[str, ArrayLike],
    *,
    validation: ScoredPredictions | tuple[Any, ...] | None = None,
    calibration: ScoredPredictions | tuple[Any, ...] | None = None,
    units: Sequence[Hashable] | np.ndarray | None = None,
    unit_name: str | None = "unit",
    against: Sequence[str] | None = None,
    risks: Sequence[float] = (0.01, 0.05, 0.1),
    delta: float = 0.05,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    scales: Mapping[str, str] | None = None,
    oracles: Sequence[str] = (),
    name: str = "predictions",
    left_out: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> Judgement:
    """Judge how well confidences separate correct from incorrect predictions: metrics, intervals, significance, thresholds.

    correct: (n,) bool, whether each test prediction is correct; confidences: {score: (n,) finite real numbers}, higher is more confident
    validation: (correct, confidences) or (correct, confidences, units) of other predictions, for calibration, and for where the search of
    a threshold starts; calibration: the same of predictions that nothing was fitted to, for thresholds with a guarantee
    units: (n,) what errs together, such as the image of each pixel or the patient of each image; None if each prediction is by itself
    unit_name: what tables call one of these, such as "patient"; None for images whose predictions are pixels
    against: scores that all others are compared with; by default mcp and entropy where given, else the first score
    risks, delta: error rates that accepted predictions may have, each but with probability delta: see `threshold_with_guarantee`
    resamples, level, seed: of the bootstrap; at least 100 resamples
    scales: {score: "probability" or "log_odds"} for scores that mean a probability of being correct, whose own calibration is then shown
    oracles: scores that read the labels; name, left_out, facts: shown on the page

    Raises ValueError with the argument, the score and the first index for wrong input.
    """
    test = check_split(ScoredPredictions(correct, confidences, units), "")
    splits: dict[str, CheckedSplit] = {"test": test}
    for split_name, split in (("validation", validation), ("calibration", calibration)):
        if split is not None:
            splits[split_name] = check_split(split, split_name)
            require_equal_scores(splits[split_name], test, split_name)
    require_disjoint_units({split_name: split.unit_names for split_name, split in splits.items()})
    splits = without_single_units(splits)
    settings = judging_settings(
        tuple(test.confidences),
        against=against,
        risks=risks,
        delta=delta,
        resamples=resamples,
        level=level,
        seed=seed,
        scales=scales,
        oracles=oracles,
        unit_name=unit_name,
    )
    results = judge_splits(name, splits["test"], splits.get("validation"), splits.get("calibration"), settings)
    comparison = compare_results([results], settings.against, level, settings.unit_name)
    return Judgement(results, comparison, settings, (*needs_of(splits), *left_out), facts or {})


def needs_of(splits: Container[str]) -> list[str]:
    """Return sentences about what the splits that are not given would be needed for. splits: of "validation" and "calibration" """
    sentences = {"validation": NEEDS_VALIDATION, "calibration": NEEDS_CALIBRATION}
    return [sentence for split, sentence in sentences.items() if split not in splits]


def judging_settings(
    scores: Sequence[str],
    *,
    against: Sequence[str] | None,
    risks: Sequence[float] = (0.05,),
    delta: float = 0.05,
    resamples: int,
    level: float,
    seed: int,
    scales: Mapping[str, str] | None = None,
    oracles: Sequence[str] = (),
    unit_name: str | None = "unit",
) -> JudgingSettings:
    """Return the checked settings of `judge` for these scores. Raises ValueError that names the argument and its value."""
    settings = JudgingSettings(
        against=_reference_scores(against, scores),
        risks=tuple(risks),
        delta=delta,
        resamples=resamples,
        level=level,
        seed=seed,
        scales=_known_scores("scales", scales or {}, scores),
        oracles=tuple(_known_scores("oracles", dict.fromkeys(oracles, ""), scores)),
        unit_name=unit_name,
    )
    _require_valid(settings)
    return settings


def _reference_scores(against: Sequence[str] | None, scores: Sequence[str]) -> tuple[str, ...]:
    if against is None:
        return tuple(score for score in USUAL_REFERENCES if score in scores) or tuple(scores)[:1]
    if isinstance(against, str):
        against = (against,)
    return tuple(_known_scores("against", dict.fromkeys(against, ""), scores))


def _known_scores(argument: str, value_by_score: Mapping[str, str], scores: Sequence[str]) -> dict[str, str]:
    """Return the mapping if all its keys are among the scores. Raises ValueError that names the argument and the unknown score."""
    for score in value_by_score:
        if score not in scores:
            raise ValueError(f"{argument} names {score}, which is not among the confidences{suggestion(score, scores)}")
    return dict(value_by_score)


def _require_valid(settings: JudgingSettings) -> None:
    """Raise ValueError for a setting out of its range."""
    for scale in settings.scales.values():
        if scale not in SCORE_SCALES:
            raise ValueError(f"scales has {scale!r}; expected one of {', '.join(SCORE_SCALES)}")
    if not settings.risks or len(set(settings.risks)) < len(settings.risks):
        raise ValueError(f"risks are {list(settings.risks)}; expected different error rates, at least one, as (0.05,)")
    proportions = [*(("risk", risk) for risk in settings.risks), ("delta", settings.delta), ("level", settings.level)]
    for setting_name, value in proportions:
        if isinstance(value, bool) or not 0 < value < 1:
            raise ValueError(f"{setting_name} is {value}; expected a number between 0 and 1, as 0.05 for 5 %")
    if isinstance(settings.resamples, bool) or not 100 <= settings.resamples <= MAX_RESAMPLES:
        expected_text = f"100 to {MAX_RESAMPLES:,}, since ends of intervals are quantiles"
        raise ValueError(f"resamples is {settings.resamples}; expected {expected_text}")
    if isinstance(settings.seed, bool) or settings.seed < 0:
        raise ValueError(f"seed is {settings.seed}; expected a whole number of at least 0")
