"""Where a classifier fails: the samples that are shown and the classes that are counted."""

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pages import CLASSES, METHODS, image_width, lay_out
from PIL import Image

from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.tables import UNDEFINED_SIGN
from confidnet_core.data import Dataset, load_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics import failure_metrics
from confidnet_core.reporting.failures import (
    class_table,
    failure_pictures,
    least_confident_correct,
    methods_with_shown_failures,
    most_confident_errors,
    pick_failures,
)
from confidnet_core.reporting.plots import save_figure
from confidnet_core.reporting.sheets import picture_grid_figure

WORDS = ("most confident errors", "least confident correct predictions")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Letters to classify, streets to segment."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("project")
        patch.chdir(root)
        draw = np.random.default_rng(0)
        lay_out("letters", draw.choice(3, 80, p=[0.8, 0.1, 0.1]), (0,))
        lay_out("streets", draw.integers(0, 4, (80, 6, 8)), (0,), void=3)
        yield root


@pytest.fixture
def stored(project: Path) -> tuple[StoredResults, Dataset]:
    return StoredResults("letters", 0, tuple(METHODS)), load_dataset(Path("data/prepared/letters"))


def test_the_most_confident_errors_come_first_and_the_least_confident_correct_too(stored: tuple[StoredResults, Dataset]):
    confidence, correct = stored[0].confidence("mcp"), stored[0].outcomes()[0]
    errors, successes = most_confident_errors(*stored, "mcp", max_samples=3), least_confident_correct(*stored, "mcp", max_samples=3)
    assert [sample.test_index for sample in errors] == sorted(np.flatnonzero(~correct), key=lambda at: -confidence[at])[:3]
    assert [sample.test_index for sample in successes] == sorted(np.flatnonzero(correct), key=lambda at: confidence[at])[:3]
    assert all(sample.true_class == sample.predicted_class for sample in successes)
    first, dataset = errors[0], stored[1]
    drawn = Image.open(BytesIO(base64.b64decode(first.picture_uri.partition(",")[2]))).convert("L")
    assert np.array_equal(np.asarray(drawn), dataset.split("test")[0][first.test_index, 0])


def test_the_figure_has_both_kinds_of_failures_of_each_method_with_their_captions(stored: tuple[StoredResults, Dataset], tmp_path: Path):
    rows = failure_pictures(pick_failures(*stored, {"mcp": "MCP", "margin": "Margin"}))
    assert list(rows) == [f"{label}: {what}" for label in ("MCP", "Margin") for what in WORDS]
    first = most_confident_errors(*stored, "mcp")[0]
    assert rows["MCP: most confident errors"][0][1].split("\n") == [
        f"true {first.true_class}",
        f"predicted {first.predicted_class}",
        f"confidence {first.confidence_text}",
        f"test index {first.test_index}",
    ]
    figure = picture_grid_figure({**rows, "nobody: nothing": []})
    drawn = [picture for part in figure.subfigs for axes in part.axes for picture in axes.images]
    assert np.array_equal(drawn[0].get_array(), first.pixels) and len(drawn) == sum(map(len, rows.values()))
    save_figure(figure, tmp_path / "failures.png")
    assert image_width(tmp_path / "failures.png") == 1200


def test_failures_are_shown_of_the_reference_and_of_the_best_other_method(stored: tuple[StoredResults, Dataset]):
    frame = comparison_frame(stored[0].evaluation(method) for method in METHODS)
    assert methods_with_shown_failures(stored[0], ["entropy", "mcp"], frame) == ["entropy", "margin"]
    assert methods_with_shown_failures(stored[0], ["energy"], frame)[0] in ("mcp", "entropy")


def test_a_class_is_judged_on_its_own_samples(stored: tuple[StoredResults, Dataset]):
    header, *rows = class_table(*stored, {"mcp": "MCP"})
    assert header[1:] == ["samples", "errors", "error rate %", "most confused with", "MCP AUPR-Error ↑"]
    labels, correct = stored[1].split("test")[1], stored[0].outcomes()[0]
    shown = []
    for index, row in enumerate(rows):
        own = labels == index
        expected = failure_metrics(stored[0].confidence("mcp")[own], correct[own])["aupr_error"]
        assert row[:3] == [CLASSES[index], str(own.sum()), str((~correct[own]).sum())]
        has_enough = min((~correct[own]).sum(), correct[own].sum()) >= 6
        assert row[-1] == (f"{100 * expected:.2f}" if has_enough else UNDEFINED_SIGN)
        shown.append(has_enough)
    assert set(shown) == {True, False}


def test_a_class_of_a_segmentation_needs_images_with_an_error_not_pixels(project: Path):
    lay_out("few streets", np.random.default_rng(0).integers(0, 4, (80, 6, 8)), (0,), void=3, tests=5)
    for name, images in (("streets", 30), ("few streets", 5)):
        dataset = load_dataset(Path("data/prepared") / name)
        rows = class_table(StoredResults(name, 0, ("mcp",)), dataset, {"mcp": "MCP"})[1:]
        assert len(dataset.splits["test"]) == images and all(int(row[2]) >= 6 for row in rows)
        assert {row[-1] == UNDEFINED_SIGN for row in rows} == {images == 5}


def test_pixels_of_void_are_of_no_class(project: Path):
    dataset = load_dataset(Path("data/prepared/streets"))
    rows = class_table(StoredResults("streets", 0, tuple(METHODS)), dataset, {"mcp": "MCP"})[1:]
    assert sum(int(row[1].replace(",", "")) for row in rows) == (dataset.split("test")[1] != 3).sum()
