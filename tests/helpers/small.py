"""Small real data, trainings and trained folders that tests share: digits of 8x8 pixels, and blocks of colour to segment.

Everything runs on the CPU, where equal trainings end bit-equal.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_once import copy_of
from small_params import replace
from torch import Tensor, nn

from confidnet_core import paths
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark, CalibrationSplit
from confidnet_core.config.recipes import (
    Augmentation,
    BaselineRecipe,
    ConfidnetRecipe,
    CorrectedMcpRecipe,
    FinetuneRecipe,
    McDropout,
    Recipe,
    SecondOpinionRecipe,
)
from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.data import PREPARED_SPLITS, Dataset, load_dataset, save_dataset
from confidnet_core.datasets.digits import digits
from confidnet_core.networks.artifacts import (
    build_classifier,
    build_confidnet,
    build_corrected_mcp,
    describe_trained_network,
    save_history,
    save_network,
)
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.inference import Predictions, predict, prediction_metrics, save_predictions
from confidnet_core.scoring.ensembles import save_ensembles
from confidnet_core.scoring.mc_dropout import sample_dropout, save_dropout_samples
from confidnet_core.scoring.run import Run
from confidnet_core.splits import add_calibration_split
from confidnet_core.training.loop import Training, TrainingState
from confidnet_core.training.resume import ResumeFolder
from confidnet_core.training.trainings import (
    finetune_confidnet,
    train_classifier,
    train_confidnet,
    train_corrected_mcp,
    train_second_opinion,
)

CPU = torch.device("cpu")
VOID = 3  # of the segmentation data, after its three classes

MLP = RegistryEntryChoice("mlp", {"hidden": 32, "dropout": 0.3})
CONVNET = RegistryEntryChoice("svhn_convnet", {"width": 0.25, "feature_dim": 32})  # with BatchNorm
SEGNET = RegistryEntryChoice("segnet", {"width": 1 / 8})

BASELINE = BaselineRecipe(epochs=3, batch_size=32, learning_rate=0.01, optimizer="adam")
CONFIDNET = ConfidnetRecipe(epochs=3, batch_size=32, learning_rate=0.002, optimizer="adam", widths=(16, 16))
FINETUNE = FinetuneRecipe(epochs=2, batch_size=32, learning_rate=0.001, optimizer="adam")
MC_DROPOUT = McDropout(passes=3)
CORRECTED_MCP = CorrectedMcpRecipe(epochs=2, batch_size=32, learning_rate=0.002, optimizer="adam", widths=(16, 16))
SECOND_OPINION = SecondOpinionRecipe(
    epochs=3, batch_size=32, learning_rate=0.01, optimizer="adam", augmentation=Augmentation(scale=0.1, brightness=0.1)
)


def benchmark(model: RegistryEntryChoice = MLP, **settings: object) -> Benchmark:
    """settings: of all recipes."""
    recipes = {
        **{"baseline": BASELINE, "confidnet": CONFIDNET, "finetune": FINETUNE, "finetune_augmented": FINETUNE},
        **{"corrected_mcp": CORRECTED_MCP, "second_opinion": SECOND_OPINION},
    }
    recipes = {name: replace(recipe, **settings) for name, recipe in recipes.items()}
    return Benchmark(data=RegistryEntryChoice("digits", {}), model=model, **recipes, mc_dropout=MC_DROPOUT)


def segmentation_benchmark() -> Benchmark:
    """Ten epochs for SegNet, which then is right on six pixels of ten, and one each for the confidence."""
    what = benchmark(SEGNET, epochs=1, batch_size=1)
    return replace(what, baseline=replace(what.baseline, epochs=10))


def small_digits(train: int = 300, val: int = 300, test: int = 300) -> Dataset:
    """With half as many for calibration as for validation."""
    return add_calibration_split(digits(train=train, val=val + val // 2, test=test), CalibrationSplit(share=1 / 3, gap=0, seed=0))


def small_segmentation() -> Dataset:
    """14 noisy images 3x32x48 of 8x8 blocks in three colours; void on two columns at the left and on single pixels."""
    rng = np.random.default_rng(0)
    images, labels = map(np.concatenate, zip(_blocks(rng, 12), _blocks(rng, 2), strict=True))
    return Dataset(
        images=np.ascontiguousarray(np.moveaxis(images, -1, 1)),
        labels=labels,
        splits=dict(zip(PREPARED_SPLITS, np.split(np.arange(14), [6, 9, 12]), strict=True)),
        classes=("wall", "lawn", "hedge"),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        source="blocks of colour",
        void=VOID,
    )


def _blocks(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 3, (count, 4, 6)).repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    colours = np.array([[200, 60, 60], [60, 200, 60], [90, 160, 90]])
    images = (colours[labels] + rng.normal(0, 60, (*labels.shape, 3))).clip(0, 255).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.05] = VOID
    labels[:, :, :2] = VOID
    return images, labels


class Sealed(Dataset):
    """Whoever asks for the test or the calibration split fails."""

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name in ("test", "calibration"):
            raise AssertionError(f"the {name} split was read")
        return super().split(name)


def without_test(dataset: Dataset) -> Sealed:
    """Sealed, and with garbage where its test and calibration splits were."""
    images, labels, rng = dataset.images.copy(), dataset.labels.copy(), np.random.default_rng(1)
    test = np.concatenate([dataset.splits[name] for name in ("test", "calibration")])
    images[test] = rng.integers(0, 256, images[test].shape)
    labels[test] = rng.integers(0, len(dataset.classes), labels[test].shape)
    return Sealed(**{**vars(dataset), "images": images, "labels": labels})


def training(dataset: Dataset, recipe: Recipe, folder: Path, stage: str = "train_baseline", seed: int = 0) -> Training:
    return Training(stage, dataset, recipe, seed, CPU, ResumeFolder(folder / stage), lambda metrics, epoch: None)


def trained_classifier(dataset: Dataset, what: Benchmark, folder: Path) -> tuple[nn.Module, TrainingState]:
    torch.manual_seed(0)
    classifier = build_classifier(what.model, dataset)
    return classifier, train_classifier(classifier, training(dataset, what.baseline, folder))


def save(root: Path, name: str, part: str, weights: dict[str, Tensor], facts: dict[str, Any], state: TrainingState) -> None:
    """A network and its history, as the training stages write them under ROOT."""
    save_network(root / paths.network_folder(name, 0, part), weights, facts, {})
    save_history(root / paths.history_path(name, 0, part), state.history, state.best_epoch)


def trained_run(root: Path, dataset: Dataset, what: Benchmark, name: str = "small") -> Run:
    """All trainings, and everything that a score may read, in the folders that the stages write under ROOT."""
    predictions, resume = root / "data/predictions" / name / "seed0", root / ".resume" / name
    save_dataset(dataset, root / "data/prepared" / name)
    dataset = load_dataset(root / "data/prepared" / name)
    classifier, fit = trained_classifier(dataset, what, resume)
    save(root, name, "baseline", classifier.state_dict(), described(what, dataset, fit), fit)

    confidnet = build_confidnet(freeze(classifier), what.confidnet, dataset)
    fit = train_confidnet(confidnet, training(dataset, what.confidnet, resume, "train_confidnet"))
    save(root, name, "confidnet", confidnet.head.state_dict(), described(what, dataset, fit), fit)

    for part, recipe in {"finetune": what.finetune, "finetune_augmented": what.finetune_augmented}.items():
        tuned = confidnet.finetuning_copy(len(dataset.classes) if recipe.reads_softmax else 0)
        fit = finetune_confidnet(tuned, classifier, training(dataset, recipe, resume, part))
        save(root, name, part, tuned.state_dict(), described(what, dataset, fit), fit)

    corrected = build_corrected_mcp(freeze(classifier), what.corrected_mcp, dataset)
    fit = train_corrected_mcp(corrected, training(dataset, what.corrected_mcp, resume, "train_corrected_mcp"))
    save(root, name, "corrected_mcp", corrected.head.state_dict(), described(what, dataset, fit), fit)

    second_benchmark = replace(what, model=what.second_opinion_model)
    second = build_classifier(second_benchmark.model, dataset)
    fit = train_second_opinion(second, classifier, training(dataset, what.second_opinion, resume, "train_second_opinion"))
    save(root, name, "second_opinion", second.state_dict(), described(second_benchmark, dataset, fit), fit)

    answers = {split: predict(classifier, dataset.split(split)[0], dataset, CPU) for split in ("test", "val", "calibration")}
    save_predictions(predictions, answers, prediction_metrics(answers["test"], dataset.split("test")[1], dataset))
    sampled = {split: sample_dropout(classifier, dataset, split, MC_DROPOUT, 0, CPU) for split in answers}
    save_dropout_samples(root / "data/samples" / name / "seed0", sampled, 3, classifier_has_dropout=True)

    torch.manual_seed(1)  # a classifier of another seed, untrained
    other = build_classifier(what.model, dataset)
    answers = {split: predict(other, dataset.split(split)[0], dataset, CPU) for split in answers}
    save_predictions(predictions.with_name("seed1"), answers, {})
    ensembles = root / "data/ensembles" / name
    save_ensembles(ensembles, entry_attributes("scores", entry_names("scores"), "over_seeds"), [0, 1], predictions.parent, dataset)
    return stored_run(root, what, name)


def stored_run(root: Path, what: Benchmark, name: str = "small") -> Run:
    """The run that `trained_run` has written under ROOT, which has loaded nothing yet."""
    models, predictions = root / "models" / name / "seed0", root / "data/predictions" / name / "seed0"
    samples, ensembles = root / "data/samples" / name / "seed0", root / "data/ensembles" / name
    dataset = load_dataset(root / "data/prepared" / name)
    return Run(name, what, 0, dataset, models, predictions, samples_folder=samples, ensembles_folder=ensembles)


def described(what: Benchmark, dataset: Dataset, state: TrainingState) -> dict[str, Any]:
    return describe_trained_network(what, dataset, best_epoch=state.best_epoch, **state.best_metrics)


def trained_runs(factory: pytest.TempPathFactory, root: Path | None = None) -> dict[str, Run]:
    """One of each task, the digits with BatchNorm and with a head that has learnt something; their files lie under ROOT."""
    root = copy_of(factory, "trained_runs", _train_both, root or factory.mktemp("trained"))
    return {task: stored_run(root, what, task) for task, what in _recipes().items()}


def _train_both(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        for task, dataset in {"digits": small_digits(), "segmentation": small_segmentation()}.items():
            trained_run(root, dataset, _recipes()[task], task)


def _recipes() -> dict[str, Benchmark]:
    what = benchmark(CONVNET)
    digits = replace(
        what,
        confidnet=replace(what.confidnet, epochs=20),
        finetune_augmented=replace(what.finetune_augmented, reads_softmax=True),
        second_opinion=replace(what.second_opinion, model=MLP),
    )
    return {"digits": digits, "segmentation": segmentation_benchmark()}


def answering(run: Run, logits: np.ndarray, folder: Path, validation: np.ndarray | None = None) -> Run:
    """The same run with these logits (n, classes, ...) as the classifier's answers on the test split, and on the validation split."""
    stored = {split: np.load(run.predictions_folder / split / "logits.npy") for split in ("val", "calibration")}
    parts = {"test": logits, **stored} | ({} if validation is None else {"val": validation})
    answers = {split: Predictions(part.astype(np.float32), part.argmax(1).astype(np.uint8)) for split, part in parts.items()}
    save_predictions(folder, answers, prediction_metrics(answers["test"], run.dataset.split("test")[1], run.dataset))
    return replace(run, predictions_folder=folder)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
