"""Whether the guarantee of a threshold is kept: the error rate among accepted answers, of those whose labels have arrived.

The labels are taken in the order in which they arrived, and looked at after each, or after at most MAX_LOOKS evenly spaced ones.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from confidnet_core.monitoring.answers import Answers, Labels
from confidnet_core.monitoring.evidence import log_evidence_of_starts, log_evidence_risk_above, to_evidence, upper_risk_bound

KEPT, BROKEN, OPEN = "kept", "broken", "open"
MAX_LOOKS = 1000


@dataclass(frozen=True)
class GuaranteeState:
    """What the labels say of the guarantee: KEPT, BROKEN or OPEN.

    labelled, accepted, errors: how many answers have labels, how many of these are accepted, and how many of those are wrong
    upper_bound: above the error rate among accepted answers with probability 1 - false_alarms, at all times together
    alarm_evidence: what the evidence must reach for BROKEN; evidence: (looks,), after the first `looked_at` accepted answers with labels
    accepted_by_period, errors_by_period: (D,), of answers with labels
    rejected, rejected_errors: how many answers with labels are rejected, and how many of those are wrong
    """

    verdict: str
    labelled: int
    accepted: int
    errors: int
    upper_bound: float
    alarm_evidence: float
    looked_at: Int64[np.ndarray, " looks"]
    evidence: Float64[np.ndarray, " looks"]
    accepted_by_period: Int64[np.ndarray, " periods"]
    errors_by_period: Int64[np.ndarray, " periods"]
    rejected: int
    rejected_errors: int


def judge_guarantee(answers: Answers, labels: Labels, threshold: float, target_risk: float, false_alarms: float) -> GuaranteeState:
    """Return whether the risk of the accepted answers is above the target (BROKEN), below it (KEPT), or not yet known (OPEN).

    false_alarms: the probability, over the whole time, of saying BROKEN while every accepted answer is wrong with a probability of at most
        the target, and of saying KEPT while each is wrong with a higher one
    """
    is_accepted = answers.confidence[labels.answer] >= threshold
    is_error = answers.class_index[labels.answer] != labels.class_index
    accepted_error, period = is_error[is_accepted], answers.period[labels.answer][is_accepted]
    count, errors, period_count = len(accepted_error), int(accepted_error.sum()), len(answers.period_names)
    looked_at = np.unique(np.linspace(1, count, min(count, MAX_LOOKS)).astype(np.int64)) if count else np.zeros(0, np.int64)
    evidence = to_evidence(_evidence_at_looks(looked_at, accepted_error, period, period_count, target_risk))
    upper_bound = upper_risk_bound(errors, count, false_alarms)
    is_broken = bool((evidence >= 1 / false_alarms).any())
    return GuaranteeState(
        verdict=BROKEN if is_broken else KEPT if upper_bound <= target_risk else OPEN,
        labelled=len(is_error),
        accepted=count,
        errors=errors,
        upper_bound=upper_bound,
        alarm_evidence=1 / false_alarms,
        looked_at=looked_at,
        evidence=evidence,
        accepted_by_period=np.bincount(period, minlength=period_count),
        errors_by_period=np.bincount(period[accepted_error], minlength=period_count),
        rejected=int((~is_accepted).sum()),
        rejected_errors=int((is_error & ~is_accepted).sum()),
    )


def _evidence_at_looks(
    looked_at: Int64[np.ndarray, " looks"], is_error: np.ndarray, period: np.ndarray, period_count: int, target_risk: float
) -> Float64[np.ndarray, " looks"]:
    """Return the logarithm of the evidence at each look. A bet that period j starts counts the answers of this and of later periods."""
    log_evidence = np.zeros(len(looked_at))
    count_by_period, errors_by_period = np.zeros(period_count, np.int64), np.zeros(period_count, np.int64)
    for at, (first, last) in enumerate(pairwise([0, *looked_at])):
        new_period = period[first:last]
        count_by_period += np.bincount(new_period, minlength=period_count)
        errors_by_period += np.bincount(new_period[is_error[first:last]], minlength=period_count)
        count, errors = (np.cumsum(counts[::-1])[::-1] for counts in (count_by_period, errors_by_period))
        log_evidence[at] = log_evidence_of_starts(log_evidence_risk_above(errors, count, target_risk))
    return log_evidence
