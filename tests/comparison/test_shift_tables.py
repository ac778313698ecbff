"""Tables of scores on shifted and foreign images: means by hand, what is undefined, and what is missing."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawn_tables import drawn, table_of
from shifted_rows import SETS, foreign_row, shift_row, store_shifted_rows

from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.shifts import ShiftedFrames, ShiftedTables, load_shifted_frames, severity_means, shifted_tables
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Table
from confidnet_core.evaluation.result import METRICS, Evaluation
from confidnet_core.evaluation.stored import StoredResults

METHODS = ("margin", "mcp", "tcp")


def evaluation_rows(seeds: tuple[int, ...] = (0,), errors: int = 9, benchmarks: tuple[str, ...] = ("letters",)) -> pd.DataFrame:
    return comparison_frame(
        Evaluation(benchmark, seed, method, method == "tcp", 30, errors, dict.fromkeys(METRICS, 0.5))
        for benchmark in benchmarks
        for seed in seeds
        for method in METHODS
    )


def frames(rows: list[dict[str, Any]]) -> ShiftedFrames:
    """As they are read again."""
    store_shifted_rows(rows)
    seeds = sorted({row["seed"] for row in rows})
    return load_shifted_frames(StoredResults("letters", seed, METHODS) for seed in seeds)


def tables(rows: list[dict[str, Any]], reference_methods: tuple[str, ...] = ("mcp", "entropy"), errors: int = 9) -> ShiftedTables:
    seeds = tuple(sorted({row["seed"] for row in rows}))
    return shifted_tables(frames(rows), evaluation_rows(seeds, errors), reference_methods)["letters"]


def shift_rows(seeds: tuple[int, ...] = (0,), **values: Any) -> list[dict[str, Any]]:
    return [shift_row(*one, method, seed, **values) for seed in seeds for one in SETS for method in METHODS]


def cells(table: Table | None, row_key: str) -> dict[str, str]:
    assert table is not None
    (row,) = [row for row in table.rows if row.key == row_key]
    return {column.key: cell.number_text(column) for column, cell in zip(table.columns, row.cells, strict=True)}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_severity_is_the_mean_of_its_corruptions():
    rows = shift_rows()
    mcp = {(row["corruption"], row["severity"]): row for row in rows if row["method"] == "mcp"}
    mcp["noise", 1].update(auroc=0.9, coverage=0.4, risk=0.1)
    mcp["blur", 1].update(auroc=0.8, coverage=0.2, risk=0.5, verdict="exceeded")
    table = tables(rows).by_severity
    assert table is not None and [row.label for row in table.rows] == ["Margin", "MCP", "TCP (oracle)"]
    shown = cells(table, "mcp")
    assert list(shown) == [*(f"{name}_{severity}" for name in ("auroc", "coverage", "risk") for severity in (0, 1, 2)), "exceeded"]
    assert [shown[f"{name}_1"] for name in ("auroc", "coverage", "risk")] == ["85.00", "30.00", "30.00"]
    assert [shown[f"{name}_0"] for name in ("auroc", "coverage", "risk")] == ["75.00", "50.00", "25.00"]
    assert (shown["exceeded"], cells(table, "margin")["exceeded"]) == ("1 of 3", "0 of 3")
    assert table.notes[0] == (
        "The accuracy is 90.00 % on the test images as they are, 70.00 % in severity 1 and 50.00 % in severity 2, "
        "as means over 2 corruptions (noise and blur)."
    )
    assert "at most 30 % errors" in table.notes[1] and "under shift nothing is promised" in table.notes[1]


def test_the_best_auroc_is_marked_but_no_oracle_no_coverage_and_no_risk():
    rows = [row | ({"auroc": 0.99} if row["method"] == "tcp" else {"auroc": 0.8} if row["method"] == "mcp" else {}) for row in shift_rows()]
    table = tables(rows).by_severity
    assert table is not None
    best = {(row.key, column.key) for row in table.rows for column, cell in zip(table.columns, row.cells, strict=True) if cell.best}
    assert best == {("mcp", f"auroc_{severity}") for severity in (0, 1, 2)}
    few_errors = tables(rows, errors=2).by_severity
    assert few_errors is not None and not any(cell.best for row in few_errors.rows for cell in row.cells)
    assert "No value is marked as the best one: 2 errors among 30 test predictions" in " ".join(few_errors.legend)


def test_means_leave_out_a_set_in_which_nothing_is_accepted():
    rows = [
        row | {"coverage": 0.0, "risk": None, "verdict": None} if row["corruption"] == "blur" and row["method"] == "mcp" else row
        for row in shift_rows()
    ]
    shown = cells(tables(rows).by_severity, "mcp")
    assert (shown["coverage_1"], shown["risk_1"], shown["exceeded"]) == ("25.00", "25.00", "0 of 3")


def test_a_score_without_a_threshold_has_an_auroc_alone():
    none = {"coverage": None, "risk": None, "verdict": None}
    rows = [row | none if row["method"] == "mcp" else row for row in shift_rows()]
    found = tables(rows)
    shown = cells(found.by_severity, "mcp")
    assert [shown[key] for key in ("auroc_1", "coverage_1", "risk_1", "exceeded")] == ["75.00", *3 * [UNDEFINED_SIGN]]
    assert "the score has no threshold" in " ".join(found.by_severity.legend if found.by_severity else ())
    assert cells(found.by_severity, "margin")["exceeded"] == "0 of 3"
    none_at_all = tables([row | none for row in rows])
    assert list(cells(none_at_all.by_severity, "mcp")) == ["auroc_0", "auroc_1", "auroc_2"]
    assert list(cells(none_at_all.by_corruption, "noise_1")) == ["accuracy", "mcp_auroc", "margin_auroc"]


def test_undefined_metrics_are_shown_as_undefined():
    rows = [*shift_rows(auroc=None, aurc=None), foreign_row("photos", "mcp", foreign_auroc=None, aurc=None, foreign_accepted=None)]
    found = tables(rows)
    assert cells(found.by_severity, "mcp")["auroc_1"] == UNDEFINED_SIGN
    assert cells(found.by_corruption, "blur_1")["mcp_auroc"] == UNDEFINED_SIGN
    assert list(cells(found.foreign[0], "mcp").values()) == [UNDEFINED_SIGN, "10.00", UNDEFINED_SIGN, "750.00"]
    assert "nan" not in drawn(found.section())


def test_each_corruption_shows_the_references_and_the_score_with_the_best_auroc():
    rows = [row | ({"auroc": 0.85, "risk": 0.05} if row["method"] == "margin" else {}) for row in shift_rows()]
    table = tables(rows).by_corruption
    assert table is not None and [row.name for row in table.rows] == ["test images as they are", "noise 1", "blur 1", "noise 2"]
    assert [column.title for column in table.columns] == [
        *("accuracy", "AUROC MCP", "AUROC Margin", "coverage MCP", "risk MCP", "coverage Margin", "risk Margin")
    ]
    assert list(cells(table, "blur_1").values()) == ["60.00", "75.00", "85.00", "50.00", "25.00", "50.00", "5.00"]
    assert "Margin has the best mean AUROC over all corrupted sets." in table.legend
    own_best = tables(rows, ("margin",)).by_corruption
    assert own_best is not None and [column.key for column in own_best.columns][1:] == ["margin_auroc", "margin_coverage", "margin_risk"]


def test_seeds_are_averaged_and_foreign_images_have_a_deviation():
    rows = [shift_row(*one, method, seed, auroc=0.6 + 0.1 * seed) for seed in (0, 1) for one in SETS for method in METHODS]
    rows += [foreign_row("photos", "mcp", seed, foreign_auroc=0.8 + 0.1 * seed, aurc=0.02 + 0.01 * seed) for seed in (0, 1)]
    rows += [foreign_row("photos", "margin", 0)]
    found = tables(rows)
    assert cells(found.by_severity, "mcp")["auroc_1"] == "65.00" and cells(found.by_severity, "mcp")["exceeded"] == "0 of 6"
    (foreign,) = found.foreign
    assert cells(foreign, "mcp")["foreign_auroc"] == "85.00 ± 7.07" and cells(foreign, "mcp")["aurc"] == "25.00 ± 7.07"
    assert cells(foreign, "margin")["foreign_auroc"] == "90.00"
    assert [row.label for row in foreign.rows] == ["MCP", "Margin (1 of 2 seeds)"]
    assert "sample standard deviation" in " ".join(foreign.legend)


def test_each_set_of_foreign_images_has_a_table_and_the_last_one_the_legend():
    found = tables([foreign_row(name, method) for name in ("photos", "noise") for method in ("mcp", "margin")])
    assert found.by_severity is None and found.by_corruption is None
    assert [table.title for table in found.section()] == ["Shifted and foreign images", "Foreign images: noise"]
    assert found.foreign[0].notes == (
        "1,200 foreign images of photos and 30 test images with 30 predictions, 21 of them correct, are judged together.",
    )
    assert list(cells(found.foreign[0], "mcp").values()) == ["90.00", "10.00", "20.00", "750.00", "750.00"]
    assert not found.foreign[0].legend
    legend = " ".join(found.foreign[1].legend)
    assert all(words in legend for words in ("every prediction on them is a failure", "arXiv:2211.15259", "arXiv:2603.03903"))
    assert "TCP reads the labels, which foreign images lack" in legend
    assert table_of(drawn(list(found.foreign[1:])))[0] == ["method", "AUROC ↑", "FPR@95%TPR ↓", "accepted", "AURC ↓", "AUGRC ↓"]


def test_a_benchmark_without_such_images_has_no_tables_and_keeps_the_types_of_others():
    store_shifted_rows([], "digits")
    store_shifted_rows(shift_rows())
    stored = [StoredResults(name, 0, METHODS) for name in ("digits", "letters")]
    loaded = load_shifted_frames(stored)
    assert len(loaded.shifts) == len(SETS) * len(METHODS) and loaded.foreign.empty
    assert loaded.shifts["auroc"].dtype == float and loaded.shifts["oracle"].dtype == bool
    assert list(shifted_tables(loaded, evaluation_rows(benchmarks=("digits", "letters")), ("mcp",))) == ["letters"]
    nothing = load_shifted_frames(stored[:1])
    assert nothing.shifts.empty and list(nothing.shifts) == list(loaded.shifts)
    assert shifted_tables(nothing, evaluation_rows(benchmarks=("digits",)), ("mcp",)) == {} and severity_means(nothing.shifts).empty


def test_scores_that_are_not_of_the_study_are_left_out():
    store_shifted_rows(shift_rows((0, 1)))
    loaded = load_shifted_frames([StoredResults("letters", 1, ("mcp",))])
    assert set(loaded.shifts["seed"]) == {1} and set(loaded.shifts["method"]) == {"mcp"}


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"data/shifts/letters/shifts\.csv does not exist; `dvc repro` makes it"):
        load_shifted_frames([StoredResults("letters", 0, METHODS)])
