"""How each network is trained: the recipes of params.yaml, checked."""

import math
from dataclasses import dataclass
from typing import Literal

from confidnet_core.config._typed import require


@dataclass(frozen=True)
class Augmentation:
    """Applied to whole training batches on the device, in this order, before normalisation."""

    flip: bool = False  # horizontal, probability 1/2
    rotation: float = 0.0  # degrees; uniform in [-rotation, rotation], black fill
    crop: int = 0  # pixels of black padding, then a random crop back to size

    def __post_init__(self) -> None:
        require("rotation", self.rotation, 0 <= self.rotation <= 180, "0 to 180 degrees")
        require("crop", self.crop, self.crop >= 0, "at least 0 pixels")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int
    batch_size: int
    learning_rate: float  # the peak of one_cycle, the start of the other schedules
    optimizer: Literal["sgd", "adam"]
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    schedule: Literal["constant", "one_cycle", "multi_step", "cosine"] = "constant"  # cosine: from the rate to 0 over all epochs
    milestones: tuple[int, ...] = ()  # epochs after which multi_step multiplies the rate by 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    sam_radius: float = 0.0  # of Sharpness-Aware Minimization, Foret et al. 2021: 0 is off; on, a step takes two passes
    swa_epochs: int = 0  # Stochastic Weight Averaging, Izmailov et al. 2018: the last epochs whose weights are averaged; 0 is off
    swa_learning_rate: float | None = None  # constant in those epochs; None: the schedule runs on
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        require("epochs", self.epochs, self.epochs >= 1, "at least 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        require("learning_rate", self.learning_rate, 0 < self.learning_rate < math.inf, "a number above 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        steps, epochs = self.schedule == "multi_step", list(self.milestones)
        require("milestones", epochs, bool(epochs) == steps, f"{'epochs' if steps else 'none'} with schedule {self.schedule}")
        require("milestones", epochs, [0, *epochs] == sorted({0, *epochs}), "rising epochs, from 1")
        require("sam_radius", self.sam_radius, 0 <= self.sam_radius < math.inf, "at least 0")
        require("swa_epochs", self.swa_epochs, 0 <= self.swa_epochs <= self.epochs, f"0 to {self.epochs}, the epochs")
        if (rate := self.swa_learning_rate) is not None:
            require("swa_learning_rate", rate, 0 < rate < math.inf, "a number above 0, or null")
            require("swa_learning_rate", rate, self.swa_epochs > 0, "null with swa_epochs 0: no epoch has this rate")


@dataclass(frozen=True)
class Baseline(Recipe):
    class_weights: Literal["none", "median_frequency"] = "none"
    label_smoothing: float = 0.0  # share of the target spread over all classes; harms selective prediction (arXiv:2403.14715)

    def __post_init__(self) -> None:
        super().__post_init__()
        require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "at least 0 and below 1")


@dataclass(frozen=True)
class Regression(Recipe):
    target: Literal["tcp", "normalised_tcp", "correctness"] = "tcp"  # see losses.confidence_target
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "mse"  # between confidence and target: see losses.objective

    def __post_init__(self) -> None:
        super().__post_init__()
        told = self.target == "correctness" or self.loss in ("mse", "bce")
        require("loss", self.loss, told, f"mse or bce with the target {self.target}: the others are for the target correctness")


@dataclass(frozen=True)
class Head(Regression):
    dropout: bool = True  # in the frozen encoder while the head is trained, as published
    widths: tuple[int, ...] | None = None  # hidden layers of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation
    kernel: Literal[1, 3] | None = None  # of a segmentation head; None: 3, as in the published code

    def __post_init__(self) -> None:
        super().__post_init__()
        require("widths", self.widths, all(width >= 1 for width in self.widths or ()), "at least 1 for each layer")


@dataclass(frozen=True)
class Confidnet(Head):
    first_confidence: Literal["half", "mean_tcp"] = "half"  # where the head starts: near 1/2, as published, or at the mean TCP


@dataclass(frozen=True)
class Correction(Head):
    """A head that is added to the log-odds of MCP."""

    target: Literal["tcp", "normalised_tcp", "correctness"] = "correctness"
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "bce"


@dataclass(frozen=True)
class Finetune(Regression):
    """Encoder copy and head, dropout off."""
