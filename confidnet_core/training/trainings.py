"""The four trainings: a classifier, ConfidNet's head on the frozen classifier, ConfidNet's fine-tuned encoder, and corrected MCP.

ConfidNet is that of Corbière et al. 2019, arXiv:1910.04851, section 2.2; for corrected MCP see scores/corrected_mcp.py.
The best epoch is selected on validation data only.
"""

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.recipes import BaselineRecipe, ConfidenceHeadRecipe, ConfidenceRecipe
from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.batches import EpochBatches, complete, inference_batches, labels_to_tensor
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.networks.dropout import derive_random_seed
from confidnet_core.networks.inference import classifier_validation_metrics
from confidnet_core.training.compilation import compiled
from confidnet_core.training.head_inputs import StoredFeatureBatches, sample_pixels, stored_validation_features
from confidnet_core.training.loop import LossFunction, Metrics, Training, TrainingState, fit
from confidnet_core.training.losses import (
    ConfidenceTargetName,
    confidence_loss,
    confidence_loss_to_targets,
    confidence_target,
    cross_entropy,
    median_frequency_weights,
)


def train_classifier(classifier: Classifier, training: Training[BaselineRecipe]) -> TrainingState:
    """Train a classifier with cross-entropy; keep the epoch with the best validation accuracy, for segmentation the best mean IoU."""
    dataset, recipe, device = training.dataset, training.recipe, training.device
    to_device(classifier, device)
    weights = class_weights(dataset, recipe, device)
    class_logits_of = compiled(classifier, recipe.compile)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(class_logits_of(images), labels, dataset.void, weights, recipe.label_smoothing)

    def validate() -> Metrics:
        return classifier_validation_metrics(classifier, dataset, device, recipe.precision)

    selection_metric = "val_mean_iou" if dataset.is_segmentation else "val_accuracy"
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
        return confidence_loss(confidence_of(images), logits, labels, void, target=recipe.target, loss=recipe.loss)

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
    target_values, correct = _compute_confidence_targets(classifier, images, labels, dataset, device, recipe.target)

    def confidence_batches() -> Iterator[tuple[slice, Tensor]]:
        if validation_batches is not None:
            for batch_slice, features, class_logits in validation_batches:
                yield batch_slice, confidnet.confidence_of_features(features, class_logits)
            return
        for batch_slice, batch in inference_batches(images, dataset, device):
            yield batch_slice, confidnet(batch)

    def validate() -> Metrics:
        confidence_maps = np.empty(labels.shape, np.float32)
        with torch.inference_mode(), autocast(device, recipe.precision):
            for batch_slice, confidence in confidence_batches():
                confidence_maps[batch_slice] = confidence.float().cpu().numpy()
        complete(images, confidence_maps)
        confidence_logits = confidence_maps[is_labelled]
        val_loss = confidence_loss_to_targets(torch.from_numpy(confidence_logits), torch.from_numpy(target_values), recipe.loss).item()
        ranking_metrics = failure_metrics(confidence_logits, correct)
        return {"val_loss": val_loss, **{f"val_{metric}": ranking_metrics[metric] for metric in ("aupr_error", "auroc", "fpr_at_95_tpr")}}

    return fit(
        confidnet,
        training,
        loss=loss,
        validate=validate,
        selection_metric="val_aupr_error",
        include_untrained=include_untrained,
        batches=batches,
    )


def class_weights(dataset: Dataset, recipe: BaselineRecipe, device: torch.device) -> Tensor | None:
    """Return the class weights (classes,) that the recipe asks for, from the labels of the training split; None for no weights."""
    if recipe.class_weights == "none":
        return None
    counts = np.bincount(dataset.split("train")[1].ravel(), minlength=len(dataset.classes))[: len(dataset.classes)]
    return median_frequency_weights(torch.from_numpy(counts)).to(device)


def _compute_confidence_targets(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, dataset: Dataset, device: torch.device, target: ConfidenceTargetName
) -> tuple[np.ndarray, np.ndarray]:
    """Return targets float32 (n,) and correctness bool (n,) of the n labelled images or pixels; the classifier's mode stays as it is.

    Where dropout is on, its draws follow from the position of a batch, and are the same in each call.
    """
    target_values, correct = np.empty(labels.shape, np.float32), np.empty(labels.shape, bool)
    with torch.inference_mode():
        for batch_slice, batch in inference_batches(images, dataset, device):
            torch.manual_seed(derive_random_seed("targets", batch_slice.start))  # dropout
            batch_labels = labels_to_tensor(labels[batch_slice], device)
            logits = classifier(batch).float()
            labels_without_void = batch_labels if dataset.void is None else batch_labels.where(batch_labels != dataset.void, 0)
            target_values[batch_slice] = confidence_target(logits, labels_without_void, target).cpu().numpy()
            correct[batch_slice] = (logits.argmax(1) == batch_labels).cpu().numpy()
    complete(images, target_values, correct)
    is_labelled = labelled_mask(labels, dataset.void)
    return target_values[is_labelled], correct[is_labelled]


def training_target_summary(confidnet: ConfidNet, dataset: Dataset, device: torch.device, bins: int = 20) -> dict:
    """Return a summary of TCP, the head's published target, on the training split: histogram, errors, quantiles, and "collapsed".

    TCP is computed in the encoder's training mode, with dropout where the recipe has dropout. The target has collapsed if there is no
    error, or its standard deviation is below 0.02: a classifier that is nearly always confident and correct on its own training data
    leaves nothing to learn.
    """
    to_device(confidnet, device)
    images, labels = dataset.split("train")
    confidnet.train()
    tcp, correct = _compute_confidence_targets(confidnet.encoder, images, labels, dataset, device, "tcp")
    confidnet.eval()
    counts, edges = np.histogram(tcp, bins=bins, range=(0, 1))
    errors, standard_deviation = int(np.sum(~correct)), float(tcp.std())
    return {
        "samples": len(tcp),
        "errors": errors,
        "mean": float(tcp.mean()),
        "std": standard_deviation,
        "quantiles": {str(percent): float(np.percentile(tcp, percent)) for percent in (1, 5, 25, 50, 75, 95)},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "dropout": confidnet.dropout,
        "collapsed": errors == 0 or standard_deviation < 0.02,
    }


def warn_if_target_collapsed(target: dict, benchmark_name: str) -> None:
    """Print a warning about the benchmark of this name if its target, from training_target_summary, has collapsed."""
    if target["collapsed"]:
        print(
            f"WARNING {benchmark_name}: the classifier is nearly always sure and right on its training data ({target['errors']} errors of "
            f"{target['samples']}, TCP {target['mean']:.4f} +- {target['std']:.4f}); a head that regresses this target learns a constant. "
            "Train the baseline for fewer epochs, with more augmentation or dropout, or keep confidnet.dropout: true.",
            file=sys.stderr,
        )
