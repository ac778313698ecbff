"""Standard errors and confidence intervals of the failure metrics, from bootstrap resamples of the test split and from several trainings.

Efron & Tibshirani 1993 (bootstrap standard errors, equation 6.6); Student 1908; Satterthwaite 1946 (degrees of freedom of a sum of
variances); Clopper & Pearson 1934 (exact binomial interval); Kish 1965 (effective number of units). How often the intervals hold the true
value, with few errors, few images and differing trainings, is measured by benchmarks/interval_coverage.py and
benchmarks/training_scatter.py; docs/statistics.md has the tables.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from confidnet_core.metrics import METRICS

# The least number of errors, and of correct predictions, for an interval or a verdict; for segmentation of images that have one.
MIN_RARER_UNITS = 6
# The least share of errors, and of correct predictions, among the pixels of a segmentation. With fewer, AUPR-Error depends on images that
# are so rare that resamples of a few hundred do not show them.
MIN_RARER_PIXEL_FRACTION = 0.01
# The coverage at a risk jumps where one more error is accepted, so no interval of it covers what it should in simulations.
METRICS_WITHOUT_INTERVAL = ("coverage_at_1_risk", "coverage_at_5_risk")
# Means over the rarer outcome of numbers in [0, 1], for which an exact binomial interval is never too narrow.
_PROPORTION_METRICS = ("auroc", "aupr_error", "fpr_at_95_tpr")


@dataclass(frozen=True)
class UnitCounts:
    """The number of independent units of a test split: of samples, or of images of a segmentation, whose pixels err together.

    samples, errors: the numbers of labelled samples or pixels, and of incorrect predictions among them; units: the number of units
    with_errors, with_successes: the numbers of units with an incorrect prediction, and with a correct one
    effective: Kish's effective number of the units with the rarer outcome: of as many equal ones as would give the same precision. For
    samples it is their number; it is less for images of which some have more errors, or more correct predictions, than others
    """

    samples: int
    errors: int
    units: int
    with_errors: int
    with_successes: int
    effective: float

    @property
    def rarer(self) -> int:
        """Return the number of units with the rarer outcome."""
        return min(self.with_errors, self.with_successes)

    @property
    def has_rare_pixels(self) -> bool:
        """Return whether errors or correct predictions are less than MIN_RARER_PIXEL_FRACTION of the pixels of a segmentation."""
        rarer_pixel_count = min(self.errors, self.samples - self.errors)
        return self.units < self.samples and rarer_pixel_count < MIN_RARER_PIXEL_FRACTION * self.samples

    @property
    def is_enough(self) -> bool:
        """Return whether there are enough errors, correct predictions and images for an interval and a verdict."""
        return self.rarer >= MIN_RARER_UNITS and not self.has_rare_pixels


@dataclass(frozen=True)
class ResampledMetrics:
    """The failure metrics of one score, or their differences between two scores, of each training of a benchmark, in the order of METRICS.

    values: on the test split; replicates: on bootstrap resamples of it, the same for all trainings; NaN where undefined
    counts: the units of the test split; of several trainings those of the training with the fewest units of the rarer outcome
    """

    values: Float[np.ndarray, "seeds metrics"]
    replicates: Float[np.ndarray, "seeds resamples metrics"]
    counts: UnitCounts

    def __sub__(self, other: "ResampledMetrics") -> "ResampledMetrics":
        """Return the differences from another score on the same resamples."""
        return ResampledMetrics(self.values - other.values, self.replicates - other.replicates, self.counts)


def count_units(correct: Bool[np.ndarray, " n"], pixels_per_image: Int[np.ndarray, " images"] | None = None) -> UnitCounts:
    """Return the UnitCounts of a test split. pixels_per_image: as for `bootstrap`; images without a pixel are not counted"""
    if pixels_per_image is None:
        error_count = int(np.count_nonzero(~correct))
        success_count = len(correct) - error_count
        return UnitCounts(len(correct), error_count, len(correct), error_count, success_count, float(min(error_count, success_count)))
    pixels_per_image = pixels_per_image[pixels_per_image > 0]
    correct_per_image = np.add.reduceat(correct, np.cumsum(pixels_per_image) - pixels_per_image, dtype=np.int64)
    counts_by_outcome = pixels_per_image - correct_per_image, correct_per_image
    with_errors, with_successes = (int(np.count_nonzero(counts)) for counts in counts_by_outcome)
    effective = min(float(counts.sum()) ** 2 / max(float((counts.astype(float) ** 2).sum()), 1.0) for counts in counts_by_outcome)
    return UnitCounts(len(correct), int(counts_by_outcome[0].sum()), len(pixels_per_image), with_errors, with_successes, effective)


def confidence_interval(
    metrics: ResampledMetrics, interval_level: float, *, includes_trainings: bool
) -> tuple[Float64[np.ndarray, " metrics"], Float64[np.ndarray, " metrics"]]:
    """Return the lower and the upper ends of the metrics' confidence intervals, as means over trainings: two float64 arrays (metrics,).

    On the logit scale: the value, plus and minus the standard error times the quantile of Student's t distribution. Where the central part
    of the resamples reaches 0 or 1, its logit says nothing: there it is the union of that part and the exact binomial interval of the
    rarer outcome for AUROC, AUPR-Error and FPR@95%TPR, and NaN for the other metrics. The interval of the accuracy is exact and binomial
    where the counts are not enough; there all other ends are NaN, as they are for METRICS_WITHOUT_INTERVAL.

    interval_level: such as 0.95
    includes_trainings: whether the interval is of the method trained anew, or of these very trained networks
    """
    from scipy.special import expit, logit, stdtrit  # here and below: its import takes a while, and tables without intervals need none

    values = metrics.values.mean(axis=0)
    lows, highs = np.full((2, len(METRICS)), np.nan)
    accuracy_index = METRICS.index("accuracy")
    if not metrics.counts.is_enough:
        if not np.isnan(values[accuracy_index]):
            lows[accuracy_index], highs[accuracy_index] = exact_binomial_interval(
                values[accuracy_index], metrics.counts.units, interval_level
            )
        return lows, highs
    mean_replicates = metrics.replicates.mean(axis=0, dtype=np.float64)
    has_interval = ~np.isnan(values) & ~np.isnan(mean_replicates).all(axis=0) & ~np.isin(METRICS, METRICS_WITHOUT_INTERVAL)
    tails = [(1 - interval_level) / 2, (1 + interval_level) / 2]
    central_lows, central_highs = np.nanquantile(np.where(has_interval, mean_replicates, 0), tails, axis=0)
    touches_bound = has_interval & ((central_lows <= 0) | (central_highs >= 1))

    smallest_value = 0.5 / metrics.counts.samples**2  # below the least distance from 0 and 1 that a mean over samples can have
    inner_values = np.clip(values, smallest_value, 1 - smallest_value)
    test_variances = _variance_over_resamples(logit(np.clip(mean_replicates, smallest_value, 1 - smallest_value)))
    logit_slopes = 1 / (inner_values * (1 - inner_values))
    standard_errors, freedom = _standard_errors_and_freedom(metrics, test_variances, logit_slopes, includes_trainings)
    margins = stdtrit(freedom, (1 + interval_level) / 2) * standard_errors
    lows[has_interval] = expit(logit(inner_values) - margins)[has_interval]
    highs[has_interval] = expit(logit(inner_values) + margins)[has_interval]
    for index in np.flatnonzero(touches_bound):
        lows[index] = highs[index] = np.nan
        if METRICS[index] in _PROPORTION_METRICS:
            low, high = exact_binomial_interval(values[index], metrics.counts.effective, interval_level)
            lows[index], highs[index] = min(low, central_lows[index]), max(high, central_highs[index])
    return lows, highs


def two_sided_p_values(differences: ResampledMetrics, *, includes_trainings: bool) -> Float64[np.ndarray, " metrics"]:
    """Return for each metric the p-value in (0, 1] of a difference between two scores, as mean over trainings; NaN where there is none.

    It is that of Student's t for the difference and its standard error, and at least that of a sign test on the units of the rarer outcome.
    It is NaN where the counts are not enough, for METRICS_WITHOUT_INTERVAL, and for an undefined difference.
    includes_trainings: whether the difference is of the methods trained anew, or of these very trained networks
    """
    from scipy.special import stdtr

    standard_errors, freedom = _difference_standard_errors(differences, includes_trainings)
    magnitudes = np.abs(differences.values.mean(axis=0))
    ratios = np.divide(magnitudes, standard_errors, out=np.where(magnitudes > 0, np.inf, 0.0), where=standard_errors > 0)
    p_values = np.maximum(2 * stdtr(freedom, -ratios), min(1.0, 2.0 ** (1 - differences.counts.effective)))
    has_no_test = np.isnan(magnitudes) | np.isnan(standard_errors) | np.isin(METRICS, METRICS_WITHOUT_INTERVAL)
    return np.where(has_no_test | (not differences.counts.is_enough), np.nan, np.minimum(p_values, 1))


def difference_interval(
    differences: ResampledMetrics, interval_level: float, *, includes_trainings: bool
) -> tuple[Float64[np.ndarray, " metrics"], Float64[np.ndarray, " metrics"]]:
    """Return the lower and the upper ends of the intervals of differences that belong to `two_sided_p_values`; NaN where there is no test.

    Arguments as for `confidence_interval`.
    """
    from scipy.special import stdtrit

    standard_errors, freedom = _difference_standard_errors(differences, includes_trainings)
    margins = stdtrit(freedom, (1 + interval_level) / 2) * standard_errors
    margins = np.where(np.isnan(two_sided_p_values(differences, includes_trainings=includes_trainings)), np.nan, margins)
    means = differences.values.mean(axis=0)
    return np.maximum(means - margins, -1), np.minimum(means + margins, 1)


def standard_errors(replicates: Float[np.ndarray, "resamples metrics"], counts: UnitCounts) -> dict[str, float | None]:
    """Return METRIC -> bootstrap standard error: the standard deviation of its replicates; None for fewer than two defined replicates.

    Efron & Tibshirani 1993, equation 6.6. Resamples in which a metric is undefined are left out. None, too, where `confidence_interval`
    gives no interval for want of errors, correct predictions or images.
    """
    if not counts.is_enough:
        return dict.fromkeys(METRICS)
    errors = np.sqrt(_variance_over_resamples(replicates.astype(np.float64)))
    return {metric: None if np.isnan(error) else float(error) for metric, error in zip(METRICS, errors, strict=True)}


def exact_binomial_interval(fraction: float, trials: float, interval_level: float) -> tuple[float, float]:
    """Return the exact confidence interval (low, high) of a probability, of which `fraction` was seen in so many trials.

    Clopper & Pearson 1934. A fraction of the trials that is no whole number is a mean of numbers in [0, 1], for which the interval is wider
    than it need be. trials: an effective number, which may not be whole either
    """
    from scipy.special import betaincinv

    tail, successes = (1 - interval_level) / 2, fraction * trials
    low = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def _difference_standard_errors(
    differences: ResampledMetrics, includes_trainings: bool
) -> tuple[Float64[np.ndarray, " metrics"], Float64[np.ndarray, " metrics"]]:
    test_variances = _variance_over_resamples(differences.replicates.mean(axis=0, dtype=np.float64))
    return _standard_errors_and_freedom(differences, test_variances, np.ones(len(METRICS)), includes_trainings)


def _standard_errors_and_freedom(
    metrics: ResampledMetrics,
    test_variances: Float64[np.ndarray, " metrics"],
    slopes: Float64[np.ndarray, " metrics"],
    includes_trainings: bool,
) -> tuple[Float64[np.ndarray, " metrics"], Float64[np.ndarray, " metrics"]]:
    """Return the standard errors of means over trainings and their degrees of freedom, two float64 arrays (metrics,).

    test_variances: the variances of the means over bootstrap resamples, on the scale on which the standard errors are wanted
    slopes: of this scale, by the scale of the metrics

    With an effective number m of units, the variance of resamples has m - 1 degrees of freedom and is (m - 1) / m of what it should be,
    once for the mean and, for these curved metrics, about once more in simulations. The variance of trainings is that of the seeds' values
    less what the test split contributes to it, which resamples show; both are over the same test split, so it must not be counted twice.
    The degrees of freedom of the sum are Satterthwaite's, halved but at least the number of trainings less 1, since a scatter of few
    trainings that is small by chance would pretend to certainty.
    """
    test_freedom = max(metrics.counts.effective - 1, 1.0)
    test_variances = test_variances * ((test_freedom + 1) / test_freedom) ** 2
    training_count = len(metrics.values)
    if not includes_trainings or training_count == 1:
        return np.sqrt(test_variances), np.full(len(METRICS), test_freedom)
    scatter = metrics.values.var(axis=0, ddof=1) * slopes**2 / training_count
    deviations = metrics.replicates - metrics.replicates.mean(axis=0, dtype=np.float64)
    test_part = _variance_over_resamples(deviations).sum(axis=0) / (training_count - 1) * slopes**2 / training_count
    variances = test_variances + np.maximum(scatter - test_part, 0)
    with np.errstate(invalid="ignore"):  # 0 / 0 where all trainings and resamples agree
        freedom = variances**2 / (test_variances**2 / test_freedom + scatter**2 / (training_count - 1))
    return np.sqrt(variances), np.maximum(np.nan_to_num(freedom, nan=2.0) / 2, training_count - 1)


def _variance_over_resamples(replicates: Float64[np.ndarray, "*seeds resamples metrics"]) -> Float64[np.ndarray, "*seeds metrics"]:
    """Return the sample variance of the defined replicates of each metric; NaN for fewer than two."""
    is_defined = ~np.isnan(replicates)
    counts = is_defined.sum(axis=-2, keepdims=True)
    means = np.where(is_defined, replicates, 0).sum(axis=-2, keepdims=True) / np.maximum(counts, 1)
    squared_sums = np.where(is_defined, (replicates - means) ** 2, 0).sum(axis=-2)
    return np.where(counts[..., 0, :] > 1, squared_sums / np.maximum(counts[..., 0, :] - 1, 1), np.nan)
