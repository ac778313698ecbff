"""What a packed model carries of the calibration data, with which the confidences of new images are compared: reference.npz.

For at most MAX_REFERENCE_SAMPLES calibration samples, evenly spaced in the data and then sorted by confidence:
confidence   of the score, as stored; class_index  the predicted class; correct  whether the prediction is correct
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Real

from confidnet_core.files import load_named_arrays, read_json

REFERENCE_FILE_NAME = "reference.npz"
MAX_REFERENCE_SAMPLES = 10_000


@dataclass(frozen=True)
class Reference:
    """A packed model's calibration data and thresholds.

    confidence: (m,); class_index: (m,), the predicted classes; correct: (m,)
    model_metadata: the content of model.json; thresholds: those of threshold.json, one for each target risk
    """

    confidence: Real[np.ndarray, " m"]
    class_index: Int[np.ndarray, " m"]
    correct: Bool[np.ndarray, " m"]
    model_metadata: dict[str, Any]
    thresholds: list[dict[str, Any]]

    @property
    def classes(self) -> list[str]:
        return self.model_metadata["classes"]

    def threshold(self, target_risk: float | None) -> dict[str, Any]:
        """Return the threshold of a target risk, or of the one that the model serves for None. Raises ValueError for another risk."""
        for threshold in self.thresholds:
            if threshold["served"] if target_risk is None else threshold["risk"] == target_risk:
                return threshold
        known_target_risks = ", ".join(f"{threshold['risk']:g}" for threshold in self.thresholds)
        raise ValueError(f"--risk is {target_risk}; this model has thresholds for {known_target_risks}")


def save_reference(
    model_folder: Path, confidence: Real[np.ndarray, " n"], class_index: Int[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]
) -> None:
    """Write reference.npz of n calibration samples into the folder of a model."""
    sample_indices = np.linspace(0, len(confidence) - 1, min(len(confidence), MAX_REFERENCE_SAMPLES)).astype(np.int64)
    # A part of the data at random and not its quantiles, which would vary less than new data do.
    sample_indices = sample_indices[np.argsort(confidence[sample_indices], kind="stable")]
    np.savez(
        model_folder / REFERENCE_FILE_NAME,
        confidence=confidence[sample_indices],
        class_index=class_index[sample_indices].astype(np.int32),
        correct=correct[sample_indices],
    )


def load_reference(model_folder: Path) -> Reference:
    """Return what the packed model in this folder carries of its calibration data.

    Raises ValueError for a segmentation model, and for a model that was packed before models carried a reference.
    """
    model_metadata = read_json(model_folder / "model.json")
    if model_metadata["segmentation"]:
        raise ValueError(
            f"{model_metadata['benchmark']} is a segmentation model, whose pixels err together: watch compares whole images only, "
            "so that there is no watch for segmentation yet"
        )
    path = model_folder / REFERENCE_FILE_NAME
    if not path.is_file():
        remedy = f"`confidnet register {model_metadata['benchmark']} --champion` registers it anew, with them"
        raise ValueError(f"the model carries no calibration confidences ({REFERENCE_FILE_NAME} is missing), since it is older; {remedy}")
    confidence, class_index, correct = load_named_arrays(path, ("confidence", "class_index", "correct"))
    return Reference(confidence, class_index, correct, model_metadata, read_json(model_folder / "threshold.json")["thresholds"])
