"""The trainings: a classifier, ConfidNet's head on the frozen classifier, its fine-tuned encoder, corrected MCP, and a second opinion.

ConfidNet is that of Corbière et al. 2019, arXiv:1910.04851, section 2.2; for the last two see scores/corrected_mcp.py and
scores/second_opinion.py.
The best epoch is selected on validation data only.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.recipes import BaselineRecipe, ConfidenceHeadRecipe, ConfidenceRecipe, SecondOpinionRecipe
from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.batches import EpochBatches, complete, inference_batches
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.networks.inference import classifier_validation_metrics, map_images
from confidnet_core.networks.probabilities import class_log_odds
from confidnet_core.training.compilation import compiled
from confidnet_core.training.head_inputs import StoredFeatureBatches, sample_pixels, stored_validation_features
from confidnet_core.training.loop import LossFunction, Metrics, Training, TrainingState, fit
from confidnet_core.training.losses import confidence_loss, confidence_loss_to_targets, cross_entropy, median_frequency_weights
from confidnet_core.training.targets import compute_confidence_targets


def train_classifier(classifier: Classifier, training: Training[BaselineRecipe]) -> TrainingState:
    """Train a classifier with cross-entropy; keep the epoch with the best validation accuracy, for segmentation the best mean IoU."""
    dataset, recipe, device = training.dataset, training.recipe, training.device

    def validate() -> Metrics:
        return classifier_validation_metrics(classifier, dataset, device, recipe.precision)

    selection_metric = "val_mean_iou" if dataset.is_segmentation else "val_accuracy"
    return _fit_classifier(classifier, training, validate, selection_metric)


def train_second_opinion(network: Classifier, classifier: Classifier, training: Training[SecondOpinionRecipe]) -> TrainingState:
    """Train a second classifier with cross-entropy; keep the epoch in which it tells the first one's validation errors best.

    Its log-odds of what the frozen `classifier` predicts are the confidence, and the best epoch is the one with the highest AUPR-Error.
    """
    dataset, recipe, device = training.dataset, training.recipe, training.device
    images, labels = dataset.split("val")
    is_labelled = labelled_mask(labels, dataset.void)
    predicted = map_images(lambda batch: classifier(batch).argmax(1), images, dataset, device, "classifier")
    correct = predicted[is_labelled] == labels[is_labelled]

    def validate() -> Metrics:
        log_odds = np.empty(labels.shape, np.float32)

        def observe(batch_slice: slice, logits: Tensor) -> None:
            batch_predicted = torch.from_numpy(predicted[batch_slice]).to(logits.device)
            log_odds[batch_slice] = class_log_odds(logits, batch_predicted).cpu().numpy()

        own_metrics = classifier_validation_metrics(network, dataset, device, recipe.precision, observe)
        complete(images, log_odds)
        return own_metrics | _ranking_metrics(log_odds[is_labelled], correct)

    return _fit_classifier(network, training, validate, "val_aupr_error")


def _fit_classifier(
    classifier: Classifier, training: Training[BaselineRecipe], validate: Callable[[], Metrics], selection_metric: str
) -> TrainingState:
    """Train a classifier with cross-entropy on the training split, and keep its best epoch."""
    dataset, recipe, device = training.dataset, training.recipe, training.device
    to_device(classifier, device)
    weights = class_weights(dataset, recipe, device)
    class_logits_of = compiled(classifier, recipe.compile)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(class_logits_of(images), labels, dataset.void, weights, recipe.label_smoothing)

    return fit(classifier, training, loss=loss, validate=validate, selection_metric=selection_metric)


def train_confidnet(confidnet: ConfidNet, training: Training[ConfidenceHeadRecipe]) -> TrainingState:
    """Train ConfidNet's head to predict the recipe's target, such as TCP, from one pass of the frozen classifier; return the history."""
    return _fit_head(confidnet, training)


def finetune_confidnet(confidnet: ConfidNet, classifier: Classifier, training: Training[ConfidenceRecipe]) -> TrainingState:
    """Train ConfidNet's head and encoder copy to predict the recipe's target, computed by the frozen classifier, both without dropout."""
    to_device(classifier, training.device).eval()
    void, recipe = training.dataset.void, training.recipe
    class_logits_of, confidence_of = compiled(classifier, recipe.compile), compiled(confidnet, recipe.compile)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            logits = class_logits_of(images)
        confidence = confidence_of(images, logits) if confidnet.reads_softmax else confidence_of(images)
        return confidence_loss(confidence, logits, labels, void, target=recipe.target, loss=recipe.loss)

    return _fit_confidence_network(confidnet, classifier, loss, training)


def train_corrected_mcp(corrected_mcp: CorrectedMcp, training: Training[ConfidenceHeadRecipe]) -> TrainingState:
    """Train the head that corrects MCP, as in train_confidnet; the untrained network, which equals MCP, stays if no epoch is better."""
    return _fit_head(corrected_mcp, training, include_untrained=True)


def _fit_head(confidnet: ConfidNet, training: Training[ConfidenceHeadRecipe], include_untrained: bool = False) -> TrainingState:
    """Train the head of a confidence network whose encoder is frozen, on stored features or on pixels if the recipe says so."""
    to_device(confidnet, training.device)
    void, recipe = training.dataset.void, training.recipe
    validation_batches = stored_validation_features(confidnet, training)
    batches = StoredFeatureBatches(confidnet, training) if recipe.feature_passes else None
    encode_with_logits = compiled(confidnet.encode_with_logits, recipe.compile)
    confidence_of_features = compiled(confidnet.confidence_of_features, recipe.compile)

    def loss_of_features(features: Tensor, class_logits: Tensor, labels: Tensor) -> Tensor:
        confidence = confidence_of_features(features, class_logits)
        return confidence_loss(confidence, class_logits, labels, void, target=recipe.target, loss=recipe.loss)

    def loss_of_images(images: Tensor, labels: Tensor) -> Tensor:
        features, class_logits = encode_with_logits(images)
        if recipe.pixel_share < 1:
            return loss_of_features(*sample_pixels(features, class_logits, labels, recipe.pixel_share))
        return loss_of_features(features, class_logits, labels)

    return _fit_confidence_network(
        confidnet,
        confidnet.encoder,
        loss_of_images if batches is None else loss_of_features,
        training,
        include_untrained=include_untrained,
        batches=batches,
        validation_batches=validation_batches,
    )


def _fit_confidence_network(
    confidnet: ConfidNet,
    classifier: Classifier,
    loss: LossFunction,
    training: Training[ConfidenceRecipe],
    include_untrained: bool = False,
    batches: EpochBatches | None = None,
    validation_batches: list[tuple[slice, Tensor, Tensor]] | None = None,
) -> TrainingState:
    """Train a confidence network and keep the epoch with the best validation AUPR-Error; return the history and the best epoch.

    validation_batches: features and class logits of the validation split, see `stored_validation_features`; None computes them each time
    """
    dataset, device, recipe = training.dataset, training.device, training.recipe
    to_device(confidnet, device)
    images, labels = dataset.split("val")
    is_labelled = labelled_mask(labels, dataset.void)
    target_values, correct = compute_confidence_targets(classifier, images, labels, dataset, device, recipe.target)

    def confidence_batches() -> Iterator[tuple[slice, Tensor]]:
        if validation_batches is not None:
            for batch_slice, features, class_logits in validation_batches:
                yield batch_slice, confidnet.confidence_of_features(features, class_logits)
            return
        for batch_slice, batch in inference_batches(images, dataset, device):
            yield batch_slice, confidnet(batch, classifier(batch)) if confidnet.reads_softmax else confidnet(batch)

    def validate() -> Metrics:
        confidence_maps = np.empty(labels.shape, np.float32)
        with torch.inference_mode(), autocast(device, recipe.precision):
            for batch_slice, confidence in confidence_batches():
                confidence_maps[batch_slice] = confidence.float().cpu().numpy()
        complete(images, confidence_maps)
        confidence_logits = confidence_maps[is_labelled]
        val_loss = confidence_loss_to_targets(torch.from_numpy(confidence_logits), torch.from_numpy(target_values), recipe.loss).item()
        return {"val_loss": val_loss} | _ranking_metrics(confidence_logits, correct)

    return fit(
        confidnet,
        training,
        loss=loss,
        validate=validate,
        selection_metric="val_aupr_error",
        include_untrained=include_untrained,
        batches=batches,
    )


def _ranking_metrics(confidence: np.ndarray, correct: np.ndarray) -> Metrics:
    """Return how well confidences (n,) separate correct predictions from errors, bool (n,), on validation data: {val_METRIC: value}."""
    metrics = failure_metrics(confidence, correct)
    return {f"val_{metric}": metrics[metric] for metric in ("aupr_error", "auroc", "fpr_at_95_tpr")}


def class_weights(dataset: Dataset, recipe: BaselineRecipe, device: torch.device) -> Tensor | None:
    """Return the class weights (classes,) that the recipe asks for, from the labels of the training split; None for no weights."""
    if recipe.class_weights == "none":
        return None
    counts = np.bincount(dataset.split("train")[1].ravel(), minlength=len(dataset.classes))[: len(dataset.classes)]
    return median_frequency_weights(torch.from_numpy(counts)).to(device)
