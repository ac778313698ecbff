"""Stochastic Weight Averaging: which weights are averaged, how BatchNorm statistics follow, and resuming changes nothing."""

from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from small import CPU, same, state
from test_fitting import DIGITS, fit_network, recipe, scripted_validation
from test_flat_minima import convnet
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from confidnet_core.config.recipes import Augmentation, Recipe
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.training.flat_minima import recompute_batchnorm_statistics
from confidnet_core.training.loop import Metrics, TrainingState
from confidnet_core.training.resume import ResumeFolder

PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "bf16"])


def train_with_averaging(folder: Path, settings: Recipe, **overrides: object) -> tuple[nn.Module, TrainingState, list[dict[str, Tensor]]]:
    """Return the trained network, its TrainingState, and the weights that each validation saw."""
    trained = convnet()
    validate, seen_weights = scripted_validation(trained, [0.5] * settings.epochs + [0.1], [1.0] * settings.epochs + [2.0])
    overrides = {"loss": lambda images, labels: cross_entropy(trained(images), labels), **overrides}
    return trained, fit_network(folder, trained, settings, validate, **overrides), seen_weights


@PRECISIONS
@pytest.mark.parametrize("last", [1, 2, 4])
def test_the_result_is_the_mean_of_the_weights_after_each_of_the_last_epochs(tmp_path: Path, last: int, precision: str):
    trained, _, seen_weights = train_with_averaging(tmp_path, recipe(4, swa_epochs=last, batch_size=128, precision=precision))
    assert len(seen_weights) == 5
    for name, value in trained.named_parameters():
        mean = torch.stack([weights[name].double() for weights in seen_weights[4 - last : 4]]).mean(0)
        assert torch.allclose(value.double(), mean, rtol=1e-6, atol=1e-8)
    assert torch.equal(trained[0].weight, seen_weights[3]["0.weight"]) == (last == 1)
    assert same(state(trained), seen_weights[4]) and not trained.training


def test_the_average_is_the_result_also_where_an_epoch_alone_was_better(tmp_path: Path):
    _, result, _ = train_with_averaging(tmp_path, recipe(3, swa_epochs=2, batch_size=128))
    assert result.best_epoch == 4
    assert result.best_metrics == {"val_accuracy": 0.1, "val_loss": 2.0}
    assert result.history[0]["val_accuracy"] == 0.5


def test_the_rows_of_the_epochs_stay_and_one_row_of_the_average_follows(tmp_path: Path):
    logged = []
    _, plain, _ = train_with_averaging(tmp_path / "plain", recipe(3, batch_size=128))
    settings = recipe(3, batch_size=128, swa_epochs=2)
    _, result, _ = train_with_averaging(tmp_path / "averaged", settings, log=lambda metrics, epoch: logged.append((epoch, dict(metrics))))
    assert logged == list(enumerate(result.history, start=1))
    assert [row.pop("averaged_epochs") for row in result.history] == [0, 0, 0, 2]
    assert result.history[:3] == plain.history
    assert (result.history[3]["epoch"], result.history[3]["learning_rate"]) == (4, 0.0)
    assert 0 < result.history[3]["train_loss"] < result.history[0]["train_loss"]


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
def test_the_averaged_epochs_have_a_constant_rate_of_their_own_or_the_schedules(tmp_path: Path, schedule: str):
    overrides = {"schedule": schedule, "batch_size": 128}
    changes = ({}, {"swa_epochs": 2}, {"swa_epochs": 2, "swa_learning_rate": 0.02})
    fits = [train_with_averaging(tmp_path / str(number), recipe(5, **overrides, **change))[1] for number, change in enumerate(changes)]
    plain, running_on, constant = ([row["learning_rate"] for row in fit.history] for fit in fits)
    assert running_on == [*plain, 0.0]
    assert constant == [*plain[:3], 0.02, 0.02, 0.0]


def test_the_constant_rate_is_that_of_every_step(tmp_path: Path):
    """A loss with gradient 1 moves a weight by the rate at each of three steps an epoch, whatever the schedule would do."""
    trained = nn.Linear(1, 1, bias=False)
    validate, seen_weights = scripted_validation(trained, [0.1] * 5, [1.0] * 5)
    settings = recipe(4, batch_size=100, momentum=0.0, schedule="cosine", swa_epochs=2, swa_learning_rate=0.25)
    fit_network(tmp_path, trained, settings, validate, loss=lambda images, labels: trained.weight.sum())
    second, third, fourth, mean = (weights["weight"].item() for weights in seen_weights[1:])
    assert second - third == pytest.approx(3 * 0.25, rel=1e-5)
    assert third - fourth == pytest.approx(3 * 0.25, rel=1e-5)
    assert mean == pytest.approx((third + fourth) / 2, rel=1e-5)


