"""Export of a model with its confidence score and threshold as one graph, for programs without this project: .pt2 or .onnx.

The file ending chooses the format: .pt2 of torch.export (docs.pytorch.org/docs/stable/export.html), or ONNX
(docs.pytorch.org/docs/stable/onnx.html).
The written graph is run on example images, in batches of several sizes, and compared with the model. It is kept only if it agrees.
Where two values tie in a max-pooling, rounding decides which one an unpooling puts back. So a segmentation network's pixels need not all
agree, and its example images have no areas of one colour.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.registry import entry_names, literal_attribute, suggestion
from confidnet_core.files import atomic_write
from confidnet_core.serving.packing import CONFIDENCE_ATOL, CONFIDENCE_RTOL
from confidnet_core.serving.selective_classifier import SelectiveClassifier
from confidnet_core.serving.traceable import SelectiveNetwork
from confidnet_core.tracking.store import temporary_environment

BATCH_SIZES = (1, 2, 5, 16)
PROBABILITY_ATOL = 1e-3
MIN_EQUAL_PIXEL_FRACTION = 0.99
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT_NAME, BATCH_NAME = "images", "batch"
Outputs = dict[str, np.ndarray]
Answering = Callable[[np.ndarray], Outputs]  # images -> {output: array}


class ScoreNotExportableError(ValueError):
    """Error: the steps of a confidence score cannot be written as a graph of tensors."""


def export_model(model_folder: Path, path: Path, target_risk: float | None = None) -> str:
    """Write the packed model in a folder as a graph to a file .pt2 or .onnx; return a description of what was written.

    Its input is `images`, uint8 (b, c, h, w) with any b >= 1; its outputs are those of SelectiveClassifier.predict at the target risk,
    by default the one that is served, without the label.
    Raises ScoreNotExportableError for a score that cannot be traced, ValueError for another ending, for missing packages, and where the
    graph does not agree with the model; then no file is written.
    """
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}; expected {' or '.join(_WRITERS)}{suggestion(path.suffix, _WRITERS)}")
    with temporary_environment({"CONFIDNET_DEVICE": "cpu"}):
        model = SelectiveClassifier.load(model_folder)
        network = SelectiveNetwork(model, target_risk)
        is_segmentation = model.model_metadata["segmentation"]
        images = _example_images(model.model_metadata["image_shape"], is_segmentation)
        program = _traced_program(network, torch.from_numpy(images[:3]), model.model_metadata["method"])
        content, answering = _WRITERS[path.suffix](program, network.output_names, _facts(model, target_risk, network.output_names))
        min_equal_fraction = MIN_EQUAL_PIXEL_FRACTION if is_segmentation else 1.0
        parities = []
        for batch in (images[:size] for size in BATCH_SIZES):
            expected = _expected_outputs(model, batch, target_risk)
            parities.append(_check_parity(answering(batch), expected, network.threshold, min_equal_fraction))
    largest_difference, different_count = max(parity[0] for parity in parities), sum(parity[1] for parity in parities)
    with atomic_write(path) as temporary_path:
        temporary_path.write_bytes(content)
    sizes = ", ".join(map(str, BATCH_SIZES[:-1])) + f" and {BATCH_SIZES[-1]}"
    no_probability = "" if "probability" in network.output_names else "; without probability, whose calibrator has too many knots"
    pixel_count = sum(BATCH_SIZES) * images[0, 0].size
    but_pixels = f", but for {different_count:,} of {pixel_count:,} pixels, where max-pooling ties" if different_count else ""
    return (
        f"{path}: {INPUT_NAME} uint8 (batch, {', '.join(map(str, images.shape[1:]))}) -> {', '.join(network.output_names)}; equal to the "
        f"model in batches of {sizes}, confidences to {largest_difference:.1g}{but_pixels}{no_probability}"
    )


def exportable_scores() -> list[str]:
    """Return scores that add no forward pass and read the logits alone, which can always be exported: what to take instead of others."""
    return [
        name
        for name in entry_names("scores")
        if not any(literal_attribute("scores", name, attribute) for attribute in ("learned", "passes", "reads", "oracle", "over_seeds"))
    ]


def _traced_program(network: SelectiveNetwork, images: Tensor, method: str) -> Any:
    """Return the network as torch.export's program, with a batch of any size. Raises ScoreNotExportableError where it cannot be traced."""
    dynamic_shapes = ({0: torch.export.Dim(BATCH_NAME, min=1)},)
    logging.getLogger("torch.fx.experimental.symbolic_shapes").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # PyTorch prints what it has traced before an error: pages of it
            return torch.export.export(network, (images,), dynamic_shapes=dynamic_shapes)
    except Exception as error:  # whatever a score does that is no step of a graph: each raises an error of its own
        others = ", ".join(exportable_scores())
        raise ScoreNotExportableError(
            f"the score {method} cannot be exported: its steps depend on the values of its input, or leave tensors "
            f"({type(error).__name__}); export the model with another score, as --score of a benchmark: {others}"
        ) from error


