"""Heads on stored features and on samples of pixels: what they are trained on, that they resume bit for bit, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from small import CONVNET, CPU, benchmark, same, segmentation_benchmark, small_digits, small_segmentation, state, training
from small_params import RECIPE, changed, refusal, replace
from torch import Tensor, nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import ConfidNet, freeze
from confidnet_core.networks.device import to_device
from confidnet_core.training.head_inputs import StoredFeatureBatches, sample_pixels, stored_validation_features
from confidnet_core.training.trainings import train_classifier, train_confidnet, train_corrected_mcp

DIGITS, SEGMENTATION = benchmark(CONVNET, epochs=4), segmentation_benchmark()
PIXELS = {"pixel_share": 0.1, "kernel": 1, "epochs": 3}
CROPS = Augmentation(crop=1)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nn.Module]:
    found = {}
    for name, dataset, what in (("digits", small_digits(), DIGITS), ("segmentation", small_segmentation(), SEGMENTATION)):
        torch.manual_seed(0)
        found[name] = build_classifier(what.model, dataset)
        train_classifier(found[name], training(dataset, replace(what.baseline, epochs=3), tmp_path_factory.mktemp(name)))
    return found


def untrained_confidnet(classifier: nn.Module, dataset: Dataset, what: Benchmark, corrected: bool = False) -> ConfidNet:
    torch.manual_seed(1)
    build, recipe = (build_corrected_mcp, what.corrected_mcp) if corrected else (build_confidnet, what.confidnet)
    return to_device(build(freeze(classifier), recipe, dataset), CPU)


def train_head(
    classifiers: dict[str, nn.Module], folder: Path, stop_at: int | None = None, corrected: bool = False, task: str = "digits", **keys: Any
) -> tuple[dict[str, Tensor], list]:
    """Return the head's weights and the history of a training with these keys of the recipe."""

    def log(metrics: dict, epoch: int) -> None:
        if epoch == stop_at:  # before the epoch is saved
            raise KeyboardInterrupt

    dataset, what = (small_digits(), DIGITS) if task == "digits" else (small_segmentation(), SEGMENTATION)
    name, train = ("corrected_mcp", train_corrected_mcp) if corrected else ("confidnet", train_confidnet)
    what = replace(what, **{name: replace(getattr(what, name), **keys)})
    network = untrained_confidnet(classifiers[task], dataset, what, corrected)
    inputs = replace(training(dataset, getattr(what, name), folder, f"train_{name}"), log=log)
    history = train(network, inputs).history
    return state(network.head), history


def stored(classifiers: dict[str, nn.Module], **keys: Any) -> tuple[StoredFeatureBatches, ConfidNet, Dataset]:
    dataset = small_digits()
    what = replace(DIGITS, confidnet=replace(DIGITS.confidnet, **keys))
    network = untrained_confidnet(classifiers["digits"], dataset, what)
    return StoredFeatureBatches(network, training(dataset, what.confidnet, Path("unused"), "train_confidnet")), network, dataset


def test_stored_passes_differ_in_dropout_and_augmentation_and_follow_from_the_seed_alone(classifiers: dict[str, nn.Module]):
    first, again = (stored(classifiers, feature_passes=3)[0] for _ in range(2))
    assert first.stored[0].shape == (3, 300, 32) and len(first.stored) == 1  # class logits follow from features
    assert torch.equal(first.stored[0], again.stored[0])
    assert not torch.equal(first.stored[0][0], first.stored[0][1]) and not torch.equal(first.stored[0][1], first.stored[0][2])
    moved, _, _ = stored(classifiers, feature_passes=2, dropout=False, augmentation=CROPS)
    still, network, dataset = stored(classifiers, feature_passes=1, dropout=False)
    assert not torch.equal(moved.stored[0][0], moved.stored[0][1]) and not torch.equal(moved.stored[0][0], still.stored[0][0])
    images = torch.from_numpy(dataset.split("train")[0][:5])
    with torch.no_grad():
        expected = network.encoder.encode((images / 255 - dataset.mean[0]) / dataset.std[0])
    assert torch.allclose(still.stored[0][0, :5], expected, atol=1e-5)


def test_each_epoch_has_every_sample_once_from_a_pass_that_is_drawn_anew(classifiers: dict[str, nn.Module]):
    batches, _, dataset = stored(classifiers, feature_passes=3, batch_size=64, dropout=False, augmentation=CROPS)
    labels = torch.from_numpy(dataset.split("train")[1]).long()
    number_of = {tuple(row.tolist()): (number, sample) for number in range(3) for sample, row in enumerate(batches.stored[0][number])}
    epochs = []
    for seed in (0, 1):
        drawn = [batch for _, batch in batches.epoch(torch.Generator().manual_seed(seed))]
        assert [len(batch[-1]) for batch in drawn] == [64] * 4 + [44] and len(batches) == 5
        found = [number_of[tuple(row.tolist())] for features, *_ in drawn for row in features]
        assert sorted(sample for _, sample in found) == list(range(300))
        assert torch.equal(torch.cat([batch[-1] for batch in drawn]), labels[[sample for _, sample in found]])
        counts = [sum(number == wanted for number, _ in found) for wanted in range(3)]
        assert min(counts) > 70  # 3 standard deviations below 100 are 76
        epochs.append(dict((sample, number) for number, sample in found))
    assert epochs[0] != epochs[1]


