"""Device selection: CUDA if available, else Apple's MPS, else the CPU; the environment variable CONFIDNET_DEVICE overrides it."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from confidnet_core.system.processes import PROCESSES_VARIABLE, process_count, process_rank

DETERMINISTIC_VARIABLE = "CONFIDNET_DETERMINISTIC"
NetworkT = TypeVar("NetworkT", bound=nn.Module)

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, before its first product; it makes sums reproducible


def select_device() -> torch.device:
    """Return the device on which networks run, and set CUDA to deterministic algorithms and full float32 precision.

    It is the one that the environment variable CONFIDNET_DEVICE names, else CUDA, Apple's MPS or the CPU. CONFIDNET_DETERMINISTIC=0 allows
    CUDA's other algorithms, and cuDNN to choose the fastest by trial. Raises ValueError for a device that this machine does not have, and
    for another value than 0 or 1.
    """
    is_deterministic = _deterministic_algorithms_are_wanted()
    device_name = os.environ.get("CONFIDNET_DEVICE")
    selected_device = _require_working_device(device_name) if device_name else _fastest_device()
    if process_count() > 1:
        selected_device = _device_of_process(selected_device)
    if selected_device.type == "cuda":
        torch.use_deterministic_algorithms(is_deterministic, warn_only=True)
        torch.backends.cudnn.benchmark = not is_deterministic
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]  # PyTorch defines it at run time; it only serves debugging
        _set_tf32(False, False)
    return selected_device


def _deterministic_algorithms_are_wanted() -> bool:
    text = os.environ.get(DETERMINISTIC_VARIABLE, "").strip() or "1"
    if text not in ("0", "1"):
        reason_text = "1, or unset, for results that repeat to the last bit, or 0 to allow faster algorithms on CUDA"
        raise ValueError(f"{DETERMINISTIC_VARIABLE} is {text!r}; expected {reason_text}")
    return text == "1"


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
    """Return a context manager in which networks compute in bfloat16 if precision is "bf16", else in float32, as in `float32_products`.

    Weights, losses and logits stay float32. Prints a warning, once, where the processor has no instructions for bfloat16.
    """
    if precision == "bf16" and device.type == "cpu":
        _warn_of_emulated_bf16()
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else float32_products(device, precision)


def float32_products(device: torch.device, precision: str) -> AbstractContextManager:
    """Return a context manager in which CUDA rounds factors of float32 products and convolutions to TF32 if precision is "tf32".

    TF32 keeps 10 of 23 bits behind the point, and all of the exponent; sums are float32 (NVIDIA, "Ampere architecture"). A backward pass
    must run within this context, too. Elsewhere than on CUDA, and on GPUs before Ampere, nothing changes.
    """
    return _tf32() if precision == "tf32" and device.type == "cuda" else nullcontext()


@contextmanager
def _tf32() -> Iterator[None]:
    former = bool(torch.backends.cuda.matmul.allow_tf32), bool(torch.backends.cudnn.allow_tf32)
    _set_tf32(True, True)
    try:
        yield
    finally:
        _set_tf32(*former)


def _set_tf32(in_products: bool, in_convolutions: bool) -> None:
    # These flags set those named fp32_precision as well. If only the latter were set, PyTorch 2.14 would refuse to read the former, and
    # torch.compile reads them.
    torch.backends.cuda.matmul.allow_tf32 = in_products
    torch.backends.cudnn.allow_tf32 = in_convolutions


@cache
def _warn_of_emulated_bf16() -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # 8.5 times: the head on features of SegNet, forward and backward, on a processor with AVX2.
        bf16_warning = "this processor computes bf16 in software, up to 8 times slower than fp32; set `precision: fp32` in the benchmark"
        print(f"WARNING {bf16_warning}, or run on a GPU", file=sys.stderr, flush=True)
