"""`like: NAME` of a benchmark: it takes another's sections that it does not name itself."""

from copy import deepcopy
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from small_params import RECIPE, VALID, load, refusal

from confidnet_core.files import read_yaml

OWN = {"data": {"name": "digits", "train": 50}, "model": {"name": "mlp"}}


def with_benchmarks(**benchmarks: dict) -> dict:
    return deepcopy(VALID) | {"benchmarks": {**deepcopy(VALID["benchmarks"]), **benchmarks}}


def test_sections_that_are_not_named_are_the_others(tmp_path: Path):
    params = load(tmp_path, with_benchmarks(mine={"like": "small", "data": {"name": "digits", "train": 50}}))
    mine, small = params.benchmark("mine"), params.benchmark("small")
    assert mine.data.settings == {"train": 50} and (mine.model, mine.baseline, mine.mc_dropout) == (
        small.model,
        small.baseline,
        small.mc_dropout,
    )
    assert "like" not in params.raw_content["benchmarks"]["mine"]


def test_a_recipe_named_in_part_takes_the_other_keys_and_a_model_is_taken_as_a_whole(tmp_path: Path):
    mine = load(tmp_path, with_benchmarks(mine={"like": "small", "model": {"name": "mlp"}, "confidnet": {"epochs": 7}})).benchmark("mine")
    assert (mine.confidnet.epochs, mine.confidnet.learning_rate) == (7, RECIPE["learning_rate"])
    assert mine.model.settings == {}


def test_weights_take_the_place_of_the_others_recipe(tmp_path: Path):
    mine = load(tmp_path, with_benchmarks(mine={"like": "small", "baseline": {"weights": "mine.pt"}})).benchmark("mine")
    assert mine.baseline.weights == "mine.pt" and mine.confidnet.epochs == RECIPE["epochs"]


def test_likeness_may_go_over_several_benchmarks(tmp_path: Path):
    params = load(tmp_path, with_benchmarks(first={"like": "second", "finetune": {"epochs": 5}}, second={"like": "small"}))
    assert params.benchmark("first").finetune.epochs == 5 and params.benchmark("first").data == params.benchmark("small").data


def test_merge_keys_of_yaml_are_read_as_dvc_reads_them(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "digits: &digits\n  confidnet: &head {epochs: 100, batch_size: 32}\n  mc_dropout: {passes: 50}\n"
        "mine:\n  <<: *digits\n  confidnet:\n    <<: *head\n    epochs: 5\n"
    )
    content = read_yaml(path)
    assert content["mine"] == {"confidnet": {"epochs": 5, "batch_size": 32}, "mc_dropout": {"passes": 50}}
    assert content == load_yaml(str(path)) and content["digits"]["confidnet"]["epochs"] == 100


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({"mine": {"like": "smal"}}, "benchmarks.mine.like names smal, which is not under benchmarks; did you mean small?"),
        ({"mine": {"like": "mine"}}, "benchmarks.mine.like names mine, which is itself like mine"),
        ({"mine": {"like": "other"}, "other": {"like": "mine"}}, "benchmarks.other.like names mine, which is itself like other"),
        ({"mine": {"like": "small", "modl": {}}}, "benchmarks.mine has modl, which nothing reads; did you mean model?"),
    ],
)
def test_likeness_to_nothing_or_to_itself_is_refused(tmp_path: Path, benchmarks: dict, message: str):
    assert refusal(tmp_path, with_benchmarks(**benchmarks)).startswith(message)


def test_recipes_may_be_absent_and_weights_stand_alone(tmp_path: Path):
    mine = load(tmp_path, with_benchmarks(mine=OWN | {"baseline": {"weights": "mine.pt"}})).benchmark("mine")
    assert (mine.confidnet, mine.finetune, mine.corrected_mcp, mine.mc_dropout.passes) == (None, None, None, 0)
    assert mine.baseline.augmentation.flip is False


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"baseline": {"weights": "mine.pt", "epochs": 3, "optimizer": "sgd"}},
            "benchmarks.mine.baseline has weights and a recipe; remove epochs, optimizer to take the weights as they are, or move the path "
            "to pretrained of a model that has it, as module, to train on from them",
        ),
        ({"baseline": {"wieghts": "mine.pt"}}, "benchmarks.mine.baseline has wieghts, which nothing reads"),
        ({"baseline": {"weights": 3}}, "benchmarks.mine.baseline.weights is 3; expected str"),
        (
            {"baseline": {"weights": "mine.pt"}, "finetune": dict(RECIPE)},
            "benchmarks.mine has finetune, which continues the training of confidnet, but no confidnet; give both or neither",
        ),
    ],
)
def test_weights_and_recipes_that_contradict_each_other_are_refused(tmp_path: Path, sections: dict, message: str):
    assert refusal(tmp_path, with_benchmarks(mine=OWN | sections)).startswith(message)
