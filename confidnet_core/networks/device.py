"""Device selection: CUDA if available, else Apple's MPS, else the CPU; the environment variable CONFIDNET_DEVICE overrides it."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from confidnet_core.system.processes import PROCESSES_VARIABLE, process_count, process_rank

NetworkT = TypeVar("NetworkT", bound=nn.Module)

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, before its first product; it makes sums reproducible


def select_device() -> torch.device:
    """Return the device on which networks run, and set CUDA to deterministic algorithms and full float32 precision.

    It is the one that the environment variable CONFIDNET_DEVICE names, else CUDA, Apple's MPS or the CPU. Raises ValueError for a device
    that this machine does not have.
    """
    device_name = os.environ.get("CONFIDNET_DEVICE")
    selected_device = _require_working_device(device_name) if device_name else _fastest_device()
    if process_count() > 1:
        selected_device = _device_of_process(selected_device)
    if selected_device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]  # PyTorch defines it at run time; it only serves debugging
        torch.backends.cudnn.allow_tf32 = False
    return selected_device


def _fastest_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def _device_of_process(device: torch.device) -> torch.device:
    """Return the device of this one of several processes: the CPU for all, or a GPU for each."""
    if device.type == "cuda" and device.index is None:
        local_rank, gpu_count = int(os.environ.get("LOCAL_RANK", process_rank())), torch.cuda.device_count()
        if local_rank >= gpu_count:
            remedy_text = f"set {PROCESSES_VARIABLE} to {gpu_count} or less, or CONFIDNET_DEVICE to cpu"
            raise ValueError(f"{process_count()} processes need as many GPUs, but this machine has {gpu_count}; {remedy_text}")
        return torch.device("cuda", local_rank)
    if device.type != "cpu":
        raise ValueError(f"processes cannot share work on the device {device}; unset {PROCESSES_VARIABLE}, or set CONFIDNET_DEVICE to cpu")
    return device


def _require_working_device(device_name: str) -> torch.device:
    try:
        selected_device = torch.device(device_name)
        torch.empty(1, device=selected_device)
    except (RuntimeError, AssertionError) as error:
        device_error_text = str(error).splitlines()[0]
        problem_text = f"CONFIDNET_DEVICE is {device_name}, which does not work here ({device_error_text})"
        raise ValueError(f"{problem_text}; try cpu, or unset it") from None
    return selected_device


def to_device(network: NetworkT, device: torch.device) -> NetworkT:
    """Return the network, moved to the device, with weights in the memory format channels-last, which makes convolutions fastest."""
    return network.to(device).to(memory_format=torch.channels_last)


def to_float64(tensor: Tensor) -> Tensor:
    """Return the tensor as float64, on its device; but on the CPU if the device is Apple's MPS, which has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Return a context manager in which networks compute in bfloat16 if precision is "bf16", else in float32.

    Weights, losses and logits stay float32. Prints a warning, once, where the processor has no instructions for bfloat16.
    """
    if precision == "bf16" and device.type == "cpu":
        _warn_of_emulated_bf16()
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


@cache
def _warn_of_emulated_bf16() -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # 8.5 times: the head on features of SegNet, forward and backward, on a processor with AVX2.
        bf16_warning = "this processor computes bf16 in software, up to 8 times slower than fp32; set `precision: fp32` in the benchmark"
        print(f"WARNING {bf16_warning}, or run on a GPU", file=sys.stderr, flush=True)
