"""Training settings (recipes) of params.yaml: how each network of a benchmark is trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from confidnet_core.config.choices import RegistryEntryChoice, registry_entry_validator
from confidnet_core.config.ranges import (
    BatchSize,
    Epochs,
    FractionBelowOne,
    LayerWidth,
    ListOf,
    NonNegativeFloat,
    NonNegativeInt,
    Passes,
    PathText,
    PositiveFloat,
    PositiveInt,
    reject_bool_and_float,
)
from confidnet_core.config.section import ParamsSection, first_validation_error, require_mapping, require_valid_setting, validation_error

# Networks beside the classifier, by the names of their recipes and folders, in the order in which they are trained.
CONFIDENCE_NETWORKS = ("confidnet", "finetune", "finetune_augmented", "corrected_mcp", "second_opinion")
MilestoneEpoch = Annotated[PositiveInt, Field(description="rising epochs, from 1")]


class Augmentation(ParamsSection):
    """Random changes to training images, with these settings: whole batches, on the device, before normalisation, in this order.

    Each draws anew for every image, uniformly. Pixels from outside become black.
    """

    flip: bool = False  # horizontally, with probability 1/2
    rotation: Annotated[float, Field(ge=0, le=180, description="0 to 180 degrees")] = 0.0  # in [-rotation, rotation]
    scale: FractionBelowOne = 0.0  # by a factor in [1 - scale, 1 + scale]
    shear: Annotated[float, Field(ge=0, le=2, description="0 to 2")] = 0.0  # horizontal pixels for each vertical one, in [-shear, shear]
    # Width of black padding, before a random crop to the original size: moves in whole pixels in [-crop, crop].
    crop: Annotated[int, Field(ge=0, le=2**14, description=f"0 to {2**14:,} pixels")] = 0
    interpolation: Literal["nearest", "bilinear"] = "nearest"  # of images that are rotated, scaled or sheared; label maps: nearest
    brightness: FractionBelowOne = 0.0  # all values by a factor in [1 - brightness, 1 + brightness]
    contrast: FractionBelowOne = 0.0  # distances from the image's mean by a factor in [1 - contrast, 1 + contrast]
    cutout: Annotated[int, Field(ge=0, le=2**14, description=f"0 to {2**14:,} pixels")] = 0  # side of a black square, anywhere


class Recipe(ParamsSection):
    """Training settings that every network in params.yaml has, such as epochs and learning rate."""

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: PositiveFloat  # the peak of one_cycle, the initial rate of other schedules
    optimizer: Literal["sgd", "adam"]
    momentum: FractionBelowOne = 0.9  # of sgd
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "one_cycle", "multi_step", "cosine"] = "constant"  # cosine: decays to 0 over all epochs
    milestones: ListOf[MilestoneEpoch] = ()  # epochs after which multi_step multiplies the rate by 0.1
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"  # of the training; see networks.device.autocast. tf32 is fp32 without a GPU
    compile: bool = False  # by torch.compile: the networks of the training, see training.compilation
    sam_radius: NonNegativeFloat = 0.0  # of Sharpness-Aware Minimization (Foret et al. 2021), which doubles the cost of a step; 0 is off
    swa_epochs: NonNegativeInt = 0  # number of last epochs to average (Stochastic Weight Averaging, Izmailov et al. 2018); 0 is off
    swa_learning_rate: PositiveFloat | None = None  # constant in those epochs; None continues the schedule
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _check_milestones(self) -> Self:
        is_multi_step, milestones = self.schedule == "multi_step", list(self.milestones)
        expected_text = f"{'epochs' if is_multi_step else 'none'} with schedule {self.schedule}"
        require_valid_setting("milestones", milestones, bool(milestones) == is_multi_step, expected_text)
        require_valid_setting("milestones", milestones, [0, *milestones] == sorted({0, *milestones}), "rising epochs, from 1")
        return self

    @model_validator(mode="after")
    def _check_weight_averaging(self) -> Self:
        require_valid_setting("swa_epochs", self.swa_epochs, self.swa_epochs <= self.epochs, f"0 to {self.epochs}, the epochs")
        if self.swa_learning_rate is not None:
            require_valid_setting(
                "swa_learning_rate", self.swa_learning_rate, self.swa_epochs > 0, "null with swa_epochs 0: no epoch has this rate"
            )
        return self


class BaselineRecipe(Recipe):
    """Training settings of the classifier."""

    class_weights: Literal["none", "median_frequency"] = "none"
    label_smoothing: FractionBelowOne = 0.0  # fraction of the target spread over classes; harms selective prediction: arXiv:2403.14715


class AttachedWeights(ParamsSection):
    """The weights of a classifier that was trained elsewhere, in place of the settings of its training: they are taken as they are."""

    weights: PathText  # of the file, from the project's root
    augmentation: Augmentation = Augmentation()  # with which the classifier was trained; scores may mirror images only if it saw such


def parse_baseline(raw_content: Any) -> Any:
    """Return the section `baseline` of params.yaml as a BaselineRecipe, or with the key `weights` as AttachedWeights."""
    if isinstance(raw_content, BaselineRecipe | AttachedWeights):
        return raw_content
    section = require_mapping("", raw_content)
    recipe_keys = [key for key in section if key in BaselineRecipe.model_fields and key not in AttachedWeights.model_fields]
    if "weights" in section and recipe_keys:
        take_text = f"remove {', '.join(recipe_keys)} to take the weights as they are"
        tune_text = "move the path to pretrained of a model that has it, as module, to train on from them"
        raise validation_error("", f"has weights and a recipe; {take_text}, or {tune_text}")
    try:
        return (AttachedWeights if "weights" in section else BaselineRecipe).model_validate(section)
    except ValidationError as error:
        raise first_validation_error(error) from None


class ConfidenceRecipe(Recipe):
    """Training settings of a network that predicts confidence, with the target it learns and its loss."""

    target: Literal["tcp", "normalised_tcp", "correctness"] = "tcp"  # see losses.confidence_target
    # Between confidence and target: see losses.confidence_loss_to_targets.
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "mse"

    @model_validator(mode="after")
    def _check_loss_for_target(self) -> Self:
        loss_fits_target = self.target == "correctness" or self.loss in ("mse", "bce")
        require_valid_setting(
            "loss", self.loss, loss_fits_target, f"mse or bce with the target {self.target}: the others are for the target correctness"
        )
        return self


class ConfidenceHeadRecipe(ConfidenceRecipe):
    """Training settings of a confidence head, a small network on the features of the frozen classifier's encoder."""

    dropout: bool = True  # active in the frozen encoder while the head is trained, as published
    # Hidden layer widths of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation.
    widths: Annotated[ListOf[LayerWidth] | None, Field(description=f"1 to {2**16:,} for each layer")] = None
    # Kernel size of a segmentation head; None: 3, as in the published code.
    kernel: Annotated[Literal[1, 3] | None, BeforeValidator(reject_bool_and_float)] = None
    # Passes of the frozen encoder over the training images that are stored: each sample draws one of them anew in each epoch. Each has its
    # own dropout and augmentation. 0: the encoder runs in each step, as published. Not for segmentation.
    feature_passes: NonNegativeInt = 0
    feature_memory: PositiveFloat = 2.0  # GiB that stored features may take
    # Share of a batch's pixels on which a segmentation head with kernel 1 is trained, drawn anew in each step; 1: all, as published.
    pixel_share: Annotated[float, Field(gt=0, le=1, description="above 0, at most 1")] = 1.0

    @model_validator(mode="after")
    def _check_feature_passes(self) -> Self:
        passes_differ = self.dropout or self.augmentation != Augmentation()
        expected_text = "0 or 1 with dropout: false and no augmentation, as all passes are then equal"
        require_valid_setting("feature_passes", self.feature_passes, self.feature_passes <= 1 or passes_differ, expected_text)
        return self

    @model_validator(mode="after")
    def _check_pixel_share(self) -> Self:
        expected_text = f"1 with pixel_share {self.pixel_share:g}, as a larger kernel reads the pixels around each one that is drawn"
        require_valid_setting("kernel", self.kernel, self.pixel_share == 1 or self.kernel == 1, expected_text)
        return self


