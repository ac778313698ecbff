"""The training loop: which epoch is kept, which learning rates are used, and how a diverging training ends."""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from small import CPU, same, small_digits, state
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from confidnet_core.config.recipes import Augmentation, Recipe
from confidnet_core.models.mlp import mlp
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.training.loop import Metrics, Training, TrainingState, fit
from confidnet_core.training.resume import ResumeFolder

DIGITS = small_digits()


def recipe(epochs: int, **settings: object) -> Recipe:
    return Recipe(**{"epochs": epochs, "batch_size": 300, "learning_rate": 0.05, "optimizer": "sgd", **settings})


def network() -> nn.Module:
    torch.manual_seed(0)
    return mlp(classes=10, image_shape=(1, 8, 8), hidden=16)


def fit_network(folder: Path, trained: nn.Module, settings: Recipe, validate: Callable[[], Metrics], **overrides: object) -> TrainingState:
    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(trained(images), labels)

    own = {field.name for field in fields(Training)} & set(overrides)
    training = Training("test", DIGITS, settings, 0, CPU, ResumeFolder(folder), lambda metrics, epoch: None)
    training = replace(training, **{name: overrides.pop(name) for name in own})
    return fit(trained, training, validate=validate, **{"loss": loss, "selection_metric": "val_accuracy"} | overrides)


def scripted_validation(
    trained: nn.Module, accuracies: list[float | None], losses: list[float]
) -> tuple[Callable[[], Metrics], list[dict]]:
    """Return a validation that yields these metrics epoch by epoch, and the list in which it records the weights it sees."""
    script: Iterator = iter(zip(accuracies, losses, strict=True))
    seen_weights: list[dict] = []

    def validate() -> Metrics:
        assert not trained.training
        seen_weights.append(state(trained))
        return dict(zip(("val_accuracy", "val_loss"), next(script), strict=True))

    return validate, seen_weights


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        ([0.1, 0.3, 0.2], [1.0, 9.0, 0.5], 2),  # the highest accuracy, whatever the loss
        ([0.3, 0.3, 0.3], [1.0, 0.5, 0.7], 2),  # then the lowest loss
        ([0.3, 0.3, 0.3], [0.5, 0.5, 0.5], 1),  # then the earliest
        ([None, 0.0, None], [0.1, 9.0, 0.1], 2),  # an undefined accuracy loses against any
        ([None, None, None], [0.3, 0.1, 0.2], 2),  # unless none is defined
        ([0.3, 0.3, 0.3], [math.nan, 0.5, 0.4], 3),  # a loss that is no number loses
        ([math.nan, 0.1, 0.2], [0.1, 0.1, 0.1], 3),
    ],
)
def test_the_best_epoch_has_the_highest_selected_metric_then_the_lowest_loss_then_is_the_earliest(
    tmp_path: Path, accuracies: list[float | None], losses: list[float], best: int
):
    trained = network()
    validate, seen_weights = scripted_validation(trained, accuracies, losses)
    result = fit_network(tmp_path, trained, recipe(3), validate)
    assert result.best_epoch == best
    assert same(state(trained), seen_weights[best - 1])
    assert not trained.training
    assert not same(seen_weights[0], seen_weights[1])
    assert result.best_metrics == pytest.approx({"val_accuracy": accuracies[best - 1], "val_loss": losses[best - 1]})


def test_the_history_has_a_row_an_epoch_with_rate_training_loss_and_validation(tmp_path: Path):
    trained, logged = network(), []
    validate, _ = scripted_validation(trained, [0.1, 0.2], [2.0, 1.0])
    result = fit_network(tmp_path, trained, recipe(2), validate, log=lambda metrics, epoch: logged.append((epoch, metrics)))
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert set(result.history[0]) == {"epoch", "learning_rate", "train_loss", "val_accuracy", "val_loss"}
    assert logged == list(enumerate(result.history, start=1))
    assert result.history[1]["train_loss"] < result.history[0]["train_loss"]


