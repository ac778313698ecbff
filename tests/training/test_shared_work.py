"""Several processes that share the work of one stage: their result is that of a single process, in whatever number they are."""

import subprocess
import sys

import pytest
import torch
from project_code import ROOT
from shared_trainings import PARTS, compute

from confidnet_core.networks.ranks import share_of_batch

COUNTS = {2: tuple(PARTS), 4: tuple(PARTS)}  # processes, of which four find no row in a batch of two


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What a single process computes, and the files that each process of a group wrote, by its name such as 4_rank3."""
    folder = tmp_path_factory.mktemp("shared")
    environment = {"PATH": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}", "CONFIDNET_DEVICE": "cpu"}
    groups = []
    for count in COUNTS:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command = [sys.executable, *launcher, "-m", "shared_trainings", str(folder)]
        groups.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    results = {"single": compute(folder / "1")}
    for group in groups:
        _, errors = group.communicate(timeout=600)
        assert group.returncode == 0, errors
    return results | {path.stem: torch.load(path) for path in folder.glob("*_rank*.pt")}


def of_processes(computed: dict[str, dict], part: str) -> dict[str, dict[str, torch.Tensor]]:
    return {name: values[part] for name, values in computed.items() if name != "single"}


@pytest.mark.slow
def test_every_process_of_every_group_has_answered(computed: dict[str, dict]):
    assert sorted(computed) == sorted(["single", *(f"{count}_rank{rank}" for count in COUNTS for rank in range(count))])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["digits", "digits_sam", "digits_swa", "segmentation"])
def test_a_classifier_has_the_weights_of_a_single_process(computed: dict[str, dict], case: str):
    """Also with SAM, SWA, augmentation, class weights, void pixels, and batches of fewer images than processes; in float64."""
    assert_close(computed, "classifiers", case, relative=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["digits", "stored", "ranking", "segmentation", "sampled_pixels"])
def test_a_confidence_network_has_the_weights_of_a_single_process(computed: dict[str, dict], case: str):
    """Head, fine-tuned network and corrected MCP; from images, stored features and drawn pixels; with losses over pairs of a batch."""
    assert_close(computed, "confidences", case, relative=1e-5)


def assert_close(computed: dict[str, dict], part: str, case: str, relative: float) -> None:
    """The values of all processes are those of the single one, to a part of the largest value of each tensor, or of 0.001."""
    expected = {key: value for key, value in computed["single"][part].items() if key.partition(".")[0] == case}
    assert expected
    for values in of_processes(computed, part).values():
        for key, value in expected.items():
            scale = max(1e-3, value.double().abs().max().item())
            torch.testing.assert_close(values[key].double(), value.double(), rtol=0, atol=relative * scale, msg=key)


@pytest.mark.slow
def test_the_processes_of_a_group_end_with_the_same_weights_to_the_bit(computed: dict[str, dict]):
    for part in ("classifiers", "confidences"):
        for name, values in of_processes(computed, part).items():
            first = computed[f"{name.partition('_')[0]}_rank0"][part]
            assert all(torch.equal(value, first[key]) for key, value in values.items())


@pytest.mark.slow
def test_predictions_samples_and_metrics_are_those_of_a_single_process_to_the_bit(computed: dict[str, dict]):
    """And every image counts once: ten images in four processes are ten."""
    expected = computed["single"]["results"]
    assert expected["ten.samples"] == 10
    for values in of_processes(computed, "results").values():
        assert values.keys() == expected.keys()
        assert [key for key, value in expected.items() if not torch.equal(values[key], value)] == []


@pytest.mark.parametrize(("total", "count"), [(1, 4), (3, 4), (4, 4), (10, 4), (128, 3), (7, 1)])
def test_each_row_of_a_batch_belongs_to_one_process(monkeypatch: pytest.MonkeyPatch, total: int, count: int):
    monkeypatch.setenv("WORLD_SIZE", str(count))
    shares = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(share_of_batch(total))
    counted = [rows.own for rows in shares if rows.is_counted]
    assert [row for own in counted for row in range(own.start, own.stop)] == list(range(total))
    assert {own.stop - own.start for own in counted} <= {total // count, total // count + 1}
    assert all(rows.own == slice(0, 1) for rows in shares if not rows.is_counted)
