"""Where networks run, and in which arithmetic."""

import pytest
import torch

from confidnet_core.networks import device

CPU = torch.device("cpu")


def test_bf16_computes_in_bfloat16_and_fp32_in_float32() -> None:
    layer, images = torch.nn.Linear(3, 2), torch.ones(4, 3)
    with device.autocast(CPU, "bf16"):
        assert layer(images).dtype == torch.bfloat16
    with device.autocast(CPU, "fp32"):
        assert layer(images).dtype == torch.float32


def test_a_processor_that_computes_bf16_in_software_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    device._warn_of_emulated_bf16.cache_clear()
    for precision in ("fp32", "bf16", "bf16"):
        device.autocast(CPU, precision)
    emulated = not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert capsys.readouterr().err.count("computes bf16 in software") == emulated