class ConfidnetRecipe(ConfidenceHeadRecipe):
    """Training settings of ConfidNet's confidence head."""

    first_confidence: Literal["half", "mean_tcp"] = "half"  # initial output: near 1/2, as published, or the mean TCP


class CorrectedMcpRecipe(ConfidenceHeadRecipe):
    """Training settings of a confidence head whose output is added to the log-odds of MCP (maximum class probability)."""

    target: Literal["tcp", "normalised_tcp", "correctness"] = "correctness"
    loss: Literal["mse", "bce", "weighted_bce", "focal", "ranking"] = "bce"


class FinetuneRecipe(ConfidenceRecipe):
    """Training settings of ConfidNet's fine-tuning: a copy of the encoder is trained together with the head, without dropout."""

    reads_softmax: bool = False  # whether the head reads the frozen classifier's softmax beside the features; not as published


class SecondOpinionRecipe(BaselineRecipe):
    """Training settings of the second opinion: another classifier of the same question, which learns from changed images.

    model: its own model, without code of one's own; None: the same as the classifier's
    """

    model: Annotated[RegistryEntryChoice | None, registry_entry_validator("models", is_optional=True)] = None


class McDropout(ParamsSection):
    """Section `mc_dropout` of a benchmark in params.yaml: Monte Carlo dropout, stochastic forward passes of a classifier
    (scoring.mc_dropout).
    """

    passes: Passes = 0  # 0 turns MC dropout off
    precision: Literal["fp32", "bf16"] = "fp32"