def test_the_last_dropout_acts_anew_in_each_epoch_on_the_features_of_one_stored_pass(classifiers: dict[str, nn.Module]):
    batches, network, _ = stored(classifiers, feature_passes=1, batch_size=300)
    rate = network.encoder.features[-1].p
    torch.manual_seed(0)
    (first, logits, _), (second, _, _) = (next(batches.epoch(torch.Generator()))[1] for _ in range(2))
    assert not torch.equal(first, second)
    for features in (first, second):
        is_kept = features != 0
        assert torch.allclose(features[is_kept], batches.stored[0][0][is_kept] / (1 - rate))
    with torch.no_grad():
        assert torch.equal(logits, network.encoder.classify(first))


def test_of_a_network_without_dropout_at_its_end_features_and_class_logits_are_stored(tmp_path: Path):
    dataset = small_digits()
    model = RegistryEntryChoice("module", {"build": "own_networks:blocks", "arguments": {"classes": 10, "channels": 1}})
    what = replace(DIGITS, model=model)
    classifier = build_classifier(model, dataset)
    network = untrained_confidnet(classifier, dataset, replace(what, confidnet=replace(what.confidnet, feature_passes=2)))
    inputs = training(dataset, replace(what.confidnet, feature_passes=2), tmp_path, "train_confidnet")
    batches = StoredFeatureBatches(network, inputs)
    features, logits = batches.stored
    assert features.shape == (2, 300, classifier.feature_channels) and logits.shape == (2, 300, 10)
    assert [row["epoch"] for row in train_confidnet(network, inputs).history] == [1, 2, 3, 4]


def test_one_stored_pass_without_dropout_trains_the_head_as_the_encoder_in_each_step(classifiers: dict[str, nn.Module], tmp_path: Path):
    for corrected in (False, True):
        (_, usual), (_, fast) = (
            train_head(classifiers, tmp_path / f"{corrected}{passes}", corrected=corrected, dropout=False, feature_passes=passes)
            for passes in (0, 1)
        )
        assert [row["train_loss"] for row in fast[-4:]] == pytest.approx([row["train_loss"] for row in usual[-4:]], rel=1e-4)


@pytest.mark.parametrize(
    "keys",
    [{"feature_passes": 3}, {"feature_passes": 2, "augmentation": CROPS, "precision": "bf16"}, {"task": "segmentation", **PIXELS}],
    ids=["features", "augmented", "pixels"],
)
@pytest.mark.parametrize("corrected", [False, True])
def test_an_interrupted_training_ends_bit_for_bit_as_an_uninterrupted_one(
    classifiers: dict[str, nn.Module], tmp_path: Path, keys: dict, corrected: bool
):
    with pytest.raises(KeyboardInterrupt):
        train_head(classifiers, tmp_path / "interrupted", stop_at=2, corrected=corrected, **keys)
    assert same_training(
        train_head(classifiers, tmp_path / "interrupted", corrected=corrected, **keys),
        train_head(classifiers, tmp_path / "whole", corrected=corrected, **keys),
    )


def same_training(first: tuple[dict[str, Tensor], list], second: tuple[dict[str, Tensor], list]) -> bool:
    return same(first[0], second[0]) and first[1] == second[1]


def test_validation_features_are_stored_where_they_fit_which_changes_no_bit(classifiers: dict[str, nn.Module], tmp_path: Path):
    for keys in ({}, {"precision": "bf16"}):
        fits, too_large = (train_head(classifiers, tmp_path / f"{keys}{gib}", feature_memory=gib, **keys) for gib in (2.0, 1e-9))
        assert same_training(fits, too_large)
    network = untrained_confidnet(classifiers["segmentation"], small_segmentation(), SEGMENTATION)
    inputs = training(small_segmentation(), SEGMENTATION.confidnet, tmp_path, "train_confidnet")
    assert stored_validation_features(network, inputs) is None


def test_the_classifier_stays_bit_for_bit_as_it_is(classifiers: dict[str, nn.Module], tmp_path: Path):
    before = {name: state(classifier) for name, classifier in classifiers.items()}
    train_head(classifiers, tmp_path / "features", feature_passes=2)
    train_head(classifiers, tmp_path / "pixels", task="segmentation", **PIXELS)
    assert all(same(state(classifier), before[name]) for name, classifier in classifiers.items())


