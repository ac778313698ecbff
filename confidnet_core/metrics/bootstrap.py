"""How far the failure metrics would scatter over other test sets of the same size: the nonparametric bootstrap.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap". What is drawn with replacement is a sample, or for segmentation an image
with all its pixels, since neighbouring pixels err together. The draws follow from the seed and the number of samples or images alone:
scores of the same predictions are judged on the same resamples, so that their differences are paired.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics._draws import checked_sizes, draws
from confidnet_core.metrics._ranking.risk import RISKS, mean_risk_of_an_error, most_kept
from confidnet_core.metrics._ranking.samples import checked, require_finite

CELLS = 4096  # of neighbouring confidences, into which pixels are counted


def bootstrap(
    confidence: ArrayLike, correct: ArrayLike, *, resamples: int, seed: int, sizes: ArrayLike | None = None
) -> Float64[np.ndarray, "resamples metrics"]:
    """The metrics of METRICS of each resample: float64 (resamples, metrics), NaN where one is undefined.

    confidence, correct: as for failure_metrics; without sizes a row is, up to rounding, failure_metrics of the resample
    sizes: (images,) how many of the values each image has, in their order. A resample is then one of images. Confidences are counted in
    at most CELLS cells, within which they are equal, and all rows are shifted by what that changes in the metrics of the data itself,
    but not out of [0, 1].
    ValueError as from failure_metrics, for less than 1 resample, and for sizes that do not sum to n.
    """
    confidence, correct = checked(confidence, correct)
    require_finite(confidence)
    rng = np.random.default_rng(seed)
    if sizes is not None:
        return _of_images(confidence, correct, checked_sizes(sizes, len(correct)), resamples, rng)
    order = np.argsort(confidence)[::-1]
    starts = np.flatnonzero(np.append(True, np.diff(confidence[order]) != 0))
    wrong = np.flatnonzero(~correct[order])
    at, first = np.unique(np.searchsorted(starts, wrong, side="right") - 1, return_index=True)
    rows = []
    for drawn in draws(len(correct), len(correct), resamples, rng):
        drawn = drawn.take(order, axis=1)
        errors = drawn.take(wrong, axis=1)
        if len(starts) < len(order):
            drawn = np.add.reduceat(drawn, starts, axis=1)
            errors = np.add.reduceat(errors, first, axis=1) if len(first) else errors
        rows.append(_metrics(drawn, errors, at))
    return np.concatenate(rows)


def _of_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    sizes: Int[np.ndarray, " images"],
    resamples: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resamples metrics"]:
    counts, errors = _counted(confidence, correct, sizes)
    at = np.flatnonzero(errors.any(axis=0))
    exact = np.array([np.nan if value is None else value for value in failure_metrics(confidence, correct).values()])
    counts, errors = counts.astype(float), errors[:, at].astype(float)  # products of floats are BLAS's; whole numbers stay exact
    shift = exact - _metrics(_whole(counts), _whole(errors), at)[0]
    rows = []
    for drawn in draws(len(sizes), counts.shape[1], resamples, rng):
        weights = drawn.astype(float)
        rows.append(_metrics((weights @ counts).astype(np.int64), (weights @ errors).astype(np.int64), at))
    return np.clip(np.concatenate(rows) + np.nan_to_num(shift), 0, 1)


def _counted(
    confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], sizes: Int[np.ndarray, " images"]
) -> tuple[Int64[np.ndarray, "images cells"], Int64[np.ndarray, "images cells"]]:
    """Samples and errors, int64 (images, cells) each, from the surest cell on."""
    sample = confidence[:: -(-len(confidence) // (CELLS * 64))]
    wrong = confidence[~correct]
    edges = np.concatenate([_quantiles(np.sort(part), CELLS // 2) for part in (sample, wrong[:: -(-len(wrong) // (CELLS * 64)) or 1])])
    edges = np.unique(edges)
    counts = np.zeros((len(sizes), len(edges) + 1), np.int64)
    errors = np.zeros_like(counts)
    ends = np.cumsum(sizes)
    for image, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        cell = np.searchsorted(edges, confidence[start:end], side="right")
        counts[image] = np.bincount(cell, minlength=counts.shape[1])[::-1]
        errors[image] = np.bincount(cell[~correct[start:end]], minlength=counts.shape[1])[::-1]
    return counts, errors


def _quantiles(ranked: Real[np.ndarray, " n"], number: int) -> Real[np.ndarray, " edges"]:
    return ranked[np.linspace(0, len(ranked) - 1, min(number, len(ranked))).astype(np.int64)]


def _metrics(
    counts: Int[np.ndarray, "b thresholds"], errors: Int[np.ndarray, "b e"], at: Int[np.ndarray, " e"]
) -> Float64[np.ndarray, "b metrics"]:
    """METRICS (b, 11) of b sets from their samples (b, thresholds), from the surest on, and errors (b, e) at the thresholds AT (e,)."""
    kept, wrong_kept = counts.cumsum(axis=1), np.pad(errors.cumsum(axis=1), ((0, 0), (1, 0)))
    total, wrong = kept[:, -1:], wrong_kept[:, -1:]
    right = total - wrong
    reached = np.searchsorted(at, np.arange(counts.shape[1]), side="right")  # how many of AT, down to each threshold
    right_kept = kept - wrong_kept.take(reached, axis=1)
    successes = np.diff(right_kept, axis=1, prepend=0)
    precision_of_successes = (successes * (right_kept / np.maximum(kept, 1))).sum(axis=1, keepdims=True)
    threshold = (20 * right_kept < 19 * right).sum(axis=1, keepdims=True)
    false_positives = np.take_along_axis(wrong_kept, reached[threshold], axis=1)

    tied = counts[:, at]
    above = kept[:, at] - tied
    discordant = (errors * (2 * (right - above) - tied + errors + 2 * wrong_kept[:, :-1])).sum(axis=1, keepdims=True)
    precision_of_errors = (errors * ((wrong - wrong_kept[:, :-1]) / np.maximum(total - above, 1))).sum(axis=1, keepdims=True)
    drawn = errors > 0
    risk = np.zeros(errors.shape)
    risk[drawn] = errors[drawn] * mean_risk_of_an_error(above[drawn], tied[drawn], np.broadcast_to(total, drawn.shape)[drawn])
    aurc = np.minimum(risk.sum(axis=1, keepdims=True) / total, 1)
    surest = -(-4 * total // 5)
    wrong_surest = (errors * np.clip((surest - above) / np.maximum(tied, 1), 0, 1)).sum(axis=1, keepdims=True)
    ends = np.concatenate([above, total], axis=1)
    optimum = wrong * mean_risk_of_an_error(np.where(wrong > 0, right, 0), np.maximum(wrong, 1), total) / total
    both = np.where((right > 0) & (wrong > 0), 1, np.nan)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, undefined
        columns = (
            right / total,
            false_positives / (wrong * both),
            precision_of_errors / wrong,
            precision_of_successes / right,
            1 - discordant / (2 * right * wrong * both),
            aurc,
            np.where(discordant > 0, np.maximum(aurc - optimum, 0), 0),
            (discordant + wrong**2) / (2 * total**2),
            wrong_surest / surest,
            *(most_kept(ends, wrong_kept, risk)[:, None] / total for risk in RISKS),
        )
    return np.concatenate(columns, axis=1)


def _whole(counts: Real[np.ndarray, "images cells"]) -> Int64[np.ndarray, "1 cells"]:
    """All images together: int64 (1, thresholds)."""
    return counts.sum(axis=0, keepdims=True, dtype=np.int64)