@pytest.mark.parametrize(("accuracies", "best"), [([0.3, 0.2, 0.3], 0), ([0.1, 0.2, 0.3], 2)])
def test_the_untrained_network_may_be_the_best(tmp_path: Path, accuracies: list[float], best: int):
    trained = network()
    validate, seen_weights = scripted_validation(trained, accuracies, [1.0] * 3)
    result = fit_network(tmp_path, trained, recipe(2), validate, include_untrained=True)
    assert same(seen_weights[0], state(network())) and same(state(trained), seen_weights[best])
    assert [row["epoch"] for row in result.history] == [0, 1, 2] and result.history[0]["train_loss"] is None
    assert (result.best_epoch, result.best_metrics["val_accuracy"]) == (best, accuracies[best])


def test_the_training_loss_is_the_mean_over_samples_also_with_a_smaller_last_batch(tmp_path: Path):
    trained = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))  # no dropout, and a rate too small to move it
    validate, _ = scripted_validation(trained, [0.1], [1.0])
    result = fit_network(tmp_path, trained, recipe(1, batch_size=128, learning_rate=1e-12), validate)
    images, labels = next(TrainingBatches(DIGITS, 300, Augmentation(), CPU).epoch(torch.Generator()))[1]
    assert result.history[0]["train_loss"] == pytest.approx(cross_entropy(trained(images), labels).item(), rel=1e-5)


def rates(folder: Path, **settings: object) -> list[float]:
    """Return the learning rate of each epoch (with one batch per epoch: of each step)."""
    trained, epochs = network(), settings.pop("epochs")
    validate, _ = scripted_validation(trained, [0.1] * epochs, [1.0] * epochs)
    result = fit_network(folder, trained, recipe(epochs, learning_rate=0.4, **settings), validate)
    return [row["learning_rate"] for row in result.history]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_constant_rate_stays(tmp_path: Path, optimizer: str):
    assert rates(tmp_path, epochs=4, optimizer=optimizer) == [0.4] * 4


@pytest.mark.parametrize("batch_size", [300, 100])
def test_multi_step_multiplies_the_rate_by_a_tenth_after_each_milestone(tmp_path: Path, batch_size: int):
    learning_rates = rates(tmp_path, epochs=6, schedule="multi_step", milestones=(2, 5), batch_size=batch_size)
    assert learning_rates == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.04, 0.004])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_cycle_climbs_to_the_rate_and_anneals_to_almost_nothing(tmp_path: Path, optimizer: str):
    """Smith & Topin 2018: from 1/25 up over the first 0.3, then down along a cosine; nine steps and the end make ten points."""
    climb = [0.4 / 25 + (0.4 - 0.4 / 25) * (1 - math.cos(math.pi * step / 2)) / 2 for step in range(2)]
    fall = [0.4 * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)]
    learning_rates = rates(tmp_path, epochs=9, schedule="one_cycle", optimizer=optimizer)
    assert learning_rates == pytest.approx(climb + fall, abs=1e-5)
    assert max(learning_rates) == pytest.approx(0.4)


