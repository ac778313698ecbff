"""The one training loop: any network, any loss; the best epoch by validation; goes on after an interruption."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from confidnet_core.batches import TrainingBatches
from confidnet_core.device import autocast
from confidnet_core.params import Recipe
from confidnet_core.progress import epoch_line, progress
from confidnet_core.resume import Resume

Metrics = dict[str, float | None]
EpochLog = Callable[[Metrics, int], None]


@dataclass
class Fit:
    """A training under way: everything that the next epoch depends on."""

    history: list[Metrics] = field(default_factory=list)  # one row an epoch
    best_epoch: int = 0
    best_rank: list[float] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_metrics(self) -> Metrics:
        """Of the best epoch, on validation data."""
        return {key: value for key, value in self.history[self.best_epoch - 1].items() if key.startswith("val_")}


def fit(
    network: nn.Module,
    *,
    stage: str,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: TrainingBatches,
    validate: Callable[[], Metrics],
    select: str,
    recipe: Recipe,
    seed: int,
    resume: Resume,
    log: EpochLog,
) -> Fit:
    """Train the parameters of the network that require a gradient, and leave it with the weights of its best epoch.

    loss(images, labels) -> scalar tensor; validate() -> metrics, with `val_loss` among them. The best epoch has the highest
    `select` (an undefined one loses), then the lowest `val_loss`, then is the earliest. Every random draw of an epoch
    follows from (seed, stage, epoch), so that an interrupted training ends as an uninterrupted one.
    ValueError if the loss stops being finite.
    """
    optimizer, schedule = _optimizer(network, recipe, len(batches))
    state = _restored(resume, network, optimizer, schedule)
    for epoch in range(len(state.history) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        rate = schedule.get_last_lr()[0]
        train_loss = _epoch(network, loss, batches, optimizer, schedule, recipe, (stage, seed, epoch))
        network.eval()
        # Plain numbers: the resume file is read with weights_only, which refuses NumPy's.
        metrics = {key: None if value is None else float(value) for key, value in validate().items()}
        state.history.append({"epoch": epoch, "learning_rate": rate, "train_loss": train_loss, **metrics})
        rank = _rank(metrics, select)
        if not state.best_epoch or rank > state.best_rank:
            state.best_epoch, state.best_rank, state.best_weights = epoch, rank, _weights(network)
        log(state.history[-1], epoch)
        resume.save(_saved(state, network, optimizer, schedule))
        epoch_line(stage, epoch, recipe.epochs, {"train_loss": train_loss, **metrics}, time.perf_counter() - started)
    network.load_state_dict(state.best_weights)
    network.eval()
    return state


def _epoch(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: TrainingBatches,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    recipe: Recipe,
    key: tuple[str, int, int],
) -> float:
    """Mean loss over the samples of one pass."""
    stage, _, epoch = key
    draw = int.from_bytes(sha256(repr(key).encode()).digest()[:8], "big") >> 1
    torch.manual_seed(draw)  # dropout
    network.train()
    total, samples = 0.0, 0
    bar = progress(batches.epoch(torch.Generator().manual_seed(draw)), len(batches), f"{stage} {epoch}/{recipe.epochs}", "batch")
    for images, labels in bar:
        with autocast(images.device, recipe.precision):
            value = loss(images, labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()
        total, samples = total + value.item() * len(images), samples + len(images)
        if not math.isfinite(total):
            remedy = f"lower learning_rate ({recipe.learning_rate}) or use precision: fp32"
            raise ValueError(f"the loss is no longer finite in epoch {epoch}; {remedy}")
        bar.set_postfix(loss=f"{total / samples:.4f}", refresh=False)
    return total / samples


def _optimizer(network: nn.Module, recipe: Recipe, steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimiser of the trainable parameters, and a schedule that is stepped after each batch."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate, decay, schedules = recipe.learning_rate, recipe.weight_decay, torch.optim.lr_scheduler
    optimizers: Mapping[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate, momentum=recipe.momentum, weight_decay=decay),
        "adam": lambda: torch.optim.Adam(parameters, lr=rate, weight_decay=decay),
    }
    optimizer = optimizers[recipe.optimizer]()
    make: Mapping[str, Callable[[], torch.optim.lr_scheduler.LRScheduler]] = {
        "constant": lambda: schedules.ConstantLR(optimizer, factor=1.0),
        "one_cycle": lambda: schedules.OneCycleLR(optimizer, rate, total_steps=recipe.epochs * steps + 1, cycle_momentum=False),
        "multi_step": lambda: schedules.MultiStepLR(optimizer, [epoch * steps for epoch in recipe.milestones], gamma=0.1),
    }
    return optimizer, make[recipe.schedule]()


def _rank(metrics: Metrics, select: str) -> list[float]:
    """Larger is better. What is undefined or NaN loses: a NaN would make every later epoch compare as no better."""
    chosen, loss = metrics[select], metrics["val_loss"]
    return [-math.inf if value is None or math.isnan(value) else value for value in (chosen, None if loss is None else -loss)]


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _saved(state: Fit, network: nn.Module, optimizer: Any, schedule: Any) -> dict[str, Any]:
    return {**vars(state), "network": _weights(network), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}


def _restored(resume: Resume, network: nn.Module, optimizer: Any, schedule: Any) -> Fit:
    saved = copy.copy(resume.load())
    if saved is None:
        return Fit()
    network.load_state_dict(saved.pop("network"))
    optimizer.load_state_dict(saved.pop("optimizer"))
    schedule.load_state_dict(saved.pop("schedule"))
    return Fit(**saved)