def _write_torch(program: Any, output_names: list[str], facts: Mapping[str, Any]) -> tuple[bytes, Answering]:
    """Return the content of a .pt2 file, with model.json as an extra file, and a function that runs this content."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No complete tensor found")  # a part of a larger tensor is stored; all are on the CPU
        torch.export.save(program, buffer, extra_files={"model.json": json.dumps(facts)})
    content = buffer.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()

    def answer(images: np.ndarray) -> Outputs:
        with torch.no_grad():
            return {name: output.numpy() for name, output in zip(output_names, loaded(torch.from_numpy(images)), strict=True)}

    return content, answer


def _write_onnx(program: Any, output_names: list[str], facts: Mapping[str, Any]) -> tuple[bytes, Answering]:
    """Return the content of an .onnx file, with the facts as its metadata, and a function that runs this content in onnxruntime."""
    try:
        import onnx  # noqa: F401  # PyTorch needs it, and the next
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"ONNX needs the package {error.name}, not installed here: pip install {' '.join(ONNX_PACKAGES)}") from None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter about its own use of itself
        onnx_program = torch.onnx.export(
            program, input_names=[INPUT_NAME], output_names=output_names, dynamo=True, verbose=False, optimize=True
        )
    if onnx_program is None:
        raise ValueError("PyTorch wrote no ONNX graph; take .pt2")
    onnx_program.model.metadata_props.update({key: json.dumps(value) for key, value in facts.items()})
    content = onnx_program.model_proto.SerializeToString()
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # a class of onnxruntime for each reason
        raise ScoreNotExportableError(f"onnxruntime has not all steps of this score ({str(error).splitlines()[0]}); take .pt2") from error

    def answer(images: np.ndarray) -> Outputs:
        return {name: np.asarray(output) for name, output in zip(output_names, session.run(None, {INPUT_NAME: images}), strict=True)}

    return content, answer


_WRITERS: dict[str, Callable[..., tuple[bytes, Answering]]] = {".pt2": _write_torch, ".onnx": _write_onnx}


def _facts(model: SelectiveClassifier, target_risk: float | None, output_names: list[str]) -> dict[str, Any]:
    """Return what a program needs to know of the graph."""
    metadata, threshold = model.model_metadata, model.guaranteed_threshold(target_risk)
    return {
        **{key: metadata[key] for key in ("benchmark", "seed", "method", "classes", "image_shape", "segmentation")},
        **{key: threshold[key] for key in ("risk", "delta", "threshold")},
        "outputs": output_names,
    }


def _example_images(image_shape: list[int], is_segmentation: bool) -> np.ndarray:
    """Return images uint8 (b, c, h, w) of every kind: noise, smooth ones and, for classification, black and white ones.

    There are as many as in the largest batch. The smooth ones have a little noise, since equal pixels beside each other tie.
    """
    generator, count = np.random.default_rng(0), max(BATCH_SIZES)
    images = generator.integers(0, 256, (count, *image_shape)).astype(np.uint8)
    coarse = generator.integers(0, 256, (count // 2, image_shape[0], 4, 4)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size=tuple(image_shape[1:]), mode="bilinear").numpy()
    images[: count // 2] = np.clip(smooth + generator.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
    if not is_segmentation:
        images[-1], images[-2] = 0, 255
    return images


def _expected_outputs(model: SelectiveClassifier, images: np.ndarray, target_risk: float | None) -> Outputs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is accepted without a threshold
        return model.predict(images, None if target_risk is None else {"risk": target_risk})


def _check_parity(outputs: Outputs, expected: Outputs, threshold: float, min_equal_fraction: float) -> tuple[float, int]:
    """Compare a graph's outputs for a batch with the model's.

    Returns the largest difference of the confidences that agree, and how many predictions do not agree.
    Raises ValueError where fewer agree than the fraction.
    """
    confidence, expected_confidence = outputs["confidence"], expected["confidence"]
    tolerance = CONFIDENCE_ATOL + CONFIDENCE_RTOL * np.abs(expected_confidence)
    difference = np.abs(confidence - expected_confidence)
    is_near_threshold = np.abs(expected_confidence - threshold) <= tolerance
    agreements = {
        "class_index": outputs["class_index"] == expected["class_index"],
        "confidence": difference <= tolerance,
        "accepted": (outputs["accepted"] == expected["accepted"]) | is_near_threshold,
    }
    if "probability" in outputs:
        agreements["probability"] = np.abs(outputs["probability"] - expected["probability"]) <= PROBABILITY_ATOL
    for name, agrees in agreements.items():
        if agrees.mean() < min_equal_fraction:
            raise ValueError(
                f"the graph does not agree with the model: {name} differs for {np.count_nonzero(~agrees):,} of {agrees.size:,} "
                f"predictions in a batch of {len(confidence)}; nothing was written"
            )
    agrees = np.logical_and.reduce(list(agreements.values()))
    return float(difference[agrees].max(initial=0)), int(np.count_nonzero(~agrees))
