"""Files of a study that are cut off, of another kind or of another run: refused in one line, with file, problem and remedy."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from project_code import ROOT
from small import small_digits

from confidnet_core.data import load_dataset, save_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import load_array, load_named_arrays, read_csv, read_json, read_yaml
from confidnet_core.networks.artifacts import _read_weights_file
from confidnet_core.networks.inference import Predictions, save_predictions
from confidnet_core.networks.weights_file import load_tensors
from confidnet_core.scoring.fitted import load_fitted_values


def array_bytes(array: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def torch_bytes(content: object) -> bytes:
    torch.save(content, file := io.BytesIO())
    return file.getvalue()


WHOLE_ARRAY, WHOLE_WEIGHTS = array_bytes(np.arange(12.0).reshape(4, 3)), torch_bytes({"weight": torch.ones(3)})
ZIP = io.BytesIO()
with zipfile.ZipFile(ZIP, "w") as archive:
    archive.writestr("x", b"x")
FOREIGN = {
    "nothing": b"",
    "text": b"moved\n",
    "zeros": bytes(500),
    "a zip": ZIP.getvalue(),
    "a pickle": b"\x80\x04\x95\x05\0\0\0\0\0\0\0\x8c\x01a.",
}
NO_ARRAY = FOREIGN | {"a cut head": WHOLE_ARRAY[:60], "a cut end": WHOLE_ARRAY[:-5], "weights": WHOLE_WEIGHTS}
NO_NAMED_ARRAYS = FOREIGN | {"an array": WHOLE_ARRAY, "weights": WHOLE_WEIGHTS}
NO_WEIGHTS = FOREIGN | {"a cut end": WHOLE_WEIGHTS[:-50], "a damaged head": WHOLE_WEIGHTS[:40] + b"?" * 60, "an array": WHOLE_ARRAY}
NO_OBJECT = {
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "nothing": b"",
    "a bracket": b"{",
    "UTF-16": b"\xff\xfe{\0}\0",
    "a cut end": b'{"a": 1',
    "brackets": b"[" * 100_000,
}


def refused(read: Callable[[], object], path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        read()
    message = str(caught.value)
    assert str(path) in message and "\n" not in message, message
    return message


@pytest.mark.parametrize("kind", NO_ARRAY)
@pytest.mark.parametrize("memory_mapped", [True, False])
def test_an_array_file_of_other_content(kind: str, memory_mapped: bool, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(NO_ARRAY[kind])
    message = refused(lambda: load_array(tmp_path / "a.npy", memory_mapped=memory_mapped), tmp_path / "a.npy")
    assert message.endswith(f"delete {tmp_path}/a.npy and run `dvc repro`")


@pytest.mark.parametrize("array", [np.arange(3.0), np.zeros((4, 2)), np.array(["a"]), np.array([(1, 2)], "i4,i4")], ids=str)
def test_an_array_of_another_run_or_kind(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    refused(lambda: load_array(tmp_path / "a.npy", (4, 3)), tmp_path / "a.npy")


def test_a_fitting_array_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(WHOLE_ARRAY)
    for shape in (None, (4, 3), (None, 3), (4,)):
        assert load_array(tmp_path / "a.npy", shape, memory_mapped=True).shape == (4, 3)


@pytest.mark.parametrize("kind", NO_NAMED_ARRAYS)
def test_named_arrays_of_other_content(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(NO_NAMED_ARRAYS[kind])
    assert "confidence" in refused(lambda: load_named_arrays(tmp_path / "a.npz", ("confidence",)), tmp_path / "a.npz")


@pytest.mark.parametrize("kind", NO_WEIGHTS)
@pytest.mark.parametrize("read", [lambda folder: load_fitted_values(folder, torch.device("cpu")), _read_weights_file])
def test_weights_and_fitted_values_of_other_content(read: Callable[[Path], object], kind: str, tmp_path: Path) -> None:
    for name in ("weights.pt", "fitted.pt"):
        (tmp_path / name).write_bytes(NO_WEIGHTS[kind])
    assert refused(lambda: read(tmp_path), tmp_path).endswith(f"delete {tmp_path} and run `dvc repro`")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2], "holds no tensors by name"),
        ({"weight": 3}, "holds no tensors"),
        ({"weight": torch.tensor([1, torch.nan])}, "weight holds NaN"),
    ],
)
def test_weights_that_are_none_or_not_finite(content: object, problem: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert problem in refused(lambda: _read_weights_file(tmp_path), tmp_path / "weights.pt")


READERS: list[Callable[[Path], object]] = [
    load_array,
    lambda path: load_array(path, memory_mapped=True),
    lambda path: load_named_arrays(path, ("confidence",)),
    load_tensors,
    read_csv,
    read_json,
    read_yaml,
]


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_refused_instead_of_awaited(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    message = refused(lambda: read(tmp_path / "pipe"), tmp_path / "pipe")
    assert message.endswith("is a pipe, a device or a socket; expected a regular file")
    refused(lambda: read(Path("/dev/zero")), Path("/dev/zero"))


@pytest.mark.parametrize("kind", NO_OBJECT)
def test_a_json_file_of_other_content(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(NO_OBJECT[kind])
    assert refused(lambda: read_json(tmp_path / "model.json"), tmp_path / "model.json").endswith("; delete it and run `dvc repro`")


def test_a_json_file_without_a_key(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    assert "model.json lacks 'classes': another version wrote it" in refused(
        lambda: read_json(tmp_path / "model.json")["classes"], tmp_path / "model.json"
    )
    assert read_json(tmp_path / "model.json").get("classes") is None


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n4,5,6,7\n", b"\xff\xfe\0\0"])
def test_a_csv_file_of_other_content(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    refused(lambda: read_csv(tmp_path / "a.csv"), tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_arrays_of_something_else_are_named_with_the_folder_of_the_data(tmp_path: Path, name: str):
    save_dataset(small_digits(), tmp_path / "digits")
    np.save(tmp_path / "digits" / name, np.arange(5.0))
    with pytest.raises(ValueError, match=r"digits holds other arrays than `prepare` wrote: .*; delete it and run `dvc repro`"):
        load_dataset(tmp_path / "digits")


@pytest.mark.parametrize(
    ("content", "problem"), [(np.arange(5.0), "holds 5 numbers"), (np.full(300, np.nan), "holds NaN or infinity")], ids=["few", "NaN"]
)
def test_confidences_of_something_else_are_named_with_their_file(root: Path, clean: pytest.MonkeyPatch, content: np.ndarray, problem: str):
    dataset, folder = small_digits(), Path("data/scores/digits/seed0/mcp")
    save_dataset(dataset, Path("data/prepared/digits"))
    predicted = Predictions(np.zeros((300, 10), np.float32), np.zeros(300, np.uint8))
    save_predictions(Path("data/predictions/digits/seed0"), {"test": predicted}, {})
    folder.mkdir(parents=True)
    np.save(folder / "test.npy", content)
    expected = rf"mcp/test\.npy {problem}; expected 300 finite numbers, one for each prediction; delete .*mcp and run `dvc repro`"
    with pytest.raises(ValueError, match=expected):
        StoredResults("digits", 0, ("mcp",)).confidence_and_outcomes("mcp")


def test_params_that_dvc_would_expand_for_ever_are_refused_before_it_reads_them(tmp_path: Path):
    levels = "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9))
    (tmp_path / "params.yaml").write_text(f"a0: &a0 [1]\n{levels}\n")
    command = [sys.executable, "-m", "confidnet_core.cli.params_check"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "stand for more than 1,000,000 values" in done.stderr
