"""Sampling with dropout: the quantities of separate passes, what the draws depend on, what stays as it was; and the scores of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from small import CPU, MC_DROPOUT, small_digits, state, trained_runs
from small_params import changed, load, replace
from torch.nn.modules.dropout import _DropoutNd

from confidnet_core.config.recipes import McDropout
from confidnet_core.config.registry import find_entry
from confidnet_core.data import save_dataset
from confidnet_core.files import read_json
from confidnet_core.networks.dropout import derive_random_seed, set_dropout
from confidnet_core.scores.entropy import entropy
from confidnet_core.scoring.mc_dropout import DROPOUT_QUANTITIES, sample_dropout, save_dropout_samples
from confidnet_core.scoring.run import Run, load_run
from stages import sample as stage
from stages import train_baseline

both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def sampled(run: Run, passes: int = 3, seed: int = 0, split: str = "test") -> dict[str, np.ndarray]:
    return sample_dropout(run.classifier, run.dataset, split, replace(MC_DROPOUT, passes=passes), seed, CPU)


@both_tasks
def test_the_quantities_are_those_of_separate_passes(runs: dict[str, Run], task: str):
    run = runs[task]
    got = sampled(run, passes=4, seed=5)
    set_dropout(run.classifier, True)
    torch.manual_seed(derive_random_seed("mc_dropout", 5, "test", 0))  # one batch, which begins with image 0, holds all test images
    with torch.inference_mode():
        passes = [run.map_images(lambda images: run.classifier(images).softmax(1).movedim(1, -1)) for _ in range(4)]
    set_dropout(run.classifier, False)
    assert not np.array_equal(passes[0], passes[1])
    mean = np.mean(passes, axis=0, dtype=np.float64)
    assert got["predictive_entropy"] == pytest.approx(scipy_entropy(mean, axis=1), abs=1e-5)
    assert got["expected_entropy"] == pytest.approx(
        np.mean([scipy_entropy(probabilities, axis=1) for probabilities in passes], axis=0), abs=1e-5
    )
    assert got["largest_mean_probability"] == pytest.approx(mean.max(axis=1), abs=1e-6)
    assert tuple(got) == DROPOUT_QUANTITIES and all(values.shape == run.labels.shape for values in got.values())


def test_the_scores_are_the_stored_quantities_with_the_most_confident_highest(runs: dict[str, Run]):
    run = runs["digits"].validation
    stored = sampled(run, split="val")
    disagreement = stored["predictive_entropy"] - stored["expected_entropy"]
    assert disagreement.min() > -1e-6 and disagreement.max() > 0.01
    expected = {
        "mc_dropout": -stored["predictive_entropy"],
        "mc_dropout_expected_entropy": -stored["expected_entropy"],
        "mc_dropout_mutual_information": -disagreement.clip(min=0),
        "mc_dropout_mcp": stored["largest_mean_probability"],
    }
    for name, values in expected.items():
        assert np.array_equal(find_entry("scores", name)(run), values)


@both_tasks
def test_the_precision_is_that_asked_for(runs: dict[str, Run], task: str):
    run = runs[task]
    exact, fast = (
        sample_dropout(run.classifier, run.dataset, "test", McDropout(passes=2, precision=word), 0, CPU)["predictive_entropy"]
        for word in ("fp32", "bf16")
    )
    assert 0 < np.abs(fast - exact).mean() < 0.02  # of the same draws; those of two seeds differ by 0.1 and 0.3


def test_the_draws_depend_on_the_seed_alone_and_leave_network_and_generator_as_they_were(runs: dict[str, Run]):
    run = runs["digits"]
    before = state(run.classifier)
    assert any("running_mean" in name for name in before)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = sampled(run)["predictive_entropy"]
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(sampled(run)["predictive_entropy"], first)
    assert not np.array_equal(sampled(run, seed=1)["predictive_entropy"], first)
    assert all(torch.equal(value, before[name]) for name, value in state(run.classifier).items())
    dropouts = [part for part in run.classifier.modules() if isinstance(part, _DropoutNd)]
    assert dropouts and not any(part.training for part in dropouts)


def test_it_approaches_the_plain_entropy_as_the_rate_falls(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    run = trained_runs(tmp_path_factory)["digits"]
    for part in run.classifier.modules():
        if isinstance(part, _DropoutNd):
            part.p = 1e-9
    quantities = sampled(run)
    assert -quantities["predictive_entropy"] == pytest.approx(entropy(run), abs=1e-5)
    assert quantities["expected_entropy"] == pytest.approx(quantities["predictive_entropy"], abs=1e-6)


@pytest.mark.parametrize(
    ("passes", "dropout", "message"),
    [
        (3, False, "the classifier has no dropout to sample; remove"),
        (0, True, r"mc_dropout\.passes in params\.yaml is 0"),
    ],
)
def test_scores_without_samples_are_refused(runs: dict[str, Run], tmp_path: Path, passes: int, dropout: bool, message: str):
    save_dropout_samples(tmp_path / "samples", {}, passes, classifier_has_dropout=dropout)
    with pytest.raises(ValueError, match=message):
        find_entry("scores", "mc_dropout")(replace(runs["digits"], samples_folder=tmp_path / "samples"))


@pytest.mark.parametrize(("rate", "passes", "made"), [(0.5, 2, True), (0.0, 2, False), (0.5, 0, False)])
def test_the_stage_samples_all_splits_once_or_says_why_not(
    rate: float, passes: int, made: bool, root: Path, clean: pytest.MonkeyPatch, tmp_path: Path
):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    content = changed(("benchmarks", "small", "model", "dropout"), rate)
    content["benchmarks"]["small"]["mc_dropout"] = {"passes": passes}
    params = load(tmp_path, content)
    save_dataset(small_digits(), Path("data/prepared/small"))
    train_baseline.main(params, "small", 0)
    stage.main(params, "small", 0)
    folder = Path("data/samples/small/seed0")
    assert read_json(folder / "facts.json") == {"passes": passes, "dropout": rate > 0}
    assert sorted(path.name for path in folder.iterdir()) == sorted(["facts.json", *(["calibration", "test", "val"] if made else [])])
    if made:
        run = load_run("small", params.benchmark("small"), 0, "mc_dropout", ("samples",))
        direct = sample_dropout(run.classifier, run.dataset, "val", run.benchmark.mc_dropout, 0, CPU)
        assert np.array_equal(run.on_split("val").dropout_quantity("expected_entropy"), direct["expected_entropy"])
