"""Tables of methods: what is compared, averaged, marked as best, and handed to DVC."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from confidnet_core.comparison import frames
from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.main_table import comparison_markdown, main_table
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.tables import Table
from confidnet_core.comparison.uncertainty import UNIT_COLUMNS
from confidnet_core.evaluation.result import METRICS, Evaluation
from confidnet_core.files import write_json

ORACLE = "TCP (oracle)"


def evaluation(method, seed=0, benchmark="digits", oracle=False, samples=900, errors=60, **metrics):
    values = dict.fromkeys(METRICS, 0.5) | {"accuracy": 1 - errors / samples} | metrics
    return Evaluation(benchmark, seed, method, oracle, samples, errors, values)


def parsed(markdown_text):
    """The cells of each table: {method cell: {column title: cell}} in the order of the rows, one dictionary a table."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|\n)+", markdown_text, flags=re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        tables.append({row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows})
    return tables


def written(frame, notes=None, below=(), needs=None):
    """comparison.md of a frame."""
    tables = {name: main_table(group, requirement_by_method=needs) for name, group in frame.groupby("benchmark", sort=False)}
    return comparison_markdown(frame, tables, notes or {}, below)


def test_an_evaluation_is_read_as_it_was_written(tmp_path):
    content = {"benchmark": "digits", "seed": 3, "method": "mcp", "oracle": False, "samples": 900, "errors": 0}
    content |= {"scale": "log_odds", "settings": {"t": 1}}
    metrics = {name: index / 10 for index, name in enumerate(METRICS)} | {"auroc": float("nan")}
    write_json(tmp_path / "metrics.json", content | {"metrics": metrics})
    assert Evaluation.read(tmp_path / "metrics.json") == Evaluation(
        "digits", 3, "mcp", False, 900, 0, metrics | {"auroc": None}, "log_odds"
    )


@pytest.mark.parametrize("key", ["seed", "scale", "metrics", "metrics.e_aurc"])
def test_a_missing_key_is_named_with_its_file(tmp_path, key):
    content = {"benchmark": "digits", "seed": 0, "method": "mcp", "oracle": False, "samples": 9, "errors": 1, "scale": "rank"}
    content["metrics"] = dict.fromkeys(METRICS, 0.5)
    *parents, last = key.split(".")
    del (content[parents[0]] if parents else content)[last]
    write_json(tmp_path / "metrics.json", content)
    with pytest.raises(ValueError, match=rf"metrics\.json lacks the key {re.escape(key)};"):
        Evaluation.read(tmp_path / "metrics.json")


def test_metrics_that_are_no_object_are_refused(tmp_path):
    write_json(tmp_path / "metrics.json", [1, 2])
    with pytest.raises(ValueError, match=r"metrics.json holds a list; expected a JSON object"):
        Evaluation.read(tmp_path / "metrics.json")


def test_the_table_keeps_the_given_order_and_leaves_undefined_metrics_empty_in_csv():
    frame = comparison_frame([evaluation("zeta", auroc=None), evaluation("alpha", auroc=0.75)])
    assert list(frame.columns) == ["benchmark", "seed", "method", "oracle", "samples", "errors", *UNIT_COLUMNS, *METRICS]
    assert frame["method"].tolist() == ["zeta", "alpha"]
    assert np.isnan(frame["auroc"][0]) and frame["auroc"][1] == 0.75
    assert frame[["method", "auroc"]].to_csv(index=False) == "method,auroc\nzeta,\nalpha,0.75\n"


def test_a_table_in_which_nothing_is_defined_still_holds_numbers():
    assert comparison_frame([evaluation("mcp", auroc=None)])["auroc"].dtype == float


def test_no_evaluation_and_one_evaluated_twice_are_refused():
    with pytest.raises(ValueError, match="no evaluation to compare"):
        comparison_frame([])
    with pytest.raises(ValueError, match="evaluated twice: digits seed 0 mcp"):
        comparison_frame([evaluation("mcp"), evaluation("mcp")])


def test_methods_on_different_predictions_are_not_compared():
    with pytest.raises(ValueError, match="digits seed 0 entropy and digits seed 0 mcp differ in samples or errors"):
        comparison_frame([evaluation("mcp", errors=60), evaluation("entropy", errors=61)])
    comparison_frame([evaluation("mcp", errors=60), evaluation("mcp", seed=1, errors=61), evaluation("mcp", benchmark="other", errors=62)])


def test_means_and_sample_deviations_over_seeds_by_hand():
    """(0.6 + 0.9) / 2 = 0.75; the deviation of two values is their distance / sqrt(2)."""
    frame = comparison_frame([evaluation("mcp", seed=seed, auroc=value, errors=60 + seed) for seed, value in enumerate([0.6, 0.9])])
    means = frames.mean_over_seeds(frame)
    assert means[["benchmark", "method", "seeds", "errors"]].values.tolist() == [["digits", "mcp", 2, 60.5]]
    assert means["auroc"].tolist() == pytest.approx([0.75])
    assert means["auroc_std"].tolist() == pytest.approx([0.3 / np.sqrt(2)])


