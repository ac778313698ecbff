"""How each network is trained: the recipes of params.yaml, checked."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from confidnet_core.config.ranges import Count, ListOf, NonNegative, Positive, Share, Whole, whole
from confidnet_core.config.section import Section, require

Epoch = Annotated[Count, Field(description="rising epochs, from 1")]


class Augmentation(Section):
    """Applied to whole training batches on the device, in this order, before normalisation."""

    flip: bool = False  # horizontal, probability 1/2
    rotation: Annotated[float, Field(ge=0, le=180, description="0 to 180 degrees")] = 0.0  # uniform in [-rotation, rotation], black fill
    crop: Annotated[Whole, Field(description="at least 0 pixels")] = 0  # of black padding, then a random crop back to size


class Recipe(Section):
    """How a network is trained."""

    epochs: Count
    batch_size: Count
    learning_rate: Positive  # the peak of one_cycle, the start of the other schedules
    optimizer: Literal["sgd", "adam"]
    momentum: Share = 0.9  # of sgd
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "one_cycle", "multi_step", "cosine"] = "constant"  # cosine: from the rate to 0 over all epochs
    milestones: ListOf[Epoch] = ()  # epochs after which multi_step multiplies the rate by 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    sam_radius: NonNegative = 0.0  # of Sharpness-Aware Minimization, Foret et al. 2021: 0 is off; on, a step costs two
    swa_epochs: Whole = 0  # Stochastic Weight Averaging, Izmailov et al. 2018: the last epochs whose weights are averaged; 0 is off
    swa_learning_rate: Positive | None = None  # constant in those epochs; None: the schedule runs on
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _milestones_belong_to_multi_step(self) -> Self:
        steps, epochs = self.schedule == "multi_step", list(self.milestones)
        require("milestones", epochs, bool(epochs) == steps, f"{'epochs' if steps else 'none'} with schedule {self.schedule}")
        require("milestones", epochs, [0, *epochs] == sorted({0, *epochs}), "rising epochs, from 1")
        return self

    @model_validator(mode="after")
    def _averaging_fits_the_epochs(self) -> Self:
        require("swa_epochs", self.swa_epochs, self.swa_epochs <= self.epochs, f"0 to {self.epochs}, the epochs")
        if self.swa_learning_rate is not None:
            require("swa_learning_rate", self.swa_learning_rate, self.swa_epochs > 0, "null with swa_epochs 0: no epoch has this rate")
        return self


class Baseline(Recipe):
    class_weights: Literal["none", "median_frequency"] = "none"
    label_smoothing: Share = 0.0  # share of the target spread over all classes; harms selective prediction (arXiv:2403.14715)


class Regression(Recipe):
    """How a confidence network is trained: its target and loss."""

    target: Literal["tcp", "normalised_tcp", "correctness"] = "tcp"  # see losses.confidence_target
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "mse"  # between confidence and target: see losses.objective

    @model_validator(mode="after")
    def _loss_fits_the_target(self) -> Self:
        fits = self.target == "correctness" or self.loss in ("mse", "bce")
        require("loss", self.loss, fits, f"mse or bce with the target {self.target}: the others are for the target correctness")
        return self


class Head(Regression):
    dropout: bool = True  # in the frozen encoder while the head is trained, as published
    # Hidden layers of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation.
    widths: Annotated[ListOf[Count] | None, Field(description="at least 1 for each layer")] = None
    kernel: Annotated[Literal[1, 3] | None, BeforeValidator(whole)] = None  # of a segmentation head; None: 3, as in the published code


class Confidnet(Head):
    first_confidence: Literal["half", "mean_tcp"] = "half"  # where the head starts: near 1/2, as published, or at the mean TCP


class CorrectedMcpRecipe(Head):
    """A head that is added to the log-odds of MCP."""

    target: Literal["tcp", "normalised_tcp", "correctness"] = "correctness"
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "bce"


class Finetune(Regression):
    """Fine-tuning of a copy of the encoder together with the head, without dropout."""
