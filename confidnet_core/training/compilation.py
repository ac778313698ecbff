"""Networks of a training through torch.compile: with the random draws of an uncompiled training, and their names and weights unchanged."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, library
from torch._dynamo.exc import TorchDynamoException

from confidnet_core.networks.dropout import draw_random_levels


def compiled(forward: Callable[..., Any], is_compiled: bool) -> Callable[..., Any]:
    """Return a network, or one of its methods, as a function that torch.compile compiles at its first call; itself if not is_compiled.

    A batch size is compiled once, in about half a minute. The function raises ValueError where this does not work, as for want of a C++
    compiler. Where deterministic algorithms are set, as by `select_device`, no kernel is chosen by its time.
    """
    if not is_compiled:
        return forward
    _register_random_levels()
    options: dict[str, Any] = {"fallback_random": True}  # random numbers from torch's own generator, in the order of an uncompiled network
    if torch.are_deterministic_algorithms_enabled() and "deterministic" in torch._inductor.list_options():
        options["deterministic"] = True
    function = torch.compile(forward, options=options, dynamic=False)

    def call(*inputs: Tensor) -> Any:
        try:
            return function(*inputs)
        except TorchDynamoException as error:
            remedy_text = "install what is missing, for CPUs g++, or set compile: false"
            raise ValueError(f"compile is true, and torch.compile fails: {_reason(error)}; {remedy_text}") from None

    return call


def uncompiled(is_compiled: bool) -> AbstractContextManager:
    """Return a context manager in which functions that `compiled` has returned run as if they were not compiled."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()


def _reason(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def _register_random_levels() -> None:
    """Register the operator confidnet::random_levels, in whose place `draw_random_levels` stands in compiled networks.

    It is known as random, so that it is neither left out nor computed again, and gets its values in the memory format that they have
    uncompiled, on which it depends which value gets which draw.
    """
    if hasattr(torch.ops.confidnet, "random_levels"):
        return
    tags = (torch.Tag.nondeterministic_seeded, torch.Tag.needs_exact_strides)

    def random_levels(values: torch.Tensor) -> torch.Tensor:
        return draw_random_levels(values).clone()

    operator = library.custom_op("confidnet::random_levels", random_levels, mutates_args=(), tags=tags)
    operator.register_fake(lambda values: torch.empty_like(values, dtype=torch.int16))
