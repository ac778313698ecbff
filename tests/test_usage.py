"""Working points, probabilities, promised thresholds and ranks as tables: their numbers by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from confidnet_core.evaluation import evaluate, save_evaluation
from confidnet_core.metrics import METRICS
from confidnet_core.operating import Scored, reliability, save_operation, thresholds
from confidnet_core.params import Bootstrap, Thresholds
from confidnet_core.places import Place
from confidnet_core.usage import as_probabilities, probabilities, promises, ranks, with_guarantee, working_points


def scored(seed: int, samples: int) -> Scored:
    rng = np.random.default_rng(seed)
    confidence = rng.random(samples) ** 0.2
    return Scored(confidence, rng.random(samples) < confidence)


@pytest.fixture
def everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    """Two seeds of two methods and an oracle, as the stages store them."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        val, calibration, test = (scored(5 * seed + start, 400) for start in (10, 20, 30))
        for method, oracle, scale in (("mcp", False, "probability"), ("margin", False, "rank"), ("tcp", True, "rank")):
            facts = {"benchmark": "toy", "seed": seed, "method": method, "oracle": oracle, "scale": scale}
            one = evaluate(test.confidence, test.correct, **facts)
            save_evaluation(Path(f"data/scores/toy/seed{seed}/{method}"), {"test": test.confidence}, one, one, {})
            found = reliability(val, test, scale, Bootstrap(resamples=100, level=0.9, seed=0))
            promised = thresholds(val, calibration, test, Thresholds(risks=(0.001, 0.3), delta=0.1))
            save_operation(Path(f"data/operating/toy/seed{seed}/{method}"), found, promised)
    return [Place("toy", seed, ("mcp", "margin", "tcp")) for seed in (0, 1)]


