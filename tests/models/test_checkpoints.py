"""Import of released checkpoints: the networks predict the same, in folders as the training stages write them."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import released_networks as released
import torch
from dvc_project import Project
from released_networks import MODELS, Case, Convnet, Mlp, Vgg, colours, with_head
from ruamel.yaml import YAML
from sklearn.metrics import average_precision_score, roc_auc_score
from small import CPU, benchmark, same, small_digits, trained_run
from small_params import replace
from torch import Tensor

from confidnet_core.checkpoints.importing import import_checkpoint
from confidnet_core.checkpoints.weights import match_layers
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import (
    build_classifier,
    build_confidnet,
    load_classifier,
    load_confidnet_head,
    load_finetuned_confidnet,
)
from confidnet_core.revision import package_code_version

EVERY = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def case(name: str, tmp_path: Path) -> Case:
    return Case(name, tmp_path)


@pytest.fixture
def convnet(tmp_path: Path) -> Case:
    return Case("convnet", tmp_path)


def close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@EVERY
def test_a_classifier_gives_the_logits_of_the_released_one(name: str, case: Case):
    imported = case.take("baseline", case.classifier)
    images, _ = case.split("test")
    with torch.no_grad():
        found = load_classifier(case.models / "baseline", case.benchmark, case.dataset)(images)
    close(found, released.logits(case.classifier, images))

    images, labels = case.split("val")
    accuracy = np.mean(released.logits(case.classifier, images).argmax(1).numpy() == labels)
    assert imported.validation_metrics["val_accuracy"] == pytest.approx(accuracy)
    assert imported.parameter_count == sum(parameter.numel() for parameter in case.classifier.parameters())
    assert (imported.layer_count, imported.epoch) == ({"mlp": 2, "convnet": 4, "vgg": 28}[name], 11)


@EVERY
def test_a_head_gives_the_confidence_of_the_released_one(name: str, case: Case):
    case.take("baseline", case.classifier)
    case.take("confidnet", case.classic)
    images, _ = case.split("test")
    with torch.no_grad():
        found = load_confidnet_head(case.models / "confidnet", case.own())(images)
    close(found, released.confidence(case.classic, images))


@EVERY
def test_a_fine_tuned_copy_gives_the_confidence_of_the_released_one(name: str, case: Case):
    case.take("baseline", case.classifier)
    case.take("finetune", case.clone)
    images, _ = case.split("test")
    tuned = load_finetuned_confidnet(case.models / "finetune", case.own())
    with torch.no_grad():
        close(tuned(images), released.confidence(case.clone["uncertainty_network"], images))
    assert torch.equal(tuned.encoder.output.weight, case.classifier.fc2.weight)  # the copy's own has one class and no use


def test_the_folders_hold_what_the_training_stages_write(convnet: Case):
    for kind, network, files in (
        ("baseline", convnet.classifier, []),
        ("confidnet", convnet.classic, ["target.json"]),
        ("finetune", convnet.clone, []),
    ):
        imported = convnet.take(kind, network)
        folder = convnet.models / kind
        assert sorted(path.name for path in folder.iterdir()) == ["model.json", "origin.json", *files, "weights.pt"]
        facts, origin = read_json(folder / "model.json"), read_json(folder / "origin.json")
        digest = sha256((convnet.folder / "released.ckpt").read_bytes()).hexdigest()
        assert origin["imported"] == {"file": "released.ckpt", "sha256": digest, "epoch": 11}
        assert facts["best_epoch"] == 11
        assert {key: facts[key] for key in imported.validation_metrics} == imported.validation_metrics
    assert origin["upstream_sha256"]["baseline"] == sha256((convnet.models / "baseline/weights.pt").read_bytes()).hexdigest()
    assert read_json(convnet.models / "confidnet/target.json")["samples"] == 300


def test_the_metrics_of_a_confidence_are_measured_on_validation_data(convnet: Case):
    convnet.take("baseline", convnet.classifier)
    metrics = convnet.take("finetune", convnet.clone).validation_metrics
    images, labels = convnet.split("val")
    answers, sure = released.logits(convnet.classifier, images), released.confidence(convnet.clone["uncertainty_network"], images)
    correct = answers.argmax(1).numpy() == labels
    tcp = answers.softmax(1)[torch.arange(len(labels)), torch.from_numpy(labels).long()]
    assert metrics["val_loss"] == pytest.approx(float(((sure.sigmoid() - tcp) ** 2).mean()))
    assert metrics["val_auroc"] == pytest.approx(roc_auc_score(correct, sure))
    assert metrics["val_aupr_error"] == pytest.approx(average_precision_score(~correct, -sure))


@pytest.mark.parametrize(
    ("choice", "network", "shape", "parameters", "head"),
    [
        ("mlp", Mlp, (1, 28, 28), 795_010, 882_001),
        ("mnist_convnet", Convnet, (1, 28, 28), 1_199_882, 533_201),
        ("vgg16", Vgg, (3, 32, 32), 14_990_922, 686_801),
    ],
)
def test_networks_of_the_published_size_fit_our_defaults(choice: str, network: type, shape: tuple, parameters: int, head: int):
    dataset = replace(colours(), images=np.zeros((90, *shape), np.uint8), mean=(0.5,) * shape[0], std=(0.5,) * shape[0])
    with torch.device("meta"):
        theirs = with_head(network(10))
        classifier = build_classifier(RegistryEntryChoice(choice, {}), dataset)
        ours = build_confidnet(classifier, replace(benchmark().confidnet, widths=None), dataset).head
    state = theirs.state_dict()
    parts = ({name: state[name] for name in state if ("uncertainty" in name) == is_head} for is_head in (False, True))
    assert [match_layers(part, own.state_dict())[1] for part, own in zip(parts, (classifier, ours), strict=True)] == [[], []]
    assert [sum(value.numel() for value in own.parameters()) for own in (classifier, ours)] == [parameters, head]


def test_an_import_of_a_trained_network_notes_what_its_training_noted(tmp_path: Path):
    """Trained networks, exported as a checkpoint under other parameter names, are imported with equal weights and metrics."""
    run = trained_run(tmp_path, small_digits(), benchmark(MODELS["mlp"][0]))
    own = {kind: torch.load(run.models_folder / kind / "weights.pt") for kind in ("baseline", "confidnet", "finetune")}
    copy = {name.removeprefix("encoder."): value for name, value in own["finetune"].items() if name.startswith("encoder.")}
    tuned_head = {name: value for name, value in own["finetune"].items() if name.startswith("head.")}
    one_class = copy | {name: value[:1] for name, value in copy.items() if name.startswith("output.")}
    checkpoints = {
        "baseline": own["baseline"],
        "confidnet": own["baseline"] | {f"uncertainty.{name}": value for name, value in own["confidnet"].items()},
        "finetune": {f"pred_network.{name}": value for name, value in own["baseline"].items()}
        | {f"uncertainty_network.{name}": value for name, value in one_class.items()}
        | {f"uncertainty_network.uncertainty.{name}": value for name, value in tuned_head.items()},
    }
    for kind, state in checkpoints.items():
        torch.save({"model_state_dict": state}, tmp_path / "own.ckpt")
        import_checkpoint(kind, tmp_path / "own.ckpt", run.benchmark, run.dataset, tmp_path / "models", CPU)
        assert same(torch.load(tmp_path / "models" / kind / "weights.pt"), own[kind])
        noted, imported = (read_json(folder / kind / "model.json") for folder in (run.models_folder, tmp_path / "models"))
        assert read_json(tmp_path / "models" / kind / "origin.json")["imported"]["epoch"] is None and imported["best_epoch"] is None
        kept = [key for key in noted if key != "best_epoch" and not key.startswith("val_")]
        assert {key: imported[key] for key in kept} == {key: noted[key] for key in kept} and "model" in kept
        figures = {key: value for key, value in noted.items() if key.startswith("val_")}
        assert figures and {key: imported[key] for key in figures} == pytest.approx(figures, rel=1e-5)


@pytest.mark.slow
def test_later_stages_go_on_from_what_was_imported(tmp_path: Path):
    """Real DVC: the trainings that `dvc commit` takes as done never run."""
    project = Project.create(
        tmp_path / "project",
        **{"benchmarks.digits.mc_dropout.passes": 2},
        **{f"benchmarks.digits.{head}.epochs": 1 for head in ("confidnet", "corrected_mcp")},
    )
    project.dvc("repro", "prepare@digits")
    torch.manual_seed(0)
    classifier = Convnet(10, (16, 32), 4)
    stated = YAML(typ="safe").load(project.folder / "params.yaml")["benchmarks"]["digits"]
    clone = released.cloning(classifier, with_head(Convnet(1, (16, 32), 4)))
    for kind, stage, network in (("baseline", "train_baseline", classifier), ("finetune", "finetune", clone)):
        path = released.save(network, tmp_path / f"{kind}.ckpt")
        words = [sys.executable, "-m", "stages.import_checkpoint", "digits", "0", kind, str(path)]
        done = subprocess.run(words, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        folder = project.folder / "models/digits/seed0" / kind
        first, last = done.stdout.splitlines()
        parameters = 22_602 if kind == "baseline" else 22_602 + 533_201
        assert first.startswith(f"models/digits/seed0/{kind}: ") and f"{parameters} parameters from {kind}.ckpt of epoch 11" in first
        assert last == f"next: dvc commit -f {stage}@digits-0"
        facts = read_json(folder / "origin.json")
        history = pd.read_csv(project.folder / f"data/histories/digits/seed0/{kind}.csv")
        assert (history["epoch"].tolist(), history["kept"].tolist()) == ([11], [1])
        assert facts["data_sha256"] == read_json(project.folder / "data/prepared/digits/facts.json")["sha256"]
        assert facts["params"] == {section: stated[section] for section in ("data", "model")}
        assert (facts["seed"], facts["code"]) == (0, package_code_version())
        project.dvc("commit", "-f", f"{stage}@digits-0")
        if kind == "baseline":
            assert project.stages_run("repro", "train_confidnet@digits-0") == ["train_confidnet@digits-0"]
    others = [f"{stage}@digits-0" for stage in ("finetune_augmented", "train_corrected_mcp", "train_second_opinion", "sample", "predict")]
    others += ["ensemble@digits", "inputs@digits-0"]
    assert sorted(project.stages_run("repro", "evaluate@digits-0-confidnet")) == sorted([*others, "evaluate@digits-0-confidnet"])
    dataset = load_dataset(project.folder / "data/prepared/digits")
    images = torch.from_numpy(np.array(dataset.split("test")[0])).float() / 255
    expected = released.confidence(clone["uncertainty_network"], (images - dataset.mean[0]) / dataset.std[0]).sigmoid()
    found = np.load(project.folder / "data/scores/digits/seed0/confidnet/test.npy")
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "module.module."])
@pytest.mark.parametrize("kind", ["baseline", "confidnet", "finetune"])
def test_a_checkpoint_saved_by_data_parallel_or_compiled_is_read_as_without_it(kind: str, prefix: str, convnet: Case):
    convnet.take("baseline", convnet.classifier)
    network = {"baseline": convnet.classifier, "confidnet": convnet.classic, "finetune": convnet.clone}[kind]
    convnet.take(kind, network)
    expected = (convnet.models / kind / "weights.pt").read_bytes()
    convnet.take(kind, network, model_state_dict={prefix + name: tensor for name, tensor in network.state_dict().items()})
    assert (convnet.models / kind / "weights.pt").read_bytes() == expected
