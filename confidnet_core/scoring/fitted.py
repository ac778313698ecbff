"""The file of the values that a score fitted: numbers, text, None, tensors, lists and tuples, which load without running any code."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

FITTED_FILE = "fitted.pt"
PLAIN_TYPES = (bool, int, float, str, type(None))


def require_storable(value: Any, function: str) -> Any:
    """Return the fitted value unchanged. ValueError, with the name of the fitting function, if save_fitted could not store the value."""
    for element in value if isinstance(value, list | tuple) else ():
        require_storable(element, function)
    if not isinstance(value, (*PLAIN_TYPES, Tensor, list, tuple)):
        expected = "numbers, text, None, tensors, and lists and tuples of these: torch.from_numpy(array), float(number)"
        raise ValueError(f"{function} fitted a {type(value).__module__}.{type(value).__qualname__}; expected {expected}")
    return value


def save_fitted(folder: Path, values: Mapping[str, Any]) -> None:
    """Write a score's fitted values to FOLDER/fitted.pt. Equal values give equal bytes, whichever device their tensors are on."""
    torch.save({key: _copy_tensors_to_device(value, torch.device("cpu")) for key, value in values.items()}, folder / FITTED_FILE)


def load_fitted(folder: Path, device: torch.device) -> dict[str, Any]:
    """Return a score's fitted values from FOLDER/fitted.pt, with tensors on the device. ValueError for a missing or damaged file."""
    path = Path(folder) / FITTED_FILE
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}); delete {folder} and run `dvc repro`") from None
    return {key: _copy_tensors_to_device(value, device) for key, value in values.items()}


def _copy_tensors_to_device(value: Any, device: torch.device) -> Any:
    """Return a copy of the value whose tensors, also those inside lists and tuples, are on the device."""
    if isinstance(value, list | tuple):
        return type(value)(_copy_tensors_to_device(element, device) for element in value)
    return value.detach().to(device, copy=True).contiguous() if isinstance(value, Tensor) else value
