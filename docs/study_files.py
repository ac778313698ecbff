"""The CSV files of results under reports/: those that `make repro` writes, and those of the larger studies in reports/studies/."""

from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
STUDIES = ("digits", "mnist_mlp", "mnist_convnet", "camvid_segnet", "quick")


def read_study(study: str, name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "reports/studies" / study / f"{name}.csv")


def study_of(benchmark: str) -> str:
    return next(study for study in STUDIES if (read_study(study, "comparison")["benchmark"] == benchmark).any())


def rows_of_seeds(benchmark: str) -> pd.DataFrame:
    return read_study(study_of(benchmark), "comparison").query("benchmark == @benchmark")


def means_over_seeds(benchmark: str) -> pd.DataFrame:
    """Means over seeds in percent, by method: accuracy, aupr_error."""
    return rows_of_seeds(benchmark).groupby("method", sort=False)[["accuracy", "aupr_error"]].mean() * 100


def read_results(source: str, benchmark: str, name: str) -> pd.DataFrame:
    """A file of reports/, as `make repro` writes it (source "repro"), or of the benchmark's study (source "study")."""
    return pd.read_csv(ROOT / f"reports/{name}.csv") if source == "repro" else read_study(study_of(benchmark), name)


def differences_from(benchmark: str, against: str = "mcp", source: str = "study") -> pd.DataFrame:
    """Differences of AUPR-Error, by method."""
    rows = read_results(source, benchmark, "differences")
    return rows.query("benchmark == @benchmark and against == @against and metric == 'aupr_error'").set_index("method")


def published_values(benchmark: str | None) -> dict[str, float]:
    """AUPR-Error of the paper in percent by score, and its accuracy."""
    rows = pd.read_csv(ROOT / "confidnet_core/comparison/published.csv")
    rows = rows[(rows["benchmark"] == benchmark) & rows["variant"].isna()].set_index("method")
    return {**rows["aupr_error"], "accuracy": rows["accuracy"].get("mcp", np.nan)}
