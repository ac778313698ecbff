"""`finetune.reads_softmax`: the head also reads the frozen classifier's softmax, at first without any effect."""

from pathlib import Path

import numpy as np
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
    training,
)
from small_params import RECIPE, changed, load, replace
from torch import nn

from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset, load_dataset, save_dataset
from confidnet_core.networks.artifacts import build_confidnet, load_classifier, load_finetuned_confidnet
from confidnet_core.networks.batches import normalise_images
from confidnet_core.networks.confidnet import ConfidNet, freeze
from confidnet_core.scores.confidnet import confidnet as score
from confidnet_core.scoring.run import Run
from confidnet_core.training.trainings import finetune_confidnet
from stages import finetune, predict, train_baseline, train_confidnet

DIGITS, SEGMENTATION = (small_digits(), benchmark(CONVNET)), (small_segmentation(), segmentation_benchmark())
both_tasks = pytest.mark.parametrize(("dataset", "config"), [DIGITS, SEGMENTATION], ids=["digits", "segmentation"])


def untrained(dataset: Dataset, config: Benchmark, folder: Path) -> tuple[nn.Module, ConfidNet, torch.Tensor]:
    classifier, _ = trained_classifier(dataset, config, folder)
    confidnet = build_confidnet(freeze(classifier), config.confidnet, dataset)
    return classifier, confidnet, normalise_images(torch.from_numpy(np.array(dataset.split("val")[0][:3])), dataset, CPU)


@both_tasks
def test_the_copy_begins_as_the_head_that_it_was_made_of_whatever_the_softmax(dataset: Dataset, config: Benchmark, tmp_path: Path):
    classifier, confidnet, images = untrained(dataset, config, tmp_path)
    copy = confidnet.finetuning_copy(len(dataset.classes))
    with torch.no_grad():
        logits = classifier(images)
        for given in (logits, logits * 0, logits.roll(1, 1)):
            torch.testing.assert_close(copy(images, given), confidnet(images), rtol=1e-5, atol=1e-5)
    assert copy.reads_softmax and not confidnet.finetuning_copy().reads_softmax
    assert copy.head.input_channels == confidnet.head.input_channels + len(dataset.classes)


@both_tasks
def test_once_trained_it_reads_the_softmax_and_the_classifier_stays(dataset: Dataset, config: Benchmark, tmp_path: Path):
    classifier, confidnet, images = untrained(dataset, config, tmp_path)
    before, copy = state(classifier), confidnet.finetuning_copy(len(dataset.classes))
    finetune_confidnet(copy, classifier, training(dataset, replace(config.finetune, reads_softmax=True), tmp_path, "finetune"))
    with torch.no_grad():
        logits = classifier(images)
        assert not torch.allclose(copy(images, logits), copy(images, logits.roll(1, 1)), atol=1e-4)
        torch.testing.assert_close(copy(images, logits), copy(images, logits + 7), rtol=1e-4, atol=1e-4)  # logits up to a number
    assert same(state(classifier), before)


def test_the_stage_stores_it_and_the_score_gives_it_the_stored_logits(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    params = load(tmp_path, changed(("benchmarks", "small", "finetune"), RECIPE | {"reads_softmax": True}))
    save_dataset(small_digits(), Path("data/prepared/small"))
    for stage in (train_baseline, train_confidnet, finetune, predict):
        stage.main(params, "small", 0)
    dataset, what, folder = load_dataset(Path("data/prepared/small")), params.benchmark("small"), Path("models/small/seed0")
    classifier = load_classifier(folder / "baseline", what, dataset)
    network = load_finetuned_confidnet(folder / "finetune", classifier)
    images = normalise_images(torch.from_numpy(np.array(dataset.split("test")[0])), dataset, CPU)
    with torch.no_grad():
        expected = network(images, classifier(images)).sigmoid()
    run = Run("small", what, 0, dataset, folder, Path("data/predictions/small/seed0"))
    assert network.reads_softmax
    np.testing.assert_allclose(score(run), expected, atol=1e-5)
