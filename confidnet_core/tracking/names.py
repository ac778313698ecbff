"""How quantities are named in MLflow, and in which unit: one name and one unit for a quantity, in whichever row it stands.

[SPLIT/]METRIC[/PART]     the test split is not named; PART is a score, a class, or an end of an interval

MLflow's chart view makes a section of what stands before the last slash (mlflow/server/js, RunsChartsCardConfig.extractChartSectionName):
the row of an experiment has a section for each metric, in which its scores are side by side, and the row of a stage a section for each
split. Units are those of the report and of `dvc exp show`: percent for rates, areas under curves and IoU; AURC, E-AURC and AUGRC times
1000; Brier score and NLL times 100. Losses, counts, seconds and learning rates stay as they are.
"""

import re
from collections.abc import Iterable, Mapping

HUNDREDTHS = (
    *("accuracy", "iou", "mean_iou", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "risk_at_80_coverage"),
    *("coverage_at_1_risk", "coverage_at_5_risk", "guaranteed_coverage", "ece", "adaptive_ece", "brier", "nll"),
)
THOUSANDTHS = ("aurc", "e_aurc", "augrc")
UNITS = dict.fromkeys(HUNDREDTHS, 100) | dict.fromkeys(THOUSANDTHS, 1000)  # METRIC -> what a fraction is multiplied by
COMPARED = ("auroc", "aurc")  # of each score in the row of an experiment, beside what summary.json has
DECIMALS = 2  # of results, as in tables
SUMMARY = {"best": "best_aupr_error"}  # a key of summary.json that says nothing where it stands alone

_CORE = re.compile(r"(?P<best>best_)?(?P<split>train|val|calibration|test)_(?P<metric>.+)")  # how the core spells val_loss, best_val_loss
_END = re.compile(r"(?P<metric>.+)_(?P<end>low|high)")


def tracked_name(name: str) -> str:
    """val_loss becomes val/loss, best_val_auroc val/best_auroc, test_samples samples, auroc_low auroc/low."""
    if found := _CORE.fullmatch(name):
        split = "" if found["split"] == "test" else f"{found['split']}/"
        return f"{split}{found['best'] or ''}{found['metric']}"
    if found := _END.fullmatch(name):
        return f"{found['metric']}/{found['end']}"
    return name


def scale(name: str) -> int:
    """What a fraction is multiplied by under this name of MLflow's; 1 for what is no fraction."""
    parts = name.split("/")
    return next((UNITS[metric] for part in parts if (metric := part.removeprefix("best_")) in UNITS), 1)


def results(summary: Mapping[str, object], means: Mapping[str, Mapping[str, float | None]]) -> dict[str, object]:
    """What the row of an experiment shows, in its units: what summary.json says of the benchmark, and the metrics of COMPARED.

    means: METHOD -> metric -> fraction; the scores that summary.json names are taken, which leaves out the oracle
    """
    found: dict[str, object] = {}
    for name, value in summary.items():
        key = SUMMARY.get(name, name)
        found |= {f"{key}/{part}": each for part, each in value.items()} if isinstance(value, Mapping) else {key: value}
    methods = [name.partition("/")[2] for name in found if name.startswith("aupr_error/")]
    return found | {f"{metric}/{method}": _rounded(means[method][metric], UNITS[metric]) for metric in COMPARED for method in methods}


def columns(names: Iterable[str]) -> list[str]:
    """The metrics of an experiment's row in the order in which a reader asks for them: of the classifier, then of each score."""
    return sorted(names, key=lambda name: (name.count("/"), name.partition("/")[0] in COMPARED))


def _rounded(value: float | None, factor: int) -> float | None:
    return None if value is None else round(factor * value, DECIMALS)
