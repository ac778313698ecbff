"""Augmented views of an image: what they show, how their values are moved back to the image, and that the score is their mean."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small import CPU, trained_runs
from small_params import replace

from confidnet_core.config.recipes import Augmentation
from confidnet_core.networks.inference import map_images
from confidnet_core.scores._views import AugmentedView, augmented_views
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scores.tta import tta
from confidnet_core.scoring.run import Run

IMAGE = torch.arange(12.0).reshape(1, 1, 3, 4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def flipping(run: Run) -> Run:
    """As if its classifier had been trained on mirrored images."""
    baseline = replace(run.benchmark.baseline, augmentation=Augmentation(flip=True))
    return replace(run, benchmark=replace(run.benchmark, baseline=baseline))


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        (AugmentedView(), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),
        (AugmentedView(pixels_down=1), [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]),
        (AugmentedView(pixels_down=-1), [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]),
        (AugmentedView(pixels_right=2), [[0, 0, 0, 1], [4, 4, 4, 5], [8, 8, 8, 9]]),
        (AugmentedView(pixels_right=-1), [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]),
        (AugmentedView(mirrored=True), [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]),
        (AugmentedView(mirrored=True, pixels_right=1), [[3, 3, 2, 1], [7, 7, 6, 5], [11, 11, 10, 9]]),
    ],
)
def test_a_view_is_mirrored_then_moved_and_repeats_the_edge(view: AugmentedView, shown: list[list[int]]):
    assert view.apply(IMAGE).tolist() == [[shown]]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (2, -1)])
def test_values_of_a_view_are_moved_back_to_the_pixels_that_it_shows(mirrored: bool, down: int, right: int):
    view, maps = AugmentedView(mirrored, down, right), torch.arange(42.0).reshape(6, 7)
    back, shown = view.undo(view.apply(maps)), set(view.apply(maps).flatten().tolist())
    visible = torch.tensor([[value in shown for value in row] for row in maps.tolist()])
    assert torch.equal(back[visible], maps[visible])
    assert set(back[~visible].tolist()) <= shown  # the edge of the view


def test_views_are_mirrored_only_for_a_classifier_that_was(runs: dict[str, Run]):
    run = runs["segmentation"]  # 32 rows
    assert augmented_views(run, 0.04) == [
        AugmentedView(pixels_down=1),
        AugmentedView(pixels_down=-1),
        AugmentedView(pixels_right=1),
        AugmentedView(pixels_right=-1),
    ]
    assert augmented_views(run, 0.125)[0] == AugmentedView(pixels_down=4)
    assert augmented_views(run, 0.001)[0] == AugmentedView(pixels_down=1)
    assert augmented_views(run, 0) == []
    assert augmented_views(flipping(run), 0) == [AugmentedView(mirrored=True)]
    assert augmented_views(flipping(run), 0.04) == [
        AugmentedView(mirrored=True),
        *(replace(view, mirrored=True) for view in augmented_views(run, 0.04)),
    ]


def log_odds_on_view(run: Run, view: AugmentedView) -> np.ndarray:
    """Return the log-odds, log p - log(1 - p), that the classifier gives on the view to its own predictions, pixel by pixel."""
    logits = map_images(lambda images: run.classifier(view.apply(images)), run.images, run.dataset, CPU, "").astype(np.float64)
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability = np.moveaxis(probability / probability.sum(1, keepdims=True), 1, -1)
    if not run.dataset.is_segmentation:
        chosen = probability[np.arange(len(logits)), run.predicted]
        return np.log(chosen) - np.log1p(-chosen)
    height, width = run.images.shape[2:]
    probabilities = np.empty(run.predicted_maps.shape)
    for image, y, x in np.ndindex(probabilities.shape):
        position = (
            min(max(y + view.pixels_down, 0), height - 1),
            min(max((width - 1 - x if view.mirrored else x) + view.pixels_right, 0), width - 1),
        )
        shows = view.apply(torch.tensor(run.predicted_maps[image]))[position]  # beyond the edge, the prediction of what the edge shows
        probabilities[image, y, x] = probability[image, *position, int(shows)]
    return (np.log(probabilities) - np.log1p(-probabilities))[run.is_labelled]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("kind", ["digits", "segmentation"])
def test_the_score_is_the_mean_log_odds_of_the_prediction_over_the_image_and_its_views(runs: dict[str, Run], kind: str, mirrored: bool):
    run = flipping(runs[kind]) if mirrored else runs[kind]
    expected = np.mean([log_odds_on_view(run, view) for view in [AugmentedView(), *augmented_views(run, 0.1)]], axis=0)
    assert np.abs(tta(run, shift=0.1) - expected).max() < 1e-3
    assert not np.allclose(expected, log_odds(run), atol=0.1)


def test_without_views_it_is_mcp(runs: dict[str, Run]):
    assert np.array_equal(tta(runs["digits"], shift=0), log_odds(runs["digits"]))
