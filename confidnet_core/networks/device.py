"""Where networks run: CUDA, then Apple's MPS, then the CPU; the environment variable CONFIDNET_DEVICE overrides."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, at its first product, and then repeats its sums


def device() -> torch.device:
    """CUDA is told to repeat its sums bit for bit, and to multiply float32 numbers as such.

    ValueError for a CONFIDNET_DEVICE that this machine does not have.
    """
    wanted = os.environ.get("CONFIDNET_DEVICE")
    chosen = _named(wanted) if wanted else _best()
    if chosen.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]  # PyTorch adds it while it runs; only for the search of mistakes
        torch.backends.cudnn.allow_tf32 = False
    return chosen


def _best() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def _named(wanted: str) -> torch.device:
    try:
        chosen = torch.device(wanted)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"CONFIDNET_DEVICE is {wanted}, which does not work here ({reason}); try cpu, or unset it") from None
    return chosen


def moved(network: Network, where: torch.device) -> Network:
    """The network itself, on the device, its weights channels-last: there convolutions are fastest."""
    return network.to(where).to(memory_format=torch.channels_last)


def double(values: Tensor) -> Tensor:
    """float64, on the same device, or on the CPU where it has none, as MPS."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def autocast(where: torch.device, precision: str) -> AbstractContextManager:
    """bf16 arithmetic where the recipe asks for it. Weights, losses and logits stay float32."""
    return torch.autocast(where.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
