"""Weights of a network that was trained elsewhere: every usual file is read, and what does not fit is listed."""

from pathlib import Path

import pytest
import torch
from own_networks import Blocks
from safetensors.torch import save_file
from small import same, state
from torch import Tensor

from confidnet_core.networks.weights_file import load_weights_file

WRAPPED = {
    "plain": lambda weights: weights,
    "DataParallel": lambda weights: {f"module.{name}": tensor for name, tensor in weights.items()},
    "Lightning": lambda weights: {"epoch": 3, "state_dict": {f"model.{name}": tensor for name, tensor in weights.items()}},
    "Lightning, compiled": lambda weights: {"state_dict": {f"net._orig_mod.{name}": tensor for name, tensor in weights.items()}},
    "model_state_dict": lambda weights: {"model_state_dict": weights, "optimizer": {"lr": 0.1}},
    "timm": lambda weights: {"state_dict": weights, "arch": "blocks"},
    "model in model": lambda weights: {"model": {"model": weights}},
    "half precision": lambda weights: {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()},
    "without counts of batches": lambda weights: {name: tensor for name, tensor in weights.items() if "num_batches" not in name},
}


def trained() -> Blocks:
    torch.manual_seed(1)
    network = Blocks(5)
    network(torch.randn(4, 3, 8, 8))  # other statistics than those of a new network
    return network


def refusal(path: Path, network: Blocks | None = None) -> str:
    network = network or Blocks(5)
    before = state(network)
    with pytest.raises(ValueError) as caught:
        load_weights_file(network, path)
    assert same(state(network), before) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_checkpoint_is_read_under_the_usual_keys_and_prefixes(kind: str, tmp_path: Path):
    torch.save(WRAPPED[kind](state(trained())), tmp_path / "mine.pt")
    network = Blocks(5)
    load_weights_file(network, tmp_path / "mine.pt")
    counted = {name: tensor for name, tensor in state(network).items() if "num_batches" not in name}
    assert same(counted, {name: tensor for name, tensor in state(trained()).items() if "num_batches" not in name})


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.bin"])
def test_safetensors_are_read_whatever_the_name(name: str, tmp_path: Path):
    save_file({f"module.{key}": tensor for key, tensor in state(trained()).items()}, tmp_path / name)
    network = Blocks(5)
    load_weights_file(network, tmp_path / name)
    assert same(state(network), state(trained()))


def test_what_does_not_fit_is_listed_one_a_line(tmp_path: Path):
    weights: dict[str, Tensor] = state(trained())
    weights["hed.weight"] = weights.pop("head.weight")
    weights["first.bias"] = torch.zeros(3)
    torch.save(weights, tmp_path / "mine.pt")
    first, *listed = refusal(tmp_path / "mine.pt").splitlines()
    assert "does not fit the network that model in params.yaml builds" in first
    assert listed == [
        "  missing in the file: head.weight (5, 16)",
        "  first.bias is (3,), the network's is (8,)",
        "  not in the network: hed.weight (5, 16)",
    ]


def test_of_many_problems_a_dozen_are_listed(tmp_path: Path):
    torch.save({f"other.{number}": torch.zeros(1) for number in range(20)}, tmp_path / "mine.pt")
    listed = refusal(tmp_path / "mine.pt").splitlines()[1:]
    assert len(listed) == 13 and listed[-1] == f"  and {20 + 10 - 12} more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds a dictionary of epoch; expected tensors by name, at the top or under state_dict"),
        ([torch.zeros(1)], "holds list; expected tensors by name"),
        ({"head.weight": torch.full((5, 16), torch.nan)}, "head.weight holds NaN or infinity; expected finite numbers"),
    ],
)
def test_a_file_without_weights_is_refused(content: object, message: str, tmp_path: Path):
    torch.save(content, tmp_path / "mine.pt")
    assert message in refusal(tmp_path / "mine.pt")


def test_a_whole_pickled_network_is_not_run(tmp_path: Path):
    torch.save(trained(), tmp_path / "mine.pt")
    assert "it asks for own_networks.Blocks, which could run code; expected tensors by name" in refusal(tmp_path / "mine.pt")


@pytest.mark.parametrize(("name", "content"), [("mine.safetensors", b"{}"), ("mine.pt", b""), ("mine.pt", b"PK\3\4broken")])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    assert "damaged" in refusal(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    assert "does not exist; give the path of a .safetensors file or of a checkpoint" in refusal(tmp_path / "gone.pt")
