"""What a comparison reads of the scores of one trained classifier: stored by the stages, or judged in memory."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from confidnet_core.evaluation.intervals import UnitCounts
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.evaluation.stored import Reliability


class Results(Protocol):
    """The results of all scores of one benchmark and seed on its test split, as StoredResults reads them.

    methods: the names of the confidence scores
    """

    @property
    def benchmark(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def methods(self) -> tuple[str, ...]: ...

    def evaluation(self, method: str) -> Evaluation:
        """Return the failure metrics of a score."""
        ...

    def compared_methods(self) -> list[str]:
        """Return the names of the scores that a comparison ranks: all but an oracle."""
        ...

    def bootstrap_replicates(self, method: str) -> Float[np.ndarray, "resamples metrics"]:
        """Return the failure metrics of a score on each bootstrap resample, float (resamples, metrics), the same resamples for all."""
        ...

    def reliability(self, method: str) -> Reliability | None:
        """Return how well the probabilities of a score agree with the accuracy; None without validation data."""
        ...

    def guarantees(self, method: str) -> list[dict[str, Any]]:
        """Return the thresholds with a guarantee, as `guaranteed_thresholds` gives them; none without calibration data."""
        ...


class SampleResults(Results, Protocol):
    """Results whose predictions are at hand one by one."""

    def confidence(self, method: str) -> Real[np.ndarray, " n"]:
        """Return the confidence of a score in each of the n labelled predictions, real (n,)."""
        ...

    def outcomes(self) -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " images"] | None]:
        """Return whether each prediction is correct, bool (n,), and how many predictions each image has, or None: see StoredResults."""
        ...


@runtime_checkable
class CountedResults(Results, Protocol):
    """Results of predictions of which only counts are known, such as those of a table that does not fit into memory."""

    def unit_counts(self) -> UnitCounts:
        """Return the numbers of predictions, errors and independent units."""
        ...

    def cells(self, method: str) -> tuple[Real[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Return confidences (m,) from low to high, and the numbers of predictions and of errors at each, or in the cell it begins."""
        ...
