"""The four trainings: a classifier, ConfidNet's head on the frozen classifier, ConfidNet's fine-tuned encoder, and corrected MCP.

Corbière et al. 2019, arXiv:1910.04851, section 2.2. The best epoch is selected on validation data only.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.recipes import BaselineRecipe, ConfidenceRecipe
from confidnet_core.data import Dataset, labelled
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.batches import inference_batches
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp
from confidnet_core.networks.device import autocast, to_device
from confidnet_core.networks.inference import classification_metrics
from confidnet_core.training.loop import Metrics, Training, TrainingState, fit
from confidnet_core.training.losses import Target, confidence_loss, confidence_target, cross_entropy, median_frequency_weights, objective


def train_classifier(classifier: Classifier, training: Training[BaselineRecipe]) -> TrainingState:
    """Train with cross-entropy, smoothed as the recipe says; select the epoch by validation accuracy, for segmentation by mean IoU."""
    dataset, recipe, device = training.dataset, training.recipe, training.device
    to_device(classifier, device)
    weights = class_weights(dataset, recipe, device)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(classifier(images), labels, dataset.void, weights, recipe.label_smoothing)

    def validate() -> Metrics:
        return classification_metrics(classifier, dataset, device, recipe.precision)

    selection_metric = "val_mean_iou" if dataset.is_segmentation else "val_accuracy"
    return fit(classifier, training, loss=loss, validate=validate, selection_metric=selection_metric)


def train_confidnet(confidnet: ConfidNet, training: Training[ConfidenceRecipe]) -> TrainingState:
    """Train the head alone to predict the recipe's target; target and features come from one pass of the frozen classifier."""
    return _fit_confidence(confidnet, confidnet.encoder, _confidnet_loss(confidnet, training), training)


def finetune_confidnet(confidnet: ConfidNet, classifier: Classifier, training: Training[ConfidenceRecipe]) -> TrainingState:
    """Train head and encoder copy to predict the recipe's target, which comes from the frozen classifier; dropout is off in both."""
    to_device(classifier, training.device).eval()
    void, recipe = training.dataset.void, training.recipe

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            logits = classifier(images)
        return confidence_loss(confidnet(images), logits, labels, void, target=recipe.target, loss=recipe.loss)

    return _fit_confidence(confidnet, classifier, loss, training)


def train_corrected_mcp(corrected_mcp: CorrectedMcp, training: Training[ConfidenceRecipe]) -> TrainingState:
    """Train as in train_confidnet, but keep the untrained network, which equals MCP, where no epoch is better."""
    loss = _confidnet_loss(corrected_mcp, training)
    return _fit_confidence(corrected_mcp, corrected_mcp.encoder, loss, training, include_untrained=True)


def _confidnet_loss(confidnet: ConfidNet, training: Training[ConfidenceRecipe]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the training loss whose target comes from the class logits of the same pass as the confidence."""
    void, recipe = training.dataset.void, training.recipe

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        confidence, logits = confidnet.forward_with_logits(images)
        return confidence_loss(confidence, logits, labels, void, target=recipe.target, loss=recipe.loss)

    return loss


def _fit_confidence(
    confidnet: ConfidNet,
    classifier: Classifier,
    loss: Callable[[Tensor, Tensor], Tensor],
    training: Training[ConfidenceRecipe],
    include_untrained: bool = False,
) -> TrainingState:
    """Train a confidence network; select the epoch by validation AUPR-Error. The targets of the validation split are computed once."""
    dataset, device, recipe = training.dataset, training.device, training.recipe
    to_device(confidnet, device)
    images, labels = dataset.split("val")
    is_labelled = labelled(labels, dataset.void)
    target_values, correct = _confidence_targets(classifier, images, labels, dataset, device, recipe.target)

    def validate() -> Metrics:
        confidence = np.empty(labels.shape, np.float32)
        with torch.inference_mode():
            for batch_slice, batch in inference_batches(images, dataset, device):
                with autocast(device, recipe.precision):
                    confidence[batch_slice] = confidnet(batch).float().cpu().numpy()
        confidence_logits = confidence[is_labelled]
        val_loss = objective(torch.from_numpy(confidence_logits), torch.from_numpy(target_values), recipe.loss).item()
        ranking = failure_metrics(confidence_logits, correct)
        return {"val_loss": val_loss, **{f"val_{key}": ranking[key] for key in ("aupr_error", "auroc", "fpr_at_95_tpr")}}

    return fit(confidnet, training, loss=loss, validate=validate, selection_metric="val_aupr_error", include_untrained=include_untrained)


def class_weights(dataset: Dataset, recipe: BaselineRecipe, device: torch.device) -> Tensor | None:
    """Return the class weights (classes,) that the recipe asks for, from the labels of the training split; None for no weights."""
    if recipe.class_weights == "none":
        return None
    counts = np.bincount(dataset.split("train")[1].ravel(), minlength=256)[: len(dataset.classes)]
    return median_frequency_weights(torch.from_numpy(counts)).to(device)


def _confidence_targets(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, dataset: Dataset, device: torch.device, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """Return (target float32, correct bool) of the labelled images or pixels, with the classifier in its current mode."""
    target_values, correct = np.empty(labels.shape, np.float32), np.empty(labels.shape, bool)
    with torch.inference_mode():
        for batch_slice, batch in inference_batches(images, dataset, device):
            batch_labels = torch.from_numpy(labels[batch_slice]).to(device).long()
            logits = classifier(batch).float()
            valid_labels = batch_labels if dataset.void is None else batch_labels.where(batch_labels != dataset.void, 0)
            target_values[batch_slice] = confidence_target(logits, valid_labels, target).cpu().numpy()
            correct[batch_slice] = (logits.argmax(1) == batch_labels).cpu().numpy()
    is_labelled = labelled(labels, dataset.void)
    return target_values[is_labelled], correct[is_labelled]


def training_target_summary(confidnet: ConfidNet, dataset: Dataset, device: torch.device, bins: int = 20) -> dict:
    """Summarise the TCP on the training split, the published target of the head: histogram, errors, quantiles, and "collapsed".

    It is computed in the encoder's training mode, with or without dropout as the recipe says. The target has collapsed if there is no
    error, or its standard deviation is below 0.02: a classifier that is nearly always confident and correct on its own training data
    leaves nothing to learn.
    """
    to_device(confidnet, device)
    images, labels = dataset.split("train")
    torch.manual_seed(0)
    confidnet.train()
    tcp, correct = _confidence_targets(confidnet.encoder, images, labels, dataset, device, "tcp")
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


def warn_if_target_collapsed(target: dict, name: str) -> None:
    """Print a warning about the benchmark of this name if its target, from training_target_summary, has collapsed."""
    if target["collapsed"]:
        print(
            f"WARNING {name}: the classifier is nearly always sure and right on its training data ({target['errors']} errors of "
            f"{target['samples']}, TCP {target['mean']:.4f} +- {target['std']:.4f}); a head that regresses this target learns a constant. "
            "Train the baseline for fewer epochs, with more augmentation or dropout, or keep confidnet.dropout: true.",
            file=sys.stderr,
        )
