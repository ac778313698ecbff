"""Where networks run: CUDA, then Apple's MPS, then the CPU; the environment variable CONFIDNET_DEVICE overrides."""

import os
from contextlib import AbstractContextManager, nullcontext

import torch


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


def autocast(where: torch.device, precision: str) -> AbstractContextManager:
    """bf16 arithmetic where the recipe asks for it. Weights, losses and logits stay float32."""
    return torch.autocast(where.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
