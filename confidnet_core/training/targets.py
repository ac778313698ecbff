"""What a confidence shall predict on whole splits: targets and correctness, and whether there is anything to learn from them."""

import sys

import numpy as np
import torch

from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.networks.batches import complete, inference_batches, labels_to_tensor
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import to_device
from confidnet_core.networks.dropout import derive_random_seed
from confidnet_core.training.losses import ConfidenceTargetName, confidence_target


def compute_confidence_targets(
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
    error, or its standard deviation is below 0.02: a classifier that is nearly always confident and correct on its own training data, or
    equally unsure of all of it, leaves nothing to learn.
    """
    to_device(confidnet, device)
    images, labels = dataset.split("train")
    confidnet.train()
    tcp, correct = compute_confidence_targets(confidnet.encoder, images, labels, dataset, device, "tcp")
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
    if not target["collapsed"]:
        return
    counts = f"{target['errors']} errors of {target['samples']}, TCP {target['mean']:.4f} +- {target['std']:.4f}"
    if target["mean"] < 0.5:
        finding = f"the classifier has learned next to nothing: it is equally unsure of all its training data ({counts})"
        remedy = "Train the baseline for more epochs or at another learning rate."
    else:
        finding = f"the classifier is nearly always sure and right on its training data ({counts})"
        remedy = "Train the baseline for fewer epochs, with more augmentation or dropout, or keep confidnet.dropout: true."
    print(f"WARNING {benchmark_name}: {finding}; a head that regresses this target learns a constant. {remedy}", file=sys.stderr)
