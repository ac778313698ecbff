"""params.yaml, value by value: what is read, and how each mistake is refused before anything is computed."""

from pathlib import Path
from typing import Any

import pytest
from project_code import ROOT
from small_params import BASELINE, RECIPE, changed, load, refusal

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark, load_params
from confidnet_core.config.recipes import Augmentation, BaselineRecipe, Recipe


def test_the_projects_own_file_is_valid_and_compares_confidnet_with_the_baseline_and_the_oracle():
    params = load_params(ROOT / "params.yaml")
    assert set(params.run) <= set(params.benchmarks)
    assert {"mcp", "confidnet", "tcp"} <= set(params.methods)
    assert all(isinstance(benchmark, Benchmark) for benchmark in params.benchmarks.values())


def test_values_come_as_they_stand_and_the_rest_by_default(tmp_path: Path):
    params = load(tmp_path, changed((*BASELINE, "augmentation"), {"flip": True, "crop": 4}))
    small = params.benchmark("small")
    assert (params.run, params.seeds, params.method("trust_score")) == (("small",), (0,), {"neighbour": 2})
    assert (small.data, small.model) == (RegistryEntryChoice("digits", {"train": 100}), RegistryEntryChoice("mlp", {"hidden": 8}))
    assert small.baseline.augmentation == Augmentation(flip=True, rotation=0.0, crop=4)
    assert (small.baseline.learning_rate, small.baseline.momentum, small.baseline.weight_decay) == (0.1, 0.9, 0.0)
    assert (small.baseline.schedule, small.baseline.precision, small.baseline.class_weights) == ("constant", "fp32", "none")
    assert (small.baseline.label_smoothing, small.baseline.sam_radius) == (0.0, 0.0)
    assert (small.baseline.swa_epochs, small.baseline.swa_learning_rate) == (0, None)
    assert (small.confidnet.dropout, small.confidnet.widths, small.confidnet.kernel) == (True, None, None)
    assert params.raw_content["benchmarks"]["small"]["baseline"]["augmentation"] == {"flip": True, "crop": 4}


@pytest.mark.parametrize("written", ["1e-7", "1e-07", "1.0e-7", "0.0000001"])
def test_a_small_number_is_a_number_however_it_is_written(tmp_path: Path, written: str):
    text = (ROOT / "params.yaml").read_text().replace("learning_rate: 0.00001", f"learning_rate: {written}")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").benchmark("digits").finetune.learning_rate == 1e-7


@pytest.mark.parametrize(
    ("place", "value", "read"),
    [
        ("learning_rate", 1, 1.0),
        ("momentum", 0, 0.0),
        ("augmentation", {"rotation": 15}, Augmentation(rotation=15.0)),
        ("augmentation", None, Augmentation()),
        ("class_weights", "median_frequency", "median_frequency"),
        ("schedule", "cosine", "cosine"),
        ("label_smoothing", 0, 0.0),
        ("label_smoothing", 0.99, 0.99),
        ("sam_radius", 1, 1.0),
        ("swa_epochs", 2, 2),  # all of them
        ("swa_learning_rate", None, None),
    ],
)
def test_values_of_a_recipe_that_are_accepted(tmp_path: Path, place: str, value: Any, read: Any):
    found = getattr(load(tmp_path, changed((*BASELINE, place), value)).benchmark("small").baseline, place)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("widths", [8, 8], (8, 8)),
        ("widths", [], ()),
        ("widths", None, None),
        ("kernel", 1, 1),
        ("first_confidence", "mean_tcp", "mean_tcp"),
    ],
)
def test_values_of_a_confidnet_that_are_accepted(tmp_path: Path, key: str, value: Any, read: Any):
    assert getattr(load(tmp_path, changed(("benchmarks", "small", "confidnet", key), value)).benchmark("small").confidnet, key) == read


