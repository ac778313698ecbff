"""Scores that read what a benchmark does not have are left out with the reason, and the others stay."""

from pathlib import Path

import pytest

from confidnet_core import paths
from confidnet_core.evaluation.left_out import left_out_by_benchmark, planned_left_out_reason, save_left_out
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_json
from confidnet_core.networks.artifacts import save_left_out_network, save_network
from confidnet_core.reporting.histories import history_rows
from confidnet_core.scoring.inputs import save_input_digests
from confidnet_core.scoring.reads import NETWORK_INPUTS

METHODS = ("mcp", "mc_dropout", "confidnet_head", "confidnet", "corrected_mcp", "trust_score", "stack")
NO_RECIPE = "benchmarks.ants has no recipe confidnet"


def benchmark(dropout: bool = True, passes: int = 3, train: int = 5, untrained: tuple[str, ...] = ()) -> dict[str, str | None]:
    """The reasons, from what the earlier stages wrote."""
    write_json(paths.dropout_samples_folder("ants", 0) / "facts.json", {"dropout": dropout, "passes": passes})
    write_json(paths.prepared_data_folder("ants") / "facts.json", {"samples": {"train": train, "val": 3}})
    for network in NETWORK_INPUTS:
        folder, history = paths.network_folder("ants", 0, network), paths.history_path("ants", 0, network)
        if network in untrained:
            save_left_out_network(folder, history, NO_RECIPE)
        else:
            save_network(folder, {}, {"classes": ["a"]}, {})
    return save_input_digests(paths.input_digests_path("ants", 0, "").parent, METHODS, "ants", 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def left_out(reasons: dict[str, str | None]) -> dict[str, str]:
    return {method: reason for method, reason in reasons.items() if reason}


def test_where_nothing_is_missing_nothing_is_left_out():
    assert left_out(benchmark()) == {}


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ({"dropout": False}, {"mc_dropout": "the classifier has no dropout"}),
        ({"passes": 0}, {"mc_dropout": "benchmarks.ants has no mc_dropout.passes above 0"}),
        ({"untrained": ("confidnet", "finetune")}, {"confidnet_head": NO_RECIPE, "confidnet": NO_RECIPE}),
        ({"train": 0}, dict.fromkeys(("trust_score", "stack"), "there are no training images")),
    ],
)
def test_what_reads_something_missing_is_left_out_with_the_reason(missing: dict, expected: dict):
    assert left_out(benchmark(**missing)) == expected
    for method in METHODS:
        assert planned_left_out_reason(paths.input_digests_path("ants", 0, method)) == expected.get(method)


def test_a_left_out_score_is_not_among_the_results_and_named_in_one_line_for_each_reason():
    for method in ("confidnet", "confidnet_head"):
        save_left_out(paths.score_folder("ants", 0, method), NO_RECIPE)
    assert StoredResults.without_left_out("ants", 0, METHODS[:4]).methods == ("mcp", "mc_dropout")
    lines = left_out_by_benchmark(["ants", "bees"], [0], METHODS)
    assert lines == {"ants": [f"left out confidnet_head, confidnet: {NO_RECIPE}"], "bees": []}


def test_a_network_that_is_not_trained_has_no_history_and_says_why():
    benchmark(untrained=NETWORK_INPUTS)
    paths.history_path("ants", 0, "baseline").write_text("epoch,train_loss,val_loss,val_accuracy,kept\n0,,1.5,0.4,1\n")
    assert [set(rows["training"]) for _, rows in history_rows("ants", 0)] == [{"baseline"}, {"baseline"}]
    assert read_json(paths.network_folder("ants", 0, "finetune") / "model.json") == {"left_out": NO_RECIPE}
