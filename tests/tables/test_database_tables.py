"""Tables in databases, asked through ibis: DuckDB's own backend and a real Postgres server give what the arrays give."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prediction_tables import arrow, by_patient, predictions

from confidnet_core.evaluation.intervals import count_units
from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.tables.columns import Columns
from confidnet_core.tables.database import DatabaseTable
from confidnet_core.tables.failure import table_failure_metrics

ibis = pytest.importorskip("ibis", reason="tables in databases need ibis: pip install 'confidnet-core[tables]'")

pytestmark = pytest.mark.filterwarnings("ignore")  # of ibis and the drivers, about each other's versions

COLUMNS = predictions()
CREATE = (
    "CREATE TABLE predictions (id bigint, score double precision, softmax real, level bigint, coarse bigint, correct boolean, hit bigint, "
    "label text, predicted text, patient text)"
)


def duckdb_tables() -> Iterator[object]:
    connection = ibis.duckdb.connect()
    connection.con.register("arrays", arrow(COLUMNS))
    connection.raw_sql(CREATE)
    connection.raw_sql("INSERT INTO predictions SELECT * FROM arrays")
    yield connection
    connection.disconnect()


def postgres_tables(folder: Path) -> Iterator[object]:
    reason = "a Postgres server for tests comes with: pip install pgserver 'ibis-framework[postgres]'"
    pgserver = pytest.importorskip("pgserver", reason=reason)
    psycopg = pytest.importorskip("psycopg", reason=reason)
    server = pgserver.get_server(folder)
    try:
        with psycopg.connect(server.get_uri()) as connection:
            connection.execute(CREATE)
            with connection.cursor().copy("COPY predictions FROM STDIN") as copy:
                for row in zip(*(values.tolist() for values in COLUMNS.values()), strict=True):
                    copy.write_row(row)
        found = ibis.connect(server.get_uri().replace("postgresql://", "postgres://", 1))
        yield found
        found.disconnect()
    finally:
        server.cleanup()


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    logging.disable()  # pgserver logs what initdb prints
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield from duckdb_tables() if request.param == "duckdb" else postgres_tables(tmp_path_factory.mktemp("pg"))
    logging.disable(logging.NOTSET)


@pytest.fixture
def table(connection: object) -> DatabaseTable:
    return DatabaseTable.connect(connection, "predictions")


@pytest.mark.parametrize("most", [0, 10**6], ids=["streamed", "fetched"])
@pytest.mark.parametrize("outcome", [{"correct": "correct"}, {"correct": "hit"}, {"label": "label", "predicted": "predicted"}])
def test_metrics_are_those_of_the_columns_as_arrays_to_the_last_bit(outcome: dict, most: int, table: DatabaseTable, monkeypatch):
    monkeypatch.setattr("confidnet_core.tables.failure.MAX_SINGLE_SAMPLES", most)
    found = table_failure_metrics(table, Columns(["score", "softmax", "level"], **outcome))
    assert found.counts == count_units(COLUMNS["correct"])
    for name, score in found.scores.items():
        assert score.metrics == failure_metrics(COLUMNS[name], COLUMNS["correct"])


def test_a_small_table_is_resampled_as_its_arrays_in_the_order_of_the_row_keys(table: DatabaseTable):
    order = np.argsort(COLUMNS["id"])
    found = table_failure_metrics(table, Columns(["score"], correct="correct", row_key="id"), resample_count=20, seed=3)
    expected = bootstrap(COLUMNS["score"][order], COLUMNS["correct"][order], resample_count=20, seed=3)
    np.testing.assert_array_equal(found.scores["score"].replicates, expected)


@pytest.mark.parametrize("unit", [None, "patient"])
def test_a_large_table_is_resampled_in_groups_that_scatter_alike_and_are_paired(unit: str | None, table: DatabaseTable, monkeypatch):
    order, sizes = by_patient(COLUMNS)
    sizes = None if unit is None else sizes
    names = ("level", "coarse")
    expected = [
        bootstrap(COLUMNS[name][order], COLUMNS["correct"][order], resample_count=500, seed=1, pixels_per_image=sizes) for name in names
    ]
    monkeypatch.setattr("confidnet_core.tables.failure.MAX_SINGLE_SAMPLES", 0)
    found = table_failure_metrics(table, Columns(names, correct="correct", unit=unit, row_key="id"), resample_count=500, seed=1)
    rows = [found.scores[name].replicates for name in names]
    assert found.counts == count_units(COLUMNS["correct"][order], sizes)
    for metric in ("accuracy", "auroc", "aupr_error", "aurc"):
        index = METRICS.index(metric)
        assert rows[0][:, index].std() == pytest.approx(expected[0][:, index].std(), rel=0.25), metric
        differences = [(pair[0] - pair[1])[:, index].std() for pair in (rows, expected)]
        assert differences[0] == pytest.approx(differences[1], rel=0.25), metric


def test_an_expression_may_be_judged_in_place_of_a_table(connection: object):
    cats = connection.table("predictions").filter(lambda row: row.label == "cat").mutate(doubled=lambda row: row.score * 2)
    is_cat = COLUMNS["label"] == "cat"
    found = table_failure_metrics(DatabaseTable(cats, "cats"), Columns(["doubled"], correct="correct"))
    assert found.scores["doubled"].metrics == failure_metrics(COLUMNS["score"][is_cat], COLUMNS["correct"][is_cat])


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({}, Columns(["scor"], correct="correct"), "predictions has no column scor; did you mean score"),
        ({"score": "null"}, Columns(["score"], correct="correct", row_key="id"), r"1 are empty \(NULL\) \(the first where id is 7\)"),
        ({"score": "nan"}, Columns(["score"], correct="correct", row_key="id"), r"1 are NaN or infinite \(the first where id is 7\)"),
        ({"score": "nan"}, Columns(["score"], correct="correct"), "1 are NaN or infinite; a confidence must be finite"),
        ({"hit": "null"}, Columns(["score"], correct="hit", row_key="id"), r"1 of 3,000 rows have no outcome \(the first where id is 7\)"),
        ({}, Columns(["score"], label="label", predicted="level"), "is text and level is integer"),
    ],
)
def test_what_is_no_use_is_named_in_one_line(change: dict, columns: Columns, message: str, connection: object):
    rows = connection.table("predictions")
    for name, value in change.items():
        bad = ibis.null(rows[name].type()) if value == "null" else ibis.literal(float(value), type=rows[name].type())
        rows = rows.mutate(**{name: ibis.ifelse(rows.id == 7, bad, rows[name])})
    with pytest.raises(ValueError, match=message) as caught:
        table_failure_metrics(DatabaseTable(rows, "predictions"), columns)
    assert "\n" not in str(caught.value)


def test_a_large_table_without_a_row_key_has_no_resamples(table: DatabaseTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("confidnet_core.tables.failure.MAX_SINGLE_SAMPLES", 0)
    with pytest.raises(ValueError, match="has 3,000 rows, whose resamples need a row key: name a column"):
        table_failure_metrics(table, Columns(["score"], correct="correct"), resample_count=10)


def test_a_missing_table_and_a_server_that_does_not_answer_are_named(connection: object):
    with pytest.raises(ValueError, match="there is no table prediction; did you mean predictions"):
        DatabaseTable.connect(connection, "prediction")
    with pytest.raises(ValueError, match="the postgres connection cannot be opened: ") as caught:
        DatabaseTable.connect("postgres://user:sec/r@et@127.0.0.1:1/nothing", "predictions")
    assert not any(piece in str(caught.value) for piece in ("sec", "r@et", "et@")) and "\n" not in str(caught.value)
