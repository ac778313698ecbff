"""A model with one confidence score as a single network: images in, class, confidence, probability and decision out.

The functions of scores are used as they are: they get a Run whose methods apply what they are given to tensors at once, instead of to
arrays in chunks, so that PyTorch can trace the whole. A score that leaves tensors, or whose steps depend on the values, cannot be traced.
"""

from collections.abc import Callable, Hashable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from confidnet_core.config.registry import find_entry
from confidnet_core.evaluation.calibrators import Calibrator
from confidnet_core.networks.batches import normalise_images
from confidnet_core.networks.device import to_float64
from confidnet_core.scoring.run import Run
from confidnet_core.serving.selective_classifier import CLASSIFIER_FOLDER, SelectiveClassifier

MAX_KNOTS = 2**16  # of a calibrator in a network, which compares each confidence with every knot
_SMALLEST_LOG_DISTANCE = -1e12  # in place of the logarithm of 0: far below that of any two numbers


class TraceableRun(Run):
    """The Run of one batch of images in a network; its arrays are tensors, and every prediction counts as labelled."""

    def on_split(self, split: str) -> Run:
        return self

    def cached(self, compute_function: Callable[..., Any], *settings: Hashable) -> Any:
        return compute_function(self, *settings)

    def map_logits(self, score_function: Callable[[Tensor, Tensor], Tensor]) -> Any:
        """Return score_function(logits (n, classes), labels (n,)) as a tensor; predicted classes stand for the labels."""
        flat_logits = self._logit_tensor.movedim(1, -1).flatten(0, -2)
        return score_function(to_float64(flat_logits), self._predicted_tensor.flatten())

    def map_images(self, forward: Callable[..., Tensor], *aligned_arrays: Any) -> Any:
        return forward(self._image_tensor, *aligned_arrays).flatten(0, self._predicted_tensor.ndim - 1)

    def on_batch(self, images: Tensor, logits: Tensor, predicted: Tensor) -> "TraceableRun":
        """Return this Run for a batch of normalised images, with the classifier's logits and predicted classes."""
        run = TraceableRun(**{field.name: getattr(self, field.name) for field in fields(self)})
        run.__dict__.update(cache=self.cache, device=self.device, predicted_maps=predicted, logits=logits)
        run.__dict__.update(_image_tensor=images, _logit_tensor=logits, _predicted_tensor=predicted)
        return run

    _image_tensor: Tensor
    _logit_tensor: Tensor
    _predicted_tensor: Tensor


class TraceableCalibrator(nn.Module):
    """A Calibrator of tensors: confidences float64 (n,) -> probabilities float64 (n,), equal to it up to rounding."""

    knots: Tensor
    probabilities: Tensor

    def __init__(self, calibrator: Calibrator) -> None:
        super().__init__()
        self.register_buffer("knots", torch.from_numpy(calibrator.confidence_knots.copy()))
        self.register_buffer("probabilities", torch.from_numpy(calibrator.probability_knots.copy()))

    def forward(self, confidence: Tensor) -> Tensor:
        last = len(self.knots) - 1
        not_above = (self.knots <= confidence.unsqueeze(1)).sum(1)
        gap = (not_above - 1).clamp(0, last - 1)
        log_gap = self._log_distance(self.knots[gap], self.knots[gap + 1])
        lower = self._compress(self._log_distance(confidence, self.knots[(not_above - 1).clamp(min=0)]) - log_gap)
        upper = self._compress(self._log_distance(confidence, self.knots[not_above.clamp(max=last)]) - log_gap)
        lower, upper = torch.where(not_above == 0, 1.0, lower), torch.where(not_above == last + 1, 1.0, upper)
        lower_probability, upper_probability = self.probabilities[not_above], self.probabilities[not_above + 1]
        return torch.minimum(lower_probability + (upper_probability - lower_probability) * lower / (lower + upper), upper_probability)

    @staticmethod
    def _log_distance(first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().log().clamp(min=_SMALLEST_LOG_DISTANCE)

    @staticmethod
    def _compress(log_ratio: Tensor) -> Tensor:
        return torch.where(log_ratio >= 0, 1 + log_ratio, 1 / (1 - log_ratio.clamp(max=0)))


class SelectiveNetwork(nn.Module):
    """Images uint8 (b, c, h, w) -> class_index int64, confidence float64, accepted bool and perhaps probability float64.

    Each is (b,), or (b, h, w) for segmentation, as from SelectiveClassifier.predict at one target risk. There is no probability for a
    calibrator of more than MAX_KNOTS knots.
    """

    def __init__(self, model: SelectiveClassifier, target_risk: float | None) -> None:
        super().__init__()
        metadata, guaranteed_threshold = model.model_metadata, model.guaranteed_threshold(target_risk)
        self.score, self.settings = find_entry("scores", metadata["method"]), metadata["settings"]
        threshold = guaranteed_threshold["threshold"]
        self.threshold = float("inf") if threshold is None else threshold
        served_run = model.run_on_images(np.zeros((2, *metadata["image_shape"]), np.uint8))
        self.run = TraceableRun(**{field.name: getattr(served_run, field.name) for field in fields(served_run)})
        self.run.__dict__.update(cache=served_run.cache, device=torch.device("cpu"))
        self.classifier = self.run.classifier
        self.calibrator = TraceableCalibrator(model.calibrator) if len(model.calibrator.confidence_knots) <= MAX_KNOTS else None
        self.score(served_run, **self.settings)  # loads the networks that the score uses
        self.networks = nn.ModuleDict({name: net for name, net in self.run.cache.networks.items() if name != CLASSIFIER_FOLDER})
        self.eval().requires_grad_(False)

    @property
    def output_names(self) -> list[str]:
        return ["class_index", "confidence", "accepted", *(["probability"] if self.calibrator is not None else [])]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        normalised = normalise_images(images, self.run.dataset, images.device)
        logits = self.classifier(normalised)
        predicted = logits.argmax(1)
        confidence = self.score(self.run.on_batch(normalised, logits, predicted), **self.settings)
        outputs = [predicted, confidence.double().reshape(predicted.shape), (confidence >= self.threshold).reshape(predicted.shape)]
        if self.calibrator is not None:
            outputs.append(self.calibrator(confidence.double()).reshape(predicted.shape))
        return tuple(outputs)
