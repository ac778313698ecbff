"""Evidence that may be looked at after every batch: e-processes, whose chance of ever reaching 1 / level is at most `level`.

An e-process is a bet against a hypothesis: it starts at 1 and, where the hypothesis is true, is not expected to grow. Ville's inequality
bounds the chance that it ever reaches 1 / level. Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid
inference", arXiv:2210.01948; Waudby-Smith & Ramdas 2023, arXiv:2010.09686 (bets on a bounded mean); Wasserman, Ramdas & Balakrishnan 2020,
"Universal inference", arXiv:1912.11436 (the likelihood of a mixture over the largest one of the hypothesis).

A change may come late. So each period starts a bet of its own, with the share 1 / (j (j + 1)) of the capital for period j = 1, 2, ...; what
is not yet bet stays as it is. Shin, Ramdas & Rinaldo 2024, "E-detectors", arXiv:2203.03532, restart bets in this way.
All values are logarithms. Counts are arrays that broadcast with one another.
"""

import numpy as np
from jaxtyping import Float64, Int
from scipy.special import betainc, betaincc, betaln, gammaln, xlogy

_BISECTIONS = 60
_LARGEST_LOG_EVIDENCE = 690.0  # so that JSON can hold it


def log_evidence_risk_above(errors: np.ndarray, count: np.ndarray, target_risk: float) -> np.ndarray:
    """Return the evidence against "each answer is wrong with a probability of at most target_risk", of `errors` among `count` answers.

    The bet is a mixture of likelihood ratios of error rates q above the target: Beta(1, 1 / target), cut off at the target. The hypothesis
    need not hold with one constant rate: every q above it bets on errors.
    """
    prior = (1.0, 1 / target_risk)
    with np.errstate(divide="ignore"):  # a tail that underflows is no evidence
        tail = np.log(betaincc(errors + prior[0], count - errors + prior[1], target_risk)) - np.log(betaincc(*prior, target_risk))
    mixture = betaln(errors + prior[0], count - errors + prior[1]) - betaln(*prior)
    return mixture + tail - xlogy(errors, target_risk) - (count - errors) * np.log1p(-target_risk)


def log_evidence_risk_below(errors: np.ndarray, count: np.ndarray, target_risk: float | np.ndarray) -> np.ndarray:
    """Return the evidence against "each answer is wrong with a probability of at least target_risk": a uniform mixture of lower rates."""
    with np.errstate(divide="ignore"):
        tail = np.log(betainc(errors + 1, count - errors + 1, target_risk)) - np.log(target_risk)
    return betaln(errors + 1, count - errors + 1) + tail - xlogy(errors, target_risk) - (count - errors) * np.log1p(-target_risk)


def upper_risk_bound(errors: int, count: int, level: float) -> float:
    """Return the upper end of a confidence sequence for the risk: after every batch, it is below the risk with probability <= level."""
    low, high = (errors / count if count else 1.0), 1.0
    for _ in range(_BISECTIONS if errors < count else 0):
        middle = (low + high) / 2
        is_refuted = log_evidence_risk_below(np.array(errors), np.array(count), middle) >= -np.log(level)
        low, high = (low, middle) if is_refuted else (middle, high)
    return high


def log_evidence_two_rates(
    hits_before: np.ndarray, count_before: np.ndarray, hits_after: np.ndarray, count_after: np.ndarray
) -> np.ndarray:
    """Return the evidence against one common rate of hits before and after a change.

    It is the likelihood of a mixture of two rates, Beta(1/2, 1/2) each, over that of the single rate that fits best.
    """
    hits, count = hits_before + hits_after, count_before + count_after
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(count > 0, hits / np.maximum(count, 1), 0.0)
    best_single_rate = xlogy(hits, rate) + xlogy(count - hits, 1 - rate)
    two_rates = betaln(hits_before + 0.5, count_before - hits_before + 0.5) + betaln(hits_after + 0.5, count_after - hits_after + 0.5)
    return two_rates - 2 * betaln(0.5, 0.5) - best_single_rate


def log_evidence_not_uniform(bin_counts: Int[np.ndarray, "starts bins"]) -> Float64[np.ndarray, " starts"]:
    """Return the evidence against "values are independent and uniform", from how many of them fall into each of 16 equal bins.

    A mixture of nine bets with equal shares: on the share below each of seven cuts (1/16, 1/8, 1/4, 1/2 and their mirror images), which
    sees shifts early, and on the shares of 4 and of 16 bins, which see any other change. Their priors are those of a Dirichlet
    distribution with 16 ones, or of its sums.
    """
    bins = bin_counts.shape[-1]
    count, cumulative = bin_counts.sum(-1), np.cumsum(bin_counts, axis=-1)
    bets = []
    for cut in (1, 2, 4, 8, 12, 14, 15):
        below = cumulative[..., cut - 1]
        mixture = betaln(below + cut, count - below + bins - cut) - betaln(cut, bins - cut)
        bets.append(mixture - xlogy(below, cut / bins) - xlogy(count - below, 1 - cut / bins))
    for part_count in (4, bins):
        parts, prior = bin_counts.reshape(*bin_counts.shape[:-1], part_count, -1).sum(-1), bins / part_count
        mixture = (gammaln(parts + prior) - gammaln(prior)).sum(-1) + gammaln(bins) - gammaln(count + bins)
        bets.append(mixture + count * np.log(part_count))
    return np.logaddexp.reduce(np.stack(bets), axis=0) - np.log(len(bets))


def log_evidence_of_starts(log_evidence: Float64[np.ndarray, " starts *questions"], keeps_unbet: bool = True) -> np.ndarray:
    """Return the evidence of all bets together, (*questions,), of those that the periods so far started, in order.

    keeps_unbet: whether the capital of later starts counts as 1. It must not where a bet need not be worth 1 when its period starts
    """
    start = np.arange(1, len(log_evidence) + 1).reshape(-1, *[1] * (log_evidence.ndim - 1))
    weighted = np.logaddexp.reduce(log_evidence - np.log(start * (start + 1.0)), axis=0)
    return np.logaddexp(weighted, -np.log(len(log_evidence) + 1.0)) if keeps_unbet else weighted


def to_evidence(log_evidence: np.ndarray) -> np.ndarray:
    """Return the evidence of its logarithm, at most about 1e300."""
    return np.exp(np.minimum(log_evidence, _LARGEST_LOG_EVIDENCE))
