"""Refused checkpoints: files that could run code, and networks that differ from params.yaml, with every difference named."""

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from released_networks import Case, save
from small import CPU, segmentation_benchmark, small_segmentation

from confidnet_core.checkpoints.importing import import_checkpoint
from confidnet_core.checkpoints.weights import read_checkpoint


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case("convnet", tmp_path)


@pytest.fixture
def vgg(tmp_path: Path) -> Case:
    """Return a VGG case, which has BatchNorm, with its baseline already imported."""
    case = Case("vgg", tmp_path)
    case.take("baseline", case.classifier)
    return case


class Harmful:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("form", ["plain pickle", "PyTorch 1.1", "PyTorch 2"])
def test_a_pickle_that_asks_for_more_than_tensors_is_refused_and_runs_nothing(form: str, tmp_path: Path):
    content = {"model_state_dict": {"fc1.weight": torch.ones(2, 2)}, "epoch": Harmful(tmp_path / "harm")}
    path = tmp_path / "released.ckpt"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps({"epoch": content["epoch"]}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "PyTorch 2")
    with pytest.raises(ValueError, match=r"released\.ckpt was not read: it asks for \w+\.mkdir, which could run code; expected tensors"):
        read_checkpoint(path)
    assert not (tmp_path / "harm").exists()
    torch.load(path, weights_only=False) if form != "plain pickle" else pickle.loads(path.read_bytes())
    assert (tmp_path / "harm").exists()  # so it would have


@pytest.mark.parametrize("kept", [0, 2, 50, 500, -1])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_cut_file_is_refused(case: Case, kept: int, zipped: bool):
    path = case.folder / "released.ckpt"
    torch.save({"model_state_dict": case.classifier.state_dict()}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"released\.ckpt was not read: it is damaged or no checkpoint \(\w+\)"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")  # PyTorch says that this may take long
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a list; expected a dict with model_state_dict"),
        ({"state": {}, "epoch": 3}, "holds a dict of state, epoch; expected a dict with model_state_dict"),
        ({"model_state_dict": {}}, "holds a dict of model_state_dict; expected"),
        (
            {"model_state_dict": {"fc1.weight": torch.ones(2, 2), "fc1.name": "a"}},
            "model_state_dict holds fc1.name; expected names of tensors",
        ),
        (
            {"model_state_dict": {"fc1.bias": torch.tensor([1, torch.nan])}},
            "fc1.bias of model_state_dict: expected dense tensors of finite",
        ),
        (
            {"model_state_dict": {"fc1.bias": torch.tensor([1, -torch.inf])}},
            "fc1.bias of model_state_dict: expected dense tensors of finite",
        ),
        ({"model_state_dict": {"fc1.bias": torch.ones(2).to_sparse()}}, "fc1.bias of model_state_dict: expected dense tensors of finite"),
        ({"model_state_dict": {3: torch.ones(2, 2)}}, "model_state_dict holds 3; expected names of tensors"),
    ],
)
def test_a_file_without_parameters_is_refused(tmp_path: Path, content: object, message: str):
    torch.save(content, tmp_path / "released.ckpt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "released.ckpt")


def test_a_missing_file_an_unknown_kind_and_segmentation_are_refused(case: Case):
    with pytest.raises(ValueError, match=r"gone\.ckpt does not exist; give the path of a \.ckpt file"):
        read_checkpoint(case.folder / "gone.ckpt")
    assert case.refusal("fine-tuned", case.classifier) == "KIND is fine-tuned; did you mean finetune?"
    with pytest.raises(ValueError, match="blocks of colour is segmentation; expected classification"):
        import_checkpoint("baseline", case.folder, segmentation_benchmark(), small_segmentation(), case.models, CPU)


def state(case: Case) -> OrderedDict:
    return OrderedDict(case.classifier.state_dict())


def without(case: Case, *names: str) -> OrderedDict:
    return OrderedDict((name, value) for name, value in state(case).items() if name not in names)


def first(case: Case, name: str) -> OrderedDict:
    changed = state(case)
    for part in ("bias", "weight"):
        changed.move_to_end(f"{name}.{part}", last=False)
    return changed


CONV1, CONV2 = "conv1.block.0", "conv2.block.0"


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (
            lambda case: without(case, f"{CONV2}.bias"),
            [
                f"classifier: {CONV2}.weight (16, 8, 3, 3) belongs to no whole convolution, linear layer, BatchNorm",
                f"classifier: convolution: 1 in the file ({CONV1}), 2 in the network",
            ],
        ),
        (lambda case: without(case, "fc1.weight", "fc1.bias"), ["classifier: linear layer: 1 in the file (fc2), 2 in the network"]),
        (
            lambda case: state(case) | {"fc3.weight": torch.ones(3, 10), "fc3.bias": torch.ones(3)},
            ["classifier: linear layer: 3 in the file (fc1, fc2, fc3), 2 in the network"],
        ),
        (
            lambda case: state(case) | {"scale": torch.ones(1)},
            ["classifier: scale (1,) belongs to no whole convolution, linear layer, BatchNorm"],
        ),
        (
            lambda case: state(case) | {"fc1.weight_g": torch.ones(16, 1)},
            [
                "classifier: fc1.weight (16, 64) belongs to no whole convolution, linear layer, BatchNorm",
                "classifier: fc1.bias (16,) belongs to no whole convolution, linear layer, BatchNorm",
                "classifier: fc1.weight_g (16, 1) belongs to no whole convolution, linear layer, BatchNorm",
                "classifier: linear layer: 1 in the file (fc2), 2 in the network",
            ],
        ),
        (
            lambda case: state(case) | {f"{CONV1}.bias": torch.ones(7), "fc2.weight": torch.ones(9, 16)},
            [
                f"classifier: {CONV1}.bias is (7,); expected (8,), as features.0.bias",
                "classifier: fc2.weight is (9, 16); expected (10, 16), as output.weight",
            ],
        ),
        (
            lambda case: first(case, CONV2),
            [
                f"classifier: {CONV1} stands after {CONV2}, so the order of the layers is unknown",
                f"classifier: {CONV2}.weight is (16, 8, 3, 3); expected (8, 1, 3, 3), as features.0.weight",
                f"classifier: {CONV2}.bias is (16,); expected (8,), as features.0.bias",
                f"classifier: {CONV1}.weight is (8, 1, 3, 3); expected (16, 8, 3, 3), as features.2.weight",
                f"classifier: {CONV1}.bias is (8,); expected (16,), as features.2.bias",
            ],
        ),
        (
            lambda case: state(case) | {"bn.weight": torch.ones(8), "bn.bias": torch.ones(8), "bn.running_mean": torch.ones(8)},
            [
                f"classifier: bn.{name} (8,) belongs to no whole convolution, linear layer, BatchNorm"
                for name in ("weight", "bias", "running_mean")
            ],
        ),
        (
            lambda case: case.classic.state_dict(),
            ["head: linear layer: 5 in the file (uncertainty1, uncertainty2, uncertainty3, uncertainty4, uncertainty5), 0 in the network"],
        ),
    ],
)
def test_every_difference_from_our_network_is_named_at_once(case: Case, change: Callable[[Case], dict], problems: list[str]):
    start, _, message = case.refusal("baseline", case.classifier, model_state_dict=change(case)).partition(": ")
    assert start == f"{case.folder / 'released.ckpt'} does not fit the network of params.yaml"
    assert message.split("; is it of this KIND")[0] == "; ".join(problems)
    assert not case.models.exists()


