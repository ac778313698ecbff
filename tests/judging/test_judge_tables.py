"""Tables of predictions: CSV, Parquet and NPZ give the same figures, free scores are added, and wrong columns and rows are named."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judged import CLASSES, prediction_table

from confidnet_core import judge
from confidnet_core.judging.predictions_table import ColumnOptions, judge_arguments
from confidnet_core.judging.table_files import open_table

QUICK = {"resamples": 100, "risks": (0.3,)}
PROBABILITIES = [f"p_{name}" for name in CLASSES]
FREE = ["doctor", "entropy", "gen", "log_odds", "margin", "max_logit_pnorm", "mcp", "tcp", "temperature"]


def read(path: Path | str, **options) -> dict:
    return judge_arguments(open_table([str(path)]), ColumnOptions(**{"probabilities": "p_*", **options}))


def figures(arguments: dict) -> dict:
    content = judge(**arguments, **QUICK).to_json()
    return {key: content[key] for key in ("metrics", "intervals", "significance", "calibration", "thresholds")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, table = tmp_path_factory.mktemp("tables"), prediction_table()
    table.to_csv(folder / "one.csv", index=False)
    table.to_csv(folder / "semicolons.csv", index=False, sep=";")
    table.to_parquet(folder / "one.parquet")
    for part in range(3):
        table[40 * part : 40 * (part + 1)].to_parquet(folder / f"part-{part}.parquet")
    arrays = {name: table[name].to_numpy() for name in ("mine", "unit")}
    labels, splits = table["label"].map(CLASSES.index).to_numpy(), table["split"].to_numpy().astype(str)
    np.savez(folder / "one.npz", label=labels, p=table[PROBABILITIES].to_numpy(), split=splits, **arrays)
    return folder


def test_every_kind_of_file_gives_the_same_figures(folder: Path):
    options = {"confidences": ("mine",), "split": "split"}
    expected = figures(read(folder / "one.csv", **options))
    assert list(expected["metrics"]) == [*FREE, "mine"]
    for name in ("semicolons.csv", "one.parquet", "part-*.parquet"):
        assert figures(read(folder / name, **options)) == expected
    assert figures(read(folder / "one.npz", **options, probabilities="p")) == expected


def test_splits_become_test_validation_and_calibration_and_training_rows_are_not_used(folder: Path):
    table = prediction_table()
    table.loc[:9, "split"] = "train"
    table["split"] = table["split"].replace({"val": "Validation", "calibration": "cal"})
    table.to_csv(folder / "names.csv", index=False)
    arguments = read(folder / "names.csv", split="split")
    assert [len(arguments["correct"]), len(arguments["validation"].correct), len(arguments["calibration"].correct)] == [50, 30, 30]
    assert arguments["left_out"] == [
        "10 rows whose split is train are not used.",
        "energy, max_logit: need logits; probabilities do not tell them.",
    ]


def test_without_validation_rows_fitted_scores_are_left_out_in_words(folder: Path):
    arguments = read(folder / "one.csv")
    assert not {"temperature", "max_logit_pnorm"} & set(arguments["confidences"])
    assert "max_logit_pnorm, temperature: are fitted to validation data, which were not given." in arguments["left_out"]


def test_logits_give_every_free_score_and_the_same_ranking(folder: Path):
    table = prediction_table()
    table[PROBABILITIES] = np.log(table[PROBABILITIES]) + np.random.default_rng(0).normal(size=(len(table), 1))
    table.to_parquet(folder / "logits.parquet")
    arguments = read(folder / "logits.parquet", probabilities=None, logits="p_*", split="split")
    assert list(arguments["confidences"]) == sorted([*FREE, "energy", "max_logit"])
    assert np.allclose(arguments["confidences"]["mcp"], read(folder / "one.csv", split="split")["confidences"]["mcp"])


def test_predicted_classes_or_correctness_alone_judge_own_confidences(folder: Path):
    table = prediction_table()
    table["predicted"] = np.array(CLASSES)[table[PROBABILITIES].to_numpy().argmax(1)]
    table["right"] = table["predicted"] == table["label"]
    table.to_csv(folder / "predicted.csv", index=False)
    own = {"probabilities": None, "confidences": ("mine",), "split": "split"}
    expected = figures(read(folder / "predicted.csv", predicted="predicted", **own))
    assert list(expected["metrics"]) == ["mine"]
    assert figures(read(folder / "predicted.csv", correct="right", **own)) == expected
    both = figures(read(folder / "predicted.csv", predicted="predicted", confidences=("mine",), split="split"))
    assert both["metrics"]["mine"] == expected["metrics"]["mine"]


def test_labels_may_be_numbers_of_named_classes_and_names_that_are_numbers(folder: Path):
    table = prediction_table()
    expected = read(folder / "one.csv")["correct"]
    table.assign(label=table["label"].map(CLASSES.index)).to_csv(folder / "numbers.csv", index=False)
    assert np.array_equal(read(folder / "numbers.csv")["correct"], expected)
    years = table.rename(columns={"p_ant": "p_2021", "p_bee": "p_2020", "p_cat": "p_2022"})
    years.assign(label=years["label"].map({"ant": 2021, "bee": 2020, "cat": 2022})).to_csv(folder / "years.csv", index=False)
    assert np.array_equal(read(folder / "years.csv")["correct"], expected)


def test_three_hundred_classes_and_probabilities_rounded_to_four_decimals(tmp_path: Path):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(300, 0.05), 500)
    labels = np.where(rng.random(500) < 0.8, probabilities.argmax(1), rng.integers(0, 300, 500))
    table = pd.DataFrame(probabilities, columns=[f"p_{index}" for index in range(300)]).round(4)
    table.assign(label=labels).to_csv(tmp_path / "many.csv", index=False)
    arguments = read(tmp_path / "many.csv")
    assert np.array_equal(arguments["correct"], table.to_numpy().argmax(1) == labels)
    assert np.isfinite(list(arguments["confidences"].values())).all()


def changed(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"label": "lable"}, "has no column lable, which --label names; did you mean label?"),
        (None, {"confidences": ("mien",)}, "has no column mien, which --confidence names; did you mean mine?"),
        (None, {"probabilities": "q_*"}, "has no column q_*, which --probabilities names; known: label, p_ant"),
        (None, {"split": "splits"}, "has no column splits, which --split names; did you mean split?"),
        (None, {"probabilities": None}, "there is nothing to judge: name the columns of"),
        (None, {"logits": "p_*"}, "--probabilities and --logits exclude each other"),
        (None, {"probabilities": None, "logits": "p_*"}, "the logits are between 0 and 1 and sum to 1 in each row: use --probabilities"),
        (None, {"probabilities": None, "confidences": ("mine",)}, "which predictions are correct is unknown"),
        (None, {"probabilities": "p_[ab]*"}, "does the pattern name the columns of all classes, and no others?"),
        (None, {"probabilities": "p_ant"}, "--probabilities p_ant names 1 class in"),
        (None, {"scores": ("mpc",)}, "mpc is no score that these predictions give; did you mean mcp?"),
        (lambda table: table.rename(columns={"mine": "mcp"}), {"confidences": ("mcp",)}, "the confidence mcp has the name of a score"),
        (lambda table: table.assign(**{name: 9 * table[name] for name in PROBABILITIES}), {}, "if these are logits, use --logits"),
        (lambda table: table.assign(**{name: 100 * table[name] for name in PROBABILITIES}), {}, "sum to 100; divide them by 100"),
        (changed("p_bee", 4, 0.9999), {}, r"the probabilities in row 5 sum to 1\.\d+; expected 1"),
        (changed("p_bee", 4, None), {}, "the column p_bee is empty or NaN in row 5; expected a finite number"),
        (changed("mine", 0, "inf"), {"confidences": ("mine",)}, "the column mine is inf in row 1"),
        (changed("mine", 6, "high"), {"confidences": ("mine",)}, "the column mine holds text, as 'high' in row 7; expected numbers"),
        (
            changed("label", 2, "cta"),
            {},
            "label is 'cta' in row 3, which is none of the 3 classes, ant, bee, cat; did you mean cat?",
        ),
        (changed("label", 2, None), {}, "the column label is empty in row 3"),
        (lambda table: table.assign(label=7), {}, "the column label is 7 in row 1, which is none of the 3 classes, 0 to 2"),
        (
            lambda table: table.assign(guess=1),
            {"predicted": "guess"},
            r"label holds text \('\w+' in row 1\) and guess numbers \(1\)",
        ),
        (lambda table: table.assign(guess="ant"), {"predicted": "guess"}, "predicts ant, but the largest value is that of"),
        (lambda table: table.assign(right=3), {"correct": "right", "probabilities": None, "confidences": ("mine",)}, "right is 3 in row 1"),
        (lambda table: table.assign(split="val"), {"split": "split"}, "the column split has no row test, .* it has val 120"),
        (changed("split", 8, "tset"), {"split": "split"}, "the column split is 'tset' in row 9; did you mean test?"),
        (changed("unit", 3, None), {"unit": "unit"}, "the column unit is empty in row 4"),
        (lambda table: table[:0], {}, "has no rows"),
    ],
)
def test_wrong_tables_are_refused_with_column_and_row(tmp_path: Path, change, options: dict, message: str):
    table = prediction_table()
    (change(table) if change else table).to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(ValueError, match=message.replace("q_*", r"q_\*")) as refused:
        judge(**read(tmp_path / "wrong.csv", **options), **QUICK)
    assert "\n" not in str(refused.value)


def test_a_unit_in_two_splits_is_named(tmp_path: Path):
    prediction_table().assign(unit=np.arange(120) % 50).to_csv(tmp_path / "units.csv", index=False)
    with pytest.raises(ValueError, match="the unit 10 is in the split test and in validation; predictions that err together"):
        judge(**read(tmp_path / "units.csv", split="split", unit="unit"), **QUICK)


def test_the_row_of_many_files_is_that_of_its_own_file(folder: Path, tmp_path: Path):
    for part in range(2):
        table = prediction_table(40, seed=part)
        (changed("mine", 7, None)(table) if part else table).to_csv(tmp_path / f"part-{part}.csv", index=False)
    with pytest.raises(ValueError, match=r"the column mine is empty or NaN in part-1\.csv row 8"):
        read(tmp_path / "part-*.csv", confidences=("mine",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("uneven.csv", "label,p_a,p_b\na,0.5\nb,x,3,4\n", "uneven.csv line 2 has 2 values and the heading 3; mend it"),
        ("empty.csv", "", "empty.csv is empty; expected a heading"),
        ("broken.parquet", "nothing", "broken.parquet cannot be read: "),
        ("broken.npz", "nothing", "broken.npz is no NPZ file; write it with numpy.savez"),
        ("table.xlsx", "", "is none of .csv, .tsv"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, name: str, content: str, message: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.npz"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is a pipe, a device or a socket; expected a regular file"):
        open_table([str(tmp_path / name)])


def test_missing_files_folders_mixed_kinds_and_pickles_are_refused(tmp_path: Path, folder: Path):
    with pytest.raises(ValueError, match=r"nothing\.csv does not exist; give a CSV, Parquet or NPZ file"):
        open_table([str(tmp_path / "nothing.csv")])
    with pytest.raises(ValueError, match="is a folder; give its files by a pattern in quotes"):
        open_table([str(tmp_path)])
    with pytest.raises(ValueError, match="expected files of one kind"):
        open_table([str(folder / "one.csv"), str(folder / "one.parquet")])
    np.savez(tmp_path / "pickled.npz", label=np.array([1, "a"], object))
    with pytest.raises(ValueError, match=r"cannot be read: Object arrays .*; expected arrays of numbers and text alone"):
        open_table([str(tmp_path / "pickled.npz")])


def test_a_class_may_be_spelt_in_two_unicode_forms(tmp_path: Path) -> None:
    table = prediction_table()
    table["predicted"] = np.array(CLASSES)[table[PROBABILITIES].to_numpy().argmax(1)]
    table.to_csv(tmp_path / "plain.csv", index=False)
    named = table.replace({"label": {"ant": "caf\u00e9"}, "predicted": {"ant": "cafe\u0301"}}).rename(columns={"p_ant": "p_cafe\u0301"})
    named.to_csv(tmp_path / "named.csv", index=False)
    options = {"confidences": ("mine",), "predicted": "predicted", "scores": ("mcp",)}
    found, expected = (read(tmp_path / f"{name}.csv", **options)["correct"] for name in ("named", "plain"))
    np.testing.assert_array_equal(found, expected)
