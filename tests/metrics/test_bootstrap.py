"""Bootstrap: each row holds the metrics of a resample of samples or images."""

import numpy as np
import pytest

from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap


def drawn_indices(units: int, resamples: int, seed: int) -> list[np.ndarray]:
    """Return the indices drawn for each resample, computed in the simplest way."""
    return list(np.random.default_rng(seed).integers(units, size=(resamples, units)))


def metrics(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in failure_metrics(confidence, correct).values()])


def synthetic(n: int, error_rate: float, seed: int = 0, distance: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    correct = generator.random(n) >= error_rate
    return generator.normal(size=n) + distance * correct, correct


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 40, 500])
@pytest.mark.parametrize("levels", [None, 1, 2, 5])
@pytest.mark.parametrize("error_rate", [0, 0.02, 0.4, 1])
def test_a_row_is_the_metrics_of_a_resample(n: int, levels: int | None, error_rate: float):
    confidence, correct = synthetic(n, error_rate)
    if levels:
        confidence = np.random.default_rng(1).integers(levels, size=n) - 1
    rows = bootstrap(confidence, correct, resample_count=20, seed=3)
    for row, index in zip(rows, drawn_indices(n, 20, seed=3), strict=True):
        np.testing.assert_allclose(row, metrics(confidence[index], correct[index]), atol=1e-10)


@pytest.mark.parametrize("levels", [None, 3])
def test_blocks_of_resamples_change_nothing(levels: int | None, monkeypatch: pytest.MonkeyPatch):
    confidence, correct = synthetic(300, 0.2)
    confidence = confidence if levels is None else confidence.round()
    in_one_block = bootstrap(confidence, correct, resample_count=50, seed=0)
    for numbers in (1, 301, 1000):
        monkeypatch.setattr("confidnet_core.metrics._draws.single._BLOCK_ELEMENTS", numbers)
        np.testing.assert_array_equal(bootstrap(confidence, correct, resample_count=50, seed=0), in_one_block)


def test_it_depends_on_the_seed_alone_and_not_on_the_scale_of_the_confidence():
    confidence, correct = synthetic(200, 0.1)
    rows = bootstrap(confidence, correct, resample_count=30, seed=5)
    np.testing.assert_array_equal(bootstrap(np.exp(3 * confidence), correct, resample_count=30, seed=5), rows)
    assert not np.array_equal(bootstrap(confidence, correct, resample_count=30, seed=6), rows)
    np.testing.assert_array_equal(bootstrap(confidence.astype(">f8")[::1], correct.astype(int), resample_count=30, seed=5), rows)


SIZES = np.array([40, 0, 100, 7, 53])


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("error_rate", [0, 0.1, 0.6, 1])
def test_a_row_of_images_is_the_metrics_of_the_pixels_of_the_images_drawn(levels: int | None, error_rate: float):
    confidence, correct = synthetic(200, error_rate)
    confidence = confidence if levels is None else np.random.default_rng(1).integers(levels, size=200).astype(np.float32)
    parts = np.split(np.arange(200), np.cumsum(SIZES)[:-1])
    rows = bootstrap(confidence, correct, resample_count=40, seed=2, pixels_per_image=SIZES)
    for row, images in zip(rows, drawn_indices(len(SIZES), 40, seed=2), strict=True):
        if len(index := np.concatenate([parts[image] for image in images])):
            np.testing.assert_allclose(row, metrics(confidence[index], correct[index]), atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("saturated", [False, True])
def test_many_pixels_are_counted_in_cells_and_hardly_any_metric_moves(saturated: bool):
    generator = np.random.default_rng(0)
    confidence, correct = synthetic(12 * 20_000, 0.15)
    if saturated:
        confidence = np.minimum(confidence, np.quantile(confidence, 0.4))
    index = [np.arange(20_000) + 20_000 * image for image in range(12)]
    noise = np.repeat(generator.normal(size=12), 20_000)  # images differ, or all resamples would be alike
    rows = bootstrap(confidence + noise, correct, resample_count=25, seed=1, pixels_per_image=[20_000] * 12)
    for row, images in zip(rows, drawn_indices(12, 25, seed=1), strict=True):
        pixels = np.concatenate([index[image] for image in images])
        np.testing.assert_allclose(row, metrics((confidence + noise)[pixels], correct[pixels]), atol=6e-4)


def test_images_scatter_more_than_pixels_that_err_together():
    correct = np.repeat(np.random.default_rng(0).random(50) > 0.2, 100)
    confidence = np.random.default_rng(1).random(5000)
    accuracy = METRICS.index("accuracy")
    by_image = bootstrap(confidence, correct, resample_count=500, seed=0, pixels_per_image=[100] * 50)[:, accuracy].std()
    by_pixel = bootstrap(confidence, correct, resample_count=500, seed=0)[:, accuracy].std()
    assert 8 < by_image / by_pixel < 12  # ten, the root of the pixels an image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample_count": 0}, "resample_count is 0; expected at least 1"),
        ({"confidence": [0.1, np.nan, 0.3]}, "1 of 3 confidences are NaN or infinite, the first at index 1"),
        ({"confidence": [], "correct": []}, "there are no samples"),
        ({"correct": [1, 0]}, "give one value a sample"),
        (
            {"pixels_per_image": [1, 1]},
            r"pixels_per_image are int64 \(2,\) with the sum 2; expected how many of the 3 values each image has",
        ),
        ({"pixels_per_image": [4, -1]}, "pixels_per_image are int64"),
        ({"pixels_per_image": [1.5, 1.5]}, "pixels_per_image are float64"),
        ({"pixels_per_image": [[3]]}, "pixels_per_image are int64"),
    ],
)
def test_what_cannot_be_resampled_is_refused(changes: dict, message: str):
    arguments = {"confidence": [0.1, 0.2, 0.3], "correct": [1, 0, 1], "resample_count": 5} | changes
    with pytest.raises(ValueError, match=message):
        bootstrap(arguments.pop("confidence"), arguments.pop("correct"), seed=0, **arguments)
