"""The number of independent units from sums over units that a query returns."""

from confidnet_core.evaluation.intervals import UnitCounts


def unit_counts(
    samples: int, errors: int, units: int, with_errors: int, with_successes: int, squared_errors: float, squared_successes: float
) -> UnitCounts:
    """Return UnitCounts. squared_errors, squared_successes: sums over the units of the squares of their numbers of each outcome

    The effective number is Kish's, of the rarer outcome: the square of a sum, divided by the sum of squares.
    """
    pairs = ((errors, squared_errors), (samples - errors, squared_successes))
    effective = min(float(total) ** 2 / max(float(squared), 1.0) for total, squared in pairs)
    return UnitCounts(int(samples), int(errors), int(units), int(with_errors), int(with_successes), effective)
