"""Random params.yaml, tables of predictions and answers of a model: each is taken, or refused in one line; no half-written output.

`make fuzz` runs the same with many more cases.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import cases, one_line_or_result
from hypothesis import given
from hypothesis import strategies as st
from judged import prediction_table
from rich.console import Console
from ruamel.yaml import YAML
from small_params import VALID, changed
from watched import draw, model

from confidnet_core.config.params import Params, load_params
from confidnet_core.files import read_yaml
from confidnet_core.judging.command import JudgeOptions, judge_files
from confidnet_core.judging.predictions_table import ColumnOptions
from confidnet_core.monitoring.watching import watch_model


def places(content: Any, above: tuple = ()) -> list[tuple]:
    """All places in nested mappings, each as the keys that lead to it."""
    inner = [place for key, value in content.items() for place in places(value, (*above, key))] if isinstance(content, dict) else []
    return [*([above] if above else []), *inner]


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.integers(-3, 300), st.floats(), st.text(max_size=12), st.just(10**400)),
    st.sampled_from(["mcp", "digits", "cifar10", "vgg16", "$(x)", "../..", "1e5", "\u202e", "a;b", "~", "nan"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("name"), inner, max_size=3),
    max_leaves=5,
)


@cases(150)
@given(place=st.sampled_from(places(VALID)), value=VALUES, extra_key=st.none() | st.text(max_size=6))
def test_a_params_file_with_another_value_is_taken_or_refused_in_a_line(place: tuple, value: Any, extra_key: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        content = changed(place if extra_key is None else (*place[:-1], extra_key), value)
        try:
            with path.open("w", encoding="utf-8") as file:
                YAML(typ="safe", pure=True).dump(content, file)
        except Exception:  # no YAML holds it
            return
        params = one_line_or_result(lambda: load_params(path), str(path))
        assert params is None or isinstance(params, Params)


@cases(150)
@given(text=st.text(st.sampled_from("ab:-[]{},&*!|>'\"#%@`?~<=\n\t 0123456789.eE\\\u2028\x85é\0"), max_size=40) | st.binary(max_size=20))
def test_any_text_is_yaml_or_refused_in_a_line(text: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        one_line_or_result(lambda: read_yaml(path), str(path))


CELLS = st.sampled_from(
    ["", "0", "1", "-1", "nan", "inf", "1e400", "0.5", "ant", "bee", "true", "test", "val", '"', ",", "\n", "é", "\x00", "9" * 30]
)


@st.composite
def csv_texts(draw: st.DrawFn, table: str) -> bytes:
    """The text of a table with some cells, lines or bytes changed."""
    lines = [line.split(",") for line in table.splitlines()]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, min(len(lines) - 1, 8)))
        column = draw(st.integers(0, len(lines[row]) - 1))
        lines[row][column] = draw(CELLS | st.text(max_size=5))
    change = draw(st.sampled_from(["none", "cut", "double", "empty", "encoding", "header", "column"]))
    if change == "double":
        lines.append(lines[-1])
    if change == "header":
        lines = lines[:1]
    if change == "column":
        lines = [line[:-1] for line in lines]
    content = "\n".join(map(",".join, lines)).encode("utf-16" if change == "encoding" else "utf-8", "replace")
    return {"cut": content[: len(content) // 2], "empty": b""}.get(change, content)


PREDICTIONS = prediction_table(48).round(4).to_csv(index=False)
COLUMNS = [
    ColumnOptions(confidences=("mine",), probabilities="p_*", split="split", unit="unit"),
    ColumnOptions(confidences=("mine",), predicted="label"),
    ColumnOptions(confidences=("p_ant", "mine"), correct="unit"),
    ColumnOptions(logits="p_*", confidences=("m*",)),
]


@cases(30)
@given(content=csv_texts(PREDICTIONS), columns=st.sampled_from(COLUMNS))
@pytest.mark.filterwarnings("ignore")
def test_a_table_of_predictions_is_judged_or_refused_in_a_line(content: bytes, columns: ColumnOptions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "predictions.csv")
        path.write_bytes(content)
        options = JudgeOptions(columns, None, ("0.05",), 0.05, 100, 0)
        one_line_or_result(lambda: judge_files(Console(file=io.StringIO()), [str(path)], options), "", names_file=False)
        assert [entry.name for entry in Path(folder).iterdir()] == ["predictions.csv"]


ANSWERS = draw(12, seed=3).drop(columns="true").round(4).to_csv(index=False)
LABELS = draw(12, seed=3)[["file", "true"]].rename(columns={"true": "label"}).to_csv(index=False)


@pytest.fixture(scope="module")
def packed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("packed") / "model", samples=60)


@cases(60)
@given(answers=csv_texts(ANSWERS), labels=csv_texts(LABELS), has_labels=st.booleans())
def test_answers_and_labels_are_watched_or_refused_in_a_line(packed_model: Path, answers: bytes, labels: bytes, has_labels: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        answers_path, labels_path = Path(folder, "answers.csv"), Path(folder, "labels.csv")
        answers_path.write_bytes(answers)
        labels_path.write_bytes(labels)
        label_patterns = [str(labels_path)] if has_labels else []
        watch = one_line_or_result(lambda: watch_model(packed_model, [str(answers_path)], label_patterns), folder)
        assert watch is None or np.isfinite(watch.answers.confidence).all()
