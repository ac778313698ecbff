"""Trained networks on disk: loading returns what was saved, and networks that do not fit are refused."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import (
    CONVNET,
    CPU,
    benchmark,
    same,
    segmentation_benchmark,
    small_digits,
    small_segmentation,
    state,
    trained_classifier,
    trained_run,
)
from small_params import RECIPE, changed, load, replace
from torch import nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.data import Dataset, save_dataset
from confidnet_core.files import read_json, write_json
from confidnet_core.networks.artifacts import (
    build_classifier,
    build_confidnet,
    describe_trained_network,
    load_classifier,
    load_confidnet_head,
    load_finetuned_confidnet,
    load_verified_classifier,
    save_history,
    save_network,
    weights_digest,
)
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.inference import map_images
from confidnet_core.revision import stage_code_version
from confidnet_core.scoring.run import Run
from stages import finetune, train_baseline, train_confidnet

BENCHMARK = benchmark(CONVNET)  # with BatchNorm


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained_run(tmp_path_factory.mktemp("digits"), small_digits(), BENCHMARK)


@pytest.fixture(scope="module")
def segmentation_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained_run(tmp_path_factory.mktemp("segmentation"), small_segmentation(), segmentation_benchmark())


@pytest.fixture
def folder(digits_run: Run) -> Path:
    return digits_run.models_folder / "baseline"


def answers(network: nn.Module, dataset: Dataset) -> np.ndarray:
    return map_images(network.to(memory_format=torch.channels_last).eval(), dataset.split("test")[0], dataset, CPU, "test")


@pytest.mark.parametrize("kind", ["digits_run", "segmentation_run"])
def test_what_is_loaded_answers_bit_for_bit_as_what_was_saved(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    run = request.getfixturevalue(kind)
    classifier, _ = trained_classifier(run.dataset, run.benchmark, tmp_path / "resume")
    save_network(tmp_path / "baseline", classifier.state_dict(), describe_trained_network(run.benchmark, run.dataset), {})
    loaded = load_classifier(tmp_path / "baseline", run.benchmark, run.dataset)
    assert not loaded.training
    assert np.array_equal(answers(loaded, run.dataset), answers(classifier, run.dataset))

    torch.manual_seed(1)
    confidnet = build_confidnet(freeze(classifier), run.benchmark.confidnet, run.dataset)
    save_network(tmp_path / "confidnet", confidnet.head.state_dict(), {}, {})
    loaded_head = load_confidnet_head(tmp_path / "confidnet", freeze(loaded))
    assert loaded_head.encoder is loaded
    assert np.array_equal(answers(loaded_head, run.dataset), answers(confidnet, run.dataset))

    tuned = confidnet.finetuning_copy()
    nn.init.normal_(next(tuned.encoder.parameters()))  # an encoder other than the classifier's
    save_network(tmp_path / "finetune", tuned.state_dict(), {}, {})
    before = state(loaded)
    loaded_tuned = load_finetuned_confidnet(tmp_path / "finetune", loaded)
    assert np.array_equal(answers(loaded_tuned, run.dataset), answers(tuned, run.dataset))
    assert not np.array_equal(answers(loaded_tuned, run.dataset), answers(confidnet, run.dataset))
    assert same(state(loaded), before)


def test_equal_trainings_write_equal_files(tmp_path: Path):
    dataset = small_digits()
    first, second = (trained_run(tmp_path / name, dataset, BENCHMARK) for name in ("first", "second"))
    for part in ("baseline", "confidnet", "finetune"):
        files = sorted(path.name for path in (first.models_folder / part).iterdir())
        assert files == ["model.json", "origin.json", "weights.pt"]
        for name in files:
            assert (first.models_folder / part / name).read_bytes() == (second.models_folder / part / name).read_bytes()
        assert weights_digest(first.models_folder / part) == weights_digest(second.models_folder / part)
    digests = {weights_digest(first.models_folder / part) for part in ("baseline", "confidnet", "finetune")}
    assert len(digests) == 3


def test_a_network_says_what_it_was_trained_with_and_a_second_training_says_the_same(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    dataset, content = small_digits(), changed(("benchmarks", "small", "confidnet", "widths"), [8])
    params, sha256 = load(tmp_path, content), save_dataset(dataset, Path("data/prepared/small"))["sha256"]

    def trained() -> dict[Path, bytes]:
        for stage in (train_baseline, train_confidnet, finetune):
            stage.main(params, "small", 3)
        return {path: path.read_bytes() for folder in ("models", "data/histories") for path in Path(folder).rglob("*") if path.is_file()}

    once = trained()
    for command in ("init -q", "-c user.name=a -c user.email=a@b.c commit -q --allow-empty -m first"):
        subprocess.run(["git", *command.split()], check=True)
    assert len(once) == 13 and trained() == once  # whatever commit the same code is of
    sections = {"train_baseline": "baseline", "train_confidnet": "confidnet", "finetune": "finetune"}
    for (stage, section), part in zip(sections.items(), ("baseline", "confidnet", "finetune"), strict=True):
        facts, origin = (read_json(Path("models/small/seed3") / part / f"{name}.json") for name in ("model", "origin"))
        given = content["benchmarks"]["small"]
        assert origin["params"] == {key: given[key] for key in ("data", "model", section)}
        assert (origin["seed"], origin["data_sha256"], origin["data_source"]) == (3, sha256, dataset.source)
        assert origin["code"] == stage_code_version(stage, "mlp")
        assert (facts["model"], facts["image_shape"], len(facts["classes"])) == ({"name": "mlp", "settings": {"hidden": 8}}, [1, 8, 8], 10)
        assert facts["best_epoch"] in (1, 2) and "val_loss" in facts
        assert not set(facts) & set(origin)  # so that equal weights of other code are equal for the stages that read them
        assert ("upstream_sha256" in origin) == (part != "baseline")


@pytest.mark.parametrize("first", ["half", "mean_tcp"])
def test_the_heads_training_starts_where_its_recipe_says(first: str, root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    recipe = RECIPE | {"epochs": 1, "learning_rate": 1e-12, "first_confidence": first}
    params, dataset = load(tmp_path, changed(("benchmarks", "small", "confidnet"), recipe)), small_digits()
    save_dataset(dataset, Path("data/prepared/small"))
    for stage in (train_baseline, train_confidnet):
        stage.main(params, "small", 0)
    folder, config = Path("models/small/seed0"), params.benchmark("small")
    head = load_confidnet_head(folder / "confidnet", load_classifier(folder / "baseline", config, dataset))
    mean = read_json(folder / "confidnet/target.json")["mean"]
    assert abs(mean - 0.5) > 0.1
    start = {"half": 0.5, "mean_tcp": mean}[first]
    np.testing.assert_allclose(1 / (1 + np.exp(-answers(head, dataset))), start, atol=0.03)


def test_other_data_of_the_same_classes_and_shape_is_for_the_network_too(digits_run: Run, folder: Path):
    other = replace(digits_run.dataset, images=255 - digits_run.dataset.images, source="negatives")
    assert same(state(load_classifier(folder, BENCHMARK, other)), state(digits_run.classifier))


def test_the_files_hold_plain_tensors_facts_origin_and_reports(tmp_path: Path):
    weights = {"weight": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    save_network(tmp_path / "network", weights, {"classes": ("a", "b")}, {"seed": 1}, target={"errors": 3})
    loaded = torch.load(tmp_path / "network" / "weights.pt", weights_only=True)
    assert same(loaded, weights)
    assert loaded["weight"].is_contiguous()
    assert read_json(tmp_path / "network" / "model.json") == {"classes": ["a", "b"]}
    assert read_json(tmp_path / "network" / "target.json") == {"errors": 3}
    assert read_json(tmp_path / "network" / "origin.json") == {"seed": 1}


def test_a_history_has_a_row_an_epoch_and_marks_the_one_that_was_kept(tmp_path: Path):
    save_history(tmp_path / "histories/baseline.csv", [{"epoch": 1, "val_auroc": None}, {"epoch": 2, "val_auroc": 0.5}], best_epoch=2)
    table = pd.read_csv(tmp_path / "histories/baseline.csv")
    assert (table["epoch"].tolist(), table["kept"].tolist()) == ([1, 2], [0, 1])
    assert table["val_auroc"].isna().tolist() == [True, False]


def test_an_error_while_writing_leaves_the_former_network(tmp_path: Path):
    save_network(tmp_path / "network", {"weight": torch.ones(2)}, {}, {})
    with pytest.raises(TypeError):
        save_network(tmp_path / "network", {"weight": torch.zeros(2)}, {"facts": object()}, {})
    assert torch.load(tmp_path / "network" / "weights.pt")["weight"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["network"]


@pytest.mark.parametrize(
    ("model", "change", "difference"),
    [
        (RegistryEntryChoice("mlp", {"hidden": 32}), {}, r"model: file .*svhn_convnet.*, wanted .*mlp"),
        (RegistryEntryChoice("svhn_convnet", {"width": 0.5, "feature_dim": 32}), {}, r"model: file .*0\.25.*, wanted .*0\.5"),
        (CONVNET, {"classes": ("zero", *"123456789")}, r"classes: file \['0', .*, wanted \['zero'"),
        (CONVNET, {"images": np.zeros((1797, 1, 16, 8), np.uint8)}, r"image_shape: file \[1, 8, 8\], wanted \[1, 16, 8\]"),
    ],
)
def test_a_network_of_another_model_or_data_is_refused_with_what_differs(
    folder: Path, model: RegistryEntryChoice, change: dict, difference: str
):
    with pytest.raises(ValueError, match=f"holds another network .*{difference}"):
        load_classifier(folder, benchmark(model), replace(small_digits(), **change))


def test_the_start_of_a_pretrained_network_is_not_loaded_again(tmp_path: Path):
    """Whatever `pretrained` names may be gone by then; the trained weights replace it anyway."""
    dataset, config = small_segmentation(), segmentation_benchmark()
    classifier = build_classifier(config.model, dataset)
    config = replace(config, model=RegistryEntryChoice("segnet", {**config.model.settings, "pretrained": str(tmp_path / "gone.pth")}))
    save_network(tmp_path / "baseline", classifier.state_dict(), describe_trained_network(config, dataset), {})
    assert same(state(load_classifier(tmp_path / "baseline", config, dataset)), state(classifier))


def test_weights_that_do_not_fit_are_refused(digits_run: Run, folder: Path, tmp_path: Path):
    facts, weights = read_json(folder / "model.json"), torch.load(folder / "weights.pt")
    weights.pop("output.bias")
    save_network(tmp_path, weights, facts, {})
    with pytest.raises(ValueError, match=r"weights\.pt does not fit .* params\.yaml; delete .* and run `dvc repro`: .*output\.bias"):
        load_classifier(tmp_path, BENCHMARK, digits_run.dataset)
    with pytest.raises(ValueError, match=r"baseline.weights\.pt: the weights .* are not of a confidence head"):
        load_confidnet_head(folder, digits_run.classifier)
    with pytest.raises(ValueError, match=r"confidnet.weights\.pt: the weights \(none\) are not of a confidence head"):
        load_finetuned_confidnet(digits_run.models_folder / "confidnet", digits_run.classifier)
    foreign = torch.load(digits_run.models_folder / "finetune/weights.pt")
    save_network(tmp_path / "finetune", {name: value for name, value in foreign.items() if "encoder" not in name}, {}, {})
    with pytest.raises(ValueError, match=r"finetune.weights\.pt does not fit"):
        load_finetuned_confidnet(tmp_path / "finetune", digits_run.classifier)


@pytest.mark.parametrize("content", [b"", b"no weights\n", b"PK\x03\x04 cut"])
def test_damaged_weights_are_named(digits_run: Run, folder: Path, tmp_path: Path, content: bytes):
    write_json(tmp_path / "model.json", read_json(folder / "model.json"))
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pt is damaged \(\w+\); delete .* and run `dvc repro`"):
        load_classifier(tmp_path, BENCHMARK, digits_run.dataset)


def test_missing_files_are_named(digits_run: Run, folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"model\.json does not exist"):
        load_classifier(tmp_path, BENCHMARK, digits_run.dataset)
    write_json(tmp_path / "model.json", read_json(folder / "model.json"))
    for read in (weights_digest, lambda where: load_classifier(where, BENCHMARK, digits_run.dataset)):
        with pytest.raises(ValueError, match=r"weights\.pt does not exist; `dvc repro` makes it"):
            read(tmp_path)


def test_a_checked_classifier_is_frozen_and_reproduces_its_noted_accuracy(digits_run: Run, folder: Path):
    classifier = load_verified_classifier(folder, BENCHMARK, digits_run.dataset, CPU)
    assert not classifier.training and not any(parameter.requires_grad for parameter in classifier.parameters())


def test_a_classifier_that_does_not_reproduce_its_noted_accuracy_is_refused(digits_run: Run, folder: Path, tmp_path: Path):
    facts = read_json(folder / "model.json")
    recorded = facts["val_accuracy"] - 0.01
    save_network(tmp_path, torch.load(folder / "weights.pt"), {**facts, "val_accuracy": recorded}, {})
    message = f"validation accuracy is {facts['val_accuracy']:.4f}, its training noted {recorded:.4f}; train it again"
    with pytest.raises(ValueError, match=message):
        load_verified_classifier(tmp_path, BENCHMARK, digits_run.dataset, CPU)
