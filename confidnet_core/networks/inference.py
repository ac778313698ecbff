"""Inference: a network is run once on each image of a split, which gives its logits, predictions, confidences and metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Integer, Shaped, UInt8
from torch import Tensor, nn
from torch.nn import functional

from confidnet_core.data import Dataset
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics import confusion_matrix, intersection_over_union, mean_iou
from confidnet_core.networks.batches import batch_count, inference_batches
from confidnet_core.networks.device import autocast
from confidnet_core.progress import progress_bar


def map_images(
    forward: Callable[..., Tensor],
    images: UInt8[np.ndarray, "n c h w"],
    dataset: Dataset,
    device: torch.device,
    label: str,
    *extra_arrays: np.ndarray,
) -> Shaped[np.ndarray, " n *values"]:
    """Apply forward(normalised images (b, c, h, w), *extra (b, ...)) -> tensor (b, ...) to all images, without gradients.

    Return an array (n, ...) of the tensor's dtype. extra_arrays: arrays (n, ...), of which each call gets the batch's part as tensors on
    the device. label: name of the progress bar. ValueError where there are no images.
    """
    outputs: np.ndarray | None = None
    batches = inference_batches(images, dataset, device)
    with torch.inference_mode():
        for batch_slice, batch in progress_bar(batches, batch_count(images), label, "batch"):
            batch_outputs = (
                forward(batch, *(torch.from_numpy(np.array(array[batch_slice])).to(device) for array in extra_arrays)).cpu().numpy()
            )
            if outputs is None:
                outputs = np.empty((len(images), *batch_outputs.shape[1:]), batch_outputs.dtype)
            outputs[batch_slice] = batch_outputs
    if outputs is None:
        raise ValueError(f"{label}: there are no images; check that the split holds some")
    return outputs


@dataclass(frozen=True)
class Predictions:
    """A classifier's predictions on a split: logits float32 (n, classes, ...) and predicted classes uint8 (n, ...)."""

    logits: Float32[np.ndarray, "n classes *pixels"]
    predicted: UInt8[np.ndarray, " n *pixels"]


def predict(classifier: nn.Module, images: UInt8[np.ndarray, "n c h w"], dataset: Dataset, device: torch.device) -> Predictions:
    """Return the classifier's Predictions (logits and classes) for all images, in eval mode and float32 arithmetic."""
    classifier.to(device).eval()
    logits = map_images(classifier, images, dataset, device, "predict")
    return Predictions(logits, np.argmax(logits, axis=1).astype(np.uint8))


def prediction_metrics(predictions: Predictions, labels: Integer[np.ndarray, " n *pixels"], dataset: Dataset) -> dict[str, Any]:
    """Return {"samples", "errors", "accuracy"}, for segmentation also "mean_iou" and "class_iou" by class name, without void pixels."""
    confusion = confusion_matrix(labels, predictions.predicted, len(dataset.classes), dataset.void)
    samples, correct_count = int(confusion.sum()), int(np.trace(confusion))
    metrics: dict[str, Any] = {
        "samples": samples,
        "errors": samples - correct_count,
        "accuracy": correct_count / samples if samples else None,
    }
    if dataset.is_segmentation:
        metrics["mean_iou"] = mean_iou(confusion)
        metrics["class_iou"] = dict(zip(dataset.classes, intersection_over_union(confusion).tolist(), strict=True))
    return metrics


def save_predictions(folder: Path, predictions_by_split: Mapping[str, Predictions], metrics: dict[str, Any]) -> None:
    """Write SPLIT/logits.npy and SPLIT/predicted.npy for each split, and metrics.json, of the test split; all files or none."""
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        for split, predictions in predictions_by_split.items():
            (temporary / split).mkdir()
            np.save(temporary / split / "logits.npy", predictions.logits)
            np.save(temporary / split / "predicted.npy", predictions.predicted)
        write_json(temporary / "metrics.json", metrics)


def classification_metrics(classifier: nn.Module, dataset: Dataset, device: torch.device, precision: str) -> dict[str, float | None]:
    """Return val_loss, val_accuracy and, for segmentation, val_mean_iou of a classifier in eval mode; void pixels are ignored."""
    images, labels = dataset.split("val")
    classes = len(dataset.classes)
    confusion, loss_sum = np.zeros((classes, classes), np.int64), 0.0
    with torch.inference_mode():
        for batch_slice, batch in inference_batches(images, dataset, device):
            batch_labels = torch.from_numpy(labels[batch_slice]).to(device).long()
            with autocast(device, precision):
                logits = classifier(batch).float()
            ignore_index = -100 if dataset.void is None else dataset.void
            loss_sum += functional.cross_entropy(logits, batch_labels, ignore_index=ignore_index, reduction="none").sum().item()
            confusion += confusion_matrix(labels[batch_slice], logits.argmax(1).cpu().numpy(), classes, dataset.void)
    samples = int(confusion.sum())
    metrics: dict[str, float | None] = {"val_loss": loss_sum / samples, "val_accuracy": int(np.trace(confusion)) / samples}
    return {**metrics, "val_mean_iou": mean_iou(confusion)} if dataset.is_segmentation else metrics
