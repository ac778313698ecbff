"""Dropout from random bits, which is drawn fast and alike however many processes share a batch; and the seeds of random draws."""

import math
from hashlib import sha256
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from confidnet_core.networks.ranks import computed_rows

LEVELS = 2**16  # of the 16 random bits of an element; a rate is exact to half of 1 / LEVELS
ModuleT = TypeVar("ModuleT", bound=nn.Module)


class RandomBitsDropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) that drops an element where its 16 random bits, as a number, are below the rate times 2^16.

    On a CPU it draws an element in a tenth of the time of nn.Dropout, whose generator makes a number of 32 bits for each and compares
    it as a float. The rate is rounded to a multiple of 2^-16, and kept elements are scaled by 1 / (1 - rounded rate), so the mean is
    kept exactly. Torch's own generator is used: `torch.manual_seed` sets the draws.
    """

    def forward(self, input: Tensor) -> Tensor:  # named as in nn.Dropout
        if not self.training or input.device.type not in ("cpu", "cuda") or input.numel() == 0:
            return super().forward(input)
        dropped_levels = round(self.p * LEVELS)
        if dropped_levels in (0, LEVELS):
            return input if dropped_levels == 0 else input * 0
        # What torch.compile traces is one operator, see training/compilation.py: it cannot trace draws from random bits.
        random_levels = torch.ops.confidnet.random_levels if torch.compiler.is_compiling() else draw_random_levels
        kept = input * (random_levels(input) >= dropped_levels - LEVELS // 2)
        return kept.mul_(LEVELS / (LEVELS - dropped_levels))


def draw_random_levels(values: Tensor) -> Tensor:
    """Return random int16 numbers, of all 2^16 values equally likely, in shape and memory format of `values` (b, ...).

    In a process that computes some rows of a batch, numbers for the whole batch are drawn, and those of its own rows returned.
    """
    rows, count = computed_rows(), values.numel()
    total, first = count, 0
    if rows is not None and count % rows.own_count == 0:
        count_per_row = count // rows.own_count
        total, first = count_per_row * rows.total, count_per_row * rows.own.start
    # 64 bits at a time: a generator's step gives them at once.
    words = torch.empty(math.ceil(total / 4), dtype=torch.int64, device=values.device).random_(-(2**63), None)
    # Rows lie one behind the other in both memory formats, contiguous and channels-last.
    strides = torch.empty_like(values, device="meta").stride()
    return words.view(torch.int16)[first : first + count].as_strided(values.shape, strides)


def with_fast_dropout(network: ModuleT) -> ModuleT:
    """Replace each nn.Dropout of a network, at its place, by dropout from random bits; return the network.

    Other dropout layers, and those that work in place, stay as they are: in several processes each draws for its own rows alone.
    """
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if type(layer) is nn.Dropout and not layer.inplace:
                setattr(module, name, RandomBitsDropout(layer.p).train(layer.training))
    return network


def set_dropout(module: nn.Module, is_active: bool) -> int:
    """Switch all dropout layers of the module on or off, and no other layers; return how many of them have a rate above 0."""
    dropout_layers = [submodule for submodule in module.modules() if isinstance(submodule, _DropoutNd)]
    for dropout_layer in dropout_layers:
        dropout_layer.train(is_active)
    return sum(dropout_layer.p > 0 for dropout_layer in dropout_layers)


def derive_random_seed(*random_seed_key: str | int) -> int:
    """Return a random seed, from 0 to 2^63 - 1, that depends on all parts of the key, such as (stage name, seed, epoch)."""
    return int.from_bytes(sha256(repr(random_seed_key).encode()).digest()[:8], "big") >> 1
