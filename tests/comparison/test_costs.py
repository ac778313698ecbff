"""What a score costs: said in its own file, counted from params.yaml, told beside the results, and never in seconds there."""

from pathlib import Path

import numpy as np
import pytest
from pages import lay_out
from report_params import params
from small import benchmark, small_digits
from small_params import replace

from confidnet_core.comparison.costs import (
    METHOD_REQUIREMENTS,
    NO_REQUIREMENT_TEXT,
    StageRunCounts,
    cost_frame,
    cost_tables,
    count_extra_passes,
    method_requirements,
    stage_run_counts,
)
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.config.recipes import Augmentation, McDropout
from confidnet_core.config.registry import PACKAGE_FOLDER, entry_names, find_entry
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.scores._views import augmented_views
from confidnet_core.scoring.run import Run

SMALL = replace(benchmark(), mc_dropout=McDropout(passes=50))
PARAMS = replace(params(seeds=(0, 1, 2)), benchmarks={"small": SMALL, "letters": replace(SMALL, mc_dropout=McDropout(passes=20))})


def test_what_has_to_be_made_for_a_score_is_said_in_a_few_words():
    found = method_requirements(["mcp", "confidnet", "stack", "trust_score"])
    assert found == {"mcp": "nothing", "confidnet": "trained network", "stack": "validation data", "trust_score": "training features"}
    assert set(method_requirements(entry_names("scores")).values()) == {
        NO_REQUIREMENT_TEXT,
        *(words for words, _ in METHOD_REQUIREMENTS.values()),
    }


def test_a_score_that_reads_a_network_only_where_there_is_one_needs_it_there_alone():
    without = replace(SMALL, second_opinion=None)
    assert [method_requirements(["stack"], each)["stack"] for each in (SMALL, without, None)] == [
        *("trained network", "validation data", "validation data"),
    ]
    for each, passes in ((SMALL, 5), (without, 4)):
        assert count_extra_passes(["stack"], "small", replace(PARAMS, benchmarks={"small": each}, methods={"stack": {}})) == {
            "stack": passes
        }


def test_scores_that_read_trained_networks_or_training_data_say_so():
    """Whatever their code asks of a Run beyond the classifier's answers."""
    asking = {
        "trained": ("run.confidnet", "finetuned_confidence(", "run.corrected_mcp", "second_log_odds(", "run.ensemble_quantity"),
        "fitted": ("run.validation", ".validation"),
    }
    asking["neighbours"] = ("training_features_by_class(",)
    for name, words in method_requirements(entry_names("scores")).items():
        code = (PACKAGE_FOLDER / "scores" / f"{name}.py").read_text()
        asked = [METHOD_REQUIREMENTS[kind][0] for kind, words in asking.items() if any(one in code for one in words)]
        assert words in (asked or [NO_REQUIREMENT_TEXT]), name


def test_a_score_that_needs_a_trained_network_says_which_stages_train_it():
    stages = {name: stage_run_counts(name, extra_passes=2) for name in entry_names("scores")}
    assert {name for name, own in stages.items() if own.training_stage_runs} == {
        name for name, words in method_requirements(entry_names("scores")).items() if words == "trained network"
    }
    assert stages["confidnet"] == StageRunCounts({}, {"train_confidnet": 1, "finetune": 1})
    assert stages["mc_dropout"] == StageRunCounts({"sample": 1}, {}) and stages["ensemble"] == StageRunCounts(
        {"predict": 2}, {"train_baseline": 2}
    )


def test_passes_are_counted_beside_the_classifiers_own():
    scores = ["mcp", "confidnet_head", "confidnet", "mc_dropout", "mc_dropout_mutual_information", "ensemble"]
    assert list(count_extra_passes(scores, "small", PARAMS).values()) == [0, 0, 1, 50, 50, 2]
    assert list(count_extra_passes(scores, "letters", PARAMS).values()) == [0, 0, 1, 20, 20, 2]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("settings", [{}, {"shift": 0.1}, {"shift": 0.0}])
def test_passes_over_views_are_as_many_as_there_are_views(flip: bool, settings: dict[str, float]):
    what = benchmark()
    what = replace(what, baseline=replace(what.baseline, augmentation=Augmentation(flip=flip)))
    run = Run("small", what, 0, small_digits(), Path(), Path())
    asked = replace(PARAMS, methods={"tta": settings}, benchmarks={"small": what})
    count = len(augmented_views(run, settings.get("shift", 0.04)))
    assert count_extra_passes(["tta"], "small", asked) == {"tta": count}


@pytest.mark.parametrize(
    ("attribute", "word", "message"),
    [
        ("learned", "free", r"scores/mcp\.py has learned 'free'; known: trained, fitted, neighbours; leave it out where nothing is"),
        ("passes", "many", r"scores/mcp\.py has passes 'many'; expected a number, or one of dropout, seeds, views"),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_the_known_ones(attribute: str, word: str, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(find_entry("scores", "mcp"), attribute, word, raising=False)
    with pytest.raises(ValueError, match=message):
        method_requirements(["mcp"])
        count_extra_passes(["mcp"], "small", PARAMS)


def test_the_table_has_every_score_but_the_oracle_and_explains_the_words_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    lay_out("letters", np.arange(80) % 3, (0,))
    (table,) = cost_tables(cost_frame([StoredResults("letters", 0, ("mcp", "tcp"))], PARAMS))["letters"]
    text = table_to_markdown(table)
    assert "| MCP    | nothing |                    0 |" in text and "| TCP " not in text
    assert not any(f"{words.capitalize()}: " in text for words, _ in METHOD_REQUIREMENTS.values())
