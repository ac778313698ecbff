"""Tables in files: metrics and resamples are those of the columns as arrays, in whatever files, and what is no use is named."""

from pathlib import Path

import numpy as np
import pyarrow
import pytest
from prediction_tables import arrow, by_patient, predictions, write

from confidnet_core.evaluation.intervals import count_units
from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tables.columns import Columns
from confidnet_core.tables.failure import TableMetrics, distinct_chunks, table_failure_metrics
from confidnet_core.tables.files import FileTable

SCORES = ("score", "softmax", "level")


def measure(path: object, columns: Columns, **settings: int) -> TableMetrics:
    with FileTable(path, threads=1) as table:
        return table_failure_metrics(table, columns, **settings)


@pytest.fixture(params=["fetched", "streamed, grouped", "streamed, sorted"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test on tables that are fetched, and on ones that are taken for large."""
    if request.param != "fetched":
        monkeypatch.setattr("confidnet_core.tables.failure.MAX_SINGLE_SAMPLES", 0)
        monkeypatch.setattr("confidnet_core.tables.files._SORTED_SHARE", -1 if request.param.endswith("sorted") else 2)
        monkeypatch.setattr("confidnet_core.tables.files._BATCH_ROWS", 100)
    return request.param


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_metrics_are_those_of_the_columns_as_arrays_to_the_last_bit(suffix: str, way: str, tmp_path: Path):
    columns = predictions()
    if suffix == "parquet":  # CSV has no float32
        scores = SCORES
    else:
        scores, columns["score"] = ("score", "level"), columns["score"].round(2)
    found = measure(write(tmp_path / f"a.{suffix}", columns), Columns(scores, correct="correct"))
    assert found.counts == count_units(columns["correct"])
    assert {name: score.metrics for name, score in found.scores.items()} == {
        name: failure_metrics(columns[name], columns["correct"]) for name in scores
    }
    assert all(score.replicates.shape == (0, len(METRICS)) for score in found.scores.values())


@pytest.mark.parametrize("outcome", [{"correct": "hit"}, {"label": "label", "predicted": "predicted"}])
def test_an_outcome_may_be_0_and_1_or_two_columns_of_text(outcome: dict, way: str, tmp_path: Path):
    columns = predictions()
    found = measure(write(tmp_path / "a.csv", columns), Columns(["level"], **outcome))
    assert found.scores["level"].metrics == failure_metrics(columns["level"], columns["correct"])


def test_several_files_are_one_table(way: str, tmp_path: Path):
    parts = [predictions(500, seed) for seed in range(3)]
    for index, part in enumerate(parts):
        write(tmp_path / f"part-{index}.parquet", part)
    expected = failure_metrics(*(np.concatenate([part[name] for part in parts]) for name in ("score", "correct")))
    for paths in (tmp_path / "part-*.parquet", sorted(tmp_path.iterdir())):
        assert measure(paths, Columns(["score"], correct="correct")).scores["score"].metrics == expected


@pytest.mark.parametrize("errors", [0, 1, 3, 60])
def test_hardly_any_error_or_no_success_is_no_exception(errors: int, way: str, tmp_path: Path):
    columns = predictions(60)
    columns["correct"] = np.arange(60) >= errors
    found = measure(write(tmp_path / "a.parquet", columns), Columns(["score"], correct="correct"), resample_count=20)
    assert found.scores["score"].metrics == failure_metrics(columns["score"], columns["correct"])
    assert found.scores["score"].replicates.shape == (20, len(METRICS))


def test_one_row_is_enough(way: str, tmp_path: Path):
    path = write(tmp_path / "a.parquet", {"x": np.array([-0.0]), "ok": np.array([True])})
    assert measure(path, Columns(["x"], correct="ok")).scores["x"].metrics == failure_metrics([0.0], [True])


def test_a_table_that_can_be_fetched_is_resampled_as_its_arrays_are(tmp_path: Path):
    columns = predictions(500)
    path = write(tmp_path / "a.parquet", columns)
    found = measure(path, Columns(["score"], correct="correct"), resample_count=30, seed=5)
    np.testing.assert_array_equal(
        found.scores["score"].replicates, bootstrap(columns["score"], columns["correct"], resample_count=30, seed=5)
    )
    order, sizes = by_patient(columns)
    found = measure(path, Columns(["level"], correct="correct", unit="patient"), resample_count=30, seed=5)
    arrays = columns["level"][order], columns["correct"][order]
    expected = bootstrap(*arrays, resample_count=30, seed=5, pixels_per_image=sizes)
    np.testing.assert_allclose(found.scores["level"].replicates, expected, atol=1e-12)
    assert found.counts == count_units(arrays[1], sizes)


@pytest.mark.parametrize("unit", [None, "patient"])
def test_a_large_table_is_resampled_in_groups_that_scatter_alike_and_are_paired(unit: str | None, tmp_path: Path, monkeypatch):
    columns = predictions(5000)
    order, sizes = by_patient(columns)
    sizes = None if unit is None else sizes
    expected = [
        bootstrap(columns[name][order], columns["correct"][order], resample_count=500, seed=1, pixels_per_image=sizes)
        for name in ("level", "coarse")
    ]
    monkeypatch.setattr("confidnet_core.tables.failure.MAX_SINGLE_SAMPLES", 0)
    monkeypatch.setattr("confidnet_core.tables.files._BATCH_ROWS", 1700)
    path = write(tmp_path / "a.parquet", columns)
    named = Columns(["level", "coarse"], correct="correct", unit=unit)
    found = [measure(path, named, resample_count=500, seed=1).scores[name].replicates for name in ("level", "coarse")]
    again = measure(path, named, resample_count=500, seed=1).scores["level"].replicates
    np.testing.assert_array_equal(found[0], again)
    for metric in ("accuracy", "auroc", "aupr_error", "aurc"):
        index = METRICS.index(metric)
        assert found[0][:, index].std() == pytest.approx(expected[0][:, index].std(), rel=0.2), metric
        differences = [(rows[0] - rows[1])[:, index].std() for rows in (found, expected)]
        assert differences[0] == pytest.approx(differences[1], rel=0.2), metric


BAD = predictions(30)


def with_value(name: str, row: int, value: object) -> pyarrow.Table:
    values = BAD[name].tolist()
    values[row - 1] = value
    table = arrow(BAD)
    return table.set_column(table.column_names.index(name), name, pyarrow.array(values, table[name].type))


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (arrow(BAD), Columns(["scor"], correct="correct"), "has no column scor; did you mean score"),
        (arrow(BAD), Columns([], correct="correct"), "there is no column of confidences; name at least one"),
        (arrow(BAD), Columns(["score"]), "give either the column `correct`, or the two columns `label` and `predicted`"),
        (arrow(BAD), Columns(["score"], correct="correct", label="label", predicted="predicted"), "give either the column"),
        (arrow(BAD), Columns(["label"], correct="correct"), "column label of .* is text; expected numbers"),
        (arrow(BAD), Columns(["score"], correct="score"), "column score of .* is float64; expected booleans, or integers 0 and 1"),
        (arrow(BAD), Columns(["score"], label="label", predicted="level"), "label of .* is text and level is integer; expected both as"),
        (
            with_value("score", 7, None),
            Columns(["score"], correct="correct"),
            r"column score of .*: of 30 confidences 1 are empty \(NULL\) \(the first in row 7: NULL\)",
        ),
        (with_value("score", 8, np.nan), Columns(["score"], correct="correct"), r"1 are NaN or infinite \(the first in row 8: nan\)"),
        (with_value("softmax", 9, -np.inf), Columns(["softmax"], correct="correct"), r"1 are NaN or infinite \(the first in row 9: -inf\)"),
        (with_value("correct", 3, None), Columns(["score"], correct="correct"), r"correct of .*: 1 of 30 rows have no .*in row 3: NULL"),
        (
            with_value("hit", 4, 2),
            Columns(["score"], correct="hit"),
            r"1 of 30 rows have no outcome \(the first in row 4: 2\); expected true",
        ),
        (
            with_value("label", 5, None),
            Columns(["score"], label="label", predicted="predicted"),
            "columns label and predicted of .*in row 5",
        ),
        (
            with_value("patient", 5, None),
            Columns(["score"], correct="correct", unit="patient"),
            "column patient of .*: 1 of 30 rows are empty",
        ),
        (arrow(BAD).slice(0, 0), Columns(["score"], correct="correct"), "has no rows; check that it holds the predictions"),
    ],
)
def test_what_is_no_use_is_named_in_one_line(table: pyarrow.Table, columns: Columns, message: str, tmp_path: Path):
    with pytest.raises(ValueError, match=message) as caught:
        measure(write(tmp_path / "a.parquet", table), columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("nowhere/*.parquet", "nowhere/.*: IO Error: No files found that match the pattern"),
        ("table.xlsx", r"table\.xlsx is no table that can be read; expected a name that ends in \.parquet"),
        (["a.csv", "b.parquet"], "of different kinds; give all of a table as CSV, or all as Parquet"),
        ([], "there are no files"),
        ("broken.parquet", r"broken\.parquet: .*No magic bytes"),
    ],
)
def test_files_that_cannot_be_read_are_named_in_one_line(paths: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.parquet").write_bytes(b"PAR1 no table at all")
    with pytest.raises(ValueError, match=message) as caught:
        FileTable(paths, temp_directory=tmp_path)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.parquet"]


def test_temporary_files_are_deleted(tmp_path: Path):
    path = write(tmp_path / "a.parquet", predictions(50))
    with FileTable(path, temp_directory=tmp_path) as table:
        assert len(list(tmp_path.iterdir())) == 2
        table_failure_metrics(table, Columns(["score"], correct="correct"))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_equal_confidences_of_neighbouring_batches_are_counted_together(size: int):
    rng = np.random.default_rng(0)
    values, errors = np.sort(rng.integers(8, size=60))[::-1], rng.integers(2, size=60)
    chunks = [(values[s : s + size], np.ones(len(values[s : s + size]), np.int64), errors[s : s + size]) for s in range(0, 60, size)]
    found = [np.concatenate(arrays) for arrays in zip(*distinct_chunks(iter(chunks)), strict=True)]
    np.testing.assert_array_equal(found[0], np.unique(values)[::-1])
    np.testing.assert_array_equal(found[1], np.bincount(values)[::-1][np.bincount(values)[::-1] > 0])
    np.testing.assert_array_equal(found[2], [errors[values == value].sum() for value in found[0]])


def test_the_group_of_a_row_does_not_depend_on_the_size_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, found = write(tmp_path / "a.parquet", predictions(9000)), []
    for rows in (2048, 10**6):
        monkeypatch.setattr("confidnet_core.tables.files._BATCH_ROWS", rows)
        with FileTable(path) as table:
            found.append(next(iter(table.group_counts(Columns(["level"], correct="correct"), {"level": np.array([0, 5])}, seed=0))))
    for first, second in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_array_equal(first, second)
    assert found[0][1].sum() == 9000 and (found[0][1].sum(axis=1) > 0).sum() > 3500  # of 4,096 groups