def test_multi_step_takes_rising_milestones(tmp_path: Path):
    stepped = RECIPE | {"schedule": "multi_step", "milestones": [1, 2]}
    assert load(tmp_path, changed(BASELINE, stepped)).benchmark("small").baseline.milestones == (1, 2)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("epochs", True, "True; expected int"),
        ("epochs", "10", "'10'; expected int"),
        ("epochs", 10.0, "10.0; expected int"),
        ("epochs", None, "None; expected int"),
        ("epochs", [1], "[1]; expected int"),
        ("epochs", 0, "0; expected at least 1"),
        ("batch_size", 0, "0; expected at least 1"),
        ("batch_size", -8, "-8; expected at least 1"),
        ("learning_rate", True, "True; expected a finite number"),
        ("learning_rate", "0.1", "'0.1'; expected a finite number"),
        ("learning_rate", "1e-7x", "'1e-7x'; expected a finite number"),
        ("learning_rate", float("nan"), "nan; expected a finite number"),
        ("learning_rate", float("inf"), "inf; expected a finite number"),
        ("learning_rate", 0, "0; expected a number above 0"),
        ("learning_rate", -0.1, "-0.1; expected a number above 0"),
        ("momentum", 1.0, "1.0; expected at least 0 and below 1"),
        ("momentum", -0.1, "-0.1; expected at least 0 and below 1"),
        ("weight_decay", -1e-4, "-0.0001; expected at least 0"),
        ("weight_decay", float("nan"), "nan; expected a finite number"),
        ("optimizer", "adamw", "'adamw'; expected sgd or adam"),
        ("schedule", "linear", "'linear'; expected constant or one_cycle or multi_step or cosine"),
        ("precision", "fp16", "'fp16'; expected fp32 or tf32 or bf16"),
        ("precision", 32, "32; expected fp32 or tf32 or bf16"),
        ("compile", 1, "1; expected bool"),
        ("compile", None, "None; expected bool"),
        ("class_weights", None, "None; expected none or median_frequency"),
        ("label_smoothing", 1, "1; expected at least 0 and below 1"),
        ("label_smoothing", -0.1, "-0.1; expected at least 0 and below 1"),
        ("label_smoothing", None, "None; expected a finite number"),
        ("sam_radius", -0.05, "-0.05; expected at least 0"),
        ("sam_radius", float("inf"), "inf; expected a finite number"),
        ("sam_radius", True, "True; expected a finite number"),
        ("swa_epochs", -1, "-1; expected at least 0"),
        ("swa_epochs", 3, "3; expected 0 to 2, the epochs"),
        ("swa_epochs", 0.5, "0.5; expected int"),
        ("swa_epochs", None, "None; expected int"),
        ("swa_learning_rate", 0.1, "0.1; expected null with swa_epochs 0: no epoch has this rate"),
        ("swa_learning_rate", 0, "0; expected a number above 0, or null"),
        ("swa_learning_rate", "0.1", "'0.1'; expected a finite number or null"),
        ("swa_learning_rate", float("nan"), "nan; expected a finite number or null"),
        ("schedule", "multi_step", ""),
        ("milestones", [1], "[1]; expected none with schedule constant"),
        ("milestones", 1, "1; expected a list of int; write milestones: [1]"),
        ("milestones", [True], "[True]; expected a list of int"),
        ("milestones", ["1"], "['1']; expected a list of int"),
        ("augmentation", True, "True; expected keys and values"),
        ("augmentation", [{"flip": True}], "[{'flip': True}]; expected keys and values"),
    ],
)
def test_a_value_of_a_recipe_that_cannot_be_is_refused_with_what_was_expected(tmp_path: Path, key: str, value: Any, expected: str):
    message = refusal(tmp_path, changed((*BASELINE, key), value))
    if value == "multi_step":
        assert message == "benchmarks.small.baseline.milestones is []; expected epochs with schedule multi_step"
    else:
        assert message == f"benchmarks.small.baseline.{key} is {expected}"


def test_the_rate_of_weight_averaging_goes_with_its_epochs(tmp_path: Path):
    averaged = RECIPE | {"swa_epochs": 1, "swa_learning_rate": 1}
    assert load(tmp_path, changed(BASELINE, averaged)).benchmark("small").baseline.swa_learning_rate == 1.0
    assert refusal(tmp_path, changed(BASELINE, averaged | {"swa_learning_rate": -1})).endswith("is -1; expected a number above 0, or null")