def test_a_metric_undefined_for_one_seed_has_no_mean():
    frame = comparison_frame([evaluation("mcp", seed=0, auroc=None), evaluation("mcp", seed=1, auroc=0.9)])
    means = frames.mean_over_seeds(frame)
    assert means[["auroc", "auroc_std"]].isna().all(axis=None)
    assert means["aurc"].tolist() == [0.5]


def test_one_seed_has_no_deviation():
    means = frames.mean_over_seeds(comparison_frame([evaluation("zeta"), evaluation("alpha")]))
    assert means["method"].tolist() == ["zeta", "alpha"]
    assert not [name for name in means.columns if name.endswith("_std")]


def test_markdown_marks_every_best_value_as_shown_and_never_the_oracle():
    frame = comparison_frame(
        [
            evaluation("tcp", oracle=True, auroc=1.0, aurc=0.0),
            evaluation("mcp", auroc=0.91234, aurc=0.0101, fpr_at_95_tpr=None),
            evaluation("confidnet", auroc=0.91231, aurc=0.0099, fpr_at_95_tpr=0.3),
        ]
    )
    (rows,) = parsed(written(frame))
    assert list(rows) == ["MCP", "ConfidNet", ORACLE]
    assert [row["AUROC ↑"] for row in rows.values()] == ["**91.23**", "**91.23**", "100.00"]
    assert [row["AURC ↓"] for row in rows.values()] == ["10.10", "**9.90**", "0.00"]
    assert [row["FPR@95%TPR ↓"] for row in rows.values()] == ["–", "**30.00**", "50.00"]  # noqa: RUF001


def test_markdown_has_a_section_with_its_accuracy_for_each_benchmark():
    text = written(comparison_frame([evaluation("mcp"), evaluation("mcp", benchmark="perfect", errors=0, auroc=None)]))
    assert re.findall("^## (.*)$", text, flags=re.MULTILINE) == ["digits", "perfect"]
    assert "accuracy 93.33%, 60 errors among 900" in text and "accuracy 100.00%, 0 errors among 900" in text
    assert [list(rows) for rows in parsed(text)] == [["MCP"], ["MCP"]]
    assert "oracle" not in text and "±" not in text


def test_markdown_shows_spread_and_missing_seeds():
    frame = comparison_frame(
        [evaluation("mcp", 0, auroc=0.8), evaluation("mcp", 1, auroc=0.9, errors=70), evaluation("late", 0, auroc=0.7)]
    )
    text = written(frame)
    (rows,) = parsed(text)
    assert {method: row["AUROC ↑"] for method, row in rows.items()} == {"MCP": "**85.00 ± 7.07**", "late (1 of 2 seeds)": "70.00"}
    assert "seed 0: accuracy 93.33%, 60 errors among 900; seed 1: accuracy 92.22%, 70 errors among 900" in text


def test_markdown_is_aligned_for_reading_as_plain_text():
    frame = comparison_frame(
        [evaluation("mcp", auroc=0.5), evaluation("a_long_name", auroc=0.99999, aurc=None), evaluation("tcp", oracle=True)]
    )
    lines = [line for line in written(frame).splitlines() if line.startswith("|")]
    bars = [[position for position, character in enumerate(line) if character == "|"] for line in lines]
    assert len(lines) == 5 and all(positions == bars[0] for positions in bars)


def test_markdown_has_the_notes_of_its_benchmarks():
    frame = comparison_frame([evaluation("mcp"), evaluation("mcp", benchmark="other")])
    first, second = written(frame, notes={"other": ["mean IoU 40.00%"]}).split("## other")
    assert "mean IoU" not in first and "mean IoU 40.00%" in second


def test_markdown_has_what_belongs_below_a_table_there():
    frame = comparison_frame([evaluation("mcp"), evaluation("mcp", benchmark="other")])
    below = [{"digits": [Table("below")]}, {}, {"digits": [Table("last", notes=("a note",), legend=("a", "legend"))]}]
    first, second = written(frame, notes={"digits": ["above", "a warning"]}, below=below).split("## other")
    starts = ["##", "accuracy", "above", "a warning", "|", "FPR@95%TPR,", "### below", "### last", "a note", "a legend", ""]
    assert [part.split("\n")[0][: len(start)] for part, start in zip(first.split("\n\n"), starts, strict=True)] == starts
    assert not re.search("above|below|last", second)


def test_scores_are_sorted_by_aupr_error_with_undefined_ones_and_the_oracle_last():
    values = {"tcp": 1.0, "mcp": 0.3, "entropy": None, "margin": 0.6}
    frame = comparison_frame([evaluation(name, oracle=name == "tcp", aupr_error=value) for name, value in values.items()])
    assert [row.key for row in main_table(frame).rows] == ["margin", "mcp", "entropy", "tcp"]
    assert [row.key for row in main_table(frame, sort_metric="aurc").rows] == ["mcp", "entropy", "margin", "tcp"]  # all equal: as given
    shown = main_table(frame, shown_columns=frames.MAIN_METRIC_COLUMNS[:1], sort_metric="aupr_error")
    assert [row.key for row in shown.rows] == ["margin", "mcp", "entropy", "tcp"] and shown.columns == frames.MAIN_METRIC_COLUMNS[:1]