@pytest.mark.parametrize("batch_size", [300, 100])
def test_cosine_falls_from_the_rate_to_nothing_over_all_steps(tmp_path: Path, batch_size: int):
    learning_rates = rates(tmp_path, epochs=8, schedule="cosine", batch_size=batch_size)
    assert learning_rates == pytest.approx([0.4 * (1 + math.cos(math.pi * epoch / 8)) / 2 for epoch in range(8)])
    assert (learning_rates[0], learning_rates[4]) == pytest.approx((0.4, 0.2))
    assert ResumeFolder(tmp_path).load()["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_is_bit_for_bit_a_plain_loop_over_the_batches(tmp_path: Path, optimizer: str, precision: str):
    trained, plain = network(), network()
    validate, _ = scripted_validation(trained, [0.1, 0.2], [1.0, 1.0])
    settings = recipe(2, batch_size=128, optimizer=optimizer, precision=precision, schedule="one_cycle", augmentation=Augmentation(crop=1))
    fit_network(tmp_path, trained, settings, validate)

    moving = torch.optim.Adam(plain.parameters(), 0.05) if optimizer == "adam" else torch.optim.SGD(plain.parameters(), 0.05, 0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(moving, 0.05, total_steps=7, cycle_momentum=False)
    batches = TrainingBatches(DIGITS, 128, settings.augmentation, CPU)
    for epoch in (1, 2):
        draw = int.from_bytes(sha256(repr(("test", 0, epoch)).encode()).digest()[:8], "big") >> 1
        torch.manual_seed(draw)
        for _, (images, labels) in batches.epoch(torch.Generator().manual_seed(draw)):
            moving.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = cross_entropy(plain.train()(images), labels)
            loss.backward(), moving.step(), schedule.step()
    assert same(state(trained), state(plain))


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_uses_the_momentum_of_the_recipe_under_every_schedule(tmp_path: Path, schedule: str, momentum: float):
    """A loss with gradient 1 moves a weight by the rate times 1, 1 + m, 1 + m + m^2."""
    trained = nn.Linear(1, 1, bias=False)
    before = trained.weight.item()
    validate, _ = scripted_validation(trained, [0.1, 0.2, 0.3], [1.0] * 3)
    settings = recipe(3, momentum=momentum, schedule=schedule)
    result = fit_network(tmp_path, trained, settings, validate, loss=lambda images, labels: trained.weight.sum())
    speeds = [1, 1 + momentum, 1 + momentum + momentum**2]
    moved = sum(row["learning_rate"] * speed for row, speed in zip(result.history, speeds, strict=True))
    assert before - trained.weight.item() == pytest.approx(moved, rel=1e-4)


def test_weight_decay_shrinks_weights_that_the_loss_does_not_move(tmp_path: Path):
    trained = nn.Linear(1, 1, bias=False)
    before = trained.weight.item()
    validate, _ = scripted_validation(trained, [0.1], [1.0])
    fit_network(tmp_path, trained, recipe(1, weight_decay=0.5), validate, loss=lambda images, labels: 0 * trained.weight.sum())
    assert trained.weight.item() == pytest.approx(before * (1 - 0.05 * 0.5))


def test_parameters_without_gradient_stay(tmp_path: Path):
    trained = network()
    trained.output.requires_grad_(False)
    before = state(trained)
    validate, _ = scripted_validation(trained, [0.1], [1.0])
    fit_network(tmp_path, trained, recipe(1, weight_decay=0.1), validate)
    moved = {name for name, value in state(trained).items() if not torch.equal(value, before[name])}
    assert moved == {"features.1.weight", "features.1.bias"}


def test_seed_and_stage_alone_decide_order_and_dropout(tmp_path: Path):
    ends = []
    for number, (seed, stage) in enumerate([(0, "first"), (0, "first"), (1, "first"), (0, "second")]):
        trained = network()
        validate, _ = scripted_validation(trained, [0.1], [1.0])
        torch.rand(number)  # what was drawn before has no influence
        fit_network(tmp_path / str(number), trained, recipe(1, batch_size=32), validate, seed=seed, stage=stage)
        ends.append(state(trained))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])
    assert not same(ends[0], ends[3])


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_state_of_the_last_good_epoch(tmp_path: Path, factor: float):
    trained, calls = network(), []
    validate, seen_weights = scripted_validation(trained, [0.1, 0.2, 0.3], [1.0] * 3)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        calls.append(len(images))
        return cross_entropy(trained(images), labels) * (factor if len(calls) == 8 else 1)  # in the third epoch of three batches

    with pytest.raises(ValueError, match=r"no longer finite in epoch 3; lower learning_rate \(0.05\) or use precision: fp32"):
        fit_network(tmp_path, trained, recipe(3, batch_size=100), validate, loss=loss)
    kept = ResumeFolder(tmp_path).load()
    assert [row["epoch"] for row in kept["history"]] == [1, 2]
    assert same(kept["network"], seen_weights[1])
    assert all(value.isfinite().all() for value in kept["network"].values())


def test_a_rate_that_is_far_too_high_is_reported_not_kept(tmp_path: Path):
    trained = network()
    validate, _ = scripted_validation(trained, [0.1] * 20, [1.0] * 20)
    with pytest.raises(ValueError, match="lower learning_rate"):
        fit_network(tmp_path, trained, recipe(20, learning_rate=1e30), validate)


def test_figures_of_numpy_become_plain_numbers_that_the_next_process_can_read(tmp_path: Path):
    trained = network()
    validate, _ = scripted_validation(trained, [np.float64(0.1), np.float32(0.2)], [np.float64(1.0), np.float64(0.5)])
    result = fit_network(tmp_path, trained, recipe(2), validate)
    assert {type(value) for row in result.history for value in row.values()} == {int, float}
    assert ResumeFolder(tmp_path).load()["history"] == result.history
