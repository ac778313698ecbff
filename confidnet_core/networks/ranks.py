"""What the processes of one stage exchange, and which rows of a batch each of them computes (torch.distributed, gloo and NCCL).

All functions also work in a single process, where they return what they are given. A process that shares its work draws all random numbers
as a single process would, for the whole batch, and uses those of its own rows. So the result is that of a single process, up to rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, distributed, nn

from confidnet_core.system.processes import is_first_process, process_count, process_rank

ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class BatchRows:
    """The rows of a batch of `total` rows that this process computes: those of the slice `own`, which is never empty.

    is_counted: False in a process for which no row is left; it runs the first row along, and its results are dropped
    """

    total: int
    own: slice
    is_counted: bool = True

    @property
    def own_count(self) -> int:
        return self.own.stop - self.own.start


_computed_rows: list[BatchRows] = []  # of the batch that is being computed, see `computing`


def share_of_batch(total: int) -> BatchRows:
    """Return this process's rows of a batch: consecutive ones, in the order of the ranks, as many as the others' or one more or less."""
    rank, count = process_rank(), process_count()
    own = slice(total * rank // count, total * (rank + 1) // count)
    return BatchRows(total, own) if own.start < own.stop else BatchRows(total, slice(0, 1), is_counted=False)


@contextmanager
def computing(rows: BatchRows) -> Iterator[None]:
    """Context manager for the computation of these rows of a batch, of which layers and losses then know that they are a part."""
    _computed_rows.append(rows)
    try:
        yield
    finally:
        _computed_rows.pop()


def computed_rows() -> BatchRows | None:
    """Return the rows of the batch that is being computed; None where it is computed as a whole."""
    rows = _computed_rows[-1] if _computed_rows else None
    return None if rows is None or (rows.own_count == rows.total and rows.is_counted) else rows


def gather_rows(*tensors: Shaped[Tensor, "_ ..."]) -> tuple[Shaped[Tensor, "_ ..."], ...]:
    """Return tensors with the rows of all processes, in the order of the ranks; their numbers of rows (first axis) may differ.

    A gradient flows back into this process's own rows, times the number of processes: DistributedDataParallel divides by it.
    """
    if process_count() == 1:
        return tensors
    rows = computed_rows()
    is_counted = rows is None or rows.is_counted
    return tuple(cast(Tensor, _GatheredRows.apply(tensor if is_counted else tensor[:0])) for tensor in tensors)


class _GatheredRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own_values: Tensor) -> Tensor:
        row_counts = [int(count) for count in gather_equal(torch.tensor([len(own_values)], device=own_values.device))]
        ctx.first_row, ctx.row_count = sum(row_counts[: process_rank()]), len(own_values)
        padded = own_values.new_zeros((max(row_counts), *own_values.shape[1:]))  # as many rows in each process: gloo needs equal shapes
        padded[: len(own_values)] = own_values
        return torch.cat([values[:row_count] for values, row_count in zip(gather_equal(padded), row_counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][ctx.first_row : ctx.first_row + ctx.row_count] * process_count()


def gather_equal(values: Shaped[Tensor, "..."]) -> list[Shaped[Tensor, "..."]]:
    """Return the tensors of all processes, in the order of the ranks; their shapes and types must be equal. No gradient flows back."""
    gathered = [torch.empty_like(values) for _ in range(process_count())]
    distributed.all_gather(gathered, values)
    return gathered


def exchange(value: ValueT) -> list[ValueT]:
    """Return the values of all processes, in the order of the ranks: small Python objects, which are pickled."""
    if process_count() == 1:
        return [value]
    values: list[Any] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values


def from_first_process(compute: Callable[[], ValueT]) -> ValueT:
    """Return the value that the process with rank 0 computes, pickled for the others, which do not call the function."""
    if process_count() == 1:
        return compute()
    values: list[Any] = [compute() if is_first_process() else None]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def is_own_batch(batch_index: int) -> bool:
    """Return whether this process computes the batch of this number, from 0: they are dealt out in turns."""
    return batch_index % process_count() == process_rank()


def complete_batches(batch_slices: list[slice], *arrays: np.ndarray | Tensor) -> None:
    """Fill arrays or tensors (n, ...), of which each process has computed the rows of its own batches, with those of the others.

    batch_slices: the rows of each batch, in order; the arrays must be contiguous
    """
    if process_count() == 1:
        return
    for array in arrays:
        values = torch.from_numpy(array) if isinstance(array, np.ndarray) else array
        for batch_index, batch_slice in enumerate(batch_slices):
            row_bytes = values[batch_slice].view(torch.uint8)  # a view: what is received stands in the array
            if row_bytes.numel():
                distributed.broadcast(row_bytes, src=batch_index % process_count())


def with_shared_gradients(network: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return loss(*own rows) -> loss of the whole batch, whose backward gives every process the gradient of the whole batch.

    The loss must gather what it needs of other rows, see `gather_rows`.
    """
    if process_count() == 1:
        return loss
    synchronized_loss = _LossOfNetwork(network, loss)
    # A static graph may leave parameters without a gradient: finetuning does not use the classifier's last layer. Buffers need no exchange:
    # they start equal, and BatchNorm's stay so.
    return nn.parallel.DistributedDataParallel(synchronized_loss, forward_sync_buffers=False, static_graph=True)


class _LossOfNetwork(nn.Module):
    """A module whose forward pass is a loss, since DistributedDataParallel prepares the exchange of gradients in its own forward."""

    def __init__(self, network: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.loss = network, loss

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(*batch)
