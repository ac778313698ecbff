"""The trainings: a classifier; ConfidNet, a head on it while it is frozen, then a tuned copy of its encoder; a correction of its MCP.

Corbière et al. 2019, arXiv:1910.04851, section 2.2. Selection looks at validation data only.
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
from confidnet_core.networks.device import autocast, moved
from confidnet_core.networks.inference import classification_metrics
from confidnet_core.training.loop import Metrics, Training, TrainingState, fit
from confidnet_core.training.losses import Target, confidence_loss, confidence_target, cross_entropy, median_frequency_weights, objective


def train_classifier(classifier: Classifier, training: Training[BaselineRecipe]) -> TrainingState:
    """Cross-entropy, smoothed as the recipe says; the best epoch by validation accuracy, for segmentation by mean IoU."""
    dataset, recipe, device = training.dataset, training.recipe, training.device
    moved(classifier, device)
    weights = class_weights(dataset, recipe, device)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(classifier(images), labels, dataset.void, weights, recipe.label_smoothing)

    def validate() -> Metrics:
        return classification_metrics(classifier, dataset, device, recipe.precision)

    select = "val_mean_iou" if dataset.is_segmentation else "val_accuracy"
    return fit(classifier, training, loss=loss, validate=validate, select=select)


def train_confidnet(confidnet: ConfidNet, training: Training[ConfidenceRecipe]) -> TrainingState:
    """The head alone learns the recipe's target; target and features come from one pass of the frozen classifier."""
    return _fit_confidence(confidnet, confidnet.encoder, _loss_of_one_pass(confidnet, training), training)


def finetune_confidnet(confidnet: ConfidNet, classifier: Classifier, training: Training[ConfidenceRecipe]) -> TrainingState:
    """Head and encoder copy learn the recipe's target, which comes from the frozen classifier; dropout is off in both."""
    moved(classifier, training.device).eval()
    void, recipe = training.dataset.void, training.recipe

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            logits = classifier(images)
        return confidence_loss(confidnet(images), logits, labels, void, target=recipe.target, loss=recipe.loss)

    return _fit_confidence(confidnet, classifier, loss, training)


def train_corrected_mcp(corrected: CorrectedMcp, training: Training[ConfidenceRecipe]) -> TrainingState:
    """As train_confidnet; but the network before any training, which is MCP, is the result where no epoch is better."""
    loss = _loss_of_one_pass(corrected, training)
    return _fit_confidence(corrected, corrected.encoder, loss, training, untrained_competes=True)


def _loss_of_one_pass(confidnet: ConfidNet, training: Training[ConfidenceRecipe]) -> Callable[[Tensor, Tensor], Tensor]:
    void, recipe = training.dataset.void, training.recipe

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        confidence, logits = confidnet.forward_both(images)
        return confidence_loss(confidence, logits, labels, void, target=recipe.target, loss=recipe.loss)

    return loss


def _fit_confidence(
    confidnet: ConfidNet,
    classifier: Classifier,
    loss: Callable[[Tensor, Tensor], Tensor],
    training: Training[ConfidenceRecipe],
    untrained_competes: bool = False,
) -> TrainingState:
    """The best epoch by validation AUPR-Error. The classifier's own validation answers are computed once."""
    dataset, device, recipe = training.dataset, training.device, training.recipe
    moved(confidnet, device)
    images, labels = dataset.split("val")
    counted = labelled(labels, dataset.void)
    goal, correct = _targets(classifier, images, labels, dataset, device, recipe.target)

    def validate() -> Metrics:
        confidence = np.empty(labels.shape, np.float32)
        with torch.inference_mode():
            for where, batch in inference_batches(images, dataset, device):
                with autocast(device, recipe.precision):
                    confidence[where] = confidnet(batch).float().cpu().numpy()
        logit = confidence[counted]
        val_loss = objective(torch.from_numpy(logit), torch.from_numpy(goal), recipe.loss).item()
        ranking = failure_metrics(logit, correct)
        return {"val_loss": val_loss, **{f"val_{key}": ranking[key] for key in ("aupr_error", "auroc", "fpr_at_95_tpr")}}

    return fit(confidnet, training, loss=loss, validate=validate, select="val_aupr_error", untrained_competes=untrained_competes)


def class_weights(dataset: Dataset, recipe: BaselineRecipe, device: torch.device) -> Tensor | None:
    if recipe.class_weights == "none":
        return None
    counts = np.bincount(dataset.split("train")[1].ravel(), minlength=256)[: len(dataset.classes)]
    return median_frequency_weights(torch.from_numpy(counts)).to(device)


def _targets(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, dataset: Dataset, device: torch.device, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """(target float32, correct bool), each (labelled,), of the classifier in the mode it is in."""
    goal, correct = np.empty(labels.shape, np.float32), np.empty(labels.shape, bool)
    with torch.inference_mode():
        for where, batch in inference_batches(images, dataset, device):
            truth = torch.from_numpy(labels[where]).to(device).long()
            logits = classifier(batch).float()
            safe = truth if dataset.void is None else truth.where(truth != dataset.void, 0)
            goal[where] = confidence_target(logits, safe, target).cpu().numpy()
            correct[where] = (logits.argmax(1) == truth).cpu().numpy()
    counted = labelled(labels, dataset.void)
    return goal[counted], correct[counted]


def training_target(confidnet: ConfidNet, dataset: Dataset, device: torch.device, bins: int = 20) -> dict:
    """The TCP on the training split, which the head as published will regress: histogram, errors, quantiles, and whether it collapsed.

    In the encoder's training mode, dropout on or off as the recipe says. A classifier that is nearly always sure and right
    on its own training data leaves nothing to learn: no error at all, or a standard deviation below 0.02.
    """
    moved(confidnet, device)
    images, labels = dataset.split("train")
    torch.manual_seed(0)
    confidnet.train()
    tcp, correct = _targets(confidnet.encoder, images, labels, dataset, device, "tcp")
    confidnet.eval()
    counts, edges = np.histogram(tcp, bins=bins, range=(0, 1))
    errors, deviation = int(np.sum(~correct)), float(tcp.std())
    return {
        "samples": len(tcp),
        "errors": errors,
        "mean": float(tcp.mean()),
        "std": deviation,
        "quantiles": {str(percent): float(np.percentile(tcp, percent)) for percent in (1, 5, 25, 50, 75, 95)},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "dropout": confidnet.dropout,
        "collapsed": errors == 0 or deviation < 0.02,
    }


def warn_collapsed(target: dict, name: str) -> None:
    if target["collapsed"]:
        print(
            f"WARNING {name}: the classifier is nearly always sure and right on its training data ({target['errors']} errors of "
            f"{target['samples']}, TCP {target['mean']:.4f} +- {target['std']:.4f}); a head that regresses this target learns a constant. "
            "Train the baseline for fewer epochs, with more augmentation or dropout, or keep confidnet.dropout: true.",
            file=sys.stderr,
        )
