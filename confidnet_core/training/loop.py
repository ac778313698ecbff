"""The training loop for any network and loss: it keeps the epoch with the best validation result and resumes after an interruption."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from confidnet_core.config.recipes import Recipe
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import EpochBatches, TrainingBatches
from confidnet_core.networks.device import autocast, float32_products
from confidnet_core.networks.dropout import derive_random_seed
from confidnet_core.networks.ranks import computing, with_shared_gradients
from confidnet_core.progress import print_epoch, progress_bar
from confidnet_core.training.compilation import uncompiled
from confidnet_core.training.flat_minima import load_averaged_weights, recompute_batchnorm_statistics, set_sharpness_aware_gradient
from confidnet_core.training.resume import ResumeFolder
from confidnet_core.training.synchronized_batchnorm import synchronize_batchnorm

LossFunction = Callable[..., Tensor]
Metrics = dict[str, float | None]
RecipeT = TypeVar("RecipeT", bound=Recipe, covariant=True)
EpochLogger = Callable[[Metrics, int], None]

# Random draws depend on a stage's name, its seed and the epoch. Renamed stages keep the draws of their former names.
FORMER_STAGE_NAMES = {
    **{"finetune": "finetune_confidnet", "finetune_augmented": "finetune_confidnet"},
    "train_corrected_mcp": "train_correction",
}


@dataclass
class TrainingState:
    """State of a training in progress: the metrics of all epochs so far, and the best epoch with its rank and weights."""

    history: list[Metrics] = field(default_factory=list)  # one row per epoch; with SWA, one more row for the averaged weights
    best_epoch: int = 0
    best_epoch_sort_key: list[float] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_metrics(self) -> Metrics:
        """Return the validation metrics (keys that begin with val_) of the best epoch."""
        best_history_row = next(row for row in self.history if row["epoch"] == self.best_epoch)
        return {key: value for key, value in best_history_row.items() if key.startswith("val_")}


@dataclass(frozen=True)
class Training(Generic[RecipeT]):
    """Inputs of a training other than the networks: data, recipe, seed. log(metrics, epoch) is called after each epoch."""

    stage: str
    dataset: Dataset
    recipe: RecipeT
    seed: int
    device: torch.device
    resume: ResumeFolder
    log: EpochLogger

    @property
    def random_seed_key(self) -> tuple[str, int]:
        """Return the key (stage name, seed), from which the random draws of all epochs are derived."""
        return FORMER_STAGE_NAMES.get(self.stage, self.stage), self.seed


def fit(
    network: nn.Module,
    training: Training[Recipe],
    *,
    loss: LossFunction,
    validate: Callable[[], Metrics],
    selection_metric: str,
    include_untrained: bool = False,
    batches: EpochBatches | None = None,
) -> TrainingState:
    """Train all parameters of the network that require a gradient, and leave it with the weights of its best epoch.

    loss(*batch) -> scalar tensor, of the whole batch where several processes share it (networks/ranks.py); validate() -> metrics, which
    include `val_loss`; batches: images (b, c, h, w) and labels (b, ...), augmented as the recipe says, if none are given.
    The best epoch has the highest selection_metric (an undefined one ranks last), ties are decided by the lowest `val_loss`, then by the
    earliest epoch. All random draws of an epoch depend on (seed, stage, epoch) alone, so an interrupted training ends exactly as an
    uninterrupted one.

    With include_untrained, the history begins with epoch 0, the given network, which may be the best.
    With swa_epochs, one more row follows the epochs: the average of their weights, which is the result whatever its metrics.
    Every row then has `averaged_epochs`, the number of epochs whose weights it averages, 0 for a single epoch's weights.
    ValueError if the loss, or with sam_radius its gradient, is no longer finite.
    """
    stage, recipe = training.stage, training.recipe
    batches = batches or TrainingBatches(training.dataset, recipe.batch_size, recipe.augmentation, training.device)
    trainer = _NetworkTrainer(network, loss, recipe, len(batches))
    state = _restore_training_state(training.resume, trainer)
    last_epoch = recipe.epochs + (recipe.swa_epochs > 0)
    first_epoch = 0 if include_untrained else 1
    for epoch in range(first_epoch + len(state.history), last_epoch + 1):
        start_time, is_averaging_epoch = time.perf_counter(), epoch > recipe.epochs
        run_epoch = partial(_process_epoch, network, batches, recipe, (*training.random_seed_key, epoch), f"{stage} {epoch}/{last_epoch}")
        if epoch == 0:
            learning_rate, train_loss = 0.0, None
        else:
            learning_rate, train_loss = (
                trainer.finish_weight_average(run_epoch) if is_averaging_epoch else trainer.train_epoch(epoch, run_epoch)
            )
        network.eval()
        # Metrics become plain floats, because the resume file is read with weights_only, which refuses NumPy numbers.
        metrics = {key: None if value is None else float(value) for key, value in validate().items()}
        averaged_epochs = {"averaged_epochs": recipe.swa_epochs if is_averaging_epoch else 0} if recipe.swa_epochs else {}
        state.history.append({"epoch": epoch, **averaged_epochs, "learning_rate": learning_rate, "train_loss": train_loss, **metrics})
        epoch_sort_key = _epoch_sort_key(metrics, selection_metric)
        if is_averaging_epoch or not state.best_weights or epoch_sort_key > state.best_epoch_sort_key:
            state.best_epoch, state.best_epoch_sort_key, state.best_weights = epoch, epoch_sort_key, _copy_weights(network)
        training.log(state.history[-1], epoch)
        training.resume.save({**vars(state), **trainer.state_dict()})
        print_epoch(stage, epoch, last_epoch, {"train_loss": train_loss, **metrics}, time.perf_counter() - start_time)
    network.load_state_dict(state.best_weights)
    network.eval()
    return state


class _NetworkTrainer:
    """Trains a network epoch by epoch, with an optimizer, a learning rate schedule and, for SWA, an average of the weights."""

    def __init__(self, network: nn.Module, loss: LossFunction, recipe: Recipe, steps_per_epoch: int) -> None:
        synchronize_batchnorm(network)
        self.network, self.loss, self.recipe = network, with_shared_gradients(network, loss), recipe
        self.optimizer, self.schedule = _build_optimizer(network, recipe, steps_per_epoch)
        self.average = AveragedModel(network) if recipe.swa_epochs else None

    def train_epoch(self, epoch: int, run_epoch: Callable[[LossFunction], float]) -> tuple[float, float]:
        """Train one epoch, with an optimizer step for each batch; return (learning rate at the start of the epoch, mean loss)."""
        is_averaging = self.average is not None and epoch > self.recipe.epochs - self.recipe.swa_epochs
        constant_learning_rate = self.recipe.swa_learning_rate if is_averaging else None
        for parameter_group in self.optimizer.param_groups:
            parameter_group["lr"] = constant_learning_rate or parameter_group["lr"]
        learning_rate = self.optimizer.param_groups[0]["lr"]
        train_loss = run_epoch(partial(self._training_step, advance_schedule=not constant_learning_rate))
        if self.average is not None and is_averaging:
            self.average.update_parameters(self.network)
        return learning_rate, train_loss

    def finish_weight_average(self, run_epoch: Callable[[LossFunction], float]) -> tuple[float, float]:
        """Load the averaged weights and recompute the BatchNorm statistics in one pass; return (rate 0, mean loss of the pass)."""
        assert self.average is not None, "an average is only made with swa_epochs"
        load_averaged_weights(self.network, self.average)
        self.network.train()
        # BatchNorm then weighs each batch differently, which would be compiled anew each time.
        with recompute_batchnorm_statistics(self.network), torch.no_grad(), uncompiled(self.recipe.compile):
            return 0.0, run_epoch(self._compute_loss)

    def _compute_loss(self, *batch: Tensor) -> Tensor:
        with autocast(batch[0].device, self.recipe.precision):
            return self.loss(*batch)

    def _compute_gradient(self, *batch: Tensor) -> Tensor:
        with float32_products(batch[0].device, self.recipe.precision):
            loss_value = self._compute_loss(*batch)
            self.optimizer.zero_grad(set_to_none=True)
            loss_value.backward()
        return loss_value

    def _training_step(self, *batch: Tensor, advance_schedule: bool) -> Tensor:
        compute_gradient, sam_radius = partial(self._compute_gradient, *batch), self.recipe.sam_radius
        loss_value = set_sharpness_aware_gradient(self.network, sam_radius, compute_gradient) if sam_radius else compute_gradient()
        self.optimizer.step()
        if advance_schedule:
            self.schedule.step()
        return loss_value

    def state_dict(self) -> dict[str, Any]:
        state = {"network": _copy_weights(self.network), "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        return {**state, "average": _copy_weights(self.average)} if self.average is not None else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, component_state in state.items():
            getattr(self, name).load_state_dict(component_state)


def _process_epoch(
    network: nn.Module,
    batches: EpochBatches,
    recipe: Recipe,
    random_seed_key: tuple[str, int, int],
    progress_bar_title: str,
    step: Callable[..., Tensor],
) -> float:
    """Call step(*batch) -> loss for each batch of one epoch, in training mode; return the mean loss over all training samples."""
    *_, epoch = random_seed_key
    random_seed = derive_random_seed(*random_seed_key)
    torch.manual_seed(random_seed)  # dropout
    network.train()
    loss_sum, sample_count = 0.0, 0
    batch_progress = progress_bar(batches.epoch(torch.Generator().manual_seed(random_seed)), len(batches), progress_bar_title, "batch")
    for rows, batch in batch_progress:
        with computing(rows):
            loss_sum, sample_count = loss_sum + step(*batch).item() * rows.total, sample_count + rows.total
        if not math.isfinite(loss_sum):
            remedy_text = f"lower learning_rate ({recipe.learning_rate}) or use precision: fp32"
            raise ValueError(f"the loss is no longer finite in epoch {epoch}; {remedy_text}")
        batch_progress.set_postfix(loss=f"{loss_sum / sample_count:.4f}", refresh=False)
    return loss_sum / sample_count


def _build_optimizer(
    network: nn.Module, recipe: Recipe, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return the recipe's optimizer of the trainable parameters, and its learning rate schedule, to be stepped after each batch."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    learning_rate, weight_decay, lr_scheduler = recipe.learning_rate, recipe.weight_decay, torch.optim.lr_scheduler
    optimizers: Mapping[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, lr=learning_rate, momentum=recipe.momentum, weight_decay=weight_decay),
        "adam": lambda: torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay),
    }
    optimizer = optimizers[recipe.optimizer]()
    schedulers: Mapping[str, Callable[[], torch.optim.lr_scheduler.LRScheduler]] = {
        "constant": lambda: lr_scheduler.ConstantLR(optimizer, factor=1.0),
        "one_cycle": lambda: lr_scheduler.OneCycleLR(
            optimizer, learning_rate, total_steps=recipe.epochs * steps_per_epoch + 1, cycle_momentum=False
        ),
        "multi_step": lambda: lr_scheduler.MultiStepLR(optimizer, [epoch * steps_per_epoch for epoch in recipe.milestones], gamma=0.1),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs * steps_per_epoch),
    }
    return optimizer, schedulers[recipe.schedule]()


def _epoch_sort_key(metrics: Metrics, selection_metric: str) -> list[float]:
    """Return an epoch's rank [selection metric, -val_loss], larger is better; None and NaN become -inf, as NaN would beat later epochs."""
    selection_value, loss = metrics[selection_metric], metrics["val_loss"]
    return [-math.inf if value is None or math.isnan(value) else value for value in (selection_value, None if loss is None else -loss)]


def _copy_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _restore_training_state(resume: ResumeFolder, trainer: _NetworkTrainer) -> TrainingState:
    stored_state = resume.load()
    if stored_state is None:
        return TrainingState()
    training_state = {name: stored_state[name] for name in vars(TrainingState())}
    trainer.load_state_dict({name: value for name, value in stored_state.items() if name not in training_state})
    return TrainingState(**training_state)
