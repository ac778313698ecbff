"""Small trainings and predictions as one of several processes does them: python -m shared_trainings FOLDER, which writes rankRANK.pt."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from small import (
    CONVNET,
    CPU,
    MLP,
    SEGNET,
    benchmark,
    small_digits,
    small_segmentation,
    state,
    training,
)
from small_params import replace
from torch import Tensor

from confidnet_core.cli.process_group import process_group
from confidnet_core.config.params import Benchmark
from confidnet_core.config.recipes import Augmentation, McDropout
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.inference import classifier_validation_metrics, predict
from confidnet_core.scoring.mc_dropout import sample_dropout
from confidnet_core.system.processes import process_count, process_rank
from confidnet_core.training.targets import training_target_summary
from confidnet_core.training.trainings import (
    finetune_confidnet,
    train_classifier,
    train_confidnet,
    train_corrected_mcp,
    train_second_opinion,
)

# Without Adam, which turns gradients that are 0 but for rounding, as of a bias before BatchNorm, into steps of full length.
SGD = {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.001}
DIGITS = benchmark(CONVNET, epochs=2, batch_size=23, **SGD)  # of 300 images, so that the last batch has one
SEGMENTATION = benchmark(SEGNET, epochs=2, batch_size=5, **SGD)  # of 6 images, so that the last batch has one

Values = dict[str, Tensor]


def classifiers(folder: Path) -> Values:
    """Weights after a training in float64, plain and with each extension, on digits and on pixels with void ones.

    In float32 the weights of two trainings with BatchNorm drift apart within few steps, whatever the cause of the first rounding. On pixels
    there is no black fill, in which all values are equal but for rounding, and it alone decides where max-pooling finds the largest one.
    """
    moved, flipped = Augmentation(rotation=10, crop=2, flip=True), Augmentation(flip=True)
    weighted = {"class_weights": "median_frequency", "label_smoothing": 0.1}
    cases: dict[str, tuple[Dataset, Benchmark, dict]] = {
        "digits": (small_digits(), DIGITS, {"augmentation": moved}),
        "digits_sam": (small_digits(), DIGITS, {"sam_radius": 0.05}),
        "digits_swa": (small_digits(), DIGITS, {"epochs": 3, "swa_epochs": 2, "swa_learning_rate": 0.01}),
        "segmentation": (small_segmentation(), SEGMENTATION, {"augmentation": flipped, **weighted}),
    }
    values: Values = {}
    for name, (dataset, what, settings) in cases.items():
        what = replace(what, baseline=replace(what.baseline, **settings))
        torch.manual_seed(0)
        classifier = build_classifier(what.model, dataset).double()
        classifier.register_forward_pre_hook(lambda network, images: images[0].double())
        train_classifier(classifier, training(dataset, what.baseline, folder / name))
        values |= {f"{name}.{key}": value for key, value in state(classifier).items()}
    return values


def confidences(folder: Path) -> Values:
    """Weights of all confidence networks on one classifier, which was not trained."""
    values: Values = {}
    for name, dataset, what, settings in [
        ("digits", small_digits(), DIGITS, {}),
        ("stored", small_digits(), DIGITS, {"feature_passes": 2}),
        ("ranking", small_digits(), DIGITS, {"target": "correctness", "loss": "ranking"}),
        ("segmentation", small_segmentation(), SEGMENTATION, {"loss": "weighted_bce", "target": "correctness"}),
        ("sampled_pixels", small_segmentation(), SEGMENTATION, {"pixel_share": 0.01, "kernel": 1}),
    ]:
        torch.manual_seed(0)
        classifier = freeze(build_classifier(what.model, dataset))
        recipe = replace(what.confidnet, **settings)
        confidnet = build_confidnet(classifier, recipe, dataset)
        train_confidnet(confidnet, training(dataset, recipe, folder / name, "train_confidnet"))
        tuned, corrected = confidnet.finetuning_copy(), build_corrected_mcp(classifier, what.corrected_mcp, dataset)
        finetune_confidnet(tuned, classifier, training(dataset, what.finetune, folder / name, "finetune"))
        train_corrected_mcp(corrected, training(dataset, what.corrected_mcp, folder / name, "train_corrected_mcp"))
        for part, network in {"head": confidnet.head, "tuned": tuned, "corrected": corrected.head}.items():
            values |= {f"{name}.{part}.{key}": value for key, value in state(network).items()}
    return values | second_opinion(folder)


def second_opinion(folder: Path) -> Values:
    """Weights, and the validation metrics of all epochs, of a second opinion without BatchNorm, in whose images everything is changed."""
    changes = Augmentation(rotation=10, scale=0.1, shear=0.1, crop=1, interpolation="bilinear", brightness=0.2, contrast=0.2, cutout=2)
    dataset, recipe = small_digits(), replace(DIGITS.second_opinion, augmentation=changes)
    torch.manual_seed(0)
    classifier, network = freeze(build_classifier(CONVNET, dataset)), build_classifier(MLP, dataset)
    fit = train_second_opinion(network, classifier, training(dataset, recipe, folder / "second", "train_second_opinion"))
    values = {f"second.{key}": value for key, value in state(network).items()}
    metrics = {key: [row[key] for row in fit.history] for key in fit.best_metrics}
    return values | {f"second.{key}": torch.tensor(column) for key, column in metrics.items()}


def results(folder: Path) -> Values:
    """What is no training, and the same to the last bit: logits, samples of dropout, metrics, targets; ten images in all."""
    values: Values = {}
    for name, dataset, model in [("ten", small_digits(10, 10, 10), CONVNET), ("segmentation", small_segmentation(), SEGNET)]:
        torch.manual_seed(0)
        classifier = freeze(build_classifier(model, dataset))
        metrics = classifier_validation_metrics(classifier, dataset, CPU, "fp32")
        samples = sample_dropout(classifier, dataset, "test", McDropout(passes=2), 0, CPU)
        confidnet = build_confidnet(classifier, benchmark(model).confidnet, dataset)
        target = training_target_summary(confidnet, dataset, CPU)
        logits = predict(classifier, dataset.split("test")[0], dataset, CPU).logits
        numbers = {"samples": len(logits), "target": target["mean"], **{key: value or 0.0 for key, value in metrics.items()}}
        arrays = {"logits": logits, **samples}
        values |= {f"{name}.{key}": torch.from_numpy(np.asarray(value)) for key, value in {**arrays, **numbers}.items()}
    return values


PARTS: dict[str, Callable[[Path], Values]] = {"classifiers": classifiers, "confidences": confidences, "results": results}


def compute(folder: Path) -> dict[str, Values]:
    return {name: part(folder / name) for name, part in PARTS.items()}


if __name__ == "__main__":
    with process_group():
        computed = compute(Path(sys.argv[1]) / str(process_count()))
        torch.save(computed, Path(sys.argv[1]) / f"{process_count()}_rank{process_rank()}.pt")
