"""What a score fitted, on disk: numbers, text, None, tensors, and lists and tuples of these, which load without running any code."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

FILE = "fitted.pt"
PLAIN = (bool, int, float, str, type(None))


def checked(value: Any, maker: str) -> Any:
    """The value. ValueError, naming its MAKER, for what no file could hold."""
    for part in value if isinstance(value, list | tuple) else ():
        checked(part, maker)
    if not isinstance(value, (*PLAIN, Tensor, list, tuple)):
        expected = "numbers, text, None, tensors, and lists and tuples of these: torch.from_numpy(array), float(number)"
        raise ValueError(f"{maker} fitted a {type(value).__module__}.{type(value).__qualname__}; expected {expected}")
    return value


def save_fitted(folder: Path, values: Mapping[str, Any]) -> None:
    """Into FOLDER. Equal values give equal bytes, whichever device they are on."""
    torch.save({key: _moved(value, torch.device("cpu")) for key, value in values.items()}, folder / FILE)


def load_fitted(folder: Path, device: torch.device) -> dict[str, Any]:
    """The values, their tensors on the device. ValueError for a file that is missing or damaged."""
    path = Path(folder) / FILE
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}); delete {folder} and run `dvc repro`") from None
    return {key: _moved(value, device) for key, value in values.items()}


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_moved(part, device) for part in value)
    return value.detach().to(device, copy=True).contiguous() if isinstance(value, Tensor) else value
