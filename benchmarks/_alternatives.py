"""The metrics of failure_metrics as other libraries compute them: each by its fastest public call, on inputs made ready beforehand."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


@dataclass(frozen=True)
class Call:
    """One call of a library and the metrics, named as in METRICS, that it gives, in their order.

    convention: how its definition differs from ours; empty where it is the same
    """

    package: str
    metrics: tuple[str, ...]
    values: Callable[[], tuple[float, ...]]
    convention: str = ""


def _sklearn_fpr(confidence: np.ndarray, correct: np.ndarray) -> float:
    false_positive_rate, true_positive_rate, _ = roc_curve(correct, confidence, drop_intermediate=False)
    return float(false_positive_rate[np.argmax(true_positive_rate >= 0.95)])


SKLEARN = {
    "fpr_at_95_tpr": _sklearn_fpr,
    "aupr_error": lambda confidence, correct: average_precision_score(~correct, -confidence),
    "aupr_success": lambda confidence, correct: average_precision_score(correct, confidence),
    "auroc": lambda confidence, correct: roc_auc_score(correct, confidence),
}


def _scikit_learn(confidence: np.ndarray, correct: np.ndarray) -> list[Call]:
    return [_single("scikit-learn", name, lambda function=function: function(confidence, correct)) for name, function in SKLEARN.items()]


def _torchmetrics(confidence: np.ndarray, correct: np.ndarray) -> list[Call]:
    import torch
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    score, success = torch.from_numpy(confidence), torch.from_numpy(correct).long()
    doubt, error = 1 - score, 1 - success  # exact for a float32 in [1/2, 1]; negative scores would go through a sigmoid
    name, differs = "torchmetrics", "sums in float32"
    return [
        _single(name, "auroc", lambda: binary_auroc(score, success, validate_args=False), differs),
        _single(name, "aupr_success", lambda: binary_average_precision(score, success, validate_args=False), differs),
        _single(name, "aupr_error", lambda: binary_average_precision(doubt, error, validate_args=False), differs),
    ]


def _torch_uncertainty(confidence: np.ndarray, correct: np.ndarray) -> list[Call]:
    import torch
    from torch_uncertainty.metrics.classification import AUGRC, AURC, FPR95, CovAt5Risk, CovAtxRisk, RiskAt80Cov

    score, success = torch.from_numpy(confidence), torch.from_numpy(correct).long()

    def computed(metric: Callable) -> Callable[[], float]:
        def value() -> float:
            with warnings.catch_warnings():  # "will save all targets and predictions in buffer"
                warnings.simplefilter("ignore")
                one = metric()
            one.update(score, success)  # as the probability of the second of two classes: at least 1/2 here, so the largest
            return one.compute()

        return value

    ties = "orders ties at random"
    conventions = {
        "fpr_at_95_tpr": (lambda: FPR95(pos_label=1), "compares the rate in float32"),
        "aurc": (AURC, f"trapezoid from coverage 1/n on, {ties}, float32"),
        "augrc": (AUGRC, f"trapezoid from coverage 1/n on, {ties}, float32"),
        "risk_at_80_coverage": (RiskAt80Cov, ties),
        "coverage_at_1_risk": (lambda: CovAtxRisk(risk_threshold=0.01), f"any number kept is a threshold, {ties}"),
        "coverage_at_5_risk": (CovAt5Risk, f"any number kept is a threshold, {ties}"),
    }
    return [_single("torch-uncertainty", name, computed(metric), differs) for name, (metric, differs) in conventions.items()]


def _pytorch_ood(confidence: np.ndarray, correct: np.ndarray) -> list[Call]:
    import torch
    from pytorch_ood.metrics import OODMetrics
    from pytorch_ood.metrics.functional import aupr, auroc, fpr_at_tpr

    score, label = torch.from_numpy(confidence), -torch.from_numpy(correct).long()  # below zero: the positive class

    def bundle() -> tuple[float, ...]:
        found = OODMetrics().update(score, label).compute()
        return tuple(float(found[key]) for key in ("AUROC", "AUPR-OUT", "AUPR-IN", "FPR95TPR"))

    name, differs = "pytorch-ood", "trapezoid under the precision-recall curve"
    return [
        _single(name, "auroc", lambda: auroc(score, label)),
        _single(name, "aupr_success", lambda: aupr(score, label, "ood"), differs),
        _single(name, "aupr_error", lambda: aupr(score, label, "id"), differs),
        _single(name, "fpr_at_95_tpr", lambda: fpr_at_tpr(score, label)),
        Call("pytorch-ood OODMetrics", ("auroc", "aupr_success", "aupr_error", "fpr_at_95_tpr"), bundle, f"AUPR: {differs}"),
    ]


def _single(package: str, metric: str, value: Callable, convention: str = "") -> Call:
    return Call(package, (metric,), lambda: (float(value()),), convention)


LIBRARIES = {
    "scikit-learn": _scikit_learn,
    "torchmetrics": _torchmetrics,
    "torch-uncertainty": _torch_uncertainty,
    "pytorch-ood": _pytorch_ood,
}


def alternatives(confidence: np.ndarray, correct: np.ndarray) -> tuple[list[Call], list[str]]:
    """The calls of the libraries that can be imported, and the names of the others.

    confidence (n,) float32 in [1/2, 1], as some of them take probabilities only; correct (n,) bool
    """
    logging.disable(logging.WARNING)  # what lightning says when it is imported
    calls, missing = [], []
    for name, library in LIBRARIES.items():
        try:
            calls += library(confidence, correct)
        except ImportError:
            missing.append(name)
    return calls, missing
