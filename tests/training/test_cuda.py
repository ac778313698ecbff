"""GPU results equal the CPU's up to float32 rounding, and GPU trainings are reproducible bit for bit, also when interrupted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small import CONVNET, CPU, MC_DROPOUT, MLP, SEGNET, benchmark, same, small_digits, small_segmentation, state, trained_runs, training
from small_params import replace
from torch import Tensor, nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.recipes import Augmentation
from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.data import SCORED_SPLITS, Dataset
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.device import float32_products, select_device
from confidnet_core.networks.inference import predict
from confidnet_core.networks.training_images import ImagesInMemory, ImagesOnDevice, training_images
from confidnet_core.scoring.mc_dropout import sample_dropout
from confidnet_core.scoring.run import Run
from confidnet_core.training.trainings import finetune_confidnet, train_classifier, train_confidnet, train_corrected_mcp

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA is not available")
CUDA = torch.device("cuda")
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])
every_training = pytest.mark.parametrize("stage", ["train_baseline", "train_confidnet", "finetune", "train_corrected_mcp"])
every_model = pytest.mark.parametrize("model", [MLP, CONVNET, SEGNET], ids=lambda model: model.name)


@pytest.fixture(autouse=True)
def settings_of_the_stages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, autotuning_before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    monkeypatch.setenv("CONFIDNET_DEVICE", "cuda")
    select_device()
    yield
    torch.use_deterministic_algorithms(before)
    torch.backends.cudnn.benchmark = autotuning_before


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def train(
    stage: str, model: RegistryEntryChoice, folder: Path, stop_at: int | None = None, **settings: object
) -> tuple[dict[str, Tensor], list]:
    """Train three epochs on the GPU; return weights and history."""

    def log(metrics: dict, epoch: int) -> None:
        if epoch == stop_at:  # before the epoch is saved
            raise KeyboardInterrupt

    dataset: Dataset = small_segmentation() if model is SEGNET else small_digits()
    config = benchmark(model, epochs=3, augmentation=Augmentation(flip=True, crop=2), **settings)
    torch.manual_seed(0)
    network = classifier = build_classifier(model, dataset)
    training_inputs = replace(training(dataset, config.baseline, folder, stage), device=CUDA, log=log)
    if stage == "train_baseline":
        fit = train_classifier(classifier, training_inputs)
    elif stage == "train_confidnet":
        network = build_confidnet(freeze(classifier), config.confidnet, dataset)
        fit = train_confidnet(network, replace(training_inputs, recipe=config.confidnet))
    elif stage == "finetune":
        network = build_confidnet(freeze(classifier), config.confidnet, dataset).finetuning_copy()
        fit = finetune_confidnet(network, classifier, replace(training_inputs, recipe=config.finetune))
    else:
        network = build_corrected_mcp(freeze(classifier), config.corrected_mcp, dataset)
        fit = train_corrected_mcp(network, replace(training_inputs, recipe=config.corrected_mcp))
    return state(network), fit.history


@every_training
@every_model
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_training_that_is_interrupted_ends_bit_for_bit_as_another_one(
    tmp_path: Path, stage: str, model: RegistryEntryChoice, precision: str
):
    weights, history = train(stage, model, tmp_path / "uninterrupted", precision=precision)
    with pytest.raises(KeyboardInterrupt):
        train(stage, model, tmp_path / "interrupted", stop_at=3, precision=precision)
    again, history_again = train(stage, model, tmp_path / "interrupted", precision=precision)

    assert next(iter(weights.values())).is_cuda
    assert same(weights, again)
    assert history == history_again


@pytest.mark.parametrize("flat", [{"sam_radius": 0.05}, {"swa_epochs": 1, "swa_learning_rate": 0.001}], ids=["sam", "swa"])
def test_flat_minima_repeat_too(tmp_path: Path, flat: dict):
    runs = [train("train_baseline", CONVNET, tmp_path / name, **flat) for name in ("first", "second")]
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0), reason="a GPU before Ampere has no TF32")
def test_tf32_rounds_factors_forwards_and_backwards_to_10_bits():
    values, images = torch.rand(512, 512, device=CUDA), torch.rand(8, 16, 32, 32, device=CUDA)
    layers = [nn.Linear(512, 512, device=CUDA), nn.Conv2d(16, 16, 3, device=CUDA)]

    def outputs_and_gradients(precision: str) -> list[Tensor]:
        found = []
        for layer, given in zip(layers, (values, images), strict=True):
            with float32_products(CUDA, precision):
                output = layer(given)
                found += [output.detach(), *torch.autograd.grad(output.square().sum(), list(layer.parameters())[:1])]
        return found

    exact = outputs_and_gradients("fp32")
    for rounded, value in zip(outputs_and_gradients("tf32"), exact, strict=True):
        difference = ((rounded - value).norm() / value.norm()).item()
        assert 1e-6 < difference < 2**-9
    assert all(torch.equal(again, value) for again, value in zip(outputs_and_gradients("fp32"), exact, strict=True))


def test_a_training_computes_its_gradients_in_tf32_too_and_leaves_float32_as_it_was(tmp_path: Path):
    torch.manual_seed(0)
    classifier, recipe = build_classifier(CONVNET, small_digits()), benchmark(CONVNET, epochs=1, precision="tf32").baseline
    uses_tf32 = []
    for parameter in classifier.parameters():
        parameter.register_hook(lambda gradient: uses_tf32.append(torch.backends.cuda.matmul.allow_tf32))
    train_classifier(classifier, replace(training(small_digits(), recipe, tmp_path), device=CUDA))
    assert uses_tf32 and all(uses_tf32)
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


@every_model
def test_images_on_the_gpu_and_pinned_copies_give_the_same_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: RegistryEntryChoice
):
    splits = [small_digits().split("train"), small_segmentation().split("train")]
    assert all(isinstance(training_images(*split, CUDA), ImagesOnDevice) for split in splits)
    on_gpu = train("train_baseline", model, tmp_path / "gpu")
    monkeypatch.setattr("confidnet_core.networks.training_images.SHARE_OF_FREE_MEMORY", 0)
    assert all(isinstance(training_images(*split, CUDA), ImagesInMemory) for split in splits)
    copied = train("train_baseline", model, tmp_path / "copied")
    assert same(on_gpu[0], copied[0]) and on_gpu[1] == copied[1]


@pytest.mark.slow
@every_model
def test_a_compiled_training_repeats_and_has_the_weights_of_another_up_to_rounding(tmp_path: Path, model: RegistryEntryChoice):
    gentle = {"optimizer": "sgd", "learning_rate": 0.001}  # so that rounding does not grow
    plain, *compiled = (
        train("train_baseline", model, tmp_path / name, compile=name != "plain", **gentle)[0] for name in ("plain", "first", "second")
    )
    assert same(*compiled)
    for name, value in plain.items():
        scale = max(1e-3, value.abs().max().item())
        torch.testing.assert_close(compiled[0][name], value, rtol=0, atol=1e-3 * scale, msg=name)


def test_determinism_is_given_up_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    monkeypatch.setenv("CONFIDNET_DETERMINISTIC", "0")
    select_device()
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
    weights, _ = train("train_baseline", CONVNET, tmp_path)
    assert all(value.isfinite().all() for value in weights.values())


@both_tasks
def test_a_classifier_gives_the_same_logits(trained: dict[str, Run], task: str):
    run = trained[task]
    network, images = replace(run).classifier.cpu(), run.dataset.split("test")[0]
    on_cpu, on_gpu = (predict(network, images, run.dataset, where).logits for where in (CPU, CUDA))
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-4 * np.abs(on_cpu).max())


@both_tasks
@pytest.mark.parametrize("split", SCORED_SPLITS)
@pytest.mark.parametrize("name", entry_names("scores"))
def test_a_score_ranks_as_on_the_cpu(trained: dict[str, Run], monkeypatch: pytest.MonkeyPatch, task: str, split: str, name: str):
    found = {}
    for where in ("cpu", "cuda"):
        monkeypatch.setenv("CONFIDNET_DEVICE", where)
        run = replace(trained[task]).on_split(split)
        found[where] = failure_metrics(find_entry("scores", name)(run), run.correct)
    for metric, value in found["cpu"].items():
        assert found["cuda"][metric] == pytest.approx(value, abs=0.01), metric


@both_tasks
def test_dropout_passes_follow_from_the_seed(trained: dict[str, Run], task: str):
    run = trained[task]
    first, second, other = (sample_dropout(replace(run).classifier, run.dataset, "test", MC_DROPOUT, seed, CUDA) for seed in (0, 0, 1))
    for quantity, values in first.items():
        np.testing.assert_array_equal(values, second[quantity])
        assert not np.array_equal(values, other[quantity])
