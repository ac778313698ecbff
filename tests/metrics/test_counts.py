"""Counts that can be added up: any batches and merges give the metrics of all samples at once, and coarser counts give true bounds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from confidnet_core.metrics import METRICS, failure_metrics, risk_coverage_curve, roc_curve
from confidnet_core.metrics.counts import FailureCounts

TYPES = ["f2", "f4", "f8", "i1", "i8", "u1", "u4"]
AWKWARD = [-0.0, 0.0, 1.0, -1.0, 0.5, 5e-324, -1e300, 1e300, 1 - 2**-53, 1 - 2**-24]


def confidences(dtype: str, size: int) -> st.SearchStrategy[np.ndarray]:
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(allow_nan=False, allow_infinity=False, width=width) if dtype[0] == "f" else arrays.from_dtype(np.dtype(dtype))
    ties = st.sampled_from([0, 1]) if dtype[0] != "f" else st.sampled_from(AWKWARD).filter(lambda x: abs(x) <= float(np.finfo(dtype).max))
    return arrays.arrays(dtype, size, elements=ties | elements)


@st.composite
def batches(draw: st.DrawFn) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw batches of one or of several types, some of them empty, with any number of errors."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=2))
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any))
    drawn = []
    for index, size in enumerate(sizes):
        confidence = draw(confidences(types[index % len(types)], size))
        drawn.append((confidence, np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool)))
    return drawn


def together(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.concatenate(arrays) for arrays in zip(*(part for part in parts if len(part[0])), strict=True))


def merged(parts: list[tuple[np.ndarray, np.ndarray]], order: list[int], max_distinct: int | None = None) -> FailureCounts:
    """Return counts of which each part was counted alone and then merged in this order, two at a time."""
    counts = [FailureCounts(max_distinct) for _ in parts]
    for one, part in zip(counts, parts, strict=True):
        one.update(*part)
    for index in order:
        first, second = index % len(counts), (index + 1) % len(counts)
        if first != second:
            counts[first].merge(counts[second])
            del counts[second]
    for other in counts[1:]:
        counts[0].merge(other)
    return counts[0]


@settings(max_examples=200, deadline=None)
@given(batches(), st.lists(st.integers(0, 4), max_size=4))
def test_any_batches_and_merges_give_the_metrics_of_all_samples_to_the_last_bit(parts: list, order: list[int]):
    counts = FailureCounts()
    for part in parts:
        counts.update(*part)
    expected = failure_metrics(*together(parts))
    assert counts.compute() == expected and counts.is_exact
    assert merged(parts, order).compute() == expected
    assert counts.bounds() == {metric: None if value is None else (value, value) for metric, value in expected.items()}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
@pytest.mark.parametrize("n", [1, 1000, 400_000])
def test_the_sums_of_long_data_are_rounded_alike(dtype: str, n: int):
    rng = np.random.default_rng(0)
    correct = rng.random(n) < 0.9
    confidence = 1 / (1 + np.exp(-4 * rng.normal(size=n) - 2 * correct))
    confidence = (confidence * 30_000 if dtype == "i2" else confidence).astype(dtype)
    counts = FailureCounts()
    for part in np.array_split(np.arange(n), min(n, 37)):
        counts.update(confidence[part], correct[part])
    assert counts.compute() == failure_metrics(confidence, correct)
    assert (counts.sample_count, counts.error_count) == (n, (~correct).sum())
    assert counts.distinct_count == len(np.unique(confidence))


@pytest.mark.parametrize("block", [1, 2, 3, 50])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_they_are_rounded_alike_for_any_size_of_blocks(block: int, dtype: str, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    for values, n in ((2**23, 300), (60, 300), (60, 5)):
        confidence, correct = (1 + rng.integers(values, size=n) * 2.0**-23).astype(dtype), rng.random(n) < 0.7
        counts = FailureCounts()
        counts.update(confidence, correct)
        monkeypatch.setattr("confidnet_core.metrics._ranking.counts._BLOCK_SIZE", block)
        assert counts.compute() == failure_metrics(confidence, correct)


@pytest.mark.parametrize("points", [2, 3, 7, 200])
@pytest.mark.parametrize("levels", [3, 40, 10**9])
@pytest.mark.parametrize("errors", [0, 1, 3, 90])
def test_curves_are_those_of_all_samples(points: int, levels: int, errors: int):
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(levels, size=90), np.arange(90) >= errors
    counts = merged([(confidence[:50], correct[:50]), (confidence[50:], correct[50:])], [])
    for found, expected in (
        (counts.risk_coverage_curve(points), risk_coverage_curve(confidence, correct, points)),
        (counts.roc_curve(points), roc_curve(confidence, correct, points)),
    ):
        np.testing.assert_array_equal(np.array(found), np.array(expected))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from(["f4", "f8", "i8"]), st.integers(4, 12), st.floats(0, 1), st.booleans())
def test_coarser_counts_bound_every_metric(seed: int, n: int, dtype: str, limit: int, error_rate: float, tied: bool):
    rng = np.random.default_rng(seed)
    correct = rng.random(n) >= error_rate
    confidence = rng.normal(size=n) + correct
    confidence = (np.round(confidence, 1) if tied else confidence) if dtype[0] == "f" else np.round(confidence * 100)
    confidence = confidence.astype(dtype)
    counts = FailureCounts(max_distinct=limit)
    counts.update(confidence, correct)
    assert counts.distinct_count <= limit
    assert counts.is_exact == (len(np.unique(confidence)) <= limit)
    for metric, value in failure_metrics(confidence, correct).items():
        bounds = counts.bounds()[metric]
        assert (bounds is None) == (value is None), metric
        if value is not None:
            assert bounds[0] - 1e-12 <= value <= bounds[1] + 1e-12, metric
            assert bounds[0] <= counts.compute()[metric] <= bounds[1], metric


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 4), max_size=4), st.sampled_from(["f4", "f8"]))
def test_the_coarser_grid_does_not_depend_on_the_order(seed: int, order: list[int], dtype: str):
    rng = np.random.default_rng(seed)
    confidence, correct = rng.standard_cauchy(100).astype(dtype), rng.random(100) < 0.7
    parts = [(confidence[part], correct[part]) for part in np.array_split(np.arange(100), 5)]
    at_once = FailureCounts(max_distinct=16)
    at_once.update(confidence, correct)
    for found, expected in zip(merged(parts, order, 16).distinct(), at_once.distinct(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not at_once.is_exact and 2 <= at_once.distinct_count <= 16


def test_bounds_are_narrow_for_many_cells():
    rng = np.random.default_rng(0)
    correct = rng.random(200_000) < 0.9
    counts = FailureCounts(max_distinct=20_000)
    counts.update(rng.normal(size=200_000) + 1.5 * correct, correct)
    assert not counts.is_exact
    assert max(high - low for low, high in counts.bounds().values()) < 0.002


def test_memory_does_not_grow_with_the_number_of_samples():
    counts = FailureCounts(max_distinct=1000)
    for seed in range(30):
        counts.update(np.random.default_rng(seed).random(20_000), np.ones(20_000, bool))
        assert sum(len(values) for values, _, _ in counts._runs) <= 2000 + 65_536 + 20_000
    assert counts.distinct_count <= 1000 and counts.sample_count == 600_000


@pytest.mark.parametrize("limit", [None, 8])
def test_counts_are_saved_and_loaded_without_pickle(limit: int | None, tmp_path: Path):
    rng = np.random.default_rng(0)
    parts = [(rng.random(50).astype(dtype), rng.random(50) < 0.8) for dtype in (["f4", "f4"] if limit else ["f4", "f8"])]
    counts = merged(parts, [], limit)
    counts.save(tmp_path / "counts.npz")
    loaded = FailureCounts.load(tmp_path / "counts.npz")
    assert loaded.compute() == counts.compute() and loaded.is_exact == counts.is_exact and loaded.max_distinct == limit
    loaded.merge(counts)
    assert loaded.sample_count == 200
    assert [path.name for path in tmp_path.iterdir()] == ["counts.npz"]


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 damaged"])
def test_a_file_without_counts_is_named(content: bytes | None, tmp_path: Path):
    path = tmp_path / "counts.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"counts\.npz (does not exist|holds no counts).*expected an NPZ file that FailureCounts\.save"):
        FailureCounts.load(path)


def test_stored_counts_that_contradict_each_other_are_refused(tmp_path: Path):
    counts = FailureCounts()
    counts.update([0.1, 0.2], [True, False])
    counts._runs[0][2][0] = 5  # more errors than samples
    counts.save(tmp_path / "counts.npz")
    with pytest.raises(ValueError, match="holds no valid counts"):
        FailureCounts.load(tmp_path / "counts.npz")


def test_a_refused_batch_adds_nothing():
    counts = FailureCounts()
    counts.update([0.1, 0.9], [False, True])
    with pytest.raises(ValueError, match="1 of 2 confidences are NaN or infinite, the first at index 1"):
        counts.update([0.1, np.nan], [True, True])
    assert counts.sample_count == 2 and set(counts.compute()) == set(METRICS)
    counts.reset()
    assert counts.sample_count == counts.distinct_count == 0
    with pytest.raises(ValueError, match="there are no samples"):
        counts.compute()


def test_a_coarser_grid_of_one_type_does_not_take_another():
    counts = FailureCounts(max_distinct=4)
    counts.update(np.random.default_rng(0).random(50).astype("f4"), np.ones(50, bool))
    with pytest.raises(ValueError, match="float32 and float64, which have no common coarser grid"):
        counts.update(np.random.default_rng(0).random(50), np.ones(50, bool))
    assert counts.sample_count == 50
    with pytest.raises(ValueError, match="max_distinct is 1; expected at least 4"):
        FailureCounts(max_distinct=1)