def batches_of_the_average(settings: Recipe) -> list[Tensor]:
    """Return the batches of the pass after the last epoch, drawn by its own random seed."""
    draw = int.from_bytes(sha256(repr(("test", 0, settings.epochs + 1)).encode()).digest()[:8], "big") >> 1
    batches = TrainingBatches(DIGITS, settings.batch_size, settings.augmentation, CPU)
    return [images for _, (images, _) in batches.epoch(torch.Generator().manual_seed(draw))]


def test_the_running_statistics_are_those_of_the_averaged_network_over_one_epoch_of_batches(tmp_path: Path):
    settings = recipe(3, swa_epochs=2, batch_size=128, augmentation=Augmentation(crop=1))  # the last batch is smaller
    trained, _, seen_weights = train_with_averaging(tmp_path, settings)
    with torch.no_grad():
        outputs = [trained[0](images).double() for images in batches_of_the_average(settings)]
    means = torch.stack([output.mean((0, 2, 3)) for output in outputs]).mean(0)
    variances = torch.stack([output.var((0, 2, 3)) for output in outputs]).mean(0)
    assert torch.allclose(trained[1].running_mean.double(), means, rtol=1e-5, atol=1e-6)
    assert torch.allclose(trained[1].running_var.double(), variances, rtol=1e-5)
    assert not torch.allclose(seen_weights[2]["1.running_mean"].double(), means, rtol=1e-3)
    assert (trained[1].momentum, trained[6].momentum) == (0.1, 0.3)


def test_batch_norm_in_eval_mode_keeps_its_statistics_and_the_rest_forget_theirs():
    network, images = convnet().train(), torch.rand(8, 1, 8, 8)
    network(images)
    network[1].eval()
    before = deepcopy(network)
    with recompute_batchnorm_statistics(network), torch.no_grad():
        network(images), network(2 * images)
    assert same(state(network[1]), state(before[1]))
    assert network[6].num_batches_tracked == 2
    assert not torch.equal(network[6].running_mean, before[6].running_mean)


def test_an_error_in_between_leaves_the_momentum_as_it_was():
    network = convnet().train()
    with pytest.raises(KeyboardInterrupt), recompute_batchnorm_statistics(network):
        raise KeyboardInterrupt
    assert (network[1].momentum, network[6].momentum) == (0.1, 0.3)


def train_on_digits(folder: Path, settings: Recipe, stop_at: int | str | None = None) -> tuple[dict[str, Tensor], TrainingState]:
    """Train with real validation. stop_at: interrupt at this epoch, before it is saved, or in the BatchNorm pass's second batch."""
    trained, passes = convnet(), []
    images, labels = (torch.from_numpy(part) for part in DIGITS.split("val"))

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        passes.append(torch.is_grad_enabled())
        if stop_at == "statistics" and passes[-2:] == [False, False]:
            raise KeyboardInterrupt
        return cross_entropy(trained(images), labels)

    def validate() -> Metrics:
        logits = trained(images / 128 - 1).detach()
        return {"val_accuracy": (logits.argmax(1) == labels).float().mean(), "val_loss": cross_entropy(logits, labels.long())}

    def log(metrics: dict, epoch: int) -> None:
        if epoch == stop_at:
            raise KeyboardInterrupt

    fit = fit_network(folder, trained, settings, validate, loss=loss, log=log)
    return state(trained), fit


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 5, "statistics"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_that_is_interrupted_anywhere_ends_bit_for_bit_alike(tmp_path: Path, stop_at: int | str, optimizer: str):
    flat = {"sam_radius": 0.1, "swa_epochs": 3, "swa_learning_rate": 0.02, "schedule": "cosine"}
    settings = recipe(4, batch_size=128, optimizer=optimizer, augmentation=Augmentation(crop=1), **flat)
    with pytest.raises(KeyboardInterrupt):
        train_on_digits(tmp_path / "interrupted", settings, stop_at)
    kept = ResumeFolder(tmp_path / "interrupted").load()
    assert len(kept["history"] if kept else []) == (4 if stop_at == "statistics" else stop_at - 1)
    weights, fit = train_on_digits(tmp_path / "interrupted", settings)
    expected_weights, expected = train_on_digits(tmp_path / "uninterrupted", settings)
    assert same(weights, expected_weights)
    assert fit.history == expected.history and fit.best_epoch == expected.best_epoch == 5


def test_a_training_that_was_stopped_after_its_average_is_not_averaged_again(tmp_path: Path):
    settings = recipe(2, batch_size=128, swa_epochs=1)
    weights, fit = train_on_digits(tmp_path, settings)
    again, fit_again = train_on_digits(tmp_path, settings, stop_at="statistics")
    assert same(weights, again)
    assert fit_again.history == fit.history
