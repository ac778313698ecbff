"""The one training loop: any network, any loss; the best epoch by validation; goes on after an interruption."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from confidnet_core.config.recipes import Recipe
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.networks.device import autocast
from confidnet_core.progress import epoch_line, progress
from confidnet_core.training.flat_minima import fresh_statistics, sharpness_aware, take_average
from confidnet_core.training.resume import Resume

Loss = Callable[[Tensor, Tensor], Tensor]
Metrics = dict[str, float | None]
AnyRecipe = TypeVar("AnyRecipe", bound=Recipe, covariant=True)
EpochLog = Callable[[Metrics, int], None]

# Random draws follow from a stage's name, its seed and the epoch. These stages keep the draws of their former names.
DRAWS = {"finetune": "finetune_confidnet", "train_corrected_mcp": "train_correction"}


@dataclass
class TrainingState:
    """A training under way: everything that the next epoch depends on."""

    history: list[Metrics] = field(default_factory=list)  # one row an epoch, and one of the average after them if there is SWA
    best_epoch: int = 0
    best_rank: list[float] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_metrics(self) -> Metrics:
        """Of the best epoch, on validation data."""
        best = next(row for row in self.history if row["epoch"] == self.best_epoch)
        return {key: value for key, value in best.items() if key.startswith("val_")}


@dataclass(frozen=True)
class Training(Generic[AnyRecipe]):
    """What every training needs beside its networks. log: called with the metrics and the number of each epoch."""

    stage: str
    dataset: Dataset
    recipe: AnyRecipe
    seed: int
    device: torch.device
    resume: Resume
    log: EpochLog

    @property
    def draws(self) -> tuple[str, int]:
        """What the random draws of all epochs follow from."""
        return DRAWS.get(self.stage, self.stage), self.seed


def fit(
    network: nn.Module,
    training: Training[Recipe],
    *,
    loss: Loss,
    validate: Callable[[], Metrics],
    select: str,
    untrained_competes: bool = False,
) -> TrainingState:
    """Train the parameters of the network that require a gradient, and leave it with the weights of its best epoch.

    loss(images, labels) -> scalar tensor; validate() -> metrics, with `val_loss` among them. The best epoch has the highest
    `select` (an undefined one loses), then the lowest `val_loss`, then is the earliest. Every random draw of an epoch
    follows from (seed, stage, epoch), so that an interrupted training ends as an uninterrupted one.

    With untrained_competes, a row of epoch 0 comes first: the network as given, which may be the best.
    With swa_epochs, one more row follows the epochs: the average of their weights, which is the result whatever its metrics.
    Every row then says in `averaged_epochs` how many epochs' weights it averages, 0 for those of one epoch alone.
    ValueError if the loss, or with sam_radius its gradient, stops being finite.
    """
    stage, recipe = training.stage, training.recipe
    batches = TrainingBatches(training.dataset, recipe.batch_size, recipe.augmentation, training.device)
    learner = _Learner(network, loss, recipe, len(batches))
    state = _restored(training.resume, learner)
    last = recipe.epochs + (recipe.swa_epochs > 0)
    first = 0 if untrained_competes else 1
    for epoch in range(first + len(state.history), last + 1):
        started, is_average = time.perf_counter(), epoch > recipe.epochs
        one_pass = partial(_pass, network, batches, recipe, (*training.draws, epoch), f"{stage} {epoch}/{last}")
        if epoch == 0:
            rate, train_loss = 0.0, None
        else:
            rate, train_loss = learner.average_pass(one_pass) if is_average else learner.epoch(epoch, one_pass)
        network.eval()
        # Plain numbers: the resume file is read with weights_only, which refuses NumPy's.
        metrics = {key: None if value is None else float(value) for key, value in validate().items()}
        averaged = {"averaged_epochs": recipe.swa_epochs if is_average else 0} if recipe.swa_epochs else {}
        state.history.append({"epoch": epoch, **averaged, "learning_rate": rate, "train_loss": train_loss, **metrics})
        rank = _rank(metrics, select)
        if is_average or not state.best_weights or rank > state.best_rank:
            state.best_epoch, state.best_rank, state.best_weights = epoch, rank, _weights(network)
        training.log(state.history[-1], epoch)
        training.resume.save({**vars(state), **learner.state_dict()})
        epoch_line(stage, epoch, last, {"train_loss": train_loss, **metrics}, time.perf_counter() - started)
    network.load_state_dict(state.best_weights)
    network.eval()
    return state


class _Learner:
    """The network with what moves it: the optimiser, its schedule and, for SWA, the average of the weights so far."""

    def __init__(self, network: nn.Module, loss: Loss, recipe: Recipe, steps: int) -> None:
        self.network, self.loss, self.recipe = network, loss, recipe
        self.optimizer, self.schedule = _optimizer(network, recipe, steps)
        self.average = AveragedModel(network) if recipe.swa_epochs else None

    def epoch(self, epoch: int, one_pass: Callable[[Loss], float]) -> tuple[float, float]:
        """A step a batch: (learning rate at the start, mean loss)."""
        averaging = self.average is not None and epoch > self.recipe.epochs - self.recipe.swa_epochs
        constant = self.recipe.swa_learning_rate if averaging else None
        for group in self.optimizer.param_groups:
            group["lr"] = constant or group["lr"]
        rate = self.optimizer.param_groups[0]["lr"]
        train_loss = one_pass(partial(self._step, scheduled=not constant))
        if self.average is not None and averaging:
            self.average.update_parameters(self.network)
        return rate, train_loss

    def average_pass(self, one_pass: Callable[[Loss], float]) -> tuple[float, float]:
        """The averaged weights with BatchNorm statistics of their own, for which no step is made: (rate 0, mean loss)."""
        assert self.average is not None, "an average is only made with swa_epochs"
        take_average(self.network, self.average)
        self.network.train()
        with fresh_statistics(self.network), torch.no_grad():
            return 0.0, one_pass(self._forward)

    def _forward(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(images.device, self.recipe.precision):
            return self.loss(images, labels)

    def _gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        value = self._forward(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        return value

    def _step(self, images: Tensor, labels: Tensor, *, scheduled: bool) -> Tensor:
        gradient, radius = partial(self._gradient, images, labels), self.recipe.sam_radius
        value = sharpness_aware(self.network, radius, gradient) if radius else gradient()
        self.optimizer.step()
        if scheduled:
            self.schedule.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        state = {"network": _weights(self.network), "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        return {**state, "average": _weights(self.average)} if self.average is not None else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, values in state.items():
            getattr(self, name).load_state_dict(values)


def _pass(
    network: nn.Module, batches: TrainingBatches, recipe: Recipe, key: tuple[str, int, int], label: str, step: Callable[..., Tensor]
) -> float:
    """step(images, labels) on each batch of one epoch, the network in training mode: the mean over the samples of what it gives."""
    *_, epoch = key
    draw = int.from_bytes(sha256(repr(key).encode()).digest()[:8], "big") >> 1
    torch.manual_seed(draw)  # dropout
    network.train()
    total, samples = 0.0, 0
    bar = progress(batches.epoch(torch.Generator().manual_seed(draw)), len(batches), label, "batch")
    for images, labels in bar:
        total, samples = total + step(images, labels).item() * len(images), samples + len(images)
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
        "cosine": lambda: schedules.CosineAnnealingLR(optimizer, T_max=recipe.epochs * steps),
    }
    return optimizer, make[recipe.schedule]()


def _rank(metrics: Metrics, select: str) -> list[float]:
    """Larger is better. What is undefined or NaN loses: a NaN would make every later epoch compare as no better."""
    chosen, loss = metrics[select], metrics["val_loss"]
    return [-math.inf if value is None or math.isnan(value) else value for value in (chosen, None if loss is None else -loss)]


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _restored(resume: Resume, learner: _Learner) -> TrainingState:
    saved = resume.load()
    if saved is None:
        return TrainingState()
    own = {name: saved[name] for name in vars(TrainingState())}
    learner.load_state_dict({name: value for name, value in saved.items() if name not in own})
    return TrainingState(**own)
