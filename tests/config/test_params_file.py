"""params.yaml as a whole: its keys and names, what is selected, and files that cannot be read."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from project_code import ROOT
from small_params import ABSENT, BASELINE, VALID, changed, load, refusal

from confidnet_core.config.params import load_params


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("seed",), [0], "the top level has seed, which nothing reads; did you mean seeds?"),
        (("run",), ABSENT, "the top level lacks run; it must hold run, seeds, methods, "),
        (
            ("calibration_split",),
            ABSENT,
            "the top level lacks calibration_split; it must hold run, seeds, methods, ",
        ),
        (("calibration_split", "gap"), ABSENT, "calibration_split lacks gap; it must hold share, gap, seed"),
        (("calibration_split", "share"), 0, "calibration_split.share is 0; expected a number between 0 and 1, as 0.3333"),
        (("calibration_split", "share"), 1, "calibration_split.share is 1; expected a number between 0 and 1, as 0.3333"),
        (("calibration_split", "gap"), 0.7, "calibration_split.gap is 0.7; expected at least 0 and below 0.6667, what share leaves"),
        (("calibration_split", "gap"), -0.1, "calibration_split.gap is -0.1; expected at least 0 and below 1"),
        (("calibration_split", "seed"), -1, "calibration_split.seed is -1; expected at least 0"),
        (("bootstrap", "level"), ABSENT, "bootstrap lacks level; it must hold resamples, level, seed"),
        (("bootstrap", "level"), 95, "bootstrap.level is 95; expected a number between 0 and 1, as 0.95"),
        (("bootstrap", "resamples"), 10, "bootstrap.resamples is 10; expected 100 to 1,000,000"),
        (("bootstrap", "seed"), -1, "bootstrap.seed is -1; expected at least 0"),
        (("against",), "mcp", "against is 'mcp'; expected a list of str"),
        (("against",), ["mpc"], "against names mpc, but confidnet_core/scores/mpc.py does not exist; did you mean mcp?"),
        (("benchmarks", "small", "basline"), {}, "benchmarks.small has basline, which nothing reads; did you mean baseline?"),
        (("benchmarks", "small", "baseline"), ABSENT, "benchmarks.small lacks baseline; it must hold data, model, baseline"),
        ((*BASELINE, "lr"), 0.1, "benchmarks.small.baseline has lr, which nothing reads; known: epochs, batch_size"),
        ((*BASELINE, "epoch"), 3, "benchmarks.small.baseline has epoch, which nothing reads; did you mean epochs or swa_epochs?"),
        ((*BASELINE, "epochs"), ABSENT, "benchmarks.small.baseline lacks epochs; it must hold epochs, batch_size"),
        ((*BASELINE, "dropout"), True, "benchmarks.small.baseline has dropout, which nothing reads"),
        ((*BASELINE, "swa_epoch"), 1, "benchmarks.small.baseline has swa_epoch, which nothing reads; did you mean swa_epochs"),
        ((*BASELINE, "sam_radus"), 0.1, "benchmarks.small.baseline has sam_radus, which nothing reads; did you mean sam_radius?"),
        (("benchmarks", "small", "finetune", "class_weights"), "none", "benchmarks.small.finetune has class_weights, which nothing reads"),
        (
            (*BASELINE, "augmentation"),
            {"flop": True},
            "benchmarks.small.baseline.augmentation has flop, which nothing reads; did you mean flip?",
        ),
        (("benchmarks", "small", "data", "name"), ABSENT, "benchmarks.small.data lacks name, the file of confidnet_core/datasets to use"),
        (("benchmarks", "small", "model", "name"), None, "benchmarks.small.model lacks name, the file of confidnet_core/models to use"),
        (("benchmarks", "small", "model", "hiden"), 8, "benchmarks.small.model has hiden, which nothing reads; did you mean hidden?"),
        (("benchmarks", "small", "model", "classes"), 3, "benchmarks.small.model has classes, which nothing reads"),
        (("benchmarks", "small", "data", "seed"), 3, "benchmarks.small.data has seed, which nothing reads"),
        (("methods", "trust_score", "neighbor"), 3, "methods.trust_score has neighbor, which nothing reads; did you mean neighbour"),
        (("methods", "mcp", "run"), 3, "methods.mcp has run, which nothing reads; known: none"),
    ],
)
def test_an_unknown_or_missing_key_is_named_with_the_nearest_known(tmp_path: Path, place: tuple, value: Any, message: str):
    assert refusal(tmp_path, changed(place, value)).startswith(message)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("methods", "margn"), {}, "methods.margn names margn, but confidnet_core/scores/margn.py does not exist; did you mean margin?"),
        (("benchmarks", "small", "model", "name"), "mpl", "names mpl, but confidnet_core/models/mpl.py does not exist; did you mean mlp?"),
        (("benchmarks", "small", "model", "name"), 3, "names 3, but confidnet_core/models/3.py does not exist; known: mlp, "),
        (("benchmarks", "small", "model", "name"), "_head", "names _head, but confidnet_core/models/_head.py does not exist"),
        (
            ("benchmarks", "small", "data", "name"),
            "digit",
            "names digit, but confidnet_core/datasets/digit.py does not exist; did you mean digits?",
        ),
        (("benchmarks", "small", "data", "name"), "../data", "names ../data, but confidnet_core/datasets/../data.py does not exist"),
        (("run",), ["smal"], "run names smal, which is not under benchmarks; did you mean small?"),
    ],
)
def test_an_unknown_score_data_set_model_or_benchmark_is_named_with_the_nearest_known(
    tmp_path: Path, place: tuple, value: Any, message: str
):
    assert message in refusal(tmp_path, changed(place, value))


def test_what_a_command_line_asks_for_is_looked_up_with_the_same_help(tmp_path: Path):
    params = load(tmp_path, VALID)
    with pytest.raises(ValueError, match=r"params\.yaml: benchmarks has no smal; did you mean small\?"):
        params.benchmark("smal")
    with pytest.raises(ValueError, match=r"params\.yaml: methods has no mpc; did you mean mcp\?"):
        params.method("mpc")


@pytest.mark.parametrize("family", ["methods", "benchmarks"])
@pytest.mark.parametrize("name", ["a@b", "a.b", "a b", "", "a/b", "ü", 1, True, None, 1.5])
def test_a_name_that_dvc_or_mlflow_would_misread_is_refused(tmp_path: Path, family: str, name: Any):
    message = refusal(tmp_path, changed((family, name), {}))
    assert message == f"{family} has the name {name!r}; rename it: text of letters, digits, _ and - only"


def test_other_names_of_benchmarks_are_free(tmp_path: Path):
    content = changed(("benchmarks", "My-2nd_1"), VALID["benchmarks"]["small"])
    assert set(load(tmp_path, content).benchmarks) == {"small", "My-2nd_1"}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("run", [], "run is []; expected at least one entry"),
        ("run", None, "run is None; expected a list of str"),
        ("run", "small", "run is 'small'; expected a list of str; write run: [small]"),
        ("run", [1], "run is [1]; expected a list of str"),
        ("run", ["small", "small"], "run is ['small', 'small']; expected small once only"),
        ("seeds", [], "seeds is []; expected 1 to 1,000 seeds"),
        ("seeds", 0, "seeds is 0; expected a list of int; write seeds: [0]"),
        ("seeds", ["0"], "seeds is ['0']; expected a list of int"),
        ("seeds", [True], "seeds is [True]; expected a list of int"),
        ("seeds", [0.0], "seeds is [0.0]; expected a list of int"),
        ("seeds", [0, 1, 0], "seeds is [0, 1, 0]; expected 0 once only"),
        ("seeds", [0, -1], "seeds is [0, -1]; expected whole numbers from 0 to 2**63 - 1"),
        ("seeds", [2**63], f"seeds is [{2**63}]; expected whole numbers from 0 to 2**63 - 1"),
        ("methods", {}, "methods is empty; expected at least one entry"),
        ("methods", None, "methods is empty; expected at least one entry"),
        ("methods", ["mcp"], "methods is ['mcp']; expected keys and values"),
        ("benchmarks", {}, "benchmarks is empty; expected at least one entry"),
        ("benchmarks", {"small": 1}, "benchmarks.small is 1; expected keys and values"),
        (
            "benchmarks",
            {"small": None},
            "benchmarks.small lacks data; it must hold data, model, baseline",
        ),
        ("methods", {"mcp": 3}, "methods.mcp is 3; expected keys and values"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(tmp_path: Path, key: str, value: Any, expected: str):
    assert refusal(tmp_path, changed((key,), value)) == expected


def test_a_method_without_settings_may_be_written_as_a_bare_key(tmp_path: Path):
    assert load(tmp_path, changed(("methods", "mcp"), None)).method("mcp") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"run: [small\nseeds: [0]\n", "is not valid YAML in UTF-8; mend it: while parsing"),
        (b"run: [a]\nseeds: [0]\nrun: [b]\n", 'found duplicate key "run"'),
        (b"methods:\n  mcp: {}\n  mcp: {}\n", 'found duplicate key "mcp"'),
        (b"run: [sm\xe4ll]\n", "is not valid YAML in UTF-8; mend it: unacceptable character"),
        (b"run: !!python/object:os.system x\n", "is not valid YAML"),
        (b"run: [a]\n---\nrun: [b]\n", "expected a single document"),
        (b"- run\n- seeds\n", "the top level is ['run', 'seeds']; expected keys and values"),
        (b"text\n", "the top level is 'text'; expected keys and values"),
        (
            b"",
            "the top level lacks run; it must hold run, seeds, methods, calibration_split, bootstrap, ",
        ),
    ],
)
def test_a_file_that_is_no_params_yaml_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_params(path)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)
    assert "\n" not in str(caught.value) and "suppress" not in str(caught.value)


def test_a_duplicate_key_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("run: [a]\nseeds: [0]\nrun: [b]\n")
    with pytest.raises(ValueError, match=r'duplicate key "run".* line 3'):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^params\.yaml does not exist; run this from the root of the project$"):
        load_params()


def test_a_folder_in_its_place_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"cannot be read .*; expected a file"):
        load_params(tmp_path)


@pytest.mark.parametrize(
    "change", ["methods.trust_score.neighbour=2", "thresholds.delta=0.2", "benchmarks.digits.confidnet.learning_rate=1e-7"]
)
def test_what_set_param_writes_is_one_line_and_read_as_a_number(tmp_path: Path, change: str):
    before = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(before)
    apply_overrides(path, [change])  # as `dvc exp run --set-param`
    (line,) = [new for old, new in zip(before.splitlines(), path.read_text().splitlines(), strict=True) if old != new]
    assert change.split("=")[0].split(".")[-1] in line
    params = load_params(path)
    assert params.benchmarks["digits"].confidnet.learning_rate == (1e-7 if "1e-7" in change else 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["sklearn", "torchvision", "mlflow", "matplotlib"])
def test_reading_it_does_not_load_a_library_that_few_entries_need(library: str):
    """Every stage reads it first, and such a library takes a second."""
    code = f"import sys; from confidnet_core.config.params import load_params; load_params(); sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=120).returncode == 0


@pytest.mark.parametrize("stage", ["bootstrap", "thresholds"])
def test_what_runs_for_every_score_and_needs_no_network_does_not_load_pytorch(stage: str):
    code = f"import sys, stages.{stage}; from stages._command import load_params; load_params(check_entries=False); "
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == 0
    assert "check_entries=False" in (ROOT / f"stages/{stage}.py").read_text()
