"""Corrected MCP: it starts as MCP, its training leaves the classifier unchanged, and it is kept only where it is better."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small import (
    CONVNET,
    MLP,
    benchmark,
    same,
    segmentation_benchmark,
    small_digits,
    small_segmentation,
    state,
    trained_classifier,
    trained_run,
    training,
    without_test,
)
from small_params import RECIPE, changed, load, replace
from torch import nn

from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset, labelled_mask, load_dataset, save_dataset
from confidnet_core.files import read_json
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.artifacts import build_corrected_mcp, load_classifier, load_corrected_mcp, save_network
from confidnet_core.networks.batches import inference_batches
from confidnet_core.networks.confidnet import CorrectedMcp, freeze, logit_features
from confidnet_core.scores.corrected_mcp import corrected_mcp
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scoring.run import Run
from confidnet_core.training.trainings import train_corrected_mcp
from stages import train_baseline
from stages import train_corrected_mcp as stage

DIGITS, SEGMENTATION = (small_digits(), benchmark(CONVNET)), (small_segmentation(), segmentation_benchmark())
both_tasks = pytest.mark.parametrize(("dataset", "config"), [DIGITS, SEGMENTATION], ids=["digits", "segmentation"])


def corrected(dataset: Dataset, config: Benchmark, folder: Path) -> CorrectedMcp:
    classifier, _ = trained_classifier(dataset, config, folder)
    return build_corrected_mcp(freeze(classifier), config.corrected_mcp, dataset)


def answers(network: nn.Module, dataset: Dataset, split: str = "val") -> np.ndarray:
    with torch.inference_mode():
        batches = inference_batches(dataset.split(split)[0], dataset, torch.device("cpu"))
        return torch.cat([network(batch) for _, batch in batches]).numpy()


def validation_aupr_error(confidence: np.ndarray, classifier: nn.Module, dataset: Dataset) -> float:
    labels = dataset.split("val")[1]
    counted, predicted = labelled_mask(labels, dataset.void), answers(classifier, dataset).argmax(1)
    return failure_metrics(confidence[counted], (predicted == labels)[counted])["aupr_error"]


def test_what_a_head_sees_of_the_logits_by_hand():
    """Probabilities 1/2, 1/4, 1/4, whatever their order: logs of them, and log-odds 0 of the largest; over 5."""
    seen = logit_features(torch.tensor([[1.0, 2.0, 1.0]]).log())
    assert seen.tolist() == [pytest.approx([np.log(1 / 2) / 5, np.log(1 / 4) / 5, np.log(1 / 4) / 5, 0])]
    assert logit_features(torch.tensor([[500.0, 0.0, 0.0]])).tolist() == [[0, -4, -4, 4]]


@both_tasks
def test_before_any_training_it_is_the_log_odds_of_mcp(dataset: Dataset, config: Benchmark, tmp_path: Path):
    network = corrected(dataset, config, tmp_path)
    mcp = torch.from_numpy(answers(network.encoder, dataset)).double().softmax(1).amax(1)
    assert np.allclose(answers(network, dataset), mcp.logit(), atol=1e-4)


@both_tasks
def test_training_it_leaves_the_classifier_bit_for_bit_as_it_is_and_never_reads_the_test_split(
    dataset: Dataset, config: Benchmark, tmp_path: Path
):
    network = corrected(dataset, config, tmp_path)
    before, head = state(network.encoder), state(network.head)
    fit = train_corrected_mcp(network, training(without_test(dataset), config.corrected_mcp, tmp_path, "train_corrected_mcp"))
    assert same(state(network.encoder), before)
    assert [row["epoch"] for row in fit.history] == list(range(config.corrected_mcp.epochs + 1))
    assert same(state(network.head), head) == (fit.best_epoch == 0)


@both_tasks
def test_the_result_is_never_worse_than_mcp_on_validation_data(dataset: Dataset, config: Benchmark, tmp_path: Path):
    network = corrected(dataset, replace(config, corrected_mcp=replace(config.corrected_mcp, epochs=4)), tmp_path)
    mcp = validation_aupr_error(answers(network, dataset), network.encoder, dataset)
    fit = train_corrected_mcp(network, training(dataset, config.corrected_mcp, tmp_path, "train_corrected_mcp"))
    found = validation_aupr_error(answers(network, dataset), network.encoder, dataset)
    assert found == fit.best_metrics["val_aupr_error"] == max(row["val_aupr_error"] for row in fit.history) >= mcp
    assert fit.history[0]["val_aupr_error"] == mcp


def test_a_training_that_only_harms_leaves_mcp(tmp_path: Path):
    dataset, config = DIGITS
    network = corrected(dataset, config, tmp_path)
    before = state(network.head)
    harmful = replace(config.corrected_mcp, epochs=1, learning_rate=50.0, optimizer="sgd", batch_size=300, loss="mse")
    fit = train_corrected_mcp(network, training(dataset, harmful, tmp_path, "train_corrected_mcp"))
    assert fit.history[1]["val_aupr_error"] < fit.history[0]["val_aupr_error"]
    assert fit.best_epoch == 0 and same(state(network.head), before)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path):
    dataset, config = DIGITS

    def trained(folder: str, stop_at: int | None) -> dict[str, torch.Tensor]:
        def log(metrics: dict, epoch: int) -> None:
            if epoch == stop_at:
                raise KeyboardInterrupt

        classifier, _ = trained_classifier(dataset, config, tmp_path / folder)
        torch.manual_seed(1)
        network = build_corrected_mcp(freeze(classifier), config.corrected_mcp, dataset)
        how = replace(training(dataset, replace(config.corrected_mcp, epochs=3), tmp_path / folder, "train_corrected_mcp"), log=log)
        return {**state(network), "epochs": torch.tensor([row["epoch"] for row in train_corrected_mcp(network, how).history])}

    for stop_at in (0, 2):
        with pytest.raises(KeyboardInterrupt):
            trained("interrupted", stop_at)
    assert same(trained("interrupted", None), trained("uninterrupted", None))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained_run(tmp_path_factory.mktemp("corrected_mcp"), *DIGITS)


def test_the_score_is_the_loaded_network_on_the_split(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    network = load_corrected_mcp(run.models_folder / "corrected_mcp", run.classifier)
    assert np.array_equal(corrected_mcp(run), answers(network, run.dataset, "test"))
    assert np.array_equal(corrected_mcp(run.validation), answers(network, run.dataset, "val"))


def test_a_head_that_adds_nothing_scores_as_mcp_does(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    untrained = build_corrected_mcp(run.classifier, run.benchmark.corrected_mcp, run.dataset)
    save_network(tmp_path / "corrected_mcp", untrained.head.state_dict(), {}, {})
    other = replace(run, models_folder=tmp_path)
    save_network(tmp_path / "baseline", run.classifier.state_dict(), read_json(run.models_folder / "baseline/model.json"), {})
    assert np.allclose(corrected_mcp(other), log_odds(run), atol=1e-4)


def test_the_stage_writes_the_head_its_history_and_where_it_comes_from(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    params = load(tmp_path, changed(("benchmarks", "small", "corrected_mcp"), RECIPE | {"widths": [8]}))
    save_dataset(small_digits(), Path("data/prepared/small"))
    train_baseline.main(params, "small", 0)
    stage.main(params, "small", 0)
    folder, dataset, config = Path("models/small/seed0"), load_dataset(Path("data/prepared/small")), params.benchmark("small")
    assert sorted(path.name for path in (folder / "corrected_mcp").iterdir()) == ["model.json", "origin.json", "weights.pt"]
    facts, origin = (read_json(folder / f"corrected_mcp/{name}.json") for name in ("model", "origin"))
    assert Path("data/histories/small/seed0/corrected_mcp.csv").exists()
    assert set(origin["params"]) == {"data", "model", "corrected_mcp"} and list(origin["upstream_sha256"]) == ["baseline"]
    network = load_corrected_mcp(folder / "corrected_mcp", load_classifier(folder / "baseline", config, dataset))
    assert validation_aupr_error(answers(network, dataset), network.encoder, dataset) == pytest.approx(facts["val_aupr_error"])


def test_a_kernel_without_an_image_to_slide_it_over_is_refused(tmp_path: Path):
    dataset, config = small_digits(), benchmark(MLP)
    with pytest.raises(ValueError, match=r"corrected_mcp.kernel is 3, but .* is no segmentation; remove the key"):
        corrected(dataset, replace(config, corrected_mcp=replace(config.corrected_mcp, kernel=3)), tmp_path)
