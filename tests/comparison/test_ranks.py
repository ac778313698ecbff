"""Operating points and mean ranks as tables: their numbers by hand."""

import numpy as np
import pandas as pd
from drawn_tables import drawn, table_of

from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.sections import operating_point_tables, rank_table
from confidnet_core.comparison.tables import UNDEFINED_SIGN
from confidnet_core.comparison.uncertainty import with_unit_columns
from confidnet_core.metrics import METRICS


def frame(*rows: tuple) -> pd.DataFrame:
    """(benchmark, seed, method, oracle, value of every metric)"""
    keys = pd.DataFrame(rows, columns=["benchmark", "seed", "method", "oracle", "value"])
    metrics = pd.DataFrame(dict.fromkeys(METRICS, keys["value"].astype(float)))
    return with_unit_columns(keys[["benchmark", "seed", "method", "oracle"]].assign(samples=100, errors=10)).join(metrics)


def test_operating_points_in_percent_without_the_oracle():
    found = frame(("toy", 0, "mcp", False, 0.25), ("toy", 1, "mcp", False, 0.35), ("toy", 0, "tcp", True, 1.0))
    names = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    keys = pd.MultiIndex.from_tuples([("toy", "mcp"), ("toy", "tcp")], names=["benchmark", "method"])
    intervals = pd.DataFrame([[0.2, 0.4] * len(METRICS)] * 2, index=keys, columns=names)
    header, mcp = table_of(drawn(operating_point_tables(found, intervals)["toy"]))
    assert header == ["method", "Risk@80% ↓", "Coverage@1% ↑", "Coverage@5% ↑"]
    assert mcp == ["MCP", *["30.00 ± 7.07 [20.00, 40.00]"] * 3]


def test_operating_points_that_are_undefined_for_a_seed_are_undefined():
    values = {("mcp", 0): np.nan, ("mcp", 1): 0.35, ("a", 0): 0.5, ("a", 1): 0.5}
    found = frame(*(("toy", seed, method, False, value) for (method, seed), value in values.items()))
    names = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    keys = pd.MultiIndex.from_tuples([("toy", "mcp"), ("toy", "a")], names=["benchmark", "method"])
    intervals = pd.DataFrame([[np.nan] * len(names), [0.4, 0.6] * len(METRICS)], index=keys, columns=names)
    _, mcp, other = table_of(drawn(operating_point_tables(found, intervals)["toy"]))
    assert (mcp, other) == (["MCP", *[UNDEFINED_SIGN] * 3], ["a", *["50.00 ± 0.00 [40.00, 60.00]"] * 3])


def test_ranks_are_means_over_benchmarks_and_seeds_without_the_oracle():
    """Higher is better for AUPR-Error: a, b, c have the ranks 1, 2, 3 there and 2.5, 1, 2.5; for FPR the other way round."""
    values = {"x": {"a": 0.9, "b": 0.5, "c": 0.1, "tcp": 1.0}, "y": {"a": 0.2, "b": 0.7, "c": 0.2, "tcp": 1.0}}
    found = frame(*((name, 0, method, method == "tcp", value) for name, methods in values.items() for method, value in methods.items()))
    text = table_to_markdown(rank_table(found))
    header, *rows = table_of(text)
    assert header == ["method", "FPR@95%TPR", "AUPR-Error", "AUROC", "AURC"]
    assert rows == [
        ["b", "2.50", "1.50", "1.50", "2.50"],
        ["a", "2.25", "1.75", "1.75", "2.25"],
        ["c", "1.25", "2.75", "2.75", "1.25"],
    ]
    assert "among 3 methods over 2 pairs of benchmark and seed;" in text and "undefined" not in text


def test_what_is_undefined_has_no_rank_and_one_block_alone_no_table():
    rows = [("x", 0, "a", False, np.nan), ("x", 0, "b", False, 0.5), ("x", 1, "a", False, 0.4), ("x", 1, "b", False, 0.5)]
    drawn_ranks = table_to_markdown(rank_table(frame(*rows)))
    assert table_of(drawn_ranks)[1:] == [["b", "1.50", "1.00", "1.00", "1.50"], ["a", "1.00", "2.00", "2.00", "1.00"]]
    assert "Pairs where a metric is undefined are left out of its means." in drawn_ranks
    assert rank_table(frame(*rows[2:])) is rank_table(frame(("x", 0, "tcp", True, 0.5), ("x", 1, "tcp", True, 0.5))) is None


def test_a_method_that_some_benchmark_lacks_has_no_rank_and_is_named():
    rows = [(benchmark, 0, method, False, value) for benchmark in "xy" for method, value in (("a", 0.5), ("b", 0.6))]
    drawn_ranks = table_to_markdown(rank_table(frame(*rows, ("x", 0, "c", False, 0.9))))
    assert [row[0] for row in table_of(drawn_ranks)[1:]] == ["b", "a"]
    assert "Without c, which some of the pairs lack." in drawn_ranks
