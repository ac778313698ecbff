"""The tables of scores on shifted and foreign images in docs/shifts.md, from reports/studies/*/{shifts,foreign}.csv."""

import pandas as pd

from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.shifts import severity_means
from docs.markdown import DASH, markdown_table
from docs.study_files import ROOT, STUDIES

SCORES = (
    *("mcp", "entropy", "mc_dropout", "trust_score", "confidnet", "confidnet_augmented", "tta", "stack", "second_opinion"),
    *("ensemble", "ensemble_of_two", "energy", "max_logit", "knn"),
)
UNSHIFTED = "none"


def shifts(benchmark: str) -> str:
    """Each score by severity, means over corruptions and seeds; and how many of the corrupted image sets exceed its target."""
    frame = _rows("shifts", benchmark)
    severities = sorted(frame["severity"].unique())
    all_means = severity_means(frame).set_index(["method", "severity"])
    listed = ", ".join(map(str, severities))
    accuracy = frame[frame["method"] == "mcp"].groupby("severity")["accuracy"].mean()
    rows = [["score", *(f"{title}, severity {listed}" for title in ("AUROC", "accepted", "of these wrong")), "above target"]]
    rows.append(["*accuracy*", _series(accuracy, severities), "", "", ""])
    for score in (score for score in SCORES if (frame["method"] == score).any()):
        of_score = frame[frame["method"] == score]
        means = all_means.loc[score]
        shifted = of_score[(of_score["corruption"] != UNSHIFTED) & of_score["coverage"].notna()]
        exceeded = f"{(shifted['risk'] > shifted['target_risk']).sum()} of {len(shifted)}"
        rows.append([display_name(score), *(_series(means[key], severities) for key in ("auroc", "coverage", "risk")), exceeded])
    return markdown_table(rows)


def foreign(benchmark: str) -> str:
    """Each score on each set of foreign images, means over seeds."""
    frame = _rows("foreign", benchmark)
    heads = ("AUROC", "FPR@95%TPR", "foreign accepted", "AURC of both")
    rows = [["foreign images", "score", *heads, "of the accepted wrong"]]
    for name, of_set in frame.groupby("foreign", sort=False):
        means = of_set.groupby("method")[["foreign_auroc", "foreign_fpr_at_95_tpr", "foreign_accepted", "aurc", "risk"]].mean()
        factors = (100, 100, 100, 1000, 100)
        for score in (score for score in SCORES if score in means.index):
            values = [_number(factor * value) for factor, value in zip(factors, means.loc[score], strict=True)]
            rows.append([f"{name} ({of_set['foreign_images'].iloc[0]:,})", display_name(score), *values])
    return markdown_table(rows, left=2)


def _rows(name: str, benchmark: str) -> pd.DataFrame:
    """The rows of a benchmark, of the one study that has some. ValueError if none has."""
    for study in STUDIES:
        path = ROOT / "reports/studies" / study / f"{name}.csv"
        if path.exists() and len(rows := pd.read_csv(path).query("benchmark == @benchmark")):
            return rows
    raise ValueError(f"no study under reports/studies/ has {name}.csv with rows of {benchmark}")


def _series(values: pd.Series, severities: list[int]) -> str:
    return ", ".join(_number(100 * values[severity]) for severity in severities)


def _number(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.1f}"