def test_significance_against_the_first_reference_is_marked_and_explained():
    frame = comparison_frame([evaluation(name) for name in ("mcp", "entropy", "margin", "stack")])
    verdicts = [("entropy", "mcp", "worse"), ("margin", "mcp", "no significant difference"), ("stack", "mcp", "better")]
    verdicts += [("margin", "entropy", "better")]
    rows = [("digits", method, against, "auroc", verdict) for method, against, verdict in verdicts]
    compared = pd.DataFrame(rows, columns=["benchmark", "method", "against", "metric", "verdict"])
    table = main_table(frame, difference_rows=compared)
    marks = dict(zip((row.key for row in table.rows), (cell.verdict_sign() for cell in table.cells("auroc")), strict=True))
    assert marks == {"mcp": "", "entropy": "▼", "margin": "", "stack": "▲"}
    assert not any(cell.verdict_sign() for cell in table.cells("aurc"))
    assert "▲ significantly better, ▼ significantly worse than MCP, after Holm correction" in " ".join(table.legend)
    assert "▲" not in " ".join(main_table(frame).legend)


def test_the_summary_is_strict_json_of_means_in_percent_without_the_oracle():
    frame = comparison_frame(
        [
            evaluation("mcp", 0, aupr_error=0.1),
            evaluation("mcp", 1, aupr_error=0.123456, errors=61),
            evaluation("margin", 0, aupr_error=0.3),
            evaluation("margin", 1, aupr_error=0.4, errors=61),
            evaluation("tcp", 0, oracle=True, aupr_error=1.0),
            evaluation("mcp", benchmark="other", errors=0, aupr_error=None),
        ]
    )
    content = json.loads(json.dumps(frames.benchmark_summaries(frame), allow_nan=False))
    best = {"best": 35.0, "best_score": "margin"}
    assert content["digits"] == {"accuracy": 93.28, "errors": 60.5, "aupr_error": {"mcp": 11.17, "margin": 35.0}, **best}
    assert content["other"] == {"accuracy": 100.0, "errors": 0.0, "aupr_error": {"mcp": None}, "best": None, "best_score": None}


def test_the_summary_of_the_oracle_alone_has_no_method():
    content = frames.benchmark_summaries(comparison_frame([evaluation("tcp", oracle=True)]))
    assert content["digits"]["aupr_error"] == {} and content["digits"]["best"] is None and content["digits"]["errors"] == 60


def test_what_a_score_needs_stands_in_a_column_of_its_own():
    frame = comparison_frame([evaluation("mcp"), evaluation("stack"), evaluation("tcp", oracle=True)])
    text = written(frame, needs={"mcp": "nothing", "stack": "validation data", "tcp": "nothing"})
    (rows,) = parsed(text)
    assert {method: cells["needs"] for method, cells in rows.items()} == {"MCP": "nothing", "Stack": "validation data", ORACLE: "nothing"}
    assert "Needs: " in text and "eeds" not in written(frame)


def test_the_summary_takes_accuracy_over_all_seeds_even_where_the_first_method_lacks_one():
    frame = comparison_frame([evaluation("late", 0, errors=60), evaluation("mcp", 0, errors=60), evaluation("mcp", 1, errors=90)])
    assert frames.benchmark_summaries(frame)["digits"]["errors"] == 75


def test_the_conventions_of_others_are_a_table_of_what_each_of_them_has():
    found = {"mcp": {"crl": {"aurc": 0.01234, "fpr_at_95_tpr": None}, "fd_shifts": {"augrc": 0.5}}}
    text = table_to_markdown(frames.metric_conventions_table(found))
    (rows,) = parsed(text + "\n")
    assert list(rows["MCP"]) == ["as printed by", "FPR@95%TPR ↓", "AURC ↓", "AUGRC ↓"]
    assert text.count("| MCP ") == 2 and "12.34" in text
    assert list(rows["MCP"].values()) == ["fd_shifts", "–", "–", "500.00"]  # noqa: RUF001


@pytest.mark.parametrize("errors", [0, 900])
def test_without_both_outcomes_every_metric_but_the_accuracy_is_undefined_in_tables(errors: int):
    frame = comparison_frame([evaluation("mcp", errors=errors, aurc=float(errors > 0)), evaluation("margin", errors=errors)])
    (cells,) = parsed(table_to_markdown(main_table(frame)))
    assert set(cells["MCP"].values()) == {"–"}  # noqa: RUF001
    assert frames.mean_over_seeds(frame)["accuracy"].tolist() == [1 - errors / 900] * 2