@pytest.mark.parametrize("section", ["confidnet", "finetune"])
def test_every_recipe_takes_flat_minima_and_only_the_baseline_smooths_labels(tmp_path: Path, section: str):
    flat = RECIPE | {"sam_radius": 0.05, "swa_epochs": 1, "schedule": "cosine"}
    recipe = getattr(load(tmp_path, changed(("benchmarks", "small", section), flat)).benchmark("small"), section)
    assert (recipe.sam_radius, recipe.swa_epochs, recipe.schedule) == (0.05, 1, "cosine")
    message = refusal(tmp_path, changed(("benchmarks", "small", section, "label_smoothing"), 0.1))
    assert message.startswith(f"benchmarks.small.{section} has label_smoothing, which nothing reads")


@pytest.mark.parametrize("milestones", [[0], [-1], [2, 1], [1, 1]])
def test_milestones_that_do_not_rise_from_1_are_refused(tmp_path: Path, milestones: list[int]):
    stepped = RECIPE | {"schedule": "multi_step", "milestones": milestones}
    assert refusal(tmp_path, changed(BASELINE, stepped)).endswith(f"milestones is {milestones}; expected rising epochs, from 1")


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("confidnet", "dropout", 0.5, "0.5; expected bool"),
        ("confidnet", "dropout", 1, "1; expected bool"),
        ("confidnet", "dropout", "true", "'true'; expected bool"),
        ("confidnet", "kernel", 2, "2; expected 1 or 3 or null"),
        ("confidnet", "kernel", True, "True; expected 1 or 3 or null"),
        ("confidnet", "kernel", 1.0, "1.0; expected 1 or 3 or null"),
        ("confidnet", "widths", [400, 0], "[400, 0]; expected 1 to 65,536 for each layer, or null"),
        ("confidnet", "widths", [400.0], "[400.0]; expected a list of int or null"),
        ("confidnet", "widths", 400, "400; expected a list of int or null; write widths: [400]"),
        ("model", "hidden", True, "True; expected int"),
        ("model", "hidden", "8", "'8'; expected int"),
        ("model", "dropout", "0.3", "'0.3'; expected a finite number"),
        ("model", "dropout", float("nan"), "nan; expected a finite number"),
        ("data", "train", 100.5, "100.5; expected int"),
        ("data", "train", None, "None; expected int"),
    ],
)
def test_ill_typed_values_elsewhere_are_refused_with_what_was_expected(tmp_path: Path, section: str, key: str, value: Any, expected: str):
    assert refusal(tmp_path, changed(("benchmarks", "small", section, key), value)) == f"benchmarks.small.{section}.{key} is {expected}"


def test_a_setting_may_be_of_any_of_the_types_that_the_function_states(tmp_path: Path):
    model = {"name": "vgg16", "width": 1, "pretrained": "weights.pth"}
    assert load(tmp_path, changed(("benchmarks", "small", "model"), model)).benchmark("small").model.settings["pretrained"] == "weights.pth"
    message = refusal(tmp_path, changed(("benchmarks", "small", "model"), model | {"pretrained": 1}))
    assert message == "benchmarks.small.model.pretrained is 1; expected bool or str"


@pytest.mark.parametrize(
    ("augmentation", "expected"),
    [
        ({"rotation": -5}, "rotation is -5; expected 0 to 180 degrees"),
        ({"rotation": 181}, "rotation is 181; expected 0 to 180 degrees"),
        ({"crop": -1}, "crop is -1; expected 0 to 16,384 pixels"),
        ({"crop": 1.5}, "crop is 1.5; expected int"),
        ({"flip": 1}, "flip is 1; expected bool"),
    ],
)
def test_an_augmentation_that_cannot_be_is_refused(tmp_path: Path, augmentation: dict, expected: str):
    assert refusal(tmp_path, changed((*BASELINE, "augmentation"), augmentation)) == f"benchmarks.small.baseline.augmentation.{expected}"


def test_a_recipe_made_in_code_is_checked_alike():
    with pytest.raises(ValueError, match="learning_rate is nan; expected a finite number"):
        Recipe(epochs=1, batch_size=1, learning_rate=float("nan"), optimizer="sgd")
    with pytest.raises(ValueError, match="sam_radius is nan; expected a finite number"):
        Recipe(epochs=1, batch_size=1, learning_rate=0.1, optimizer="sgd", sam_radius=float("nan"))
    with pytest.raises(ValueError, match="label_smoothing is nan; expected a finite number"):
        BaselineRecipe(epochs=1, batch_size=1, learning_rate=0.1, optimizer="sgd", label_smoothing=float("nan"))
