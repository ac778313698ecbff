"""Inference: a network is run once on each image of a split, which gives its logits, predictions, confidences and metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Integer, Shaped, UInt, UInt8
from torch import Tensor, nn
from torch.nn import functional

from confidnet_core.data import Dataset
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics import confusion_matrix, intersection_over_union, mean_iou
from confidnet_core.networks.batches import batch_count, complete, inference_batches, labels_to_tensor
from confidnet_core.networks.device import autocast
from confidnet_core.networks.ranks import exchange
from confidnet_core.progress import progress_bar

LOGITS_PER_CHUNK = 2**24  # of which the largest are looked for at once


def map_images(
    forward: Callable[..., Tensor],
    images: UInt8[np.ndarray, "n c h w"],
    dataset: Dataset,
    device: torch.device,
    progress_bar_title: str,
    *extra_input_arrays: np.ndarray,
    allocate: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty,
) -> Shaped[np.ndarray, " n *values"]:
    """Apply a function to all n images, normalised and in batches, without gradients; return its outputs as one array (n, ...).

    forward: (images float32 (b, c, h, w), *batches of extra_input_arrays) -> tensor (b, ...), whose dtype the array has
    extra_input_arrays: arrays (n, ...), of which each call gets the images' part as tensors on the device
    progress_bar_title: the name of the progress bar
    allocate: a function of shape and dtype that returns the array for the outputs, such as `array_of_any_size`
    Raises ValueError where there are no images.
    """
    outputs: np.ndarray | None = None
    batches = inference_batches(images, dataset, device)
    with torch.inference_mode():
        for batch_slice, image_batch in progress_bar(batches, batch_count(images), progress_bar_title, "batch"):
            extra_inputs = (torch.from_numpy(np.array(array[batch_slice])).to(device) for array in extra_input_arrays)
            batch_outputs = forward(image_batch, *extra_inputs).cpu().numpy()
            if outputs is None:
                outputs = allocate((len(images), *batch_outputs.shape[1:]), batch_outputs.dtype)
            outputs[batch_slice] = batch_outputs
    if len(images) == 0:
        raise ValueError(f"{progress_bar_title}: there are no images; check that the split holds some")
    layouts = exchange(None if outputs is None else (outputs.shape, outputs.dtype))
    if outputs is None:  # no batch was left for this process
        outputs = allocate(*next(filter(None, layouts)))
    complete(images, outputs)
    return outputs


@dataclass(frozen=True)
class Predictions:
    """A classifier's predictions for the images of a split: logits float32 (n, classes, ...) and predicted classes (n, ...).

    The classes are uint8, or uint16 for more than 255 of them.
    """

    logits: Float32[np.ndarray, "n classes *pixels"]
    predicted: UInt[np.ndarray, " n *pixels"]


def predict(
    classifier: nn.Module,
    images: UInt8[np.ndarray, "n c h w"],
    dataset: Dataset,
    device: torch.device,
    allocate: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty,
) -> Predictions:
    """Return the classifier's logits and predicted classes for all images, computed in eval mode and float32.

    allocate: as for map_images, for the logits
    """
    classifier.to(device).eval()
    logits = map_images(classifier, images, dataset, device, "predict", allocate=allocate)
    predicted = np.empty((len(logits), *logits.shape[2:]), np.min_scalar_type(logits.shape[1]))
    images_per_chunk = max(1, LOGITS_PER_CHUNK // logits[0].size)  # since argmax copies all that it is given
    for chunk_start in range(0, len(logits), images_per_chunk):
        chunk_slice = slice(chunk_start, chunk_start + images_per_chunk)
        predicted[chunk_slice] = np.argmax(logits[chunk_slice], axis=1)
    return Predictions(logits, predicted)


def prediction_metrics(predictions: Predictions, labels: Integer[np.ndarray, " n *pixels"], dataset: Dataset) -> dict[str, Any]:
    """Return {metric: value}: "samples" and "errors", the numbers of predictions and wrong ones, and "accuracy", without void pixels.

    For segmentation also "mean_iou", and "class_iou", a dictionary by class name.
    """
    confusion = confusion_matrix(labels, predictions.predicted, len(dataset.classes), dataset.void)
    prediction_count, correct_count = int(confusion.sum()), int(np.trace(confusion))
    metrics: dict[str, Any] = {
        "samples": prediction_count,
        "errors": prediction_count - correct_count,
        "accuracy": correct_count / prediction_count if prediction_count else None,
    }
    if dataset.is_segmentation:
        metrics["mean_iou"] = mean_iou(confusion)
        metrics["class_iou"] = dict(zip(dataset.classes, intersection_over_union(confusion).tolist(), strict=True))
    return metrics


def save_predictions(predictions_folder: Path, predictions_by_split: Mapping[str, Predictions], test_metrics: dict[str, Any]) -> None:
    """Write a classifier's predictions as SPLIT/logits.npy and SPLIT/predicted.npy, and test_metrics as metrics.json; all files or none.

    test_metrics: the metrics on the test split, as from prediction_metrics
    """
    with atomic_write(predictions_folder) as temporary_folder:
        temporary_folder.mkdir()
        for split, predictions in predictions_by_split.items():
            (temporary_folder / split).mkdir()
            np.save(temporary_folder / split / "logits.npy", predictions.logits)
            np.save(temporary_folder / split / "predicted.npy", predictions.predicted)
        write_json(temporary_folder / "metrics.json", test_metrics)


def classifier_validation_metrics(
    classifier: nn.Module,
    dataset: Dataset,
    device: torch.device,
    precision: str,
    observe: Callable[[slice, Tensor], None] | None = None,
) -> dict[str, float | None]:
    """Return {metric: value} of a classifier in eval mode on the validation split; void pixels are ignored.

    The metrics are "val_loss" (mean cross-entropy), "val_accuracy" and, for segmentation, "val_mean_iou".
    observe: called with the slice and the logits float32 (b, classes, ...) of each batch of this process
    """
    images, labels = dataset.split("val")
    class_count = len(dataset.classes)
    confusion, loss_of_batch = np.zeros((class_count, class_count), np.int64), {}
    with torch.inference_mode():
        for batch_slice, image_batch in inference_batches(images, dataset, device):
            batch_labels = labels_to_tensor(labels[batch_slice], device)
            with autocast(device, precision):
                logits = classifier(image_batch).float()
            if observe is not None:
                observe(batch_slice, logits)
            ignore_index = -100 if dataset.void is None else dataset.void
            losses = functional.cross_entropy(logits, batch_labels, ignore_index=ignore_index, reduction="none")
            loss_of_batch[batch_slice.start] = losses.sum().item()
            confusion += confusion_matrix(labels[batch_slice], logits.argmax(1).cpu().numpy(), class_count, dataset.void)
    # Losses are added in the order of the batches, so that the sum is the same in any number of processes.
    parts = exchange((loss_of_batch, confusion))
    loss_of_batch = {start: loss for losses, _ in parts for start, loss in losses.items()}
    confusion = np.sum([part for _, part in parts], axis=0)
    prediction_count = int(confusion.sum())
    metrics: dict[str, float | None] = {
        "val_loss": sum(loss_of_batch[start] for start in sorted(loss_of_batch)) / prediction_count,
        "val_accuracy": int(np.trace(confusion)) / prediction_count,
    }
    return {**metrics, "val_mean_iou": mean_iou(confusion)} if dataset.is_segmentation else metrics
