"""BatchNorm over the batch of all processes, on CPUs, too (nn.SyncBatchNorm needs GPUs): Ioffe & Szegedy 2015, arXiv:1502.03167."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from confidnet_core.networks.ranks import computed_rows, gather_equal
from confidnet_core.system.processes import process_count


def synchronize_batchnorm(network: nn.Module) -> None:
    """Make each BatchNorm of a network, in training mode, use mean and variance of the batch of all processes; names and weights stay.

    In a single process nothing changes.
    """
    if process_count() == 1:
        return
    for layer in network.modules():
        if type(layer) in _SYNCHRONIZED_TYPES:
            layer.__class__ = _SYNCHRONIZED_TYPES[type(layer)]


class _SynchronizedBatchNorm(_BatchNorm):
    def forward(self, input: Tensor) -> Tensor:  # named as in nn.BatchNorm2d
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        output, mean, variance, value_count = _normalise(input, self.weight, self.bias, self.eps)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            self._update_running_statistics(mean, variance, value_count)
        return output

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, value_count: Tensor) -> None:
        """Move the running mean, and the running unbiased variance, towards those of the batch, as nn.BatchNorm2d does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # None means the plain mean over batches
        unbiased_variance = variance * (value_count / (value_count - 1))
        with torch.no_grad():
            self.running_mean.mul_(1 - factor).add_(mean, alpha=factor)
            self.running_var.mul_(1 - factor).add_(unbiased_variance, alpha=factor)


def _normalise_at_once(values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return normalised values, and mean, variance and number of values of a channel over the rows of all processes."""
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], _NormalisedOverAllRows.apply(values, weight, bias, eps))


# Processes must exchange statistics in one order, and torch.compile may move what it has traced.
_normalise = cast(Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]], torch.compiler.disable(_normalise_at_once))


class _NormalisedOverAllRows(torch.autograd.Function):
    """(values - mean) / sqrt(variance + eps) * weight + bias, by channel, with mean and variance over the rows of all processes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        rows = computed_rows()
        ctx.is_counted = rows is None or rows.is_counted
        own_variance, own_mean = torch.var_mean(_at_least_float32(values), _axes_but_channels(values), correction=0)
        own_statistics = torch.stack([own_mean, own_variance]).double().flatten()
        own_count = own_statistics.new_full((1,), values.numel() // values.shape[1] if ctx.is_counted else 0)
        statistics = torch.stack(gather_equal(torch.cat([own_statistics, own_count])))  # (processes, 2 * channels + 1)
        means, variances, counts = statistics.split([values.shape[1], values.shape[1], 1], dim=1)
        value_count = counts.sum()
        if value_count <= 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(values.shape)}")
        mean = (counts * means).sum(0) / value_count
        # The variance within a process's rows and that of the processes' means: no large squares are subtracted.
        variance = (counts * (variances + (means - mean).square())).sum(0) / value_count
        mean, variance, value_count = (statistic.to(own_mean.dtype) for statistic in (mean, variance, value_count))
        output = functional.batch_norm(values, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(values, weight, mean, (variance + eps).rsqrt(), value_count)
        ctx.mark_non_differentiable(mean, variance, value_count)
        return output, mean, variance, value_count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, mean, inverse_deviation, value_count = ctx.saved_tensors
        per_channel = (1, -1, *[1] * (values.ndim - 2))
        gradient, axes = _at_least_float32(gradients[0]), _axes_but_channels(values)
        normalised = (_at_least_float32(values) - mean.view(per_channel)) * inverse_deviation.view(per_channel)
        gradient_sum, product_sum = gradient.sum(axes), (gradient * normalised).sum(axes)  # gradients of bias and weight: own rows
        all_sums = torch.stack([gradient_sum, product_sum])
        distributed.all_reduce(all_sums)
        mean_gradient, mean_product = (all_sums / value_count).unbind()
        scale = inverse_deviation if weight is None else inverse_deviation * weight
        centred = gradient - mean_gradient.view(per_channel) - normalised * mean_product.view(per_channel)
        values_gradient = (centred * scale.view(per_channel)).to(values.dtype)
        if not ctx.is_counted:
            values_gradient = torch.zeros_like(values_gradient)
        return values_gradient, None if weight is None else product_sum, None if weight is None else gradient_sum, None


def _at_least_float32(values: Float[Tensor, "b c *pixels"]) -> Float[Tensor, "b c *pixels"]:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _axes_but_channels(values: Float[Tensor, "b c *pixels"]) -> list[int]:
    return [axis for axis in range(values.ndim) if axis != 1]


class _SynchronizedBatchNorm1d(_SynchronizedBatchNorm, nn.BatchNorm1d):
    pass


class _SynchronizedBatchNorm2d(_SynchronizedBatchNorm, nn.BatchNorm2d):
    pass


class _SynchronizedBatchNorm3d(_SynchronizedBatchNorm, nn.BatchNorm3d):
    pass


_SYNCHRONIZED_TYPES: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SynchronizedBatchNorm1d,
    nn.BatchNorm2d: _SynchronizedBatchNorm2d,
    nn.BatchNorm3d: _SynchronizedBatchNorm3d,
}
