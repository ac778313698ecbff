"""Rows of shifts.csv and foreign.csv for tests, made by hand, and stored as the stage `evaluate_shifts` stores them."""

from typing import Any

from confidnet_core import paths
from confidnet_core.scoring.shifted_results import SHOWN_METRICS, save_shifted_results

SETS = {("none", 0): 0.9, ("noise", 1): 0.8, ("blur", 1): 0.6, ("noise", 2): 0.5}  # corruption and severity: accuracy


def shift_row(corruption: str, severity: int, method: str, seed: int = 0, **values: Any) -> dict[str, Any]:
    """Of the benchmark letters, with a threshold that accepts half of the predictions and meets its target of 30 % errors."""
    row = dict.fromkeys(SHOWN_METRICS, 0.75) | {"target_risk": 0.3, "coverage": 0.5, "risk": 0.25, "verdict": "met"}
    key = {"benchmark": "letters", "seed": seed, "corruption": corruption, "severity": severity, "method": method}
    counts = {"oracle": method == "tcp", "samples": 30, "errors": 9, "accuracy": SETS[corruption, severity]}
    return key | counts | row | values


def foreign_row(foreign: str, method: str, seed: int = 0, **values: Any) -> dict[str, Any]:
    row = dict.fromkeys(SHOWN_METRICS, 0.75) | {"target_risk": 0.3, "coverage": 0.5, "risk": 0.25, "verdict": "met"}
    key = {"benchmark": "letters", "seed": seed, "foreign": foreign, "method": method}
    counts = {"samples": 30, "errors": 9, "foreign_images": 1200}
    return key | counts | {"foreign_auroc": 0.9, "foreign_fpr_at_95_tpr": 0.1, "foreign_accepted": 0.2} | row | values


def store_shifted_rows(rows: list[dict[str, Any]], benchmark: str = "letters") -> None:
    """Write the rows into the folder of the benchmark, under its name."""
    save_shifted_results(paths.shifted_results_folder(benchmark), [{**row, "benchmark": benchmark} for row in rows])


def shifted_and_foreign_rows(methods: list[str], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Rows of all sets, in which scores differ in their AUROC and risk, and an oracle has no row of foreign images."""
    values = {method: {"auroc": 0.7 + 0.05 * index, "risk": 0.1 + 0.02 * index} for index, method in enumerate(methods)}
    shift_rows = [shift_row(*one, method, seed, **values[method]) for one in SETS for seed in seeds for method in methods]
    return shift_rows + [foreign_row("photos", method, seed) for seed in seeds for method in methods if method != "tcp"]
