"""Reading of the tables under reports/ that the stage `compare` writes, from this folder or a git commit, with a check of their columns."""

from pathlib import Path

import pandas as pd

from confidnet_core.cli.revisions import read_csv_at_commit
from confidnet_core.comparison.costs import COST_COLUMNS
from confidnet_core.comparison.uncertainty import UNIT_COLUMNS, with_unit_columns
from confidnet_core.evaluation.result import EVALUATION_KEYS
from confidnet_core.metrics import METRICS

DIFFERENCE_COLUMNS = ["benchmark", "method", "against", "metric", "question", "verdict"]
EVALUATION_COLUMNS = [*EVALUATION_KEYS, *METRICS]


def read_evaluation_rows(reports_folder: Path) -> pd.DataFrame:
    """Return the content of comparison.csv in the reports folder as a data frame."""
    return _read_csv_table(reports_folder / "comparison.csv", [*EVALUATION_COLUMNS, *UNIT_COLUMNS])


def read_evaluation_rows_at_commit(commit: str, revision_name: str, reports_folder: Path) -> pd.DataFrame:
    """Return the content of comparison.csv as it is stored in a git commit. revision_name: what messages call the commit"""
    evaluation_rows = read_csv_at_commit(commit, revision_name, f"{reports_folder}/comparison.csv")
    if missing_columns := [column_name for column_name in EVALUATION_COLUMNS if column_name not in evaluation_rows]:
        raise ValueError(f"reports/comparison.csv of {revision_name} lacks the column {missing_columns[0]}: another version wrote it")
    return with_unit_columns(evaluation_rows)


def read_difference_rows(reports_folder: Path) -> pd.DataFrame:
    """Return the content of differences.csv in the reports folder as a data frame."""
    return _read_csv_table(reports_folder / "differences.csv", DIFFERENCE_COLUMNS)


def read_reference_method(reports_folder: Path) -> str | None:
    """Return the first score that differences.csv compares others with; None if the file compares none."""
    reference_methods = read_difference_rows(reports_folder)["against"]
    return None if reference_methods.empty else reference_methods.iloc[0]


def read_cost_rows(reports_folder: Path) -> pd.DataFrame:
    """Return the content of costs.csv in the reports folder as a data frame, which `cost_frame` made."""
    return _read_csv_table(reports_folder / "costs.csv", COST_COLUMNS)


def _read_csv_table(csv_path: Path, required_columns: list[str]) -> pd.DataFrame:
    """Return a CSV file as a data frame. Raises ValueError if the file is missing, is no table, or lacks one of the columns."""
    try:
        data_frame = pd.read_csv(csv_path)
    except FileNotFoundError:
        raise ValueError(f"{csv_path} does not exist; `dvc repro` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{csv_path} is no CSV table ({error}); `dvc repro compare` makes it anew") from None
    if missing_columns := [column_name for column_name in required_columns if column_name not in data_frame]:
        raise ValueError(f"{csv_path} lacks the column {missing_columns[0]}: another version wrote it; `dvc repro compare` makes it anew")
    return data_frame
