"""Where networks run: CUDA, then Apple's MPS, then the CPU; the environment variable CONFIDNET_DEVICE overrides."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

# On CUDA: the same sums in the same order each time, and products of float32 numbers as such. Other devices have no such switches.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, when the first product is made
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.allow_tf32 = False


def device() -> torch.device:
    """ValueError for a CONFIDNET_DEVICE that this machine does not have."""
    wanted = os.environ.get("CONFIDNET_DEVICE")
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"CONFIDNET_DEVICE is {wanted}, which does not work here ({reason}); try cpu, or unset it") from None
    return chosen


def double(values: Tensor) -> Tensor:
    """float64, on the same device, or on the CPU where it has none, as MPS."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def autocast(where: torch.device, precision: str) -> AbstractContextManager:
    """bf16 arithmetic where the recipe asks for it. Weights, losses and logits stay float32."""
    return torch.autocast(where.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