def table_of(text: str) -> list[list[str]]:
    """The cells of all its tables' lines; each of a table has as many."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    return [line for line in lines if not set("".join(line)) <= set("-: ")]


def test_probabilities_have_a_row_a_seed_and_method_but_the_oracle_with_quantiles_as_intervals(everywhere: list[Place]):
    found = probabilities(everywhere, level=0.8)
    assert found[["seed", "method", "how"]].to_numpy().tolist() == [
        [0, "mcp", "as it is"],
        [0, "margin", "isotonic on 400 validation samples"],
        [1, "mcp", "as it is"],
        [1, "margin", "isotonic on 400 validation samples"],
    ]
    replicates = np.load("data/operating/toy/seed1/margin/replicates.npy")
    ends = found.iloc[3][["brier_low", "brier_high"]].tolist()
    assert ends == pytest.approx(np.quantile(replicates[:, 2], [0.1, 0.9]).tolist())


def test_the_table_of_probabilities_means_over_seeds_and_says_where_they_come_from(everywhere: list[Place]):
    found = probabilities(everywhere, level=0.8)
    header, mcp, margin = table_of(as_probabilities(found)["toy"])
    assert header == ["method", "probability", "ECE ↓", "adaptive ECE ↓", "Brier ↓", "NLL ↓"]
    assert (mcp[:2], margin[:2]) == (["mcp", "as it is"], ["margin", "isotonic on 400 validation samples"])
    of_mcp = found[found["method"] == "mcp"]
    shown = [100 * of_mcp[name].mean() for name in ("brier", "brier_low", "brier_high")]
    assert mcp[4] == f"{shown[0]:.2f} [{shown[1]:.2f}, {shown[2]:.2f}]"


def test_promises_have_a_row_a_target_with_what_became_of_it(everywhere: list[Place]):
    found = promises(everywhere)
    assert found[["seed", "method", "risk"]].to_numpy().tolist() == [
        [seed, method, risk] for seed in (0, 1) for method in ("mcp", "margin") for risk in (0.001, 0.3)
    ]
    assert found[found["risk"] == 0.001]["threshold"].isna().all() and found[found["risk"] == 0.3]["threshold"].notna().all()
    assert {"coverage", "bound", "test_coverage", "test_risk", "test_kept"} < set(found)


def test_the_table_of_promises_says_what_was_kept_how_often_and_what_cannot_be_promised(everywhere: list[Place]):
    found = promises(everywhere)
    text = with_guarantee(found)["toy"]
    assert "At most 0.1 % errors: no threshold can be promised" in text and "With probability 0.9," in text
    header, mcp, _ = table_of(text)
    assert header == ["method", "threshold", "coverage", "test coverage", "test risk", "kept"]
    of_mcp = found[(found["method"] == "mcp") & (found["risk"] == 0.3)]
    numbers = [f"{100 * of_mcp[name].astype(float).mean():.2f}" for name in ("coverage", "test_coverage", "test_risk")]
    assert mcp == ["mcp", "2 of 2", *numbers, f"{of_mcp['test_kept'].sum()} of 2"]
    low, high = sorted(of_mcp["errors"])
    assert low < high and f"That has 400 samples, or images for segmentation, with {low} to {high} errors." in text


def test_one_seed_shows_its_threshold(everywhere: list[Place]):
    found = promises(everywhere[:1])
    _, mcp, _ = table_of(with_guarantee(found)["toy"])
    assert float(mcp[1]) == pytest.approx(found[found["risk"] == 0.3]["threshold"].iloc[0], rel=1e-5)


def frame(*rows: tuple) -> pd.DataFrame:
    """(benchmark, seed, method, oracle, value of every metric)"""
    keys = pd.DataFrame(rows, columns=["benchmark", "seed", "method", "oracle", "value"])
    metrics = pd.DataFrame(dict.fromkeys(METRICS, keys["value"].astype(float)))
    return keys[["benchmark", "seed", "method", "oracle"]].assign(samples=100, errors=10).join(metrics)


def test_working_points_in_percent_without_the_oracle():
    found = frame(("toy", 0, "mcp", False, 0.25), ("toy", 1, "mcp", False, 0.35), ("toy", 0, "tcp", True, 1.0))
    names = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    keys = pd.MultiIndex.from_tuples([("toy", "mcp"), ("toy", "tcp")], names=["benchmark", "method"])
    intervals = pd.DataFrame([[0.2, 0.4] * len(METRICS)] * 2, index=keys, columns=names)
    header, mcp = table_of(working_points(found, intervals)["toy"])
    assert header == ["method", "Risk@80% ↓", "Coverage@1% ↑", "Coverage@5% ↑"]
    assert mcp == ["mcp", *["30.00 ± 7.07 [20.00, 40.00]"] * 3]


def test_ranks_are_means_over_benchmarks_and_seeds_without_the_oracle():
    """Higher is better for AUPR-Error: a, b, c have the ranks 1, 2, 3 there and 2.5, 1, 2.5; for FPR the other way round."""
    values = {"x": {"a": 0.9, "b": 0.5, "c": 0.1, "tcp": 1.0}, "y": {"a": 0.2, "b": 0.7, "c": 0.2, "tcp": 1.0}}
    found = frame(*((name, 0, method, method == "tcp", value) for name, methods in values.items() for method, value in methods.items()))
    header, *rows = table_of(ranks(found))
    assert header == ["method", "FPR@95%TPR", "AUPR-Error", "AUROC", "AURC"]
    assert rows == [
        ["b", "2.50", "1.50", "1.50", "2.50"],
        ["a", "2.25", "1.75", "1.75", "2.25"],
        ["c", "1.25", "2.75", "2.75", "1.25"],
    ]
    assert "among 3 methods over 2 benchmarks and seeds" in ranks(found)


def test_what_is_undefined_has_no_rank_and_one_block_alone_no_table():
    rows = [("x", 0, "a", False, np.nan), ("x", 0, "b", False, 0.5), ("x", 1, "a", False, 0.4), ("x", 1, "b", False, 0.5)]
    assert table_of(ranks(frame(*rows)))[1:] == [["b", "1.50", "1.00", "1.00", "1.50"], ["a", "1.00", "2.00", "2.00", "1.00"]]
    assert ranks(frame(*rows[2:])) == ""
