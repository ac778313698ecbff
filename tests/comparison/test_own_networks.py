"""Scores whose network is a classifier itself: how good it is by itself, and when it should replace the classifier."""

from dataclasses import replace

import pytest

from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.main_table import main_table
from confidnet_core.comparison.own_networks import own_network_sentences
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.metrics import METRICS

MCP = Evaluation("digits", 0, "mcp", False, 1000, 80, dict.fromkeys(METRICS, 0.5) | {"accuracy": 0.92, "aurc": 0.0101})


def second(accuracy: float, aurc: float = 0.002, seed: int = 0) -> Evaluation:
    own = dict.fromkeys(METRICS, 0.5) | {"accuracy": accuracy, "aurc": aurc}
    return replace(MCP, method="second_opinion", seed=seed, own=own)


def test_a_network_that_errs_less_often_is_recommended_in_the_classifiers_place():
    (sentence,) = own_network_sentences(comparison_frame([MCP, second(0.97)]))
    assert sentence == (
        "The network of the score Second opinion is a classifier itself: accuracy 97.00 %, AURC 2.00. "
        "The classifier has 92.00 % and, by MCP, AURC 10.10. It errs less often: consider it in the classifier's place."
    )


@pytest.mark.parametrize("accuracy", [0.92, 0.5])
def test_one_that_does_not_is_only_told(accuracy: float):
    (sentence,) = own_network_sentences(comparison_frame([MCP, second(accuracy)]))
    assert sentence.endswith("The classifier has 92.00 % and, by MCP, AURC 10.10.")


@pytest.mark.parametrize("errors", [0, 1, 3])
def test_with_too_few_errors_to_compare_anything_nothing_is_recommended(errors: int):
    classifier = replace(MCP, samples=50, errors=errors, metrics=MCP.metrics | {"accuracy": 1 - errors / 50})
    perfect = replace(classifier, method="second_opinion", own=second(1.0).own)
    (sentence,) = own_network_sentences(comparison_frame([classifier, perfect]))
    assert "accuracy 100.00 %" in sentence and "in the classifier's place" not in sentence


def test_several_seeds_are_told_as_means():
    (sentence,) = own_network_sentences(comparison_frame([MCP, second(0.97), replace(MCP, seed=1), second(0.95, 0.004, seed=1)]))
    assert "accuracy 96.00 %, AURC 3.00" in sentence


def test_without_mcp_the_classifier_is_told_by_its_accuracy_alone():
    (sentence,) = own_network_sentences(comparison_frame([second(0.9)]))
    assert sentence.endswith("The classifier has 92.00 %.")


def test_the_main_table_ends_with_it_and_other_tables_know_nothing_of_it():
    assert "in the classifier's place." in main_table(comparison_frame([MCP, second(0.97)])).legend[-1]
    frame = comparison_frame([MCP])
    assert own_network_sentences(frame) == [] and "own_accuracy" not in frame
