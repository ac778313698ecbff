"""The three trainings: they learn, leave the classifier unchanged, and never read the test split."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small import (
    CONVNET,
    CPU,
    MLP,
    VOID,
    benchmark,
    same,
    segmentation_benchmark,
    small_digits,
    small_segmentation,
    state,
    trained_classifier,
    training,
    without_test,
)
from small_params import replace
from torch import Tensor, nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.recipes import BaselineRecipe
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_confidnet
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, freeze
from confidnet_core.networks.inference import classifier_validation_metrics, predict
from confidnet_core.training.loop import TrainingState
from confidnet_core.training.targets import training_target_summary, warn_if_target_collapsed
from confidnet_core.training.trainings import (
    class_weights,
    finetune_confidnet,
    train_confidnet,
)

DIGITS, DIGITS_WITH_BATCHNORM = (small_digits(), benchmark(MLP)), (small_digits(), benchmark(CONVNET))
SEGMENTATION = (small_segmentation(), segmentation_benchmark())
both_tasks = pytest.mark.parametrize(("dataset", "config"), [DIGITS_WITH_BATCHNORM, SEGMENTATION], ids=["digits", "segmentation"])
CONFIDENCE_METRICS = {"val_loss", "val_aupr_error", "val_auroc", "val_fpr_at_95_tpr"}


def train_head(dataset: Dataset, config: Benchmark, folder: Path) -> tuple[Classifier, ConfidNet, TrainingState]:
    classifier, _ = trained_classifier(dataset, config, folder)
    confidnet = build_confidnet(freeze(classifier), config.confidnet, dataset)
    return classifier, confidnet, train_confidnet(confidnet, training(dataset, config.confidnet, folder, "train_confidnet"))


def logits(classifier: nn.Module, dataset: Dataset) -> np.ndarray:
    return predict(classifier, dataset.split("val")[0], dataset, CPU).logits


def test_the_classifier_learns_digits_in_a_few_epochs(tmp_path: Path):
    dataset, config = small_digits(), benchmark(MLP, epochs=8)
    classifier, fit = trained_classifier(dataset, config, tmp_path)
    assert max(row["val_accuracy"] for row in fit.history) > 0.85
    assert classifier_validation_metrics(classifier, dataset, CPU, "fp32") == fit.best_metrics
    assert fit.history[-1]["train_loss"] < fit.history[0]["train_loss"] / 2


def test_the_head_learns_the_true_class_probability_of_digits(tmp_path: Path):
    dataset, config = small_digits(), benchmark(MLP, epochs=8)
    _, confidnet, fit = train_head(dataset, config, tmp_path)
    losses = [row["val_loss"] for row in fit.history]
    assert min(losses) < losses[0]
    assert set(fit.best_metrics) == CONFIDENCE_METRICS
    assert fit.best_metrics["val_auroc"] > 0.6
    assert fit.best_metrics["val_aupr_error"] == max(row["val_aupr_error"] for row in fit.history)
    assert not confidnet.training


def test_flat_minima_and_smoothed_labels_learn_digits_too(tmp_path: Path):
    dataset, config = small_digits(), benchmark(MLP, epochs=12, schedule="cosine", sam_radius=0.05, swa_epochs=3)
    smoothed = replace(config, baseline=replace(config.baseline, label_smoothing=0.1, class_weights="median_frequency"))
    classifier, fit = trained_classifier(dataset, smoothed, tmp_path / "smoothed")
    assert fit.best_epoch == len(fit.history) == 13
    assert fit.best_metrics["val_accuracy"] > 0.85
    assert classifier_validation_metrics(classifier, dataset, CPU, "fp32") == fit.best_metrics
    _, unsmoothed_fit = trained_classifier(dataset, config, tmp_path / "sharp")
    assert unsmoothed_fit.history[-1]["train_loss"] < fit.history[-1]["train_loss"] - 0.1  # a smoothed target is never met


@pytest.mark.parametrize("flat", [{}, {"sam_radius": 0.05, "swa_epochs": 1}], ids=["plain", "flat"])
@both_tasks
def test_head_and_fine_tuning_leave_the_classifier_bit_for_bit_as_it_is(dataset: Dataset, config: Benchmark, flat: dict, tmp_path: Path):
    config = replace(config, confidnet=replace(config.confidnet, **flat), finetune=replace(config.finetune, **flat))
    classifier, _ = trained_classifier(dataset, config, tmp_path)
    before, answers = state(classifier), logits(classifier, dataset)
    assert any("running_mean" in name for name in before)
    assert config.confidnet.dropout

    confidnet = build_confidnet(freeze(classifier), config.confidnet, dataset)
    head = state(confidnet.head)
    train_confidnet(confidnet, training(dataset, config.confidnet, tmp_path, "train_confidnet"))
    assert confidnet.encoder is classifier
    assert not same(state(confidnet.head), head)
    assert same(state(classifier), before)
    assert np.array_equal(logits(classifier, dataset), answers)

    tuned, head = confidnet.finetuning_copy(), state(confidnet.head)
    finetune_confidnet(tuned, classifier, training(dataset, config.finetune, tmp_path, "finetune"))
    assert same(state(classifier), before)
    assert same(state(confidnet.head), head)
    assert np.array_equal(logits(classifier, dataset), answers)
    moved = {name for name, value in state(tuned.encoder).items() if not torch.equal(value, before[name])}
    assert moved
    assert not any("running" in name or "num_batches" in name for name in moved)
    assert not same(state(tuned.head), head)


def test_segmentation_runs_through_all_three_trainings(tmp_path: Path):
    dataset, config = SEGMENTATION
    classifier, fit = trained_classifier(dataset, config, tmp_path)
    assert set(fit.best_metrics) == {"val_loss", "val_accuracy", "val_mean_iou"}
    assert fit.best_metrics["val_mean_iou"] == max(row["val_mean_iou"] for row in fit.history) > 0.3
    confidnet = build_confidnet(freeze(classifier), config.confidnet, dataset)
    fit = train_confidnet(confidnet, training(dataset, config.confidnet, tmp_path, "train_confidnet"))
    assert set(fit.best_metrics) == CONFIDENCE_METRICS
    tuned = confidnet.finetuning_copy()
    assert finetune_confidnet(tuned, classifier, training(dataset, config.finetune, tmp_path, "finetune")).best_epoch == 1


@both_tasks
def test_no_training_reads_the_test_split(dataset: Dataset, config: Benchmark, tmp_path: Path):
    ends: list[dict[str, Tensor]] = []
    for name, split_dataset in (("plain", dataset), ("sealed", without_test(dataset))):
        classifier, confidnet, _ = train_head(split_dataset, config, tmp_path / name)
        training_target_summary(confidnet, split_dataset, CPU)
        tuned = confidnet.finetuning_copy()
        finetune_confidnet(tuned, classifier, training(split_dataset, config.finetune, tmp_path / name, "finetune"))
        ends.append(state(nn.ModuleList([classifier, confidnet.head, tuned])))
    assert same(*ends)
    with pytest.raises(AssertionError, match="the test split was read"):
        without_test(dataset).split("test")


def test_a_validation_image_that_is_void_throughout_changes_no_metric(tmp_path: Path):
    dataset, config = SEGMENTATION
    first, second, third = dataset.splits["val"]
    labels = dataset.labels.copy()
    labels[third] = VOID
    without, with_void = (
        replace(dataset, labels=labels, splits={**dataset.splits, "val": np.array(val)})
        for val in ([first, second], [first, second, third])
    )
    histories = [
        train_head(dataset_variant, config, tmp_path / str(len(dataset_variant.splits["val"])))[2].history
        for dataset_variant in (without, with_void)
    ]
    assert histories[0][0] == pytest.approx(histories[1][0], rel=1e-5)


def summarise_target(classifier: Classifier, dataset: Dataset, config: Benchmark, dropout: bool) -> dict:
    return training_target_summary(build_confidnet(freeze(classifier), replace(config.confidnet, dropout=dropout), dataset), dataset, CPU)


@both_tasks
def test_the_training_target_counts_the_errors_and_bins_every_labelled_place(dataset: Dataset, config: Benchmark, tmp_path: Path):
    classifier, _ = trained_classifier(dataset, config, tmp_path)
    images, labels = dataset.split("train")
    counted = labels != VOID if dataset.is_segmentation else np.ones(labels.shape, bool)
    predicted = predict(classifier, images, dataset, CPU).predicted
    without_dropout, with_dropout = (summarise_target(classifier, dataset, config, dropout) for dropout in (False, True))
    assert without_dropout["errors"] == np.sum(predicted[counted] != labels[counted]) > 0
    for target in (without_dropout, with_dropout):
        assert target["samples"] == counted.sum() == sum(target["histogram"]["counts"])
        assert list(target["quantiles"].values()) == sorted(target["quantiles"].values())
    assert (without_dropout["dropout"], with_dropout["dropout"]) == (False, True)
    assert without_dropout["histogram"]["counts"] != with_dropout["histogram"]["counts"]
    assert not any(part.training for part in classifier.modules())


def test_the_mean_training_target_is_the_mean_true_class_probability(tmp_path: Path):
    dataset, config = DIGITS
    classifier, _ = trained_classifier(dataset, config, tmp_path)
    images, labels = dataset.split("train")
    outputs = predict(classifier, images, dataset, CPU).logits.astype(np.float64)
    tcp = np.exp(outputs)[np.arange(len(labels)), labels] / np.exp(outputs).sum(1)
    target = summarise_target(classifier, dataset, config, dropout=False)
    assert (target["mean"], target["std"]) == pytest.approx((tcp.mean(), tcp.std()), abs=1e-5)
    assert target["histogram"]["counts"] == np.histogram(tcp, 20, (0, 1))[0].tolist()


def test_a_classifier_that_is_sure_and_right_on_its_training_data_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture):
    dataset = small_digits(train=20)
    config = benchmark(RegistryEntryChoice("mlp", {"hidden": 64, "dropout": 0.0}), epochs=60)
    classifier, _ = trained_classifier(dataset, config, tmp_path)
    target = summarise_target(classifier, dataset, config, dropout=True)
    assert (target["errors"], target["collapsed"]) == (0, True)
    warn_if_target_collapsed(target, "digits")
    assert "WARNING digits: the classifier is nearly always sure and right on its training data (0 errors of 20" in capsys.readouterr().err


@pytest.mark.parametrize("errors", [120, 227])
def test_a_classifier_that_has_learned_nothing_is_not_called_sure(capsys: pytest.CaptureFixture, errors: int):
    warn_if_target_collapsed({"errors": errors, "samples": 300, "mean": 0.11, "std": 0.018, "collapsed": True}, "digits")
    message = capsys.readouterr().err
    assert f"learned next to nothing: it is equally unsure of all its training data ({errors} errors of 300, TCP 0.1100" in message
    assert "more epochs" in message and "fewer" not in message


def test_a_target_with_errors_to_learn_from_is_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture):
    dataset, config = DIGITS
    target = summarise_target(trained_classifier(dataset, config, tmp_path)[0], dataset, config, dropout=True)
    assert target["errors"] > 0
    assert target["std"] > 0.1
    assert not target["collapsed"]
    capsys.readouterr()
    warn_if_target_collapsed(target, "digits")
    assert capsys.readouterr().err == ""


def test_class_weights_count_the_labelled_training_pixels_only():
    dataset = small_segmentation()
    recipe = BaselineRecipe(epochs=1, batch_size=1, learning_rate=0.1, optimizer="adam", class_weights="median_frequency")
    counts = np.array([np.sum(dataset.split("train")[1] == label) for label in range(3)])
    assert class_weights(dataset, recipe, CPU).numpy() == pytest.approx(np.median(counts) / counts, rel=1e-6)
    assert class_weights(without_test(dataset), recipe, CPU).tolist() == class_weights(dataset, recipe, CPU).tolist()
    assert class_weights(dataset, replace(recipe, class_weights="none"), CPU) is None


def test_a_class_that_the_training_split_lacks_has_no_weight_and_the_training_runs(tmp_path: Path):
    dataset, config = DIGITS
    kept = dataset.splits["train"][dataset.labels[dataset.splits["train"]] != 7]
    dataset = replace(dataset, splits={**dataset.splits, "train": kept})
    config = replace(config, baseline=replace(config.baseline, class_weights="median_frequency"))
    weights = class_weights(dataset, config.baseline, CPU)
    assert weights[7] == 0
    assert (weights > 0).sum() == 9
    assert trained_classifier(dataset, config, tmp_path)[1].best_metrics["val_accuracy"] > 0.3