def test_layers_of_one_shape_in_another_order_than_their_numbers_are_refused(vgg: Case):
    names = list(vgg.classifier.state_dict())
    swapped = [name for name in names if not name.startswith("conv12.")] + [name for name in names if name.startswith("conv12.")]
    with pytest.raises(ValueError) as caught:
        vgg.take("baseline", vgg.classifier, model_state_dict={name: vgg.classifier.state_dict()[name] for name in swapped})
    assert "classifier: conv12.padded.1 stands after conv13.padded.1, so" in str(caught.value)
    assert "classifier: conv12.bn stands after conv13.bn, so" in str(caught.value)


def test_a_head_without_its_baseline_and_a_checkpoint_of_another_kind_are_refused(case: Case):
    assert "baseline/model.json does not exist" in case.refusal("confidnet", case.classic)
    case.take("baseline", case.classifier)
    assert "head: linear layer: 0 in the file (none), 5 in the network" in case.refusal("confidnet", case.classifier)
    assert "copy: linear layer: 2 in the file (uncertainty_network.fc1, " in case.refusal("confidnet", case.clone)
    message = case.refusal("finetune", case.classic)
    assert "copy: convolution: 0 in the file (none), 2 in the network" in message and "head: " not in message


@pytest.mark.parametrize("kind", ["confidnet", "finetune"])
def test_a_classifier_other_than_the_baseline_is_refused_with_its_difference(case: Case, kind: str):
    case.take("baseline", case.classifier)
    with torch.no_grad():
        for network in (case.classic, case.clone["pred_network"]):
            network.fc1.bias[3] += 0.5
    message = case.refusal(kind, {"confidnet": case.classic, "finetune": case.clone}[kind])
    assert re.search(r"differs from the baseline in 1 of 8 tensors, most in features\.7\.bias, by 0\.5; import the baseline", message)


@pytest.mark.parametrize("kind", ["confidnet", "finetune"])
def test_other_statistics_of_batchnorm_are_noted_and_the_baselines_stay(vgg: Case, kind: str):
    before = (vgg.models / "baseline/weights.pt").read_bytes()
    network = {"confidnet": vgg.classic, "finetune": vgg.clone}[kind]
    statistics = network.get_buffer({"confidnet": "conv2.bn.running_mean", "finetune": "pred_network.conv2.bn.running_mean"}[kind])
    statistics[0] += 0.25
    (note,) = vgg.take(kind, network).user_notes
    assert re.search(r"in 1 of 82 tensors, most in features\.6\.running_mean, by 0\.25: BatchNorm's statistics alone", note)
    assert (vgg.models / "baseline/weights.pt").read_bytes() == before


def test_files_without_the_counters_of_batchnorm_are_taken(vgg: Case):
    counted = vgg.classifier.state_dict()
    vgg.take("baseline", vgg.classifier, model_state_dict={name: counted[name] for name in counted if "num_batches" not in name})
    weights = torch.load(vgg.models / "baseline/weights.pt")
    assert torch.equal(weights["features.2.running_mean"], counted["conv1.bn.running_mean"])


def test_an_epoch_that_is_no_number_is_left_out(case: Case):
    save(case.classifier, case.folder / "released.ckpt", epoch="last")
    assert read_checkpoint(case.folder / "released.ckpt")[1]["epoch"] is None
