"""Where networks run, and in which arithmetic."""

from collections.abc import Iterator

import pytest
import torch

from confidnet_core.networks import device

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def tf32_flags() -> tuple[bool, bool, str, str]:
    """Those that PyTorch's own code reads, by their old and by their new names; they are there without a GPU, too."""
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return products.allow_tf32, cudnn.allow_tf32, products.fp32_precision, cudnn.conv.fp32_precision


@pytest.fixture
def full_float32() -> Iterator[None]:
    """As select_device sets it for CUDA; PyTorch's own start is TF32 in convolutions."""
    former = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    device._set_tf32(False, False)
    yield
    device._set_tf32(*former)


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


@pytest.mark.parametrize("context", [device.autocast, device.float32_products])
def test_tf32_holds_on_cuda_within_its_block_and_ends_with_it(full_float32: None, context):
    before = tf32_flags()
    with context(CUDA, "tf32"):
        assert tf32_flags() == (True, True, "tf32", "tf32")
        assert torch.get_float32_matmul_precision() == "high"  # torch.compile reads it, and would fail if only the new flags were set
        with context(CUDA, "tf32"):
            pass
        assert tf32_flags() == (True, True, "tf32", "tf32")
    assert tf32_flags() == before
    assert before[:2] == (False, False) and "tf32" not in before
    with pytest.raises(KeyboardInterrupt), context(CUDA, "tf32"):
        raise KeyboardInterrupt
    assert tf32_flags() == before


@pytest.mark.parametrize(("where", "precision"), [(CPU, "tf32"), (torch.device("mps"), "tf32"), (CUDA, "fp32")])
def test_tf32_is_fp32_elsewhere_than_on_cuda(full_float32: None, where: torch.device, precision: str):
    before = tf32_flags()
    with device.autocast(where, precision), device.float32_products(where, precision):
        assert tf32_flags() == before
        assert torch.nn.Linear(3, 2)(torch.ones(4, 3)).dtype == torch.float32


@pytest.mark.parametrize("text", ["no", "2", "true", "-1"])
def test_a_switch_of_determinism_that_is_neither_0_nor_1_is_refused(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    monkeypatch.setenv("CONFIDNET_DETERMINISTIC", text)
    with pytest.raises(ValueError, match=rf"^CONFIDNET_DETERMINISTIC is '{text}'; expected 1, or unset, .*, or 0 to allow faster"):
        device.select_device()


@pytest.mark.parametrize(("text", "is_deterministic"), [("", True), ("1", True), (" 1 ", True), ("0", False)])
def test_the_switch_of_determinism(monkeypatch: pytest.MonkeyPatch, text: str, is_deterministic: bool):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    monkeypatch.setenv("CONFIDNET_DETERMINISTIC", text)
    assert device._deterministic_algorithms_are_wanted() is is_deterministic
    assert device.select_device() == CPU
