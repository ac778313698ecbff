"""All that can be said of a model in use: drift, and the guarantee where labels have arrived; as data for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core.evaluation.intervals import exact_binomial_interval
from confidnet_core.monitoring.answers import Answers, find_files, read_answers, read_labels
from confidnet_core.monitoring.drift import Drift, Question, find_drift
from confidnet_core.monitoring.guarantee import BROKEN, GuaranteeState, judge_guarantee
from confidnet_core.monitoring.reference import Reference, load_reference

NOTHING_FOUND, DRIFT_FOUND, GUARANTEE_BROKEN = 0, 3, 4  # exit codes; 1 and 2 are those of wrong input
INTERVAL_LEVEL = 0.95


@dataclass(frozen=True)
class Watch:
    """What `confidnet watch` found. guarantee: None without labels, and for a model without a threshold for its target risk."""

    reference: Reference
    threshold: dict[str, Any]
    false_alarms: float
    answers: Answers
    drift: Drift
    guarantee: GuaranteeState | None

    @property
    def exit_code(self) -> int:
        if self.guarantee is not None and self.guarantee.verdict == BROKEN:
            return GUARANTEE_BROKEN
        return DRIFT_FOUND if self.drift.alarms else NOTHING_FOUND

    @property
    def expected_coverage(self) -> tuple[float, float, float]:
        """The coverage of the calibration data that the model carries, with its exact interval: (coverage, low, high)."""
        limit = self.threshold["threshold"]
        coverage = 0.0 if limit is None else float((self.reference.confidence >= limit).mean())
        return coverage, *exact_binomial_interval(coverage, len(self.reference.confidence), INTERVAL_LEVEL)


def watch_model(
    model_folder: Path,
    answer_patterns: Sequence[str],
    label_patterns: Sequence[str] = (),
    *,
    target_risk: float | None = None,
    false_alarms: float = 0.05,
    period_column: str | None = None,
) -> Watch:
    """Compare a model's answers with its calibration data and, where there are labels, its errors with its guarantee.

    answer_patterns: files or patterns, in the order of time; label_patterns: in the order in which the labels arrived
    target_risk: by default the one that the model serves; false_alarms: the probability of a false alarm over the whole time, in (0, 1)
    period_column: the column whose values are the periods; by default each file is one
    Raises ValueError for wrong files, and labels for a model without a threshold.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"--false-alarms is {false_alarms}; expected a probability between 0 and 1, such as 0.05")
    reference = load_reference(model_folder)
    threshold = reference.threshold(target_risk)
    answers = read_answers(find_files(answer_patterns, "ANSWERS"), reference, period_column, threshold)
    guarantee = None
    if label_patterns:
        if threshold["threshold"] is None:
            raise ValueError(
                f"--labels: the model has no guarantee for a target risk of {threshold['risk']:g}, since {threshold['reason']}"
            )
        labels = read_labels(find_files(label_patterns, "--labels"), answers, reference)
        guarantee = judge_guarantee(answers, labels, threshold["threshold"], threshold["risk"], false_alarms)
    drift = find_drift(reference, answers, threshold["threshold"], false_alarms)
    return Watch(reference, threshold, false_alarms, answers, drift, guarantee)


def as_json(watch: Watch) -> dict[str, Any]:
    """Return the findings as strict JSON data: fractions, counts, texts and null."""
    metadata, drift, guarantee = watch.reference.model_metadata, watch.drift, watch.guarantee
    coverage, coverage_low, coverage_high = watch.expected_coverage
    periods = [
        {"name": name, "answers": int(answers), "accepted": int(accepted)}
        for name, answers, accepted in zip(watch.answers.period_names, drift.answer_count, drift.accepted_count, strict=True)
    ]
    if guarantee is not None:
        for at, period in enumerate(periods):
            period["labelled_accepted"] = int(guarantee.accepted_by_period[at])
            period["labelled_errors"] = int(guarantee.errors_by_period[at])
    return {
        "model": {
            **{key: metadata[key] for key in ("benchmark", "seed", "method")},
            **{key: watch.threshold[key] for key in ("risk", "delta", "threshold")},
            "calibration_samples": len(watch.reference.confidence),
            "expected_coverage": coverage,
            "expected_coverage_low": coverage_low,
            "expected_coverage_high": coverage_high,
        },
        "false_alarms": watch.false_alarms,
        "answers": len(watch.answers.confidence),
        "periods": periods,
        "drift": {
            "found": bool(drift.alarms),
            "distance": drift.distance,
            "questions": [_question_as_json(question, watch.answers.period_names) for question in drift.questions],
        },
        "guarantee": None if guarantee is None else _guarantee_as_json(guarantee),
        "exit_code": watch.exit_code,
    }


def _question_as_json(question: Question, period_names: Sequence[str]) -> dict[str, Any]:
    return {
        "kind": question.kind,
        "class": question.class_name or None,
        "evidence": float(question.evidence[-1]),
        "largest_evidence": float(question.evidence.max()),
        "alarm_at": question.alarm_evidence,
        "alarm_after": None if question.alarm_period is None else period_names[question.alarm_period],
        "expected": rate_or_none(question.expected_hits, question.expected_count),
        "seen": rate_or_none(question.seen_hits, question.seen_count),
    }


def _guarantee_as_json(guarantee: GuaranteeState) -> dict[str, Any]:
    return {
        **{key: getattr(guarantee, key) for key in ("verdict", "labelled", "accepted", "errors", "rejected", "rejected_errors")},
        "risk": rate_or_none(guarantee.errors, guarantee.accepted),
        "upper_bound": guarantee.upper_bound,
        "largest_evidence": float(np.max(guarantee.evidence, initial=1.0)),
        "alarm_at": guarantee.alarm_evidence,
    }


def rate_or_none(hits: int, count: int) -> float | None:
    return hits / count if count else None
