"""The failure metrics in the words of their definitions, in rational numbers and slowly; and every small case that they can meet.

A case is its groups of equal confidences from the surest on, each (samples, errors). Up to the order of the samples and the scale of the
confidence, which must not matter, it is all that a metric can depend on.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from itertools import accumulate, chain, combinations, product

import numpy as np

Case = tuple[tuple[int, int], ...]


@cache
def cases(n: int) -> tuple[Case, ...]:
    """Every case of n samples: 2, 7, 24, 82, 280, 956, 3264 of them for n = 1 ... 7."""
    if n == 0:
        return ((),)
    return tuple(((size, errors), *rest) for size in range(1, n + 1) for errors in range(size + 1) for rest in cases(n - size))


def singles(*runs: int) -> Case:
    """A case without ties: runs of so many successes, or errors where negative, from the surest on."""
    return tuple((1, int(run < 0)) for run in runs for _ in range(abs(run)))


LARGE = {
    "just 95 % of 20 successes": singles(19, -1, 1, -1),
    "less than 95 % of 19 successes": singles(18, -1, 1, -1),
    "just 95 % of 40 successes": singles(37, -1, 1, -1, 2, -1),
    "95 % in the midst of a tie": ((18, 0), (3, 1), (2, 2)),
    "just 1 % errors": singles(99, -1, 1, -10),
    "a little more than 1 % errors": singles(197, -30),
    "just 5 % errors": singles(19, -20),
    "a little more than 5 % errors": singles(56, -20),
    "1 % errors after a sure error": singles(-1, 99, -30),
    "5 % errors, then more, then 5 % again": singles(20, -3, 60, -20),
    "an error rate reached in the midst of a tie": ((90, 0), (30, 3), (5, 5)),
    "an error rate reached at full coverage": singles(-3, 57),
    "80 % of 11 samples are 9": singles(8, -3),
    "80 % in the midst of a tie": ((5, 0), (10, 4), (5, 5)),
    "errors far down": singles(60, -1, 3, -2, 200, -1, 300, -5, 400, -30),
    "large ties": ((300, 40), (300, 100), (1, 1), (500, 200)),
    "a small tie of errors at the end": ((512, 0), (2, 2)),
    "small ties far down": ((1000, 1), (3, 1), (3, 2), (200, 0), (2, 2), (90, 40)),
}


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, int64 from len(case) down to 1, and outcome, bool (n,) each."""
    confidence = np.repeat(np.arange(len(case), 0, -1), [size for size, _ in case])
    return confidence, np.concatenate([np.arange(size) >= errors for size, errors in case])


def neighbours_of_zero(confidence: np.ndarray) -> np.ndarray:
    """Of integers that float32 holds, denormal float32 of the same order without others between: they are counted, not sorted.

    Both signs are among three or more, and both zeros.
    """
    steps = (confidence - (confidence.min() + confidence.max()) // 2).astype(np.float32)
    steps[::2][steps[::2] == 0] = -0.0
    return steps * np.float32(2**-149)


def errors_by_orders(case: Case) -> list[Fraction]:
    """Errors among the k surest for k = 1 ... n, the mean over every order of each group's samples. Feasible for small groups."""
    each = [[[place in taken for place in range(size)] for taken in combinations(range(size), errors)] for size, errors in case]
    orders = [accumulate(chain(*choice)) for choice in product(*each)]
    return [Fraction(sum(errors), len(orders)) for errors in zip(*orders, strict=True)]


def errors_by_linearity(case: Case) -> list[Fraction]:
    """The same for groups of any size: a group's errors are spread evenly over it."""
    found, before = [], 0
    for size, errors in case:
        found += [before + Fraction(errors * place, size) for place in range(1, size + 1)]
        before += errors
    return found


def definitions(case: Case, errors_among_the_surest: Callable = errors_by_orders) -> dict[str, Fraction | None]:
    """Every metric of METRICS; None where it divides by zero successes or errors."""
    n, wrong = sum(size for size, _ in case), sum(errors for _, errors in case)
    right = n - wrong
    errors_kept = errors_among_the_surest(case)
    kept = list(accumulate(size for size, _ in case))  # samples at or above each threshold, and the errors among them
    wrong_kept = list(accumulate(errors for _, errors in case))
    thresholds = list(zip(case, kept, wrong_kept, strict=True))
    aurc = _mean_risk(errors_kept)
    surest = next(k for k in range(n + 1) if 5 * k >= 4 * n)
    return {
        "accuracy": Fraction(right, n),
        "fpr_at_95_tpr": _fpr(thresholds, right, wrong) if right and wrong else None,
        # a mean over the samples to be found, of the precision at the threshold of each
        "aupr_error": sum(Fraction(e * (wrong - w + e), n - k + size) for (size, e), k, w in thresholds) / wrong if wrong else None,
        "aupr_success": sum(Fraction((size - e) * (k - w), k) for (size, e), k, w in thresholds) / right if right else None,
        "auroc": _share_of_pairs(case) if right and wrong else None,
        "aurc": aurc,
        "e_aurc": aurc - _least_mean_risk(n, wrong),
        # errors among the kept, as a share of all samples, integrated over the coverage by trapezoids from 0
        "augrc": (sum(errors_kept) - Fraction(wrong, 2)) / n**2,
        "risk_at_80_coverage": errors_kept[surest - 1] / surest,
        "coverage_at_1_risk": max([Fraction(k, n) for _, k, w in thresholds if 100 * w <= k], default=Fraction(0)),
        "coverage_at_5_risk": max([Fraction(k, n) for _, k, w in thresholds if 20 * w <= k], default=Fraction(0)),
    }


@cache
def expected(case: Case, errors_among_the_surest: Callable = errors_by_orders) -> dict[str, float | None]:
    return {name: value if value is None else float(value) for name, value in definitions(case, errors_among_the_surest).items()}


def disagreements(failure_metrics: Callable, checked: list[Case], errors_among_the_surest: Callable = errors_by_orders) -> Iterator[tuple]:
    """(metric, case, what failure_metrics found, what it should have) wherever they differ by more than rounding."""
    for case in checked:
        found = failure_metrics(*arrays(case))
        for name, value in expected(case, errors_among_the_surest).items():
            if (found[name] is None) != (value is None) or (value is not None and not abs(found[name] - value) <= 1e-15 + 1e-12 * value):
                yield name, case, found[name], value


def _fpr(thresholds: list, right: int, wrong: int) -> Fraction:
    return next(Fraction(w, wrong) for _, k, w in thresholds if Fraction(k - w, right) >= Fraction(95, 100))


def _share_of_pairs(case: Case) -> Fraction:
    """Pairs of a success and an error in which the success is surer, a tie counted half, as a share of all such pairs."""
    successes = [(place, size - errors) for place, (size, errors) in enumerate(case) if size > errors]
    failures = [(place, errors) for place, (_, errors) in enumerate(case) if errors]
    pairs = [(right * wrong, (above < below) + (above <= below)) for above, right in successes for below, wrong in failures]
    return Fraction(sum(count * halves for count, halves in pairs), 2 * sum(count for count, _ in pairs))


def _mean_risk(errors_kept: list) -> Fraction:
    return sum(Fraction(errors) / k for k, errors in enumerate(errors_kept, 1)) / len(errors_kept)


@cache
def _least_mean_risk(n: int, wrong: int) -> Fraction:
    """Of all rankings without ties of so many samples and errors; of many samples the one with the errors last."""
    places = combinations(range(n), wrong) if n <= 8 else [range(n - wrong, n)]
    return min(_mean_risk(list(accumulate(place in taken for place in range(n)))) for taken in map(set, places))
