"""A second opinion: a classifier of its own that leaves the first one as it is, is chosen by its errors, and ranks them by its log-odds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from small import (
    CONVNET,
    CPU,
    MLP,
    benchmark,
    same,
    segmentation_benchmark,
    small_digits,
    small_segmentation,
    state,
    trained_classifier,
    trained_runs,
    training,
    without_test,
)
from small_params import ABSENT, RECIPE, changed, load, refusal, replace

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset, labelled_mask, load_dataset, save_dataset
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.files import read_json
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.artifacts import build_classifier, load_second_opinion
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.inference import predict
from confidnet_core.networks.probabilities import class_log_odds
from confidnet_core.scores.second_opinion import confidence_with_own_answers, second_opinion
from confidnet_core.scoring.run import Run
from confidnet_core.training.trainings import train_second_opinion
from stages import evaluate, inputs, sample, sources, train_baseline
from stages import predict as predict_stage
from stages import train_second_opinion as stage

DIGITS, SEGMENTATION = (small_digits(), benchmark(CONVNET)), (small_segmentation(), segmentation_benchmark())
both_tasks = pytest.mark.parametrize(("dataset", "config"), [DIGITS, SEGMENTATION], ids=["digits", "segmentation"])
both_runs = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return trained_runs(tmp_path_factory)


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")


def log_odds_by_hand(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Of n predictions (n, classes): log p - log of the sum of all other p."""
    rows = np.arange(len(logits))
    others = logits.astype(np.float64).copy()
    others[rows, classes] = -np.inf
    return logits[rows, classes] - logsumexp(others, axis=1)


