"""Networks over a split, once per image: the only place where images become maps of logits or confidences."""

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
from confidnet_core.files import replacing, write_json
from confidnet_core.metrics import confusion_matrix, intersection_over_union, mean_iou
from confidnet_core.networks.batches import batch_count, inference_batches
from confidnet_core.networks.device import autocast
from confidnet_core.progress import progress


def map_images(
    forward: Callable[..., Tensor],
    images: UInt8[np.ndarray, "n c h w"],
    dataset: Dataset,
    device: torch.device,
    label: str,
    *beside: np.ndarray,
) -> Shaped[np.ndarray, " n *values"]:
    """forward(normalised images (b, c, h, w), *beside (b, ...)) -> tensor (b, ...), without gradients: array (n, ...) of its dtype.

    beside: arrays (n, ...) of which each call gets the batch's part, as tensors on the device.
    """
    out: np.ndarray | None = None
    batches = inference_batches(images, dataset, device)
    with torch.inference_mode():
        for where, batch in progress(batches, batch_count(images), label, "batch"):
            values = forward(batch, *(torch.from_numpy(np.array(array[where])).to(device) for array in beside)).cpu().numpy()
            if out is None:
                out = np.empty((len(images), *values.shape[1:]), values.dtype)
            out[where] = values
    if out is None:
        raise ValueError(f"{label}: there are no images; check that the split holds some")
    return out


@dataclass(frozen=True)
class Predictions:
    """A classifier's answers on a split. logits float32 (n, classes, ...); predicted uint8 (n, ...)."""

    logits: Float32[np.ndarray, "n classes *pixels"]
    predicted: UInt8[np.ndarray, " n *pixels"]


def predict(classifier: nn.Module, images: UInt8[np.ndarray, "n c h w"], dataset: Dataset, device: torch.device) -> Predictions:
    """Eval mode, float32 arithmetic."""
    classifier.to(device).eval()
    logits = map_images(classifier, images, dataset, device, "predict")
    return Predictions(logits, np.argmax(logits, axis=1).astype(np.uint8))


def prediction_metrics(predictions: Predictions, labels: Integer[np.ndarray, " n *pixels"], dataset: Dataset) -> dict[str, Any]:
    """samples, errors, accuracy; for segmentation mean_iou and class_iou by class name. Void never counts."""
    confusion = confusion_matrix(labels, predictions.predicted, len(dataset.classes), dataset.void)
    samples, right = int(confusion.sum()), int(np.trace(confusion))
    figures: dict[str, Any] = {"samples": samples, "errors": samples - right, "accuracy": right / samples if samples else None}
    if dataset.is_segmentation:
        figures["mean_iou"] = mean_iou(confusion)
        figures["class_iou"] = dict(zip(dataset.classes, intersection_over_union(confusion).tolist(), strict=True))
    return figures


def save_predictions(folder: Path, answers: Mapping[str, Predictions], metrics: dict[str, Any]) -> None:
    """SPLIT/ with logits.npy and predicted.npy each, and metrics.json of the test split; all or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        for split, predictions in answers.items():
            (temporary / split).mkdir()
            np.save(temporary / split / "logits.npy", predictions.logits)
            np.save(temporary / split / "predicted.npy", predictions.predicted)
        write_json(temporary / "metrics.json", metrics)


def classification_metrics(classifier: nn.Module, dataset: Dataset, device: torch.device, precision: str) -> dict[str, float | None]:
    """Validation loss, accuracy and, for segmentation, mean IoU of a classifier in eval mode; void never counts."""
    images, labels = dataset.split("val")
    classes = len(dataset.classes)
    confusion, loss = np.zeros((classes, classes), np.int64), 0.0
    with torch.inference_mode():
        for where, batch in inference_batches(images, dataset, device):
            truth = torch.from_numpy(labels[where]).to(device).long()
            with autocast(device, precision):
                logits = classifier(batch).float()
            ignored = -100 if dataset.void is None else dataset.void
            loss += functional.cross_entropy(logits, truth, ignore_index=ignored, reduction="none").sum().item()
            confusion += confusion_matrix(labels[where], logits.argmax(1).cpu().numpy(), classes, dataset.void)
    samples = int(confusion.sum())
    figures: dict[str, float | None] = {"val_loss": loss / samples, "val_accuracy": int(np.trace(confusion)) / samples}
    return {**figures, "val_mean_iou": mean_iou(confusion)} if dataset.is_segmentation else figures