def test_drawn_pixels_come_once_each_with_their_values_and_as_many_of_each_image():
    labels = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    features = torch.stack([labels, labels + 100], dim=1).float().to(memory_format=torch.channels_last)
    for share, count in ((0.5, 12), (1e-9, 2), (1.0, 24)):  # of both images together
        drawn_features, drawn_logits, drawn_labels = sample_pixels(features, features + 0.5, labels, share)
        assert drawn_labels.shape == (1, count, 1) and len(set(drawn_labels.flatten().tolist())) == count
        assert (drawn_labels < 12).sum() == count / 2
        assert torch.equal(drawn_features, torch.stack([drawn_labels, drawn_labels + 100], dim=1).float())
        assert torch.equal(drawn_logits, drawn_features + 0.5)


def test_a_head_gives_drawn_pixels_the_confidence_that_they_have_in_their_map(classifiers: dict[str, nn.Module]):
    dataset = small_segmentation()
    for corrected in (False, True):
        name = "corrected_mcp" if corrected else "confidnet"
        what = replace(SEGMENTATION, **{name: replace(getattr(SEGMENTATION, name), kernel=1)})
        network = untrained_confidnet(classifiers["segmentation"], dataset, what, corrected)
        nn.init.normal_(network.head.output.weight)
        with torch.no_grad():
            features, logits = network.encode_with_logits(torch.randn(2, 3, 32, 48))
            whole = network.confidence_of_features(features, logits)
            drawn_features, drawn_logits, places = sample_pixels(features, logits, torch.arange(whole.numel()).reshape(whole.shape), 0.2)
            assert torch.allclose(network.confidence_of_features(drawn_features, drawn_logits), whole.flatten()[places], atol=1e-5)


def test_a_sample_without_a_labelled_pixel_gives_a_loss_of_zero(classifiers: dict[str, nn.Module], tmp_path: Path):
    dataset = small_segmentation()
    labels = dataset.labels.copy()
    labels[dataset.splits["train"]] = dataset.void
    labels[dataset.splits["train"][0], 0, 0] = 0
    dataset = replace(dataset, labels=labels)
    what = replace(SEGMENTATION, confidnet=replace(SEGMENTATION.confidnet, pixel_share=1e-3, kernel=1))
    network = untrained_confidnet(classifiers["segmentation"], dataset, what)
    history = train_confidnet(network, training(dataset, what.confidnet, tmp_path, "train_confidnet")).history
    assert history[0]["train_loss"] == pytest.approx(0, abs=0.2) and all(value.isfinite().all() for value in state(network.head).values())


def test_features_that_take_more_memory_than_allowed_are_refused_before_they_are_computed(classifiers: dict[str, nn.Module]):
    message = r"^train_confidnet: feature_passes is 4; these features take 0\.000143 GiB, 3\.58e-05 a pass; feature_memory allows 0\.0001; "
    with pytest.raises(ValueError, match=message + "set feature_passes to 2, or raise feature_memory where the memory is there$"):
        stored(classifiers, feature_passes=4, feature_memory=1e-4)
    with pytest.raises(ValueError, match="; remove feature_passes, or raise"):
        stored(classifiers, feature_passes=1, feature_memory=1e-6)


@pytest.mark.parametrize("section", ["confidnet", "corrected_mcp"])
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"feature_passes": 2, "dropout": False},
            "feature_passes is 2; expected 0 or 1 with dropout: false and no augmentation",
        ),
        ({"feature_passes": -1}, "feature_passes is -1; expected at least 0"),
        ({"feature_memory": 0}, "feature_memory is 0; expected a number above 0"),
        ({"pixel_share": 0.08}, "kernel is None; expected 1 with pixel_share 0.08, as a larger kernel reads the pixels around"),
        ({"pixel_share": 0.08, "kernel": 3}, "kernel is 3; expected 1 with pixel_share 0.08"),
        ({"pixel_share": 0, "kernel": 1}, "pixel_share is 0; expected above 0, at most 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_value_and_remedy(tmp_path: Path, section: str, keys: dict, message: str):
    found = refusal(tmp_path, changed(("benchmarks", "small", section), RECIPE | keys))
    assert found.startswith(f"benchmarks.small.{section}.{message}")


def test_each_task_refuses_the_way_of_the_other(classifiers: dict[str, nn.Module]):
    pixels = replace(DIGITS, confidnet=replace(DIGITS.confidnet, pixel_share=0.5, kernel=1))
    with pytest.raises(ValueError, match=re.escape("confidnet.pixel_share is 0.5, but ") + ".* is no segmentation; remove the key"):
        untrained_confidnet(classifiers["digits"], small_digits(), pixels)
    features = replace(SEGMENTATION, corrected_mcp=replace(SEGMENTATION.corrected_mcp, feature_passes=2))
    with pytest.raises(ValueError, match=r"corrected_mcp\.feature_passes is 2, .* are maps, too large .*: pixel_share"):
        untrained_confidnet(classifiers["segmentation"], small_segmentation(), features, corrected=True)
