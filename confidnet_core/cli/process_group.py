"""The process group in which the processes of one stage exchange gradients and results, by gloo on CPUs and NCCL on GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from confidnet_core.networks.device import select_device


@contextmanager
def process_group() -> Iterator[None]:
    """Context manager in which this process belongs to the group of those that share a stage's work, as RANK and WORLD_SIZE say.

    Raises ValueError for a device on which processes cannot work together, or fewer GPUs than processes.
    """
    device = select_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Tensors on a GPU are exchanged by NCCL, results in the computer's own memory by gloo.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
