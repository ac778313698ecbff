"""The file of the values that a score fitted: numbers, text, None, tensors, lists and tuples, which load without running any code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from confidnet_core.networks.weights_file import load_tensors

FITTED_VALUES_FILE_NAME = "fitted.pt"
STORABLE_PLAIN_TYPES = (bool, int, float, str, type(None))


def require_storable_value(fitted_value: Any, fit_function_name: str) -> Any:
    """Return the value that a score fitted, unchanged, if a file can store it; otherwise raise ValueError.

    Numbers, text, None, tensors, and lists and tuples of these can be stored. fit_function_name: the function that fitted the value
    """
    for element in fitted_value if isinstance(fitted_value, list | tuple) else ():
        require_storable_value(element, fit_function_name)
    if not isinstance(fitted_value, (*STORABLE_PLAIN_TYPES, Tensor, list, tuple)):
        storable_types_text = "numbers, text, None, tensors, and lists and tuples of these: torch.from_numpy(array), float(number)"
        type_name = f"{type(fitted_value).__module__}.{type(fitted_value).__qualname__}"
        raise ValueError(f"{fit_function_name} fitted a {type_name}; expected {storable_types_text}")
    return fitted_value


def save_fitted_values(score_folder: Path, fitted_values: Mapping[str, Any]) -> None:
    """Write the values that a score fitted to fitted.pt in its folder; equal values give equal bytes, whichever device tensors are on."""
    torch.save(
        {key: _copy_tensors_to_device(fitted_value, torch.device("cpu")) for key, fitted_value in fitted_values.items()},
        score_folder / FITTED_VALUES_FILE_NAME,
    )


def load_fitted_values(score_folder: Path, device: torch.device) -> dict[str, Any]:
    """Return the values that a score fitted, from fitted.pt in its folder, with tensors on the device.

    Raises ValueError for a missing or damaged file.
    """
    path = Path(score_folder) / FITTED_VALUES_FILE_NAME
    try:
        fitted_values = load_tensors(path)
        if not isinstance(fitted_values, dict):
            raise ValueError(f"{path} holds a {type(fitted_values).__name__}, and no fitted values by name")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except ValueError as error:
        raise ValueError(f"{error}; delete {score_folder} and run `dvc repro`") from None
    return {key: _copy_tensors_to_device(fitted_value, device) for key, fitted_value in fitted_values.items()}


def _copy_tensors_to_device(fitted_value: Any, device: torch.device) -> Any:
    """Return a copy of a score's fitted value whose tensors, also those inside lists and tuples, are on the device."""
    if isinstance(fitted_value, list | tuple):
        return type(fitted_value)(_copy_tensors_to_device(element, device) for element in fitted_value)
    return fitted_value.detach().to(device, copy=True).contiguous() if isinstance(fitted_value, Tensor) else fitted_value
