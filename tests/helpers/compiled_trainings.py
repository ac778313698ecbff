"""Small trainings with and without `compile: true`: python -m compiled_trainings FOLDER, which writes PROCESSES_rankRANK.pt."""

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from shared_trainings import DIGITS, Values
from small import small_digits, state, training
from small_params import replace
from torch import nn
from torch._dynamo.utils import counters

from confidnet_core.cli.process_group import process_group
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import freeze
from confidnet_core.system.processes import process_count, process_rank
from confidnet_core.training.trainings import finetune_confidnet, train_classifier, train_confidnet, train_corrected_mcp

DATASET = small_digits()
# Of 300 images. Each shape is compiled for itself, in seconds: so the shapes are the same in a process of a group as in a single one, and
# only the heads have a last batch that is smaller.
SHAPES = {"epochs": 2, "batch_size": 150 * process_count()}
UNEVEN = {"epochs": 2, "batch_size": 128 * process_count()}


def classifier_in_float64() -> nn.Module:
    torch.manual_seed(0)
    classifier = build_classifier(DIGITS.model, DATASET).double()
    classifier.register_forward_pre_hook(lambda network, images: images[0].double())
    return classifier


def trained_networks(folder: Path, compile: bool) -> Values:
    """Weights of the four networks on digits: the classifier's with SAM and SWA, in float64, since rounding grows in a training."""
    flat = {"sam_radius": 0.05, "swa_epochs": 1}
    classifier = classifier_in_float64()
    train_classifier(classifier, training(DATASET, replace(DIGITS.baseline, compile=compile, **SHAPES, **flat), folder / "baseline"))
    torch.manual_seed(0)
    frozen = freeze(build_classifier(DIGITS.model, DATASET))
    recipe = replace(DIGITS.confidnet, compile=compile, **UNEVEN)
    confidnet = build_confidnet(frozen, recipe, DATASET)
    train_confidnet(confidnet, training(DATASET, recipe, folder, "train_confidnet"))
    tuned, corrected = confidnet.finetuning_copy(), build_corrected_mcp(frozen, DIGITS.corrected_mcp, DATASET)
    finetune_confidnet(tuned, frozen, training(DATASET, replace(DIGITS.finetune, compile=compile, **SHAPES), folder, "finetune"))
    recipe = replace(DIGITS.corrected_mcp, compile=compile, **UNEVEN)
    train_corrected_mcp(corrected, training(DATASET, recipe, folder, "train_corrected_mcp"))
    networks = {"classifier": classifier, "head": confidnet.head, "tuned": tuned, "corrected": corrected.head}
    return {f"{name}.{key}": value for name, network in networks.items() for key, value in state(network).items()}


def resumed(folder: Path) -> Values:
    """Weights of the compiled classifier whose training was interrupted in its second epoch, and then went on."""
    recipe = replace(DIGITS.baseline, compile=True, **SHAPES, sam_radius=0.05, swa_epochs=1)

    def interrupt(metrics: dict, epoch: int) -> None:  # before the epoch is saved
        if epoch == 2:
            raise KeyboardInterrupt

    try:
        train_classifier(classifier_in_float64(), replace(training(DATASET, recipe, folder), log=interrupt))
    except KeyboardInterrupt:
        classifier = classifier_in_float64()
        train_classifier(classifier, training(DATASET, recipe, folder))
    return {f"classifier.{key}": value for key, value in state(classifier).items()}


if __name__ == "__main__":
    with process_group() if process_count() > 1 else nullcontext():
        results_folder, name = Path(sys.argv[1]), f"{process_count()}_rank{process_rank()}"
        results = {"plain": trained_networks(results_folder / name / "plain", False)}
        results["graphs"] = {"plain": counters["stats"]["unique_graphs"]}
        results["compiled"] = trained_networks(results_folder / name / "compiled", True)
        if process_count() == 1:
            results["resumed"] = resumed(results_folder / name / "resumed")
        results["graphs"]["compiled"] = counters["stats"]["unique_graphs"]
        torch.save(results, results_folder / f"{name}.pt")
