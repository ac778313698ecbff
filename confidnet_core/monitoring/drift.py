"""Whether new answers are like the calibration data: their confidences, their coverage, and their classes.

Each question has a share of the false alarms, so that together they are raised with a probability of at most `false_alarms` over the whole
time (Bonferroni): half for the confidences, a quarter for the coverage, and a quarter for the shares and the coverages of all classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64

from confidnet_core.monitoring.answers import Answers
from confidnet_core.monitoring.evidence import log_evidence_not_uniform, log_evidence_of_starts, log_evidence_two_rates, to_evidence
from confidnet_core.monitoring.ranks import conformal_p_values
from confidnet_core.monitoring.reference import Reference

CONFIDENCES, COVERAGE, CLASS_SHARE, CLASS_COVERAGE = "confidences", "coverage", "share of class", "coverage of class"
_QUESTION_SHARES = {CONFIDENCES: 0.5, COVERAGE: 0.25, CLASS_SHARE: 0.125, CLASS_COVERAGE: 0.125}
P_VALUE_BINS = 16


@dataclass(frozen=True)
class Question:
    """One question about drift, with the evidence that something changed.

    kind: one of _QUESTION_SHARES; class_name: the class in question, or ""
    alarm_evidence: what the evidence must reach for an alarm; evidence: (D,), after each period
    expected_hits, expected_count, seen_hits, seen_count: of the rate in question in the calibration data and in all answers; 0 for none
    """

    kind: str
    class_name: str
    alarm_evidence: float
    evidence: Float64[np.ndarray, " periods"]
    expected_hits: int = 0
    expected_count: int = 0
    seen_hits: int = 0
    seen_count: int = 0

    @property
    def alarm_period(self) -> int | None:
        """The index of the first period after which the alarm is raised; None without an alarm."""
        is_reached = self.evidence >= self.alarm_evidence
        return int(np.argmax(is_reached)) if is_reached.any() else None


@dataclass(frozen=True)
class Drift:
    """Findings about drift: all questions, and for each of D periods how many answers there are, and how many are accepted.

    distance: the largest difference of the distribution functions of all new and of the calibration confidences, in [0, 1]
    alarms: the questions that raised one, the first and strongest first
    """

    questions: list[Question]
    answer_count: Int64[np.ndarray, " periods"]
    accepted_count: Int64[np.ndarray, " periods"]
    distance: float
    alarms: list[Question] = field(init=False)

    def __post_init__(self) -> None:
        alarms = [question for question in self.questions if question.alarm_period is not None]
        alarms.sort(key=lambda question: (question.alarm_period, -question.evidence.max() / question.alarm_evidence))
        object.__setattr__(self, "alarms", alarms)


def find_drift(reference: Reference, answers: Answers, threshold: float | None, false_alarms: float) -> Drift:
    """Compare all answers with the calibration data, after each period.

    threshold: accepts answers with a confidence of at least this; None for no threshold, where no coverage is compared
    false_alarms: the probability, over the whole time, of any alarm where answers and calibration data are exchangeable
    """
    period_count = len(answers.period_names)
    kinds = [kind for kind in _QUESTION_SHARES if threshold is not None or kind in (CONFIDENCES, CLASS_SHARE)]
    part = {kind: false_alarms * _QUESTION_SHARES[kind] / sum(_QUESTION_SHARES[kind] for kind in kinds) for kind in kinds}
    limit = np.inf if threshold is None else threshold
    is_accepted, is_reference_accepted = answers.confidence >= limit, reference.confidence >= limit
    p_values = conformal_p_values(reference.confidence.astype(np.float64), answers.confidence)
    p_value_bins = np.minimum((p_values * P_VALUE_BINS).astype(np.int64), P_VALUE_BINS - 1)
    bin_counts = _count_by_period(answers.period, p_value_bins, period_count, P_VALUE_BINS)
    questions = [Question(CONFIDENCES, "", 1 / part[CONFIDENCES], _evidence_of_p_values(bin_counts))]
    accepted_count = np.bincount(answers.period[is_accepted], minlength=period_count)
    answer_count = np.bincount(answers.period, minlength=period_count)
    if COVERAGE in part:
        hits, count = np.array([is_reference_accepted.sum()]), np.array([len(is_reference_accepted)])
        rates = (hits, count, accepted_count[:, None], answer_count[:, None])
        questions += _questions_about_rates(COVERAGE, [""], part[COVERAGE], *rates)
    class_count = len(reference.classes)
    by_class = _count_by_period(answers.period, answers.class_index, period_count, class_count)
    reference_by_class = np.bincount(reference.class_index, minlength=class_count)
    totals = np.full(class_count, len(reference.class_index)), np.repeat(answer_count[:, None], class_count, axis=1)
    questions += _questions_about_rates(
        CLASS_SHARE, reference.classes, part[CLASS_SHARE], reference_by_class, totals[0], by_class, totals[1]
    )
    if CLASS_COVERAGE in part:
        accepted_by_class = _count_by_period(answers.period[is_accepted], answers.class_index[is_accepted], period_count, class_count)
        reference_accepted = np.bincount(reference.class_index[is_reference_accepted], minlength=class_count)
        rates = (reference_accepted, reference_by_class, accepted_by_class, by_class)
        questions += _questions_about_rates(CLASS_COVERAGE, reference.classes, part[CLASS_COVERAGE], *rates)
    distance = _largest_difference(reference.confidence.astype(np.float64), answers.confidence)
    return Drift(questions, answer_count, accepted_count, distance)


def _questions_about_rates(
    kind: str,
    class_names: list[str],
    false_alarms: float,
    reference_hits: np.ndarray,
    reference_count: np.ndarray,
    hits: np.ndarray,
    count: np.ndarray,
) -> Iterator[Question]:
    """Yield a question for each of K rates, between which the false alarms are shared.

    reference_hits, reference_count: (K,), of the calibration data; hits, count: (D, K), of each period
    """
    evidence = to_evidence(np.stack(list(_evidence_of_rates(reference_hits, reference_count, hits, count))))
    for at, class_name in enumerate(class_names):
        yield Question(
            kind,
            class_name,
            len(class_names) / false_alarms,
            evidence[:, at],
            *(int(total[at]) for total in (reference_hits, reference_count, hits.sum(0), count.sum(0))),
        )


def _evidence_of_rates(
    reference_hits: np.ndarray, reference_count: np.ndarray, hits: np.ndarray, count: np.ndarray
) -> Iterator[Float64[np.ndarray, " rates"]]:
    """Yield after each period the logarithm of the evidence that the K rates changed at the start of any period so far: (K,)."""
    hits_so_far, count_so_far = reference_hits + np.cumsum(hits, axis=0), reference_count + np.cumsum(count, axis=0)
    hits_before, count_before = np.vstack([reference_hits, hits_so_far[:-1]]), np.vstack([reference_count, count_so_far[:-1]])
    for period in range(len(hits)):
        starts = slice(period + 1)
        after = hits_so_far[period] - hits_before[starts], count_so_far[period] - count_before[starts]
        yield log_evidence_of_starts(log_evidence_two_rates(hits_before[starts], count_before[starts], *after), keeps_unbet=False)


def _evidence_of_p_values(bin_counts: Int64[np.ndarray, "periods bins"]) -> Float64[np.ndarray, " periods"]:
    """Return after each period the evidence that the p-values are not uniform from the start of any period so far on."""
    so_far = np.vstack([np.zeros_like(bin_counts[:1]), np.cumsum(bin_counts, axis=0)])
    log_evidence = [
        log_evidence_of_starts(log_evidence_not_uniform(so_far[period + 1] - so_far[: period + 1])) for period in range(len(bin_counts))
    ]
    return to_evidence(np.array(log_evidence))


def _count_by_period(
    period: Int64[np.ndarray, " n"], value: Int64[np.ndarray, " n"], period_count: int, value_count: int
) -> Int64[np.ndarray, "periods values"]:
    flat_counts = np.bincount(period * value_count + value, minlength=period_count * value_count)
    return flat_counts.reshape(period_count, value_count)


def _largest_difference(first: Float64[np.ndarray, " m"], second: Float64[np.ndarray, " n"]) -> float:
    """Return the statistic of Kolmogorov and Smirnov: the largest difference of two empirical distribution functions, in [0, 1]."""
    points = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(values), points, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