def labelled_logits(network: torch.nn.Module, dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (n, classes), labels (n,) and which images or pixels are labelled."""
    images, labels = dataset.split(split)
    is_labelled = labelled_mask(labels, dataset.void)
    return np.moveaxis(predict(network, images, dataset, CPU).logits, 1, -1)[is_labelled], labels[is_labelled], is_labelled


@pytest.mark.parametrize("classes", [2, 3, 1000])
def test_log_odds_of_any_class_are_those_of_its_probability(classes: int):
    generator = np.random.default_rng(0)
    logits, asked = generator.normal(0, 5, (50, classes)), generator.integers(0, classes, 50)
    found = class_log_odds(torch.from_numpy(logits), torch.from_numpy(asked))
    np.testing.assert_allclose(found, log_odds_by_hand(logits, asked), rtol=1e-9)


def test_log_odds_stay_finite_where_the_probability_is_0_or_1():
    found = class_log_odds(torch.tensor([[900.0, 0.0], [900.0, 0.0]]).double(), torch.tensor([0, 1]))
    assert found.tolist() == [900.0, -900.0]


@both_tasks
def test_its_training_leaves_the_classifier_bit_for_bit_and_never_reads_the_test_split(dataset: Dataset, config: Benchmark, tmp_path: Path):
    ends, start = [], {}
    for name, part in (("plain", dataset), ("sealed", without_test(dataset))):
        classifier, _ = trained_classifier(part, config, tmp_path / name)
        before, network = state(freeze(classifier)), build_classifier(config.second_opinion_model, part)
        network.load_state_dict(start or network.state_dict())
        start = {key: value.clone() for key, value in network.state_dict().items()}
        train_second_opinion(network, classifier, training(part, config.second_opinion, tmp_path / name, "train_second_opinion"))
        assert same(state(classifier), before) and not same(state(network), start)
        ends.append(state(network))
    assert same(*ends)


@both_tasks
def test_the_best_epoch_is_the_one_that_ranks_the_classifiers_errors_best(dataset: Dataset, config: Benchmark, tmp_path: Path):
    classifier, _ = trained_classifier(dataset, config, tmp_path)
    network = build_classifier(config.second_opinion_model, dataset)
    recipe = replace(config.second_opinion, epochs=4)
    fit = train_second_opinion(network, freeze(classifier), training(dataset, recipe, tmp_path, "train_second_opinion"))
    logits, labels, _ = labelled_logits(network, dataset, "val")
    predicted = labelled_logits(classifier, dataset, "val")[0].argmax(1)
    found = failure_metrics(log_odds_by_hand(logits, predicted), predicted == labels)
    assert found["aupr_error"] == pytest.approx(fit.best_metrics["val_aupr_error"], abs=1e-6)
    assert fit.best_metrics["val_aupr_error"] == max(row["val_aupr_error"] for row in fit.history)
    assert fit.best_metrics["val_accuracy"] == pytest.approx((logits.argmax(1) == labels).mean(), abs=1e-9)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path):
    dataset, config = DIGITS

    def trained(folder: str, stop_at: int | None) -> dict[str, torch.Tensor]:
        def log(metrics: dict, epoch: int) -> None:
            if epoch == stop_at:
                raise KeyboardInterrupt

        classifier, _ = trained_classifier(dataset, config, tmp_path / folder)
        torch.manual_seed(1)
        network = build_classifier(MLP, dataset)
        how = replace(training(dataset, config.second_opinion, tmp_path / folder, "train_second_opinion"), log=log)
        return {**state(network), "best": torch.tensor(train_second_opinion(network, freeze(classifier), how).best_epoch)}

    with pytest.raises(KeyboardInterrupt):
        trained("interrupted", 2)
    assert same(trained("interrupted", None), trained("uninterrupted", None))


@both_runs
@pytest.mark.parametrize("split", ["test", "val", "calibration"])
def test_the_score_is_the_log_odds_that_the_loaded_network_gives_to_each_prediction(runs: dict[str, Run], task: str, split: str):
    run = runs[task].on_split(split)
    network = load_second_opinion(run.models_folder / "second_opinion", run.benchmark, run.dataset)
    logits, _, _ = labelled_logits(network, run.dataset, split)
    np.testing.assert_allclose(second_opinion(run), log_odds_by_hand(logits, run.predicted), rtol=1e-4, atol=1e-4)


@both_runs
def test_one_pass_gives_the_score_and_the_second_network_as_a_classifier(runs: dict[str, Run], task: str):
    run = runs[task]
    confidence, own_confidence, own_correct = confidence_with_own_answers(run)
    logits, labels, _ = labelled_logits(run.second_opinion(), run.dataset, "test")
    np.testing.assert_array_equal(confidence, second_opinion(run))
    np.testing.assert_array_equal(own_correct, logits.argmax(1) == labels)
    np.testing.assert_allclose(own_confidence, log_odds_by_hand(logits, logits.argmax(1)), rtol=1e-4, atol=1e-4)


def test_its_own_model_may_be_another_one_and_is_loaded_as_such(runs: dict[str, Run]):
    run = runs["digits"]
    assert run.benchmark.second_opinion_model == MLP != run.benchmark.model
    assert read_json(run.models_folder / "second_opinion/model.json")["model"]["name"] == "mlp"
    other = replace(run.benchmark, second_opinion=replace(run.benchmark.second_opinion, model=None))
    with pytest.raises(ValueError, match="second_opinion holds another network"):
        load_second_opinion(run.models_folder / "second_opinion", other, run.dataset)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"model": {"name": "mpl"}}, "benchmarks.small.second_opinion.model names mpl"),
        (
            {"model": {"name": "mlp", "hiden": 3}},
            "benchmarks.small.second_opinion.model has hiden, which nothing reads; did you mean hidden?",
        ),
        ({"model": {}}, "benchmarks.small.second_opinion.model lacks name"),
        ({"augmentation": {"cutout": -1}}, "benchmarks.small.second_opinion.augmentation.cutout is -1; expected 0 to 16,384 pixels"),
        ({"augmentation": {"scale": 1}}, "benchmarks.small.second_opinion.augmentation.scale is 1; expected at least 0 and below 1"),
        (
            {"augmentation": {"interpolation": "cubic"}},
            "benchmarks.small.second_opinion.augmentation.interpolation is 'cubic'; expected nearest or bilinear",
        ),
        ({"target": "tcp"}, "benchmarks.small.second_opinion has target, which nothing reads"),
    ],
)
def test_a_mistake_in_its_recipe_is_told_with_its_place(tmp_path: Path, recipe: dict, message: str):
    assert refusal(tmp_path, changed(("benchmarks", "small", "second_opinion"), RECIPE | recipe)).startswith(message)


def test_code_of_ones_own_is_for_the_classifier_alone(root: Path, tmp_path: Path):
    recipe = RECIPE | {"model": {"name": "module", "build": "own_networks:blocks", "arguments": {}}}
    params = load(tmp_path, changed(("benchmarks", "small", "second_opinion"), recipe))
    with pytest.raises(ValueError, match=r"second_opinion\.model is module, which takes code of one's own; only model can"):
        sources.main(params, "small")


def test_the_stages_write_it_and_the_score_says_how_good_it_is_by_itself(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    recipe = RECIPE | {"epochs": 4, "augmentation": {"rotation": 5, "interpolation": "bilinear"}, "model": {"name": "mlp", "hidden": 16}}
    content = changed(("benchmarks", "small", "second_opinion"), recipe)
    params = load(tmp_path, content | {"methods": {"mcp": {}, "second_opinion": {}}})
    save_dataset(small_digits(), Path("data/prepared/small"))
    for stage_main in (train_baseline.main, stage.main, predict_stage.main, sample.main):
        stage_main(params, "small", 0)
    folder = Path("models/small/seed0/second_opinion")
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "origin.json", "weights.pt"]
    assert set(read_json(folder / "model.json")) >= {"val_aupr_error", "val_accuracy", "best_epoch"}
    assert set(read_json(folder / "origin.json")["params"]) == {"data", "model", "second_opinion"}
    inputs.main(params, "small", 0)
    for method in ("mcp", "second_opinion"):
        evaluate.main(params, "small", 0, method)
    stored = Evaluation.read(Path("data/scores/small/seed0/second_opinion/metrics.json"))
    dataset = load_dataset(Path("data/prepared/small"))
    logits, labels, _ = labelled_logits(load_second_opinion(folder, params.benchmark("small"), dataset), dataset, "test")
    assert stored.own is not None and stored.own["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    assert Evaluation.read(Path("data/scores/small/seed0/second_opinion/metrics.json"), "val").own != stored.own
    assert "own" not in read_json(Path("data/scores/small/seed0/mcp/metrics.json"))


def test_a_benchmark_without_the_recipe_leaves_the_score_out(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path, capsys):
    params = load(tmp_path, changed(("benchmarks", "small", "second_opinion"), ABSENT) | {"methods": {"mcp": {}, "second_opinion": {}}})
    save_dataset(small_digits(), Path("data/prepared/small"))
    stage.main(params, "small", 0)
    assert "second_opinion is not trained: benchmarks.small has no recipe second_opinion" in capsys.readouterr().out
    inputs.main(params, "small", 0)
    assert "left out second_opinion: benchmarks.small has no recipe second_opinion" in capsys.readouterr().out
    assert params.benchmark("small").second_opinion_model == RegistryEntryChoice("mlp", {"hidden": 8})
